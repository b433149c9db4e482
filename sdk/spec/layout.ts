import { assert } from '../assert.js';

/** Words for the values of a field, as the standard's tables give them. */
export type ValueNames = Readonly<Record<string, number>>;

/**
 * One field of a register or of a structure in memory, written as the specification writes it:
 * the byte offset of a dword, and the bits high..low inside it.
 *
 * Memory is a Uint32Array, because every structure here is dword-aligned, one element access is
 * one 32-bit access, and Atomics works on it. `at` is the dword index at which the structure
 * starts.
 * Nothing here allocates.
 */
export class Bits<Doc extends string = string> {
  readonly dword: number;
  readonly low: number;
  readonly width: number;
  readonly doc: Doc;
  readonly bias: number;
  readonly names: ValueNames | null;
  private readonly mask: number;
  private readonly hole: number;

  constructor(position: BitPosition, doc: Doc, bias: number, names: ValueNames | null) {
    const { offset, high, low } = position;
    assert(offset % 4 === 0, 'a field starts in a dword');
    assert(0 <= low && low <= high && high <= 31, 'bits are 31..0, high first');
    this.dword = offset / 4;
    this.low = low;
    this.width = high - low + 1;
    this.doc = doc;
    this.bias = bias;
    this.names = names;
    this.mask = this.width === 32 ? -1 : (1 << this.width) - 1;
    this.hole = ~(this.mask << low);
  }

  /** Largest value that the field can carry. */
  get max(): number {
    return (this.mask >>> 0) + this.bias;
  }

  /** The field inside a register value already read. */
  of(value: number): number {
    return (((value >>> this.low) & this.mask) >>> 0) + this.bias;
  }

  /** The register value with this field replaced. */
  put(value: number, field: number): number {
    return ((value & this.hole) | (((field - this.bias) & this.mask) << this.low)) >>> 0;
  }

  /**
   * For data paths: a value in which this field is 0, with the field filled in. The field must fit;
   * the result is a signed 32-bit integer, to be stored in a Uint32Array.
   */
  fill(value: number, field: number): number {
    return value | ((field - this.bias) << this.low);
  }

  get(words: Uint32Array, at: number): number {
    return (((words[at + this.dword]! >>> this.low) & this.mask) >>> 0) + this.bias;
  }

  set(words: Uint32Array, at: number, field: number): void {
    const i = at + this.dword;
    words[i] = (words[i]! & this.hole) | (((field - this.bias) & this.mask) << this.low);
  }
}

interface BitPosition {
  readonly offset: number;
  readonly high: number;
  readonly low: number;
}

/** A 64-bit field, low dword first. */
export class U64<Doc extends string = string> {
  readonly dword: number;
  readonly doc: Doc;

  constructor(offset: number, doc: Doc) {
    assert(offset % 4 === 0, 'a field starts in a dword');
    this.dword = offset / 4;
    this.doc = doc;
  }

  /**
   * Exact below 2^53. Bytes from a device may say more: then it is a rounded number, see `isExact`.
   */
  get(words: Uint32Array, at: number): number {
    return words[at + this.dword + 1]! * 0x1_0000_0000 + words[at + this.dword]!;
  }

  isExact(words: Uint32Array, at: number): boolean {
    return words[at + this.dword + 1]! <= 0x1fffff;
  }

  set(words: Uint32Array, at: number, field: number): void {
    assert(field >= 0 && field <= Number.MAX_SAFE_INTEGER, '64-bit field outside 0..2^53 - 1');
    words[at + this.dword] = field;
    words[at + this.dword + 1] = field / 0x1_0000_0000;
  }
}

/**
 * How the bytes of a wide field read: a 128-bit counter, text padded with blanks, an identifier.
 */
export type WideKind = 'count' | 'text' | 'id' | 'raw';

/**
 * A field wider than 64 bits or not a number. It may start at any byte. Control path only:
 * reading one allocates.
 */
export class Wide<Doc extends string = string> {
  readonly offset: number;
  readonly length: number;
  readonly doc: Doc;
  readonly kind: WideKind;

  constructor(position: { offset: number; length: number }, kind: WideKind, doc: Doc) {
    this.offset = position.offset;
    this.length = position.length;
    this.kind = kind;
    this.doc = doc;
  }

  /** A view of the field's bytes: a store into it is a store into the structure. */
  bytes(words: Uint32Array, at: number): Uint8Array {
    return new Uint8Array(words.buffer, words.byteOffset + at * 4 + this.offset, this.length);
  }

  /** Little-endian unsigned integer. */
  count(words: Uint32Array, at: number): bigint {
    let value = 0n;
    for (const byte of this.bytes(words, at).toReversed()) value = (value << 8n) | BigInt(byte);
    return value;
  }

