import { nearest, parseChoice, usageError } from './arguments.js';
import type { Terminal } from './terminal.js';

/** What every verb gives: one object for programs, lines for people. */
export interface VerbResult {
  readonly json: object;
  readonly lines: readonly string[];
  /** Exit code; 0 when left out. */
  readonly code?: number;
}

/** A result that is one list, of any length: as `{ key: rows }`, or as a table. */
export interface ListResult<Row extends object = object> {
  readonly key: string;
  readonly head: readonly string[];
  readonly rows: readonly Row[];
  cellsOf(row: Row): readonly string[];
  readonly code?: number;
}

/** Before others have their turn: about a millisecond. */
const rowsAtATime = 512;

type Verb = (words: readonly string[]) => Promise<VerbResult>;

/** Run `ultima NOUN VERB …`. */
export async function runVerb(
  noun: string,
  verbs: Readonly<Record<string, Verb>>,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const { verb, rest } = chosenVerb(noun, verbs, words);
  const format = formatOf(rest);
  const result = await verb(rest);
  return print(result, format, terminal);
}

/** @throws UltimaError USAGE for a verb that there is not */
export function chosenVerb<V>(
  noun: string,
  verbs: Readonly<Record<string, V>>,
  words: readonly string[],
): { readonly verb: V; readonly rest: readonly string[] } {
  const [name, ...rest] = words;
  const known = Object.keys(verbs);
  const verb = Object.entries(verbs).find(([one]) => one === name)?.[1];
  if (verb !== undefined) return { verb, rest };
  const meant = name === undefined ? undefined : nearest(name, known);
  const hint = meant === undefined ? `one of: ${known.join(', ')}` : `did you mean '${meant}'?`;
  throw usageError(`ultima ${noun} ${name ?? 'VERB'}: ${hint}`);
}

export type OutputFormat = 'normal' | 'json';

/** @returns the exit code */
export async function print(
  result: VerbResult | ListResult,
  format: OutputFormat,
  terminal: Terminal,
): Promise<number> {
  for await (const piece of rendered(result, format)) terminal.out(piece);
  return result.code ?? 0;
}

/**
 * What a result is on standard output. Others have their turn between the pieces of a long one.
 */
export async function* rendered(
  result: VerbResult | ListResult,
  format: OutputFormat,
): AsyncGenerator<string> {
  if ('rows' in result) yield* format === 'json' ? listJson(result) : listTable(result);
  else if (format === 'json') yield `${JSON.stringify(result.json, null, 2)}\n`;
  else if (result.lines.length > 0) yield `${result.lines.join('\n')}\n`;
}

/** As `JSON.stringify` writes the whole. */
async function* listJson({ key, rows }: ListResult): AsyncGenerator<string> {
  yield `{\n  ${JSON.stringify(key)}: [`;
  for (let from = 0; from < rows.length; from += rowsAtATime) {
    const list = JSON.stringify(rows.slice(from, from + rowsAtATime), null, 2);
    const inside = list.slice('['.length, -'\n]'.length).replaceAll('\n', '\n  ');
    yield `${from === 0 ? '' : ','}${inside}`;
    await new Promise(setImmediate);
  }
  yield rows.length === 0 ? ']\n}\n' : '\n  ]\n}\n';
}

async function* listTable({ head, rows, cellsOf }: ListResult): AsyncGenerator<string> {
  let widths = widthsOf([head]);
  for (let from = 0; from < rows.length; from += rowsAtATime) {
    widths = widthsOf(rows.slice(from, from + rowsAtATime).map(cellsOf), widths);
    await new Promise(setImmediate);
  }
  yield `${alignedRow(head, widths)}\n`;
  for (let from = 0; from < rows.length; from += rowsAtATime) {
    const some = rows.slice(from, from + rowsAtATime);
    yield some.map((row) => `${alignedRow(cellsOf(row), widths)}\n`).join('');
    await new Promise(setImmediate);
  }
}

/** Looked at before anything is done: a wrong format must not follow a deletion. */
export function formatOf(words: readonly string[]): OutputFormat {
  const at = words.findIndex((word) => word === '-o' || word === '--output-format');
  const joined = words.find((word) => word.startsWith('--output-format='));
  const text = at >= 0 ? (words[at + 1] ?? '') : (joined?.slice('--output-format='.length) ?? null);
  return text === null ? 'normal' : parseChoice('output-format', text, ['normal', 'json']);
}

/** Columns as wide as what is in them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = widthsOf(all);
  return all.map((row) => alignedRow(row, widths));
}

function widthsOf(rows: readonly (readonly string[])[], least: readonly number[] = []): number[] {
  const widths = [...least];
  for (const row of rows) {
    for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, text.length);
  }
  return widths;
}

function alignedRow(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((text, i) => text.padEnd(widths[i]!))
    .join('  ')
    .trimEnd();
}
