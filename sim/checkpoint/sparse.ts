import { pageBytes } from '../pcie/host-memory.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import { unusable } from './bytes.js';

/**
 * Memory as runs of pages: so many that are all zero, so many that follow as they are, until the
 * length is reached. Pages of zeroes are neither stored nor touched.
 */
export function writeSparse(writer: ByteWriter, buffer: ArrayBuffer): void {
  const bytes = new Uint8Array(buffer);
  const { length } = bytes;
  writer.count(length);
  for (let at = 0; at < length; ) {
    const zeroEnd = runEnd(bytes, at, true);
    const dataEnd = runEnd(bytes, zeroEnd, false);
    writer.count(Math.ceil((zeroEnd - at) / pageBytes));
    writer.count(Math.ceil((dataEnd - zeroEnd) / pageBytes));
    writer.raw(bytes.subarray(zeroEnd, dataEnd));
    at = dataEnd;
  }
}

/** @param into  memory to fill when its length fits; new memory is made when it does not */
export function readSparse(reader: ByteReader, into: ArrayBuffer | null): ArrayBuffer {
  const length = reader.count();
  if (length > maxBytes) throw unusable('body', `asks for ${length} bytes in one piece`);
  const isFilled = into !== null && into.byteLength === length;
  const buffer = isFilled ? into : new ArrayBuffer(length);
  const bytes = new Uint8Array(buffer);
  for (let at = 0; at < length; ) {
    const zeroEnd = Math.min(length, at + reader.count() * pageBytes);
    if (isFilled) clear(bytes, at, zeroEnd);
    const dataEnd = Math.min(length, zeroEnd + reader.count() * pageBytes);
    if (dataEnd === at) throw unusable('body', 'has an empty run of pages');
    bytes.set(reader.raw(dataEnd - zeroEnd), zeroEnd);
    at = dataEnd;
  }
  return buffer;
}

const maxBytes = 2 ** 33;

function runEnd(bytes: Uint8Array, from: number, isZero: boolean): number {
  let at = from;
  while (at < bytes.length && isZeroPage(bytes, at) === isZero) at += pageBytes;
  return Math.min(at, bytes.length);
}

/** Pages that are zero already stay untouched: they may not even be backed by memory. */
function clear(bytes: Uint8Array, from: number, end: number): void {
  for (let at = from; at < end; at += pageBytes) {
    if (!isZeroPage(bytes, at)) bytes.fill(0, at, Math.min(at + pageBytes, end));
  }
}

function isZeroPage(bytes: Uint8Array, at: number): boolean {
  return isZero(bytes.subarray(at, at + pageBytes));
}

export function isZero(bytes: Uint8Array): boolean {
  const { buffer, byteOffset, length } = bytes;
  const isAligned = byteOffset % 4 === 0 && length % 4 === 0;
  const each = isAligned ? new Int32Array(buffer, byteOffset, length / 4) : bytes;
  for (let i = 0; i < each.length; i++) if (each[i] !== 0) return false;
  return true;
}
