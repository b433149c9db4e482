import type { BlockDevice } from '../block/device.js';
import { readBlocks } from '../block/promised.js';
import { KiB } from '../units.js';

const pieceBytes = 128 * KiB;

/**
 * Compare two devices within ranges of whole blocks.
 *
 * @returns the byte at which they differ first, -1 when they are equal
 */
export async function firstDifference(
  one: BlockDevice,
  other: BlockDevice,
  ranges: Iterable<{ readonly byteOffset: number; readonly byteLength: number }>,
): Promise<number> {
  const [a, b] = [new Uint8Array(pieceBytes), new Uint8Array(pieceBytes)];
  for (const { byteOffset, byteLength } of ranges) {
    for (let at = byteOffset; at < byteOffset + byteLength; at += pieceBytes) {
      const length = Math.min(pieceBytes, byteOffset + byteLength - at);
      const lba = at / one.blockBytes;
      await readBlocks(one, lba, a.subarray(0, length));
      await readBlocks(other, lba, b.subarray(0, length));
      for (let i = 0; i < length; i++) if (a[i] !== b[i]) return at + i;
    }
  }
  return -1;
}
