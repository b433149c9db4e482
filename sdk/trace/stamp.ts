import { highDword, lowDword } from '../units.js';

/**
 * What a written block holds, so that every way of going wrong can be told apart:
 *
 *   word 0, 1   the block's own address
 *   word 2      version: which write of the run put it there, counted from 1
 *   word 3      token of the run
 *   word 4..    a stream that follows from the four words above, to the end of the block
 *
 * A block in another place names that place, an old one its version, a torn one breaks the stream:
 * two streams differ in every word, because each word is the one before plus an odd step.
 */
export const headerWords = 4;

const streamStep = 0x9e3779b1;

/** Fill `count` blocks of `blockWords` words, from word `at`, as version `version`. */
export function stampBlocks(
  stamp: Stamp,
  words: Uint32Array,
  at: number,
  lba: number,
  count: number,
  version: number,
): void {
  const { blockWords, token } = stamp;
  for (let block = 0; block < count; block++) {
    const start = at + block * blockWords;
    const low = lowDword(lba + block);
    const high = highDword(lba + block);
    words[start] = low;
    words[start + 1] = high;
    words[start + 2] = version;
    words[start + 3] = token;
    let x = streamSeed(low, high, version, token);
    for (let i = start + headerWords; i < start + blockWords; i++) {
      x = (x + streamStep) | 0;
      words[i] = x;
    }
  }
}

/** First word of the block at `at` that breaks the stream its header announces; -1 when none. */
export function firstBreak(stamp: Stamp, words: Uint32Array, at: number): number {
  let x = streamSeed(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  const end = at + stamp.blockWords;
  for (let i = at + headerWords; i < end; i++) {
    x = (x + streamStep) | 0;
    if ((words[i]! | 0) !== x) return i - at;
  }
  return -1;
}

/** Whether every word of the block at `at` is `value`. */
export function isFilled(stamp: Stamp, words: Uint32Array, at: number, value: number): boolean {
  const end = at + stamp.blockWords;
  for (let i = at; i < end; i++) if (words[i] !== value) return false;
  return true;
}

export interface Stamp {
  readonly blockWords: number;
  /** Tells this run's blocks from those of any other, 1..2^32 - 1. */
  readonly token: number;
}

function streamSeed(low: number, high: number, version: number, token: number): number {
  const a = Math.imul(low ^ 0x2545f491, 0x85ebca77) ^ Math.imul(high + 1, 0xc2b2ae3d);
  const b = Math.imul(version + 0x165667b1, 0x27d4eb2f) ^ token;
  const mixed = Math.imul(a ^ (b >>> 15) ^ b, 0x9e3779b1);
  return mixed ^ (mixed >>> 13);
}
