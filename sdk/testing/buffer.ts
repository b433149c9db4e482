import type { DmaRegion, DmaSpace } from '../device.js';
import { TestPrng } from './prng.js';

/** What a buffer is filled with. */
export type Pattern =
  | { readonly kind: 'zeroes' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'word'; readonly word: number }
  | { readonly kind: 'counting'; readonly first?: number }
  | { readonly kind: 'random'; readonly seed: number };

/** What memory holds before a device writes it: a read that moved nothing is seen. */
export const poison: Pattern = { kind: 'word', word: 0xdead_10cc };

/** Device-visible memory of a test, or a slice of it. */
export class TestBuffer {
  readonly region: DmaRegion;
  /** Byte offset inside the region. */
  readonly offset: number;
  readonly length: number;

  constructor(region: DmaRegion, offset = 0, length = region.length - offset) {
    if (offset < 0 || length < 0 || offset + length > region.length) {
      throw new RangeError(`slice ${offset}+${length} of a region of ${region.length} bytes`);
    }
    this.region = region;
    this.offset = offset;
    this.length = length;
  }

  static allocate(space: DmaSpace, length: number, alignment?: number): TestBuffer {
    const region = space.allocate(length, alignment === undefined ? {} : { alignment });
    return new TestBuffer(region, 0, length);
  }

  get iova(): number {
    return this.region.iova + this.offset;
  }

  get bytes(): Uint8Array {
    return this.region.bytes.subarray(this.offset, this.offset + this.length);
  }

  /** Dword view; the offset and the length are multiples of 4. */
  get words(): Uint32Array {
    if (this.offset % 4 !== 0) throw new RangeError('a dword view starts at a dword');
    const first = this.offset / 4;
    return this.region.words.subarray(first, first + Math.floor(this.length / 4));
  }

  slice(offset: number, length = this.length - offset): TestBuffer {
    return new TestBuffer(this.region, this.offset + offset, length);
  }

  fill(pattern: Pattern): this {
    const { bytes } = this;
    switch (pattern.kind) {
      case 'zeroes':
        bytes.fill(0);
        break;
      case 'ones':
        bytes.fill(0xff);
        break;
      case 'word':
        fillBytes(bytes, () => pattern.word);
        break;
      case 'counting': {
        let next = pattern.first ?? 0;
        fillBytes(bytes, () => next++);
        break;
      }
      case 'random': {
        const prng = new TestPrng(pattern.seed);
        fillBytes(bytes, () => prng.word());
        break;
      }
    }
    return this;
  }

  /** Whether every byte is what the pattern says. */
  holds(pattern: Pattern): boolean {
    return this.firstDifference(pattern) === -1;
  }

  /** Byte offset of the first byte that the pattern does not say; -1 when there is none. */
  firstDifference(pattern: Pattern): number {
    const words = new Uint32Array(Math.ceil(this.length / 4) + 1);
    const expected = new Uint8Array(words.buffer, 0, this.length);
    let next = pattern.kind === 'counting' ? (pattern.first ?? 0) : 0;
    const prng = pattern.kind === 'random' ? new TestPrng(pattern.seed) : undefined;
    fillBytes(expected, () => {
      if (pattern.kind === 'zeroes') return 0;
      if (pattern.kind === 'ones') return 0xffff_ffff;
      if (pattern.kind === 'word') return pattern.word;
      return prng === undefined ? next++ : prng.word();
    });
    const { bytes } = this;
    return expected.findIndex((byte, i) => byte !== bytes[i]);
  }

  equals(other: TestBuffer): boolean {
    const theirs = other.bytes;
    return theirs.length === this.length && this.bytes.every((byte, i) => byte === theirs[i]);
  }

  /** `offset  sixteen bytes  |ascii|` lines. */
  hexDump(limitBytes = 256): string {
    return hexDump(this.bytes.subarray(0, limitBytes));
  }
}

export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((b) => (b < 0x20 || b > 0x7e ? '.' : String.fromCharCode(b))).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  |${text}|`);
  }
  return lines.join('\n');
}

/** Bytes of successive little-endian dwords. */
function fillBytes(bytes: Uint8Array, next: () => number): void {
  let word = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (i % 4 === 0) word = next();
    bytes[i] = word >>> (8 * (i % 4));
  }
}
