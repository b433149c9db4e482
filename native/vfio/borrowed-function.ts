import type {
  Bar,
  Clock,
  ConfigSpace,
  DmaOptions,
  DmaRegion,
  DmaSpace,
  FunctionReset,
  Interrupts,
  PciFunction,
} from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { errnoText, type Kernel } from '../kernel.js';
import { MonotonicClock } from './clock.js';
import { checkRequest, closedSpace } from './dma-space.js';
import { IovaAllocator } from './iova-allocator.js';
import type { LentWindow, LoanDescription } from './loan.js';

/**
 * A function as a worker thread has it: memory inside the loan, registers through the owner's
 * mapping. It has no interrupts and no configuration space, and it cannot reset the function:
 * those stay with the thread that opened it.
 */
export class BorrowedFunction implements PciFunction {
  readonly address: string;
  readonly clock: Clock = new MonotonicClock();
  readonly config: ConfigSpace = noConfig;
  readonly interrupts: Interrupts;
  readonly dma: BorrowedSpace;
  private readonly bars: readonly BorrowedBar[];
  private readonly buffers: ArrayBuffer[] = [];
  private readonly kernel: Kernel;
  private isClosed = false;

  /** @throws UltimaError BACKEND_UNAVAILABLE when this process has no such memory any more */
  constructor(kernel: Kernel, loan: LoanDescription) {
    this.kernel = kernel;
    this.address = loan.function;
    this.interrupts = new NoInterrupts(this.clock);
    try {
      this.dma = new BorrowedSpace(this.view(loan.address, loan.length), loan.iova);
      this.bars = loan.windows.map(
        (window) => new BorrowedBar(window, this.view(window.address, window.length)),
      );
    } catch (error) {
      this.drop();
      throw error;
    }
  }

  get isRemoved(): boolean {
    return this.isClosed || this.buffers.some((buffer) => this.kernel.wasHit(buffer));
  }

  bar(index: number): Bar {
    const found = this.bars.find((bar) => bar.index === index);
    if (found !== undefined) return found;
    throw new RangeError(`BAR ${index} of ${this.address} is not lent to this thread`);
  }

  reset(_kind: FunctionReset): Promise<void> {
    return Promise.reject(
      new UltimaError(
        ErrorCode.deviceUnsupported,
        `${this.address} is lent to this thread: only the thread that opened it can reset it`,
        { address: this.address },
      ),
    );
  }

  /** Forget the loan. The function, its memory and its windows stay with the lender. */
  close(): Promise<void> {
    this.drop();
    return Promise.resolve();
  }

  private view(address: number, length: number): ArrayBuffer {
    const buffer = this.kernel.view(address, length);
    if (typeof buffer === 'number') {
      throw new UltimaError(
        ErrorCode.backendUnavailable,
        `${this.address} is not lent any more, or was lent by another process: ` +
          errnoText(buffer),
        { address: this.address, length },
      );
    }
    this.buffers.push(buffer);
    return buffer;
  }

  private drop(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.dma?.close();
    for (const bar of this.bars ?? []) bar.close();
    for (const buffer of this.buffers.splice(0)) this.kernel.dropView(buffer);
  }
}

/** Regions cut from lent memory. */
class BorrowedSpace implements DmaSpace {
  private readonly buffer: ArrayBuffer;
  private readonly iova: number;
  private readonly holes: IovaAllocator;
  private readonly regions = new Set<DmaRegion>();
  private isClosed = false;

  constructor(buffer: ArrayBuffer, iova: number) {
    this.buffer = buffer;
    this.iova = iova;
    this.holes = new IovaAllocator([{ first: iova, last: iova + buffer.byteLength - 1 }], 0);
  }

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = options.alignment ?? pageBytes;
    checkRequest(length, alignment);
    if (this.isClosed) throw closedSpace(length);
    const iova = this.holes.take(roundUp(length), alignment);
    if (iova < 0) {
      throw new UltimaError(
        ErrorCode.dmaExhausted,
        `no ${length} bytes in a row are left of the ${this.buffer.byteLength} bytes that were ` +
          'lent to this thread; lend more',
        { length, lentBytes: this.buffer.byteLength },
      );
    }
    const region = new BorrowedRegion(this, this.buffer, { iova, at: iova - this.iova, length });
    region.bytes.fill(0);
    this.regions.add(region);
    return region;
  }

  free(region: DmaRegion): void {
    if (region.isLost === true && region.space === this) return;
    if (!(region instanceof BorrowedRegion) || !this.regions.delete(region)) {
      throw new TypeError('this memory was freed already or belongs to another function');
    }
    region.isFreed = true;
    this.holes.give(region.iova, roundUp(region.length));
  }

  close(): void {
    this.isClosed = true;
    for (const region of this.regions) {
      if (!(region instanceof BorrowedRegion)) continue;
      region.isFreed = true;
      region.isLost = true;
    }
    this.regions.clear();
  }
}

class BorrowedRegion implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;
  isLost = false;

  constructor(space: DmaSpace, buffer: ArrayBuffer, place: Place) {
    this.space = space;
    this.iova = place.iova;
    this.length = place.length;
    this.bytes = new Uint8Array(buffer, place.at, place.length);
    this.words = new Uint32Array(buffer, place.at, Math.floor(place.length / 4));
  }
}

interface Place {
  readonly iova: number;
  /** Bytes from the start of the loan. */
  readonly at: number;
  readonly length: number;
}

/** Plain loads and stores on the owner's mapping; all-ones outside it and after the end. */
class BorrowedBar implements Bar {
  readonly index: number;
  readonly length: number;
  private words: Uint32Array;

  constructor(window: LentWindow, buffer: ArrayBuffer) {
    this.index = window.index;
    this.length = window.length;
    this.words = new Uint32Array(buffer);
  }

  read32(offset: number): number {
    const i = offset >>> 2;
    return i < this.words.length ? this.words[i]! : allOnes;
  }

  write32(offset: number, value: number): void {
    const i = offset >>> 2;
    if (i < this.words.length) this.words[i] = value;
  }

  close(): void {
    this.words = new Uint32Array(0);
  }
}

/** A thread that borrows polls. */
class NoInterrupts implements Interrupts {
  readonly vectorCount = 0;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  enable(count: number): void {
    if (count !== 0) throw new RangeError('interrupts stay with the thread that opened the device');
  }

  take(): boolean {
    return false;
  }

  mask(): void {}

  unmask(): void {}

  async wait(_vector: number, untilNs: number): Promise<boolean> {
    while (this.clock.nowNs() < untilNs) await this.clock.turn(untilNs);
    return false;
  }
}

const noConfig: ConfigSpace = {
  read8: () => 0xff,
  read16: () => 0xffff,
  read32: () => allOnes,
  write8() {},
  write16() {},
  write32() {},
};

const allOnes = 0xffff_ffff;
const pageBytes = 4096;

function roundUp(length: number): number {
  return Math.ceil(length / 4) * 4;
}
