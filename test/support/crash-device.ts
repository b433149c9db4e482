import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { MemorySpace } from '../../sdk/block/memory.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import type { Clock } from '../../sdk/device.js';

/** What happened at the device, in order. */
export type CrashEvent =
  | { readonly kind: 'submit'; readonly write: LoggedWrite }
  | { readonly kind: 'end'; readonly write: LoggedWrite }
  /** A flush was submitted when these writes had ended. */
  | { readonly kind: 'flushed'; readonly covers: readonly LoggedWrite[] }
  | { readonly kind: 'mark'; readonly mark: number };

export interface LoggedWrite {
  readonly at: number;
  readonly data: Uint8Array;
  readonly isFua: boolean;
}

/** Time for tests in which nothing needs any. */
export const stillClock: Clock = {
  nowNs: () => 0,
  idle: () => {},
  turn: async () => {},
};

export interface CrashDeviceOptions {
  readonly blockBytes: number;
  readonly bytes: number;
  readonly hasVolatileCache?: boolean;
  /** Requests end with every so many polls only; with each when left out. */
  readonly pollsPerEnd?: number;
  /** Where the device begins in an image that several share; 0 when left out. */
  readonly at?: number;
}

/**
 * A device in one array that remembers every write and flush. A flush is taken to cover only what
 * had ended when it was submitted, which is all that a device has to promise.
 */
export class CrashDevice implements BlockDevice {
  readonly blockBytes: number;
  blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock = stillClock;
  readonly memory = new MemorySpace();
  readonly image: Uint8Array;
  log: CrashEvent[] = [];
  isLogging = false;
  /** Reads so far. */
  reads = 0;
  /** Called before bytes of the image change. */
  onChange: ((at: number, length: number) => void) | null = null;
  onRead: ((at: number, length: number) => void) | null = null;
  private waiting: { request: BlockRequest; write: LoggedWrite | null; covers: LoggedWrite[] }[] =
    [];
  private endedWrites: LoggedWrite[] = [];
  private polls = 0;
  private readonly pollsPerEnd: number;
  private readonly at: number;

  constructor(options: CrashDeviceOptions, image?: Uint8Array) {
    this.blockBytes = options.blockBytes;
    this.blockCount = options.bytes / options.blockBytes;
    this.image = image ?? new Uint8Array(options.bytes);
    this.pollsPerEnd = options.pollsPerEnd ?? 1;
    this.at = options.at ?? 0;
    this.limits = {
      maxTransferBytes: 1024 * 1024,
      atomicWriteBlocks: 1,
      maxInFlight: 64,
      hasVolatileCache: options.hasVolatileCache ?? true,
      canDiscard: true,
      canWriteZeroes: true,
    };
  }

  canSubmit(): boolean {
    return this.waiting.length < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    const write = request.op === BlockOp.write ? this.logged(request) : null;
    if (write !== null && this.isLogging) this.log.push({ kind: 'submit', write });
    const covers = request.op === BlockOp.flush ? this.endedWrites : [];
    if (request.op === BlockOp.flush) this.endedWrites = [];
    this.waiting.push({ request, write, covers });
  }

  poll(): number {
    if (++this.polls % this.pollsPerEnd !== 0) return 0;
    const due = this.waiting;
    this.waiting = [];
    for (const { request, write, covers } of due) {
      if (write !== null) {
        this.store(write);
        this.endedWrites.push(write);
        if (this.isLogging) this.log.push({ kind: 'end', write });
      } else if (request.op === BlockOp.read) {
        this.load(request);
      } else if (this.isLogging && request.op === BlockOp.flush) {
        this.log.push({ kind: 'flushed', covers });
      }
      request.status = BlockStatus.ok;
      request.done(request);
    }
    return due.length;
  }

  /** The machine is gone: nobody is told anything. */
  forget(): void {
    this.waiting = [];
    this.endedWrites = [];
  }

  private logged(request: BlockRequest): LoggedWrite {
    const data = new Uint8Array(request.blockCount * this.blockBytes);
    let at = 0;
    for (let i = 0; i < request.segmentCount; i++) {
      const start = request.offsets[i]!;
      const length = request.lengths[i]!;
      data.set(request.regions[i]!.bytes.subarray(start, start + length), at);
      at += length;
    }
    if (at !== data.length) throw new Error(`${at} bytes for ${data.length}`);
    const isFua = request.flags === blockFlagFua || !this.limits.hasVolatileCache;
    return { at: this.at + request.lba * this.blockBytes, data, isFua };
  }

  private store({ at, data }: LoggedWrite): void {
    const end = this.at + this.blockCount * this.blockBytes;
    if (at < this.at || at + data.length > end) throw new Error(`a write at ${at} beyond the end`);
    this.onChange?.(at, data.length);
    this.image.set(data, at);
  }

  private load(request: BlockRequest): void {
    this.reads++;
    let at = this.at + request.lba * this.blockBytes;
    this.onRead?.(at, request.blockCount * this.blockBytes);
    for (let i = 0; i < request.segmentCount; i++) {
      const length = request.lengths[i]!;
      request.regions[i]!.bytes.set(this.image.subarray(at, at + length), request.offsets[i]!);
      at += length;
    }
  }
}
