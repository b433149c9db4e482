import { geometry } from './mirror-node.js';

/** Whether the map on a medium has the bit of a region. */
export function isMarked(meta: Uint8Array, region: number): boolean {
  const at = 8192 + 4 + (region >>> 3);
  return ((meta[at]! >>> (region & 7)) & 1) === 1;
}

export function valueIn(content: Uint8Array, block: number): number {
  const at = block * geometry.blockBytes;
  return new DataView(content.buffer, content.byteOffset + at).getUint32(0, true);
}

export function isSameAt(a: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + geometry.blockBytes; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
