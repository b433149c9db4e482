import type { BlockDevice, BlockLimits } from '../../../sdk/block/device.js';
import type { BlockRequest } from '../../../sdk/block/request.js';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import type { Clock, DmaRegion, DmaSpace } from '../../../sdk/device.js';
import { Prng } from '../../../sim/prng.js';

/** One fault, at the n-th block (from 0) that is written or read; `ever` repeats it. */
export interface Fault {
  readonly kind:
    | 'lostWrite'
    | 'misdirectedWrite'
    | 'tornWrite'
    | 'staleRead'
    | 'misdirectedRead'
    | 'flippedRead'
    | 'failedWrite'
    | 'untouchedRead'
    | 'stuck';
  readonly at: number;
}

export interface FaultyOptions {
  readonly seed: number;
  readonly blockBytes?: number;
  readonly blockCount?: number;
  readonly limits?: Partial<BlockLimits>;
  readonly fault?: Fault;
  /** What discarded blocks read as. */
  readonly discarded?: 'zeroes' | 'ones' | 'old';
}

/**
 * A block device in memory with its own clock. Requests take 10 to 200 us, end in any order, and
 * each of their blocks takes effect at either end of that time. It goes wrong where it is told to.
 */
export class FaultyDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace = new PlainMemory();
  /** Most requests that were in flight at one time. */
  peakInFlight = 0;
  submitted: { op: number; lba: number; blocks: number; flags: number; atNs: number }[] = [];
  wasHit = false;
  private nowNs = 1_000_000;
  private readonly options: FaultyOptions;
  private readonly prng: Prng;
  private readonly blocks = new Map<number, Uint8Array>();
  private readonly before = new Map<number, Uint8Array>();
  private readonly inFlight: Flight[] = [];
  private blocksWritten = 0;
  private blocksRead = 0;

  constructor(options: FaultyOptions) {
    this.options = options;
    this.blockBytes = options.blockBytes ?? 4096;
    this.blockCount = options.blockCount ?? 262_144;
    this.prng = new Prng(options.seed, 'faulty device');
    this.limits = {
      maxTransferBytes: 128 * 1024,
      atomicWriteBlocks: 1,
      maxInFlight: 64,
      hasVolatileCache: true,
      canDiscard: true,
      canWriteZeroes: true,
      ...options.limits,
    };
    this.clock = {
      nowNs: () => this.nowNs,
      idle: (untilNs) => this.idle(untilNs),
      turn: async (untilNs) => this.idle(untilNs),
    };
  }

  canSubmit(): boolean {
    return this.inFlight.length < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    if (request.lba + request.blockCount > this.blockCount) throw new RangeError('beyond the end');
    const { op, lba, blockCount, flags } = request;
    this.submitted.push({ op, lba, blocks: blockCount, flags, atNs: this.nowNs });
    request.submittedNs = this.nowNs;
    request.status = BlockStatus.ok;
    const late: number[] = [];
    for (let i = 0; i < (op === BlockOp.flush ? 0 : blockCount); i++) {
      if (this.prng.chance(0.5)) this.apply(request, i);
      else late.push(i);
    }
    const isStuck = this.options.fault?.kind === 'stuck' && this.submitted.length > 20;
    const dueNs = isStuck
      ? Number.MAX_SAFE_INTEGER
      : this.nowNs + 10_000 + this.prng.below(190_000);
    this.inFlight.push({ request, late, dueNs });
    this.peakInFlight = Math.max(this.peakInFlight, this.inFlight.length);
  }

  poll(): number {
    const due = this.inFlight.filter((flight) => flight.dueNs <= this.nowNs);
    for (const flight of due) this.inFlight.splice(this.inFlight.indexOf(flight), 1);
    for (const { request, late } of due) {
      for (const i of late) this.apply(request, i);
      request.completedNs = this.nowNs;
      request.done(request);
    }
    return due.length;
  }

  private idle(untilNs: number): void {
    const next = Math.min(untilNs, ...this.inFlight.map((flight) => flight.dueNs));
    this.nowNs = Math.max(this.nowNs, next);
  }

  private apply(request: BlockRequest, index: number): void {
    const lba = request.lba + index;
    if (request.op === BlockOp.read) this.readBlock(request, index, lba);
    else if (request.op === BlockOp.write) this.writeBlock(request, index, lba);
    else if (request.op === BlockOp.writeZeroes) this.store(lba, new Uint8Array(this.blockBytes));
    else this.discard(lba);
  }

  private discard(lba: number): void {
    const { discarded = 'zeroes' } = this.options;
    if (discarded === 'zeroes') this.blocks.delete(lba);
    if (discarded === 'ones') this.store(lba, new Uint8Array(this.blockBytes).fill(0xff));
  }

  private writeBlock(request: BlockRequest, index: number, lba: number): void {
    const data = this.data(request, index).slice();
    const kind = this.faultNow(this.blocksWritten++, lba);
    if (kind === 'lostWrite') return;
    if (kind === 'failedWrite') {
      request.status = BlockStatus.mediaError;
      return;
    }
    if (kind === 'tornWrite') {
      const old = this.blocks.get(lba) ?? new Uint8Array(this.blockBytes);
      data.set(old.subarray(this.blockBytes / 2), this.blockBytes / 2);
    }
    this.store(kind === 'misdirectedWrite' ? lba + 1 : lba, data);
  }

  private readBlock(request: BlockRequest, index: number, lba: number): void {
    const kind = this.faultNow(this.blocksRead++, lba);
    if (kind === 'untouchedRead') return;
    const zeroes = new Uint8Array(this.blockBytes);
    const at = kind === 'misdirectedRead' ? lba - 1 : lba;
    const from = kind === 'staleRead' ? this.before : this.blocks;
    const to = this.data(request, index);
    to.set(from.get(at) ?? zeroes);
    if (kind === 'flippedRead') to[this.blockBytes - 7]! ^= 4;
  }

  /** The fault, once, at the first block from its number on where it makes a difference. */
  private faultNow(count: number, lba: number): Fault['kind'] | undefined {
    const { fault } = this.options;
    if (fault === undefined || this.wasHit || count < fault.at) return undefined;
    if (fault.kind.endsWith('Read') && this.blocksRead === 0) return undefined;
    if (fault.kind.endsWith('Write') && this.blocksWritten === 0) return undefined;
    if (fault.kind === 'staleRead' && !this.before.has(lba)) return undefined;
    if (fault.kind === 'misdirectedRead' && !this.blocks.has(lba - 1)) return undefined;
    if (fault.kind === 'flippedRead' && !this.blocks.has(lba)) return undefined;
    this.wasHit = true;
    return fault.kind;
  }

  private store(lba: number, data: Uint8Array): void {
    const old = this.blocks.get(lba);
    if (old !== undefined) this.before.set(lba, old);
    this.blocks.set(lba, data);
  }

  private data(request: BlockRequest, index: number): Uint8Array {
    const start = request.offsets[0]! + index * this.blockBytes;
    return request.regions[0]!.bytes.subarray(start, start + this.blockBytes);
  }
}

interface Flight {
  readonly request: BlockRequest;
  readonly late: readonly number[];
  readonly dueNs: number;
}

class PlainMemory implements DmaSpace {
  private nextIova = 0x10_0000;
  live = 0;

  allocate(length: number): DmaRegion {
    const buffer = new ArrayBuffer(length);
    const iova = this.nextIova;
    this.nextIova += length;
    this.live++;
    const bytes = new Uint8Array(buffer);
    const words = new Uint32Array(buffer);
    return { bytes, words, iova, length, space: this, isFreed: false };
  }

  free(): void {
    this.live--;
  }
}
