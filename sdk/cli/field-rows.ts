import { fieldsOf } from '../spec/describe.js';
import { Bits, type Field, type Struct, U64, Wide } from '../spec/layout.js';
import type { Json } from './fio-json.js';

/** How nvme-cli writes a value: `0x1`, `1`, text, a count of any size, an identifier. */
export type RowKind = 'hex' | 'dec' | 'text' | 'count' | 'uuid' | 'id' | 'oui';

/** One line of a structure as nvme-cli prints it. */
export interface Row {
  readonly name: string;
  readonly field: Bits | U64 | Wide;
  readonly kind: RowKind;
}

export function row(name: string, kind: RowKind, field: Bits | U64 | Wide): Row {
  return { name, kind, field };
}

/** `name      : value`, and with `parts` what the bits of each value mean. */
export function rowLines(
  rows: readonly Row[],
  words: Uint32Array,
  options: { readonly width: number; readonly parts?: Struct },
): string[] {
  return rows.flatMap((one) => {
    const line = `${one.name.padEnd(options.width)}: ${textOf(one, words)}`;
    if (options.parts === undefined) return [line];
    const parts = partLines(one, options.parts, words);
    return parts.length === 0 ? [line] : [line, ...parts, ''];
  });
}

/** The same as JSON: numbers where they are exact, text otherwise. */
export function rowJson(rows: readonly Row[], words: Uint32Array): { [key: string]: Json } {
  return Object.fromEntries(rows.map((one) => [one.name, jsonOf(one, words)]));
}

function jsonOf({ kind, field }: Row, words: Uint32Array): Json {
  if (field instanceof Bits) return field.get(words, 0);
  if (field instanceof U64) return exact(BigInt(field.isExact(words, 0) ? field.get(words, 0) : 0));
  if (kind === 'count') return exact(field.count(words, 0));
  return wideText(field, kind, words);
}

function exact(value: bigint): Json {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
}

export function textOf({ kind, field }: Row, words: Uint32Array): string {
  if (field instanceof Wide) return wideText(field, kind, words);
  const value = field.get(words, 0);
  if (kind === 'oui') return value.toString(16).padStart(6, '0');
  return kind === 'hex' ? hexText(value) : String(value);
}

/** C's `%#x`: zero has no prefix. */
export function hexText(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

function wideText(field: Wide, kind: RowKind, words: Uint32Array): string {
  if (kind === 'count') return String(field.count(words, 0));
  if (kind === 'text') return field.text(words, 0);
  const digits = [...field.bytes(words, 0)].map((byte) => byte.toString(16).padStart(2, '0'));
  const hex = digits.join('');
  return kind === 'uuid' ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : hex;
}

/** The fields of a divided table that lie inside a whole one: `  [3:1] : 0x7	Number of slots`. */
function partLines({ field }: Row, table: Struct, words: Uint32Array): string[] {
  if (!(field instanceof Bits)) return [];
  return fieldsOf(table)
    .map(([, part]) => part)
    .filter((part): part is Bits => isPart(part, field))
    .map((part) => {
      const low = part.low - field.low;
      const place = `[${low + part.width - 1}:${low}]`;
      return `  ${place} : ${hexText(part.get(words, 0))}\t${part.doc}${nameText(part, words)}`;
    });
}

function isPart(part: Field, whole: Bits): boolean {
  return (
    part instanceof Bits &&
    part.dword === whole.dword &&
    part.width < whole.width &&
    part.low >= whole.low &&
    part.low + part.width <= whole.low + whole.width
  );
}

function nameText(part: Bits, words: Uint32Array): string {
  const value = part.get(words, 0);
  const name = Object.entries(part.names ?? {}).find(([, known]) => known === value)?.[0];
  return name === undefined ? '' : `: ${name}`;
}
