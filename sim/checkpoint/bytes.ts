import { assert } from '../../sdk/assert.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';

const firstCapacity = 64 * 1024;
/** Of bytes that are looked at where they lie, from the start of the body on. */
export const alignment = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** A checkpoint that cannot be used, and which part of it says so. */
export function unusable(field: string, what: string): UltimaError {
  return new UltimaError(ErrorCode.checkpointInvalid, `checkpoint: ${field} ${what}`, { field });
}

/** Bytes that grow. Integers are LEB128, floats eight bytes, texts UTF-8 behind their length. */
export class ByteWriter {
  private bytes = new Uint8Array(firstCapacity);
  private length = 0;

  byte(value: number): void {
    if (this.length === this.bytes.length) this.makeRoom(1);
    this.bytes[this.length++] = value;
  }

  /** @param value 0..2^53 - 1 */
  count(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a count is an integer from 0 on');
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  float(value: number): void {
    floatScratch[0] = value;
    this.raw(floatBytes);
  }

  text(value: string): void {
    const bytes = encoder.encode(value);
    this.count(bytes.length);
    this.raw(bytes);
  }

  raw(bytes: Uint8Array): void {
    this.makeRoom(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Zeroes up to the next multiple. */
  align(multiple: number): void {
    while (this.length % multiple !== 0) this.byte(0);
  }

  /** What was written so far; valid until more is written. */
  get written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  private makeRoom(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more));
    bytes.set(this.bytes);
    this.bytes = bytes;
  }
}

/** The same read back. What ends too early is refused. */
export class ByteReader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  byte(): number {
    this.demand(1);
    return this.bytes[this.at++]!;
  }

  count(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) throw unusable('body', 'has a number beyond 2^53');
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  float(): number {
    floatBytes.set(this.raw(8));
    return floatScratch[0]!;
  }

  text(): string {
    return decodeText(this.raw(this.count()));
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    this.demand(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  align(multiple: number): void {
    while (this.at % multiple !== 0) {
      if (this.byte() !== 0) throw unusable('body', 'has something in a gap');
    }
  }

  private demand(length: number): void {
    if (this.at + length > this.bytes.length) throw unusable('body', 'ends too early');
  }
}

export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw unusable('body', 'has a text that is no UTF-8');
  }
}

/**
 * A hash that notices every changed or missing byte of a file; no protection against intent. Four
 * hashes side by side, each of every fourth dword: one alone waits for its own multiplications.
 */
export function checksum(bytes: Uint8Array): number {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
  const whole = words.length - (words.length % 4);
  let a = 0x811c9dc5 ^ bytes.length;
  let b = 1;
  let c = 2;
  let d = 3;
  for (let i = 0; i < whole; i += 4) {
    a = stir(a, words[i]!);
    b = stir(b, words[i + 1]!);
    c = stir(c, words[i + 2]!);
    d = stir(d, words[i + 3]!);
  }
  let hash = stir(stir(stir(a, b), c), d);
  for (let at = whole * 4; at < aligned.length; at++) hash = stir(hash, aligned[at]!);
  return hash >>> 0;
}

function stir(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x01000193);
  return mixed ^ (mixed >>> 15);
}

/** A dword, little endian, anywhere. */
export function wordAt(bytes: Uint8Array, at: number): number {
  wordBytes.set(bytes.subarray(at, at + 4));
  return wordScratch[0]!;
}

export function putWord(bytes: Uint8Array, at: number, value: number): void {
  wordScratch[0] = value;
  bytes.set(wordBytes, at);
}

// Machines that run this package are little endian, as PCIe is.
const floatScratch = new Float64Array(1);
const floatBytes = new Uint8Array(floatScratch.buffer);
const wordScratch = new Uint32Array(1);
const wordBytes = new Uint8Array(wordScratch.buffer);
