import { type ParseArgsConfig, parseArgs } from 'node:util';
import { ErrorCode, UltimaError } from '../errors.js';
import { GiB, KiB, MiB, msNs, secondNs, TiB, usNs } from '../units.js';

/** Something in the words that a person typed; the message says what to type instead. */
export function usageError(
  message: string,
  facts: Record<string, string | number> = {},
): UltimaError {
  return new UltimaError(ErrorCode.usage, message, facts);
}

/** Other names than a command takes. @param wanted  how many, such as 'one name' */
export function wrongNames(wanted: string, given: readonly string[]): UltimaError {
  const what = given.length === 0 ? 'and none was given' : `not '${given.join(' ')}'`;
  return usageError(`this takes ${wanted}, ${what}`);
}

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * Options and positional words of a command.
 *
 * @throws UltimaError USAGE for an option that is not known or lacks its value
 */
export function parseWords<T extends Options>(
  words: readonly string[],
  options: T,
): ReturnType<typeof parseArgs<{ args: string[]; options: T; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const known = Object.keys(options).map((name) => `--${name}`);
    const [first] = error.message.split('. ');
    throw usageError(`${first}; options here: ${known.join(' ')}`);
  }
}

/**
 * Options of a command that only some of its verbs have.
 *
 * @param own  those of this verb, of all that `options` has
 * @throws UltimaError USAGE for another one
 */
export function demandOwn(
  words: readonly string[],
  options: Options,
  own: readonly string[],
): void {
  const known = Object.entries(options).filter(([name]) => own.includes(name));
  parseWords(words, Object.fromEntries(known));
}

const sizes: Readonly<Record<string, number>> = { '': 1, k: KiB, m: MiB, g: GiB, t: TiB };
const durations: Readonly<Record<string, number>> = {
  '': secondNs,
  us: usNs,
  ms: msNs,
  s: secondNs,
  m: 60 * secondNs,
  h: 3600 * secondNs,
};

/** `4096`, `4k`, `1m`, `16GiB` in bytes, powers of 1024 as fio counts them. */
export function parseSize(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) * sizes[match[2]!.toLowerCase()]!;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw usageError(`--${name} is ${text}; it must be a size such as 4096, 4k, 1m or 16g`);
  }
  return value;
}

/** `10`, `10s`, `500ms`, `2m` in nanoseconds; seconds without a unit. */
export function parseDuration(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h|)$/.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) * durations[match[2]!]!;
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw usageError(`--${name} is ${text}; it must be a time such as 10, 10s, 500ms or 2m`);
  }
  return value;
}

export interface IntegerRange {
  readonly low: number;
  readonly high: number;
}

/** A decimal or 0x number inside its range. */
export function parseInteger(name: string, text: string, { low, high }: IntegerRange): number {
  const isNumber = /^(?:\d+|0x[0-9a-f]+)$/i.test(text);
  const value = isNumber ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < low || value > high) {
    throw usageError(`--${name} is ${text}; it must be a whole number ${low}..${high}`);
  }
  return value;
}

/** One of a few words. */
export function parseChoice<T extends string>(
  name: string,
  text: string,
  choices: readonly T[],
): T {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) {
    throw usageError(`--${name} is ${text}; it must be one of: ${choices.join(', ')}`);
  }
  return choice;
}

/** The word of a list that looks most like a mistyped one. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: distanceOf(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= 3 ? best.candidate : undefined;
}

/** Levenshtein: letters to put in, take out or change. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
