import type { DmaRegion, PciFunction } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import type { Kernel } from '../kernel.js';

/** A window of the function as it is mapped in this process. */
export interface LentWindow {
  readonly index: number;
  /** Where the process has it. */
  readonly address: number;
  readonly length: number;
}

/** What a worker thread needs to reach lent memory: plain data, made for `postMessage`. */
export interface LoanDescription {
  /** Address of the function. */
  readonly function: string;
  /** Where the process has the memory. */
  readonly address: number;
  readonly length: number;
  /** Where the device has it. */
  readonly iova: number;
  readonly windows: readonly LentWindow[];
}

/** A function whose memory and windows other threads of the process can reach. */
export interface Lendable extends PciFunction {
  readonly kernel: Kernel;
  mappedWindows(): readonly LentWindow[];
}

/**
 * A piece of a function's memory that a worker thread works in. The function must stay open while
 * the worker uses it: closing it earlier is safe for the process (the worker then sees all-ones
 * registers and memory that no device reaches) and ends the worker's I/O.
 */
export class Loan {
  readonly memory: DmaRegion;
  readonly description: LoanDescription;
  private readonly fn: Lendable;

  /** @throws UltimaError DEVICE_UNSUPPORTED, DMA_*; RangeError for a length out of range */
  constructor(fn: Lendable, bytes: number) {
    const windows = fn.mappedWindows();
    if (windows.length === 0) {
      throw new UltimaError(
        ErrorCode.deviceUnsupported,
        `${fn.address} cannot be lent: the kernel lets nobody map its registers`,
        { address: fn.address },
      );
    }
    this.fn = fn;
    this.memory = fn.dma.allocate(Math.ceil(bytes / pageBytes) * pageBytes, {
      alignment: pageBytes,
    });
    const { iova, length, words } = this.memory;
    this.description = {
      function: fn.address,
      address: fn.kernel.addressOf(words),
      length,
      iova,
      windows,
    };
  }

  /** Whether a thread still has it open. */
  get isBorrowed(): boolean {
    const { address, length } = this.description;
    return !this.memory.isFreed && this.fn.kernel.isViewed(address, length);
  }

  /**
   * Take the memory back, once the device does not use it any more (`QueueLender.end`) and the
   * borrower has closed its function or has ended. Idempotent.
   *
   * @throws UltimaError DEVICE_BUSY while a thread still has it open
   */
  giveBack(): void {
    if (this.memory.isFreed) return;
    if (this.isBorrowed) {
      throw new UltimaError(
        ErrorCode.deviceBusy,
        `a worker still has ${this.memory.length} bytes of ${this.fn.address} open: close the ` +
          'function that it adopted, or wait for the end of the worker',
        { address: this.fn.address, bytes: this.memory.length },
      );
    }
    this.fn.dma.free(this.memory);
  }
}

const pageBytes = 4096;
