import { assert } from '../assert.js';
import { dwordSpan } from '../units.js';
import type { Layout } from './layout.js';

/**
 * A number in a message that travels most significant byte first. Such messages are bytes, not
 * dwords: fields start anywhere. `at` is the byte at which the message starts. Nothing allocates.
 */
export interface BigEndianField {
  readonly offset: number;
  readonly length: number;
  readonly doc: string;
}

export class Be16 implements BigEndianField {
  readonly offset: number;
  readonly length = 2;
  readonly doc: string;

  constructor(offset: number, doc: string) {
    this.offset = offset;
    this.doc = doc;
  }

  get(bytes: Uint8Array, at: number): number {
    const i = at + this.offset;
    return (bytes[i]! << 8) | bytes[i + 1]!;
  }

  set(bytes: Uint8Array, at: number, value: number): void {
    const i = at + this.offset;
    bytes[i] = value >>> 8;
    bytes[i + 1] = value;
  }
}

export class Be32 implements BigEndianField {
  readonly offset: number;
  readonly length = 4;
  readonly doc: string;

  constructor(offset: number, doc: string) {
    this.offset = offset;
    this.doc = doc;
  }

  get(bytes: Uint8Array, at: number): number {
    return word(bytes, at + this.offset);
  }

  set(bytes: Uint8Array, at: number, value: number): void {
    setWord(bytes, at + this.offset, value);
  }
}

export class Be64 implements BigEndianField {
  readonly offset: number;
  readonly length = 8;
  readonly doc: string;

  constructor(offset: number, doc: string) {
    this.offset = offset;
    this.doc = doc;
  }

  /** Exact below 2^53. A peer may say more: then it is a rounded number, at least 2^53. */
  get(bytes: Uint8Array, at: number): number {
    return word(bytes, at + this.offset) * dwordSpan + word(bytes, at + this.offset + 4);
  }

  set(bytes: Uint8Array, at: number, value: number): void {
    assert(value >= 0 && value <= Number.MAX_SAFE_INTEGER, '64-bit field outside 0..2^53 - 1');
    setWord(bytes, at + this.offset, Math.floor(value / dwordSpan));
    setWord(bytes, at + this.offset + 4, value >>> 0);
  }
}

/** A constant of 64 bits that marks a message. */
export interface Magic64 {
  readonly high: number;
  readonly low: number;
}

export class BeMagic implements BigEndianField {
  readonly offset: number;
  readonly length = 8;
  readonly doc: string;
  private readonly magic: Magic64;

  constructor(offset: number, magic: Magic64, doc: string) {
    this.offset = offset;
    this.magic = magic;
    this.doc = doc;
  }

  isThere(bytes: Uint8Array, at: number): boolean {
    const i = at + this.offset;
    return word(bytes, i) === this.magic.high && word(bytes, i + 4) === this.magic.low;
  }

  put(bytes: Uint8Array, at: number): void {
    setWord(bytes, at + this.offset, this.magic.high);
    setWord(bytes, at + this.offset + 4, this.magic.low);
  }
}

function word(bytes: Uint8Array, i: number): number {
  return ((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!) >>> 0;
}

function setWord(bytes: Uint8Array, i: number, value: number): void {
  bytes[i] = value >>> 24;
  bytes[i + 1] = value >>> 16;
  bytes[i + 2] = value >>> 8;
  bytes[i + 3] = value;
}

export const be16 = (offset: number, doc: string): Be16 => new Be16(offset, doc);
export const be32 = (offset: number, doc: string): Be32 => new Be32(offset, doc);
export const be64 = (offset: number, doc: string): Be64 => new Be64(offset, doc);
export const beMagic = (offset: number, magic: Magic64, doc: string): BeMagic =>
  new BeMagic(offset, magic, doc);

/** Freeze a table of fields after proving that they fit and that no two claim the same byte. */
export function message<F extends Record<string, BigEndianField>>(
  layout: Layout,
  fields: F,
): Readonly<F> & { readonly layout: Layout } {
  const claimed = new Uint8Array(layout.bytes);
  for (const [name, { offset, length }] of Object.entries(fields)) {
    for (let i = offset; i < offset + length; i++) {
      assert(i < layout.bytes, `${layout.title}.${name} ends outside the message`);
      assert(claimed[i] === 0, `${layout.title}.${name} overlaps another field`);
      claimed[i] = 1;
    }
  }
  return Object.freeze({ ...fields, layout });
}
