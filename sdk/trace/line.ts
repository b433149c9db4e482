import { stampBase } from './trace.js';

const zero = 48;
const nine = 57;
const dot = 46;
const space = 32;
const tab = 9;
const carriageReturn = 13;
const maxFields = 64;

/**
 * One line of a text trace, as byte ranges of the chunk that holds it. The same object is used for
 * every line, so that a million lines leave nothing behind but the columns.
 */
export class Line {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  fieldCount = 0;
  /** Result of `stamp`: high × 10^9 + low. */
  high = 0;
  low = 0;
  private readonly starts = new Int32Array(maxFields);
  private readonly ends = new Int32Array(maxFields);

  /** Point at bytes[start, end), without line end and outer blanks. */
  set(bytes: Uint8Array, start: number, end: number): void {
    let first = start;
    let last = end;
    while (last > first && isBlank(bytes[last - 1]!)) last--;
    while (first < last && isBlank(bytes[first]!)) first++;
    this.bytes = bytes;
    this.start = first;
    this.end = last;
    this.fieldCount = 0;
  }

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  /** Cut into fields at runs of blanks. @returns how many, at most 64 */
  splitBlanks(): number {
    const { bytes, end } = this;
    let count = 0;
    for (let at = this.start; at < end && count < maxFields; count++) {
      this.starts[count] = at;
      while (at < end && !isBlank(bytes[at]!)) at++;
      this.ends[count] = at;
      while (at < end && isBlank(bytes[at]!)) at++;
    }
    this.fieldCount = count;
    return count;
  }

  /** Cut into fields at each comma; blanks around a field do not belong to it. */
  splitCommas(): number {
    const { bytes, end } = this;
    let count = 0;
    let at = this.start;
    while (count < maxFields) {
      let stop = at;
      while (stop < end && bytes[stop] !== 44) stop++;
      this.starts[count] = at;
      this.ends[count] = stop;
      this.trim(count++);
      if (stop >= end) break;
      at = stop + 1;
    }
    this.fieldCount = count;
    return count;
  }

  /** A decimal integer 0..2^53 - 1, or -1 when the field is anything else. */
  integer(field: number): number {
    if (field >= this.fieldCount) return -1;
    const end = this.ends[field]!;
    let at = this.starts[field]!;
    if (at === end || end - at > 16) return -1;
    let value = 0;
    for (; at < end; at++) {
      const digit = this.bytes[at]! - zero;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value <= Number.MAX_SAFE_INTEGER ? value : -1;
  }

  /**
   * A decimal of any size, times 10^fractionDigits, into `high` and `low`. Digits of the fraction
   * beyond that are cut off. @returns whether the field is a decimal
   */
  stamp(field: number, fractionDigits: number): boolean {
    if (field >= this.fieldCount) return false;
    const end = this.ends[field]!;
    let left = -1;
    this.high = 0;
    this.low = 0;
    let digits = 0;
    for (let at = this.starts[field]!; at < end; at++) {
      const byte = this.bytes[at]!;
      if (byte === dot && left < 0 && digits > 0) left = fractionDigits;
      else if (byte < zero || byte > nine) return false;
      else if (left !== 0) {
        this.push(byte - zero);
        digits++;
        if (left > 0) left--;
      }
    }
    for (let pad = left < 0 ? fractionDigits : left; pad > 0; pad--) this.push(0);
    return digits > 0 && digits <= 24;
  }

  /** Whether the field is this text, letter case aside. */
  is(field: number, text: string): boolean {
    if (field >= this.fieldCount) return false;
    const start = this.starts[field]!;
    if (this.ends[field]! - start !== text.length) return false;
    for (let i = 0; i < text.length; i++) {
      const byte = this.bytes[start + i]!;
      const lower = byte >= 65 && byte <= 90 ? byte + 32 : byte;
      if (lower !== text.charCodeAt(i)) return false;
    }
    return true;
  }

  /** First byte of a field, 0 for a field that is missing or empty. */
  letter(field: number, index = 0): number {
    if (field >= this.fieldCount) return 0;
    const at = this.starts[field]! + index;
    return at < this.ends[field]! ? this.bytes[at]! : 0;
  }

  lengthOf(field: number): number {
    return field < this.fieldCount ? this.ends[field]! - this.starts[field]! : 0;
  }

  text(field: number): string {
    if (field >= this.fieldCount) return '';
    return latin1(this.bytes, this.starts[field]!, this.ends[field]!);
  }

  whole(): string {
    return latin1(this.bytes, this.start, this.end);
  }

  startsWith(text: string): boolean {
    if (this.end - this.start < text.length) return false;
    for (let i = 0; i < text.length; i++) {
      if (this.bytes[this.start + i] !== text.charCodeAt(i)) return false;
    }
    return true;
  }

  private push(digit: number): void {
    const low = this.low * 10 + digit;
    const carry = Math.floor(low / stampBase);
    this.high = this.high * 10 + carry;
    this.low = low - carry * stampBase;
  }

  private trim(field: number): void {
    let start = this.starts[field]!;
    let end = this.ends[field]!;
    while (end > start && isBlank(this.bytes[end - 1]!)) end--;
    while (start < end && isBlank(this.bytes[start]!)) start++;
    this.starts[field] = start;
    this.ends[field] = end;
  }
}

function isBlank(byte: number): boolean {
  return byte === space || byte === tab || byte === carriageReturn;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
