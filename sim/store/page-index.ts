import { assert } from '../../sdk/assert.js';

/** Nothing there. */
export const absent = -1;

/**
 * Page number → small integer, for page numbers up to 2^53 - 1: a hash table in typed arrays with
 * linear probing. A lookup allocates nothing; memory follows the number of entries, not the
 * numbers.
 */
export class PageIndex {
  count = 0;
  private keys: Float64Array;
  private values: Int32Array;
  private mask: number;
  private shift: number;

  constructor(initialBits = 8) {
    this.keys = new Float64Array(1 << initialBits).fill(absent);
    this.values = new Int32Array(1 << initialBits);
    this.mask = (1 << initialBits) - 1;
    this.shift = 32 - initialBits;
  }

  /** @returns the value of the page, or `absent` */
  get(page: number): number {
    const keys = this.keys;
    const mask = this.mask;
    let at = this.home(page);
    for (;;) {
      const key = keys[at]!;
      if (key === page) return this.values[at]!;
      if (key === absent) return absent;
      at = (at + 1) & mask;
    }
  }

  /** @param value at least 0 */
  set(page: number, value: number): void {
    const keys = this.keys;
    const mask = this.mask;
    let at = this.home(page);
    for (;;) {
      const key = keys[at]!;
      if (key === page) break;
      if (key === absent) {
        keys[at] = page;
        this.count++;
        break;
      }
      at = (at + 1) & mask;
    }
    this.values[at] = value;
    if (this.count * 4 > this.keys.length * 3) this.grow();
  }

  /** Entries behind the hole move up, so that no lookup ends too early. */
  delete(page: number): void {
    const { keys, values, mask } = this;
    let hole = this.home(page);
    while (keys[hole] !== page) {
      if (keys[hole] === absent) return;
      hole = (hole + 1) & mask;
    }
    for (let at = (hole + 1) & mask; keys[at] !== absent; at = (at + 1) & mask) {
      const distance = (at - this.home(keys[at]!)) & mask;
      if (distance < ((at - hole) & mask)) continue;
      keys[hole] = keys[at]!;
      values[hole] = values[at]!;
      hole = at;
    }
    keys[hole] = absent;
    this.count--;
  }

  /** Page numbers in [first, end), ascending. For the control path. */
  pagesIn(first: number, end: number): number[] {
    const pages: number[] = [];
    for (const key of this.keys) if (key >= first && key < end) pages.push(key);
    return pages.sort((a, b) => a - b);
  }

  /** Every value, in no order that means anything. */
  forEach(visit: (page: number, value: number) => void): void {
    for (let at = 0; at < this.keys.length; at++) {
      if (this.keys[at] !== absent) visit(this.keys[at]!, this.values[at]!);
    }
  }

  clear(): void {
    this.keys.fill(absent);
    this.count = 0;
  }

  private home(page: number): number {
    const low = page | 0;
    const high = (page / 0x1_0000_0000) | 0;
    return Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1) >>> this.shift;
  }

  private grow(): void {
    const { keys, values } = this;
    assert(this.shift > 2, 'more pages than a table can hold');
    this.shift--;
    this.mask = this.mask * 2 + 1;
    this.keys = new Float64Array(keys.length * 2).fill(absent);
    this.values = new Int32Array(values.length * 2);
    this.count = 0;
    for (let at = 0; at < keys.length; at++) {
      if (keys[at] !== absent) this.set(keys[at]!, values[at]!);
    }
  }
}
