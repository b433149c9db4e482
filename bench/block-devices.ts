import type { BlockDevice, BlockLimits } from '../sdk/block/device.js';
import { MemorySpace } from '../sdk/block/memory.js';
import { BlockOp, type BlockRequest, BlockStatus } from '../sdk/block/request.js';
import type { Clock } from '../sdk/device.js';

const chunkBytes = 65_536;

/** Time of the machine; `turn` lets other tasks run. */
export const realClock: Clock = {
  nowNs: () => Math.round(performance.now() * 1e6),
  idle: () => {},
  turn: () => new Promise((resolve) => setImmediate(resolve)),
};

/** No time at all, so that looking at it costs nothing. */
export const noClock: Clock = { nowNs: () => 0, idle: () => {}, turn: realClock.turn };

export interface BenchDeviceOptions {
  readonly bytes: number;
  readonly blockBytes: number;
  readonly clock: Clock;
}

/** What every device of the benchmarks does: requests end in order, with the next poll. */
abstract class BenchDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly clock: Clock;
  readonly memory = new MemorySpace();
  readonly limits: BlockLimits = {
    maxTransferBytes: 1024 * 1024,
    atomicWriteBlocks: 1,
    maxInFlight: 1024,
    hasVolatileCache: true,
    canDiscard: true,
    canWriteZeroes: true,
  };
  reads = 0;
  private waiting = new Array<BlockRequest | null>(1024).fill(null);
  private ending = new Array<BlockRequest | null>(1024).fill(null);
  private count = 0;

  constructor({ bytes, blockBytes, clock }: BenchDeviceOptions) {
    this.blockBytes = blockBytes;
    this.blockCount = bytes / blockBytes;
    this.clock = clock;
  }

  canSubmit(): boolean {
    return this.count < 1024;
  }

  submit(request: BlockRequest): void {
    this.waiting[this.count++] = request;
  }

  poll(): number {
    const due = this.waiting;
    const { count } = this;
    this.waiting = this.ending;
    this.ending = due;
    this.count = 0;
    for (let i = 0; i < count; i++) {
      const request = due[i]!;
      this.carryOut(request);
      request.status = BlockStatus.ok;
      request.done(request);
    }
    return count;
  }

  protected abstract carryOut(request: BlockRequest): void;
}

/** Moves no data, except what a pool needs to be opened: that goes to memory. */
export class NullDevice extends BenchDevice {
  protected carryOut(request: BlockRequest): void {
    if (request.op === BlockOp.read) this.reads++;
  }
}

/** Memory that exists where something was written. */
export class SparseDevice extends BenchDevice {
  private readonly chunks = new Map<number, Uint8Array>();

  protected carryOut(request: BlockRequest): void {
    const isRead = request.op === BlockOp.read;
    if (!isRead && request.op !== BlockOp.write) return;
    if (isRead) this.reads++;
    let at = request.lba * this.blockBytes;
    for (let i = 0; i < request.segmentCount; i++) {
      const { bytes } = request.regions[i]!;
      const start = request.offsets[i]!;
      const end = start + request.lengths[i]!;
      for (let from = start; from < end; ) {
        const within = at % chunkBytes;
        const take = Math.min(end - from, chunkBytes - within);
        this.move(isRead, at - within, within, bytes.subarray(from, from + take));
        from += take;
        at += take;
      }
    }
  }

  private move(isRead: boolean, chunkAt: number, within: number, piece: Uint8Array): void {
    let chunk = this.chunks.get(chunkAt);
    if (isRead) {
      if (chunk === undefined) piece.fill(0);
      else piece.set(chunk.subarray(within, within + piece.length));
      return;
    }
    if (chunk === undefined) {
      chunk = new Uint8Array(chunkBytes);
      this.chunks.set(chunkAt, chunk);
    }
    chunk.set(piece, within);
  }
}

/** Memory in one piece, all of it there: what a process pays for fresh memory is not measured. */
export class FlatDevice extends BenchDevice {
  private readonly image: Uint8Array;

  constructor(options: BenchDeviceOptions) {
    super(options);
    this.image = new Uint8Array(options.bytes).fill(1);
  }

  protected carryOut(request: BlockRequest): void {
    const isRead = request.op === BlockOp.read;
    if (!isRead && request.op !== BlockOp.write) return;
    if (isRead) this.reads++;
    const { blockBytes, image } = this;
    let { lba } = request;
    for (let i = 0; i < request.segmentCount; i++) {
      const { bytes } = request.regions[i]!;
      let start = request.offsets[i]!;
      const end = start + request.lengths[i]!;
      while (start < end) {
        const blocks = this.togetherFrom(lba, (end - start) / blockBytes);
        const length = blocks * blockBytes;
        const at = this.placeOf(lba) * blockBytes;
        if (isRead) bytes.set(image.subarray(at, at + length), start);
        else image.set(bytes.subarray(start, start + length), at);
        start += length;
        lba += blocks;
      }
    }
  }

  /** How many of the next blocks lie behind each other. */
  protected togetherFrom(_lba: number, blocks: number): number {
    return blocks;
  }

  /** Where a block lies, in blocks. */
  protected placeOf(lba: number): number {
    return lba;
  }
}

/**
 * The same with its blocks all over the memory, as on a drive: neighbours are no nearer than any
 * other two, so that the translation of addresses costs the same wherever data lies.
 */
export class ScatteredDevice extends FlatDevice {
  constructor(options: BenchDeviceOptions) {
    super(options);
    if (this.blockCount % stride === 0) throw new Error(`${this.blockCount} blocks fall together`);
  }

  protected override togetherFrom(): number {
    return 1;
  }

  protected override placeOf(lba: number): number {
    return (lba * stride) % this.blockCount;
  }
}

/** A prime: as long as it does not divide the count of blocks, no two get one place. */
const stride = 92_821;
