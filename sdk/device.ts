/**
 * Waist 1: a PCIe function as a driver sees it. The simulator and the VFIO binding implement this;
 * everything above is written against it alone. Code that can tell which of the two it has is
 * wrong.
 */

/**
 * Configuration space, 4096 bytes, little endian [PCIe-4.0 §7.2]. A function that is gone reads as
 * all-ones.
 */
export interface ConfigSpace {
  /** @param offset byte offset, 0..4095 */
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
}

/** A memory window of the function. 64-bit registers are two 32-bit accesses, low dword first. */
export interface Bar {
  readonly index: number;
  /** Size of the window in bytes. */
  readonly length: number;
  /**
   * @returns the dword at a byte offset (a multiple of 4); 0xffffffff when the function is gone.
   */
  read32(offset: number): number;
  /** A posted store. Earlier stores to DMA memory are visible to the device before it. */
  write32(offset: number, value: number): void;
}

/**
 * Memory that the device can reach. `bytes` and `words` are views of the same memory; device
 * addresses run from `iova` without a gap. It belongs to one function.
 */
export interface DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Device address of the first byte, below 2^53, never 0. */
  readonly iova: number;
  /** Bytes. */
  readonly length: number;
  readonly space: DmaSpace;
  readonly isFreed: boolean;
  /** Freed because its function was closed under it: nobody's mistake. False when left out. */
  readonly isLost?: boolean;
}

/** What the device may do with a region. */
export type DmaAccess = 'read' | 'write' | 'readWrite';

export interface DmaOptions {
  /** Power of two, at least 4; the page size (4096) when left out. */
  readonly alignment?: number;
  /** From the device's side; 'readWrite' when left out. */
  readonly access?: DmaAccess;
}

export interface DmaSpace {
  /**
   * Zero-filled memory, mapped for the device until it is freed.
   *
   * @throws UltimaError DMA_EXHAUSTED, DMA_MAP_FAILED, the latter also when the function is
   *   closed; RangeError for a length or alignment out of range
   */
  allocate(length: number, options?: DmaOptions): DmaRegion;
  /**
   * Unmap and forget. The device faults on it from now on. What is lost is forgotten already.
   *
   * @throws TypeError for foreign or freed memory
   */
  free(region: DmaRegion): void;
}

/** Message-signalled interrupts. A vector that fired stays fired until it is taken. */
export interface Interrupts {
  /** Vectors the function offers. */
  readonly vectorCount: number;
  /** Let vectors 0..count - 1 fire. Called once per open; 0 turns all off. */
  enable(count: number): void;
  /** @returns whether the vector fired since it was last taken. */
  take(vector: number): boolean;
  mask(vector: number): void;
  unmask(vector: number): void;
  /**
   * Resolves true when the vector fires (and takes it), false at `untilNs` of the function's clock.
   * All who wait for the same vector when it fires are told.
   */
  wait(vector: number, untilNs: number): Promise<boolean>;
}

/** Time as the function's host sees it: virtual over the simulator, monotonic over hardware. */
export interface Clock {
  /** Nanoseconds since some fixed point, an integer below 2^53. */
  nowNs(): number;
  /**
   * Nothing to do in this thread's polling loop. Simulator: run the world to the next thing that a
   * host can see, at most to `untilNs`. Hardware: a short pause, and return.
   */
  idle(untilNs: number): void;
  /**
   * The same for tasks that share a thread: other tasks run first. Resolves when something that a
   * host can see may have happened, at the latest at `untilNs`; look again after it.
   */
  turn(untilNs: number): Promise<void>;
}

export type FunctionReset = 'function' | 'bus';

export interface PciFunction {
  /** '0000:01:00.0', 'sim:ultima-g2#0' */
  readonly address: string;
  readonly config: ConfigSpace;
  readonly dma: DmaSpace;
  readonly interrupts: Interrupts;
  readonly clock: Clock;
  /** True once the platform has reported that the function is gone. */
  readonly isRemoved: boolean;
  /** @param index 0..5 @throws RangeError for a BAR that the function does not have */
  bar(index: number): Bar;
  /**
   * A reset that the platform performs; configuration space is restored as the platform does it.
   */
  reset(kind: FunctionReset): Promise<void>;
  /** Give everything back: DMA memory, interrupts, windows. Idempotent. */
  close(): Promise<void>;
}
