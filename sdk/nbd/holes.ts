import { KiB } from '../units.js';

/** Zeroes are looked for in whole cells: fewer of them cost more to name than to send. */
const holeBytes = 4 * KiB;

/**
 * The run that begins at `from`: cells of zeroes, or cells with something in them. What is shorter
 * than a cell counts as something. Data is known by its first word that is not 0, so that looking
 * costs next to nothing where there is data.
 *
 * @param words  content that was read
 * @param from   bytes, where a cell or the content begins
 * @param end    bytes of content
 * @returns      where it ends; negative for a run of zeroes
 */
export function runOf(words: Uint32Array, from: number, end: number): number {
  const isHole = isZeroCell(words, from, end);
  let at = Math.min(from + holeBytes, end);
  while (at < end && isZeroCell(words, at, end) === isHole) at = Math.min(at + holeBytes, end);
  return isHole ? -at : at;
}

function isZeroCell(words: Uint32Array, from: number, end: number): boolean {
  if (end - from < holeBytes) return false;
  const last = (from + holeBytes) / 4;
  for (let i = from / 4; i < last; i += 4) {
    if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]!) !== 0) return false;
  }
  return true;
}
