/** CRC32C (Castagnoli), reflected [RFC-3720 §12.1]. */
const polynomial = 0x82f6_3b78;

/** Eight tables: what a byte does that is followed by 0..7 others. */
const tables = makeTables();
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;

function makeTables(): readonly [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
] {
  const all = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = step(crc);
    all[0]![i] = crc;
  }
  for (let i = 0; i < 256; i++) {
    for (let table = 1; table < 8; table++) {
      const before = all[table - 1]![i]!;
      all[table]![i] = (before >>> 8) ^ all[0]![before & 255]!;
    }
  }
  return [all[0]!, all[1]!, all[2]!, all[3]!, all[4]!, all[5]!, all[6]!, all[7]!];
}

function step(crc: number): number {
  return (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : polynomial);
}

/** CRC32C of the dwords from..to - 1, 0..2^32 - 1. */
export function crc32cOfWords(words: Uint32Array, from: number, to: number): number {
  let crc = -1;
  let i = from;
  for (; i + 1 < to; i += 2) {
    const low = words[i]! ^ crc;
    const high = words[i + 1]!;
    crc =
      t7[low & 255]! ^
      t6[(low >>> 8) & 255]! ^
      t5[(low >>> 16) & 255]! ^
      t4[low >>> 24]! ^
      t3[high & 255]! ^
      t2[(high >>> 8) & 255]! ^
      t1[(high >>> 16) & 255]! ^
      t0[high >>> 24]!;
  }
  if (i < to) {
    const low = words[i]! ^ crc;
    crc = t3[low & 255]! ^ t2[(low >>> 8) & 255]! ^ t1[(low >>> 16) & 255]! ^ t0[low >>> 24]!;
  }
  return ~crc >>> 0;
}

/** CRC32C of the bytes from..to - 1, going on from an earlier result (0 at the start). */
export function crc32cOfRange(bytes: Uint8Array, from: number, to: number, before = 0): number {
  let crc = ~before;
  let i = from;
  for (; i + 8 <= to; i += 8) {
    crc =
      t7[(crc ^ bytes[i]!) & 255]! ^
      t6[((crc >>> 8) ^ bytes[i + 1]!) & 255]! ^
      t5[((crc >>> 16) ^ bytes[i + 2]!) & 255]! ^
      t4[(crc >>> 24) ^ bytes[i + 3]!]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!;
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}

/** CRC32C of bytes, going on from an earlier result (0 at the start). */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}

/**
 * The one wrong bit, if one wrong bit explains a wrong CRC. An error of one bit shows as the same
 * difference of the CRC whatever the data is, and no two places give the same difference within
 * 2^31 bits, so it can be found and mended. A torn or foreign block passes by chance once in
 * 2^32 / bits.
 *
 * @param difference  expected CRC xor computed CRC, not 0
 * @param wordCount   dwords that the CRC covers
 * @returns           number of the bit from the first dword's bit 0; -1 when no bit explains it
 */
export function findFlippedBit(difference: number, wordCount: number): number {
  const wanted = difference | 0;
  let trace = polynomial | 0;
  for (let bit = wordCount * 32 - 1; bit >= 0; bit--) {
    if (trace === wanted) return bit;
    trace = (trace >>> 1) ^ ((trace & 1) === 0 ? 0 : polynomial);
  }
  return -1;
}

/** How checked dwords were found. */
export type CheckResult = 'good' | 'mended' | 'bad';

/**
 * Compare dwords with the CRC that belongs to them, and mend a single wrong bit in place, in the
 * data or in the CRC.
 */
export function checkWords(
  words: Uint32Array,
  range: { readonly from: number; readonly to: number },
  expected: number,
): CheckResult {
  const { from, to } = range;
  const difference = crc32cOfWords(words, from, to) ^ expected;
  if (difference === 0) return 'good';
  if ((difference & (difference - 1)) === 0) return 'mended';
  const bit = findFlippedBit(difference, to - from);
  if (bit < 0) return 'bad';
  words[from + (bit >>> 5)]! ^= 1 << (bit & 31);
  return 'mended';
}
