import type { BlockDevice } from '../block/device.js';
import { BlockOp } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { MiB } from '../units.js';
import type { Trace } from './trace.js';

/** What a replay will ask of the device, in columns: request `i` is element `i` of each. */
export interface Plan {
  readonly count: number;
  /** When the request is due, nanoseconds since the start, at speed 1. */
  readonly dueNs: Float64Array;
  readonly op: Uint8Array;
  readonly flags: Uint8Array;
  readonly lba: Float64Array;
  /** 0 for a flush. */
  readonly blocks: Float64Array;
  /** Record of the trace that the request comes from. */
  readonly record: Uint32Array;
  /** Largest read or write, in blocks. */
  readonly maxBlocks: number;
  /** Records cut in pieces because they were larger than one transfer. */
  readonly splitRecords: number;
  /** Records whose start or length was no multiple of the device's block. */
  readonly roundedRecords: number;
  /** Records left out: discards smaller than a block. */
  readonly droppedRecords: number;
  /** Records that lay beyond the end of the device and were folded back into it. */
  readonly foldedRecords: number;
}

/** Distance that the regions of two recorded devices keep, so that alignment survives. */
const regionBytes = MiB;
/** No recorded system sends larger requests; each one in flight has a buffer of its size. */
const maxPieceBytes = MiB;
const maxRequests = 2 ** 32 - 2;

/**
 * Fit a trace to a device. Recorded devices lie side by side, each as long as its last request
 * reaches. What is then still beyond the end is folded back (modulo the size; a request that would
 * straddle the end is moved down to it). Reads and writes are widened to whole blocks, discards
 * are narrowed, and transfers beyond 1 MiB or the device's limit are cut in pieces.
 *
 * @throws UltimaError FILE_INVALID when nothing is left to do
 */
export function planReplay(trace: Trace, device: BlockDevice): Plan {
  const planner = new Planner(trace, device);
  for (let i = 0; i < trace.count; i++) planner.place(i, null);
  if (planner.count === 0 || planner.count > maxRequests) {
    throw new UltimaError(
      ErrorCode.fileInvalid,
      `${trace.source}: ${planner.count} requests for this device, which is not 1..${maxRequests}`,
      { file: trace.source, requests: planner.count },
    );
  }
  const columns = new Columns(planner.count);
  planner.restart();
  for (let i = 0; i < trace.count; i++) planner.place(i, columns);
  return {
    count: columns.count,
    dueNs: columns.dueNs,
    op: columns.op,
    flags: columns.flags,
    lba: columns.lba,
    blocks: columns.blocks,
    record: columns.record,
    maxBlocks: planner.maxBlocks,
    splitRecords: planner.splits,
    roundedRecords: planner.rounded,
    droppedRecords: planner.dropped,
    foldedRecords: planner.folded,
  };
}

class Columns {
  count = 0;
  readonly dueNs: Float64Array;
  readonly op: Uint8Array;
  readonly flags: Uint8Array;
  readonly lba: Float64Array;
  readonly blocks: Float64Array;
  readonly record: Uint32Array;

  constructor(count: number) {
    this.dueNs = new Float64Array(count);
    this.op = new Uint8Array(count);
    this.flags = new Uint8Array(count);
    this.lba = new Float64Array(count);
    this.blocks = new Float64Array(count);
    this.record = new Uint32Array(count);
  }
}

/** Walks the trace twice: once to count, once to fill. */
class Planner {
  count = 0;
  maxBlocks = 1;
  splits = 0;
  rounded = 0;
  dropped = 0;
  folded = 0;
  private readonly trace: Trace;
  private readonly blockBytes: number;
  private readonly blockCount: number;
  private readonly transferBlocks: number;
  private readonly baseBytes: readonly number[];

  constructor(trace: Trace, device: BlockDevice) {
    this.trace = trace;
    this.blockBytes = device.blockBytes;
    this.blockCount = device.blockCount;
    const bytes = Math.min(device.limits.maxTransferBytes, maxPieceBytes);
    const transfer = Math.floor(bytes / device.blockBytes);
    this.transferBlocks = Math.min(Math.max(1, transfer), device.blockCount);
    this.baseBytes = sideBySide(trace);
  }

  restart(): void {
    this.count = 0;
    this.splits = 0;
    this.rounded = 0;
    this.dropped = 0;
    this.folded = 0;
  }

  /** Count the requests of one record, and add them to the columns when there are some. */
  place(record: number, to: Columns | null): void {
    const op = this.trace.op[record]!;
    if (op === BlockOp.flush) {
      this.emit(to, record, 0, 0);
      return;
    }
    const offset = this.baseBytes[this.trace.device[record]!]! + this.trace.offsetBytes[record]!;
    const end = offset + this.trace.lengthBytes[record]!;
    const isDiscard = op === BlockOp.discard;
    const firstExact = offset / this.blockBytes;
    const lastExact = end / this.blockBytes;
    const first = isDiscard ? Math.ceil(firstExact) : Math.floor(firstExact);
    const last = isDiscard ? Math.floor(lastExact) : Math.ceil(lastExact);
    if (first !== firstExact || last !== lastExact) this.rounded++;
    if (last <= first) {
      this.dropped++;
      return;
    }
    const blocks = Math.min(last - first, this.blockCount);
    if (last > this.blockCount) this.folded++;
    const lba = this.fold(first, blocks);
    if (isDiscard) this.emit(to, record, lba, blocks);
    else this.pieces(to, record, lba, blocks);
  }

  private fold(first: number, blocks: number): number {
    if (first + blocks <= this.blockCount) return first;
    return Math.min(first % this.blockCount, this.blockCount - blocks);
  }

  private pieces(to: Columns | null, record: number, lba: number, blocks: number): void {
    if (blocks > this.transferBlocks) this.splits++;
    for (let done = 0; done < blocks; done += this.transferBlocks) {
      const piece = Math.min(this.transferBlocks, blocks - done);
      if (piece > this.maxBlocks) this.maxBlocks = piece;
      this.emit(to, record, lba + done, piece);
    }
  }

  private emit(to: Columns | null, record: number, lba: number, blocks: number): void {
    this.count++;
    if (to === null) return;
    const i = to.count++;
    to.dueNs[i] = this.trace.timeNs[record]!;
    to.op[i] = this.trace.op[record]!;
    to.flags[i] = this.trace.flags[record]!;
    to.lba[i] = lba;
    to.blocks[i] = blocks;
    to.record[i] = record;
  }
}

function sideBySide(trace: Trace): number[] {
  const ends = trace.devices.map(() => 0);
  for (let i = 0; i < trace.count; i++) {
    const device = trace.device[i]!;
    ends[device] = Math.max(ends[device]!, trace.offsetBytes[i]! + trace.lengthBytes[i]!);
  }
  let base = 0;
  return ends.map((end) => {
    const start = base;
    base += Math.ceil(end / regionBytes) * regionBytes;
    return start;
  });
}
