import { readFileSync, type Stats } from 'node:fs';

/** What the kernel counts the size of block devices in, whatever their own blocks are. [sysfs] */
const sectorBytes = 512;

/**
 * Bytes of a file, or of a block device of Linux, whose own size is said to be 0.
 *
 * @param stats  of the open file
 */
export function sizeOf(stats: Stats): number {
  if (!stats.isBlockDevice()) return stats.size;
  const { major, minor } = numbersOf(stats.rdev);
  const sectors = Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'ascii'));
  return Number.isSafeInteger(sectors * sectorBytes) ? sectors * sectorBytes : 0;
}

/** The two halves of a device number, as the C library of Linux puts them together. [makedev(3)] */
export function numbersOf(rdev: number): { readonly major: number; readonly minor: number } {
  const low = rdev % 2 ** 32;
  const high = Math.floor(rdev / 2 ** 32);
  const major = ((high & 0xffff_f000) | ((low >>> 8) & 0xfff)) >>> 0;
  const minor = ((high & 0xfff) * 2 ** 20 + ((low >>> 12) & 0xfff00) + (low & 0xff)) >>> 0;
  return { major, minor };
}
