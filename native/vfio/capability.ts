import { CapabilityHeader } from '../uapi/vfio.js';

/**
 * Walk a chain of capabilities in an answer of the kernel.
 *
 * @param words  the whole answer
 * @param first  byte offset of the first capability, 0 for none
 * @param id     which one
 * @returns      its dword index, -1 when it is not there or the chain leaves the answer
 */
export function capabilityAt(words: Uint32Array, first: number, id: number): number {
  let offset = first;
  // Each step goes forward, so a chain that loops ends too.
  for (let last = 0; offset > last && offset + 8 <= words.byteLength && offset % 4 === 0; ) {
    const at = offset / 4;
    if (CapabilityHeader.id.get(words, at) === id) return at;
    last = offset;
    offset = CapabilityHeader.next.get(words, at);
  }
  return -1;
}
