import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { MemorySpace } from '../../sdk/block/memory.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import type { Clock } from '../../sdk/device.js';
import { formatted, guarded, tupleBytes, unguarded } from './guarded-blocks.js';

/** What happened at the device, in order. */
export type CrashEvent =
  | { readonly kind: 'submit'; readonly write: LoggedWrite }
  | { readonly kind: 'end'; readonly write: LoggedWrite }
  /** A flush was submitted when these writes had ended. */
  | { readonly kind: 'flushed'; readonly covers: readonly LoggedWrite[] }
  | { readonly kind: 'mark'; readonly mark: number };

export interface LoggedWrite {
  /** Byte of the image. */
  readonly at: number;
  /** What is put there: with protection information, blocks and their metadata. */
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
  /** Each block lies in the image with its protection information, which every read compares. */
  readonly hasProtection?: boolean;
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
  /** Bytes of the image that hold a block: what a torn write leaves whole. */
  readonly storedBytes: number;
  log: CrashEvent[] = [];
  isLogging = false;
  /** Reads so far. */
  reads = 0;
  /** Called before bytes of the image change. */
  onChange: ((at: number, length: number) => void) | null = null;
  onRead: ((at: number, length: number) => void) | null = null;
  /** What a request ends with instead of being carried out; null for those that are. */
  fault: ((request: BlockRequest) => BlockStatus | null) | null = null;
  private waiting: { request: BlockRequest; write: LoggedWrite | null; covers: LoggedWrite[] }[] =
    [];
  private endedWrites: LoggedWrite[] = [];
  private polls = 0;
  private readonly pollsPerEnd: number;
  private readonly at: number;

  constructor(options: CrashDeviceOptions, image?: Uint8Array) {
    this.blockBytes = options.blockBytes;
    this.blockCount = options.bytes / options.blockBytes;
    const hasProtection = options.hasProtection ?? false;
    this.storedBytes = this.blockBytes + (hasProtection ? tupleBytes : 0);
    this.image = image ?? blankImage(this.blockCount, this.blockBytes, hasProtection);
    this.pollsPerEnd = options.pollsPerEnd ?? 1;
    this.at = options.at ?? 0;
    this.limits = {
      maxTransferBytes: 1024 * 1024,
      atomicWriteBlocks: 1,
      maxInFlight: 64,
      hasVolatileCache: options.hasVolatileCache ?? true,
      canDiscard: true,
      canWriteZeroes: true,
      hasProtection,
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
      const fault = this.fault?.(request) ?? null;
      request.status = fault ?? BlockStatus.ok;
      if (fault !== null) {
        // Of a write something may be there or not; what a flush was to cover is not safe.
      } else if (write !== null) {
        this.store(write);
        this.endedWrites.push(write);
        if (this.isLogging) this.log.push({ kind: 'end', write });
      } else if (request.op === BlockOp.read) {
        this.load(request);
      } else if (this.isLogging && request.op === BlockOp.flush) {
        this.log.push({ kind: 'flushed', covers });
      }
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
    const { blockBytes, storedBytes } = this;
    const stored = storedBytes > blockBytes ? guarded(data, blockBytes, request.lba) : data;
    return { at: this.at + request.lba * storedBytes, data: stored, isFua };
  }

  private store({ at, data }: LoggedWrite): void {
    const end = this.at + this.blockCount * this.storedBytes;
    if (at < this.at || at + data.length > end) throw new Error(`a write at ${at} beyond the end`);
    this.onChange?.(at, data.length);
    this.image.set(data, at);
  }

  private load(request: BlockRequest): void {
    this.reads++;
    const { blockBytes, storedBytes, image } = this;
    const from = this.at + request.lba * storedBytes;
    const length = request.blockCount * storedBytes;
    this.onRead?.(from, length);
    const stored = image.subarray(from, from + length);
    const data = storedBytes > blockBytes ? unguarded(stored, blockBytes, request.lba) : stored;
    if (data === null) {
      request.status = BlockStatus.integrityError;
      return;
    }
    for (let i = 0, at = 0; i < request.segmentCount; i++) {
      const end = at + request.lengths[i]!;
      request.regions[i]!.bytes.set(data.subarray(at, end), request.offsets[i]!);
      at = end;
    }
  }
}

/** What blocks look like that were never written. */
export function blankImage(
  blockCount: number,
  blockBytes: number,
  hasProtection: boolean,
): Uint8Array {
  return hasProtection
    ? formatted(blockCount, blockBytes)
    : new Uint8Array(blockCount * blockBytes);
}
