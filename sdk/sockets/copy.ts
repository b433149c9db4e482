import { assert } from '../assert.js';

/** Bytes from..from + length - 1 of `source` to `to` of `target`; the ranges are checked. */
export type Copier = (
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
) => void;

/** Short pieces byte by byte: every other way costs more. */
const shortPiece = 64;

let copyLong: Copier = copyByView;

/** Whoever has the addon has a way that leaves no garbage: from now on it is everybody's. */
export function setCopier(copier: Copier): void {
  copyLong = copier;
}

/** Bytes from..from + length - 1 of `source` to `to` of `target`. */
export function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length <= shortPiece) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
    return;
  }
  assert(from >= 0 && from + length <= source.length, 'a copy from outside its source');
  assert(to >= 0 && to + length <= target.length, 'a copy to outside its target');
  if (from === 0 && length === source.length) target.set(source, to);
  else copyLong(source, from, target, to, length);
}

/** A view is an object: garbage for each copy. */
function copyByView(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  target.set(source.subarray(from, from + length), to);
}
