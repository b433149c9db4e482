import type { Clock, DmaOptions, DmaRegion, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { checkRequest } from './check.js';
import type { BlockDevice, BlockLimits } from './device.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua, maxSegments } from './request.js';

export interface MemoryDeviceOptions {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly clock: Clock;
  /** Completed writes may be lost at `powerCut` until a flush; false when left out. */
  readonly hasVolatileCache?: boolean;
  readonly atomicWriteBlocks?: number;
  readonly maxInFlight?: number;
}

/** Plain memory with the face of device memory. */
export class MemorySpace implements DmaSpace {
  private nextAddress = 0x10_0000;

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    if (!Number.isSafeInteger(length) || length < 1) throw new RangeError(`${length} bytes`);
    const alignment = options.alignment ?? 4096;
    const iova = Math.ceil(this.nextAddress / alignment) * alignment;
    this.nextAddress = iova + length;
    return new MemoryRegion(this, { iova, length });
  }

  free(region: DmaRegion): void {
    if (!(region instanceof MemoryRegion) || region.space !== this || region.isFreed) {
      throw new TypeError('foreign or freed memory');
    }
    region.isFreed = true;
  }
}

class MemoryRegion implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;
  readonly isLost = false;

  constructor(space: DmaSpace, place: { readonly iova: number; readonly length: number }) {
    this.space = space;
    this.iova = place.iova;
    this.length = place.length;
    const buffer = new ArrayBuffer(Math.ceil(place.length / 4) * 4);
    this.bytes = new Uint8Array(buffer, 0, place.length);
    this.words = new Uint32Array(buffer);
  }
}

/**
 * A block device in memory, for tests of the layers above. Requests end in order, at the next poll.
 *
 * With a volatile cache a power cut takes each block that was written and not flushed back to what
 * was durable, or leaves it, as the caller's chance decides: writes are lost, reordered and torn
 * between blocks, never inside one. A block that was never written reads as zeroes.
 */
export class MemoryDevice implements BlockDevice {
  readonly blockBytes: number;
  /** May be raised: what is new reads as zeroes. */
  blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace = new MemorySpace();
  private readonly blocks = new Map<number, Uint8Array>();
  /** Durable content of each block that has a newer one in the cache; null for never written. */
  private readonly durable = new Map<number, Uint8Array | null>();
  private waiting: BlockRequest[] = [];

  constructor(options: MemoryDeviceOptions) {
    this.blockBytes = options.blockBytes;
    this.blockCount = options.blockCount;
    this.clock = options.clock;
    this.limits = {
      maxTransferBytes: maxSegments * 1024 * 1024,
      atomicWriteBlocks: options.atomicWriteBlocks ?? 1,
      maxInFlight: options.maxInFlight ?? 256,
      hasVolatileCache: options.hasVolatileCache ?? false,
      canDiscard: true,
      canWriteZeroes: true,
    };
  }

  canSubmit(): boolean {
    return this.waiting.length < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    if (!this.canSubmit()) {
      const limit = this.limits.maxInFlight;
      throw new UltimaError(ErrorCode.queueFull, `${limit} requests are in flight`, { limit });
    }
    request.status = BlockStatus.ok;
    request.detail = 0;
    request.submittedNs = this.clock.nowNs();
    this.waiting.push(request);
  }

  poll(): number {
    const due = this.waiting;
    this.waiting = [];
    for (const request of due) {
      this.carryOut(request);
      request.completedNs = this.clock.nowNs();
      request.done(request);
    }
    return due.length;
  }

  /**
   * The supply goes away. What was not carried out never is: its requests are forgotten.
   *
   * @param isKept  whether the cache's content of a block survived; asked in ascending order
   */
  powerCut(isKept: (lba: number) => boolean): void {
    this.waiting = [];
    for (const lba of [...this.durable.keys()].sort((a, b) => a - b)) {
      const old = this.durable.get(lba) ?? null;
      if (isKept(lba)) continue;
      if (old === null) this.blocks.delete(lba);
      else this.blocks.set(lba, old);
    }
    this.durable.clear();
  }

  private carryOut(request: BlockRequest): void {
    const { op, lba, blockCount } = request;
    if (op === BlockOp.flush) this.durable.clear();
    else if (op === BlockOp.read || op === BlockOp.write) this.move(request);
    else for (let i = 0; i < blockCount; i++) this.put(lba + i, null);
    if (request.flags !== blockFlagFua) return;
    for (let i = 0; i < blockCount; i++) this.durable.delete(lba + i);
  }

  private move(request: BlockRequest): void {
    const isRead = request.op === BlockOp.read;
    const { blockBytes } = this;
    let at = 0;
    let block = new Uint8Array(0);
    for (let segment = 0; segment < request.segmentCount; segment++) {
      const { bytes } = request.regions[segment]!;
      let from = request.offsets[segment]!;
      const end = from + request.lengths[segment]!;
      while (from < end) {
        const within = at % blockBytes;
        const lba = request.lba + (at - within) / blockBytes;
        const part = Math.min(end - from, blockBytes - within);
        const piece = bytes.subarray(from, from + part);
        if (isRead) this.load(lba, within, piece);
        else if (part < blockBytes || !this.overwrite(lba, piece)) {
          // A block may lie in several segments.
          if (within === 0) block = new Uint8Array(blockBytes);
          block.set(piece, within);
          if (within + part === blockBytes) this.put(lba, block);
        }
        at += part;
        from += part;
      }
    }
  }

  private load(lba: number, within: number, into: Uint8Array): void {
    const stored = this.blocks.get(lba);
    if (stored === undefined) into.fill(0);
    else into.set(stored.subarray(within, within + into.length));
  }

  /** A whole block in place, where nothing remembers the old one. @returns whether it is done */
  private overwrite(lba: number, content: Uint8Array): boolean {
    const stored = this.limits.hasVolatileCache ? undefined : this.blocks.get(lba);
    stored?.set(content);
    return stored !== undefined;
  }

  private put(lba: number, content: Uint8Array | null): void {
    if (this.limits.hasVolatileCache && !this.durable.has(lba)) {
      this.durable.set(lba, this.blocks.get(lba) ?? null);
    }
    if (content === null) this.blocks.delete(lba);
    else this.blocks.set(lba, content);
  }
}
