import type { DmaOptions, DmaRegion, DmaSpace } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { type HostMemory, pageBytes, segmentBytes } from './host-memory.js';

const wordBytes = 4;

export class SimDmaRegion implements DmaRegion {
  readonly space: DmaSpace;
  readonly iova: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  isFreed = false;
  isLost = false;

  constructor(space: DmaSpace, iova: number, bytes: Uint8Array) {
    this.space = space;
    this.iova = iova;
    this.length = bytes.length;
    this.bytes = bytes;
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  }
}

/** A stretch of device addresses that was freed, whole pages and its guard page. */
interface FreeRange {
  iova: number;
  length: number;
}

/** The host's side: memory for a driver, mapped for its function. HostMemory is the device's. */
export class SimDmaSpace implements DmaSpace {
  /** Bytes mapped now. */
  mappedBytes = 0;
  private readonly memory: HostMemory;
  private readonly live = new Set<DmaRegion>();
  private readonly freed: FreeRange[] = [];
  private nextIova = 0;
  private endIova = 0;
  private isClosed = false;

  constructor(memory: HostMemory) {
    this.memory = memory;
  }

  /** Regions not yet freed: 0 at the end of a clean run. */
  get regionCount(): number {
    return this.live.size;
  }

  /** The live region at a device address: for a host that comes back to a restored card. */
  regionAt(iova: number): DmaRegion {
    for (const region of this.live) if (region.iova === iova) return region;
    throw new RangeError(`no region is mapped at 0x${iova.toString(16)}`);
  }

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = options.alignment ?? pageBytes;
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`length ${length}: whole bytes, at least 1`);
    }
    if (!isPowerOfTwo(alignment) || alignment < wordBytes || alignment > segmentBytes) {
      throw new RangeError(`alignment ${alignment}: a power of two, 4..${segmentBytes}`);
    }
    if (this.isClosed) {
      throw new UltimaError(ErrorCode.dmaMapFailed, 'the function is closed', { length });
    }
    const mapped = roundUp(length, pageBytes);
    if (this.mappedBytes + mapped > this.memory.limitBytes) {
      throw new UltimaError(
        ErrorCode.dmaExhausted,
        `mapping ${length} bytes goes beyond the limit of ${this.memory.limitBytes} bytes`,
        { length, mappedBytes: this.mappedBytes, limitBytes: this.memory.limitBytes },
      );
    }
    const iova = this.place(mapped, Math.max(alignment, pageBytes));
    this.memory.setAccess(iova, mapped, options.access ?? 'readWrite');
    const segment = this.memory.segmentAt(iova);
    const start = iova - this.memory.baseIova - segment.start;
    const bytes = segment.bytes.subarray(start, start + roundUp(length, wordBytes));
    const region = new SimDmaRegion(this, iova, bytes);
    this.live.add(region);
    this.mappedBytes += mapped;
    return region;
  }

  free(region: DmaRegion): void {
    if (region.isLost === true && region.space === this) return;
    if (!this.live.delete(region) || !(region instanceof SimDmaRegion)) {
      throw new TypeError('free: the region is foreign to this function or already freed');
    }
    region.isFreed = true;
    const mapped = roundUp(region.length, pageBytes);
    this.memory.setAccess(region.iova, mapped, 'freed');
    this.mappedBytes -= mapped;
    this.freed.push({ iova: region.iova, length: mapped + pageBytes });
  }

  /** Unmap everything: the function was closed. */
  close(): void {
    for (const region of [...this.live]) {
      this.free(region);
      if (region instanceof SimDmaRegion) region.isLost = true;
    }
    this.isClosed = true;
  }

  /** The function was opened again. */
  reopen(): void {
    this.isClosed = false;
  }

  /** Fresh addresses while they last, then the range that was freed longest ago. */
  private place(mapped: number, alignment: number): number {
    const length = mapped + pageBytes;
    const usedBytes = this.endIova === 0 ? 0 : this.endIova - this.memory.baseIova;
    const fits = roundUp(this.nextIova, alignment) + length <= this.endIova;
    if (!fits && usedBytes >= this.memory.limitBytes) {
      const old = this.reuse(length, alignment);
      if (old !== 0) return old;
    }
    if (!fits) {
      this.nextIova = this.memory.addSegment(length + alignment);
      this.endIova = this.nextIova + roundUp(length + alignment, segmentBytes);
    }
    const iova = roundUp(this.nextIova, alignment);
    this.nextIova = iova + length;
    return iova;
  }

  private reuse(length: number, alignment: number): number {
    const index = this.freed.findIndex(
      (range) => range.length >= length && range.iova % alignment === 0,
    );
    if (index < 0) return 0;
    const range = this.freed[index]!;
    const iova = range.iova;
    range.iova += length;
    range.length -= length;
    if (range.length < 2 * pageBytes) this.freed.splice(index, 1);
    const segment = this.memory.segmentAt(iova);
    const start = iova - this.memory.baseIova - segment.start;
    segment.bytes.fill(0, start, start + length);
    return iova;
  }
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