  setCount(words: Uint32Array, at: number, value: bigint): void {
    const target = this.bytes(words, at);
    for (let i = 0; i < target.length; i++) {
      target[i] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }

  /** ASCII with the padding removed; a byte outside 0x20..0x7e reads as '?'. */
  text(words: Uint32Array, at: number): string {
    let text = '';
    for (const byte of this.bytes(words, at)) {
      if (byte === 0) break;
      text += byte < 0x20 || byte > 0x7e ? '?' : String.fromCharCode(byte);
    }
    return text.trim();
  }

  /** ASCII, padded with blanks to the field's length. */
  setText(words: Uint32Array, at: number, value: string): void {
    assert(value.length <= this.length, 'text longer than its field');
    const target = this.bytes(words, at).fill(0x20);
    for (let i = 0; i < value.length; i++) target[i] = value.charCodeAt(i);
  }
}

/** A structure that repeats inside another one. */
export class Repeat<Item extends Struct = Struct> {
  readonly dword: number;
  readonly count: number;
  readonly item: Item;
  readonly doc: string;

  constructor(position: { offset: number; count: number }, item: Item, doc: string) {
    assert(position.offset % 4 === 0, 'a repeated structure starts in a dword');
    this.dword = position.offset / 4;
    this.count = position.count;
    this.item = item;
    this.doc = doc;
  }

  /** Dword index at which item `index` starts, for the item's own accessors. */
  at(at: number, index: number): number {
    return at + this.dword + (index * this.item.layout.bytes) / 4;
  }
}

export type Field = Bits | U64 | Wide | Repeat;

export const bits = <const D extends string>(
  offset: number,
  high: number,
  low: number,
  doc: D,
  names: ValueNames | null = null,
): Bits<D> => new Bits({ offset, high, low }, doc, 0, names);

export const u32 = <const D extends string>(offset: number, doc: D): Bits<D> =>
  new Bits({ offset, high: 31, low: 0 }, doc, 0, null);

/** A count that the specification stores as count - 1 ("0's based"). Callers see the count. */
export const count0 = <const D extends string>(
  offset: number,
  high: number,
  low: number,
  doc: D,
): Bits<D> => new Bits({ offset, high, low }, doc, 1, null);

export const u64 = <const D extends string>(offset: number, doc: D): U64<D> => new U64(offset, doc);

export const wide = <const D extends string>(
  offset: number,
  length: number,
  kind: WideKind,
  doc: D,
): Wide<D> => new Wide({ offset, length }, kind, doc);

export const repeat = <Item extends Struct>(
  offset: number,
  count: number,
  item: Item,
  doc: string,
): Repeat<Item> => new Repeat({ offset, count }, item, doc);

export interface Layout {
  readonly title: string;
  readonly cite: string;
  readonly bytes: number;
}

export interface Struct {
  readonly layout: Layout;
}

/** Freeze a table of fields after proving that they fit and that no two claim the same bit. */
export function struct<F extends Record<string, Field>>(
  layout: Layout,
  fields: F,
): Readonly<F> & Struct {
  assert(layout.bytes % 4 === 0, `${layout.title} is not whole dwords`);
  const claimed = new Uint32Array(layout.bytes / 4);
  for (const [name, field] of Object.entries(fields)) {
    for (const [word, mask] of claims(field)) {
      assert(word < claimed.length, `${layout.title}.${name} ends outside the structure`);
      assert((claimed[word]! & mask) === 0, `${layout.title}.${name} overlaps another field`);
      claimed[word]! |= mask;
    }
  }
  return Object.freeze({ ...fields, layout });
}

/** The dwords that a field occupies, each with the bits it takes. */
function claims(field: Field): [word: number, mask: number][] {
  if (field instanceof Bits) {
    const mask = field.width === 32 ? -1 : (1 << field.width) - 1;
    return [[field.dword, mask << field.low]];
  }
  if (field instanceof U64) return [whole(field.dword), whole(field.dword + 1)];
  if (field instanceof Repeat) {
    const dwords = (field.count * field.item.layout.bytes) / 4;
    return Array.from({ length: dwords }, (_, i) => whole(field.dword + i));
  }
  const taken = new Map<number, number>();
  for (let byte = field.offset; byte < field.offset + field.length; byte++) {
    const word = byte >>> 2;
    taken.set(word, (taken.get(word) ?? 0) | (0xff << ((byte & 3) * 8)));
  }
  return [...taken];
}

function whole(word: number): [word: number, mask: number] {
  return [word, -1];
}
