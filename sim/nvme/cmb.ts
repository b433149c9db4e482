import { dwordSpan } from '../../sdk/units.js';

/**
 * Controller memory buffer: memory of the card that the host reaches through a BAR, and that
 * commands may name as queue, list or data memory by its controller address (CMBMSC.CBA)
 * [NVMe-2.0 §8.5].
 */
export class ControllerMemoryBuffer {
  readonly length: number;
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  /** First address that commands use for it; -1 while CMBMSC.CMSE is 0. */
  base = -1;

  constructor(length: number) {
    const memory = new ArrayBuffer(length);
    this.length = length;
    this.words = new Uint32Array(memory);
    this.bytes = new Uint8Array(memory);
  }

  /** Whether all of a range lies in the buffer. */
  holds(address: number, length: number): boolean {
    const at = address - this.base;
    return this.base >= 0 && at >= 0 && at + length <= this.length;
  }

  /** CMBMSC as the host wrote it. @returns whether the base is one that the card can decode */
  place(baseLow: number, baseHigh: number): boolean {
    const base = baseHigh * dwordSpan + baseLow;
    if (!Number.isSafeInteger(base + this.length)) {
      this.base = -1;
      return false;
    }
    this.base = base;
    return true;
  }

  /** Volatile memory: a loss of power leaves nothing. */
  clear(): void {
    this.words.fill(0);
    this.base = -1;
  }
}
