import { Bits, type Field, Repeat, type Struct, U64, type ValueNames, Wide } from './layout.js';

/** One field in words: good to print as a line and to write as JSON. */
export interface FieldText {
  /** The mnemonic in the table; items of a repeated structure read `name[3].field`. */
  readonly name: string;
  /** A number where it is exact; hexadecimal or text otherwise. */
  readonly value: number | string;
  /** The value as a person reads it: '1 (weighted round robin with urgent)', 'QEMU NVMe Ctrl'. */
  readonly text: string;
  /** What the standard calls the field. */
  readonly doc: string;
}

/**
 * A structure in memory, field by field, in the order of its table.
 *
 * @param table  a `struct()` table
 * @param words  memory that holds it; dwords beyond its end are not described
 * @param at     dword index at which it starts
 */
export function describeStruct(table: Struct, words: Uint32Array, at: number): FieldText[] {
  const described: FieldText[] = [];
  for (const [name, field] of fieldsOf(table)) {
    if (at + endOf(field) <= words.length) {
      describeField(field, { name, words, at }, described);
    }
  }
  return described;
}

/** The fields of a table, in its order. */
export function fieldsOf(table: Struct): [name: string, field: Field][] {
  const fields: [string, Field][] = [];
  for (const [name, field] of Object.entries(table)) {
    if (isField(field)) fields.push([name, field]);
  }
  return fields;
}

/** Lines 'name   text   doc', aligned. */
export function linesOf(described: readonly FieldText[]): string[] {
  const nameWidth = Math.max(0, ...described.map((field) => field.name.length));
  const textWidth = Math.min(24, Math.max(0, ...described.map((field) => field.text.length)));
  return described.map(
    (field) => `${field.name.padEnd(nameWidth)}  ${field.text.padEnd(textWidth)}  ${field.doc}`,
  );
}

/** The same as one object, name to value. */
export function valuesOf(described: readonly FieldText[]): Record<string, number | string> {
  return Object.fromEntries(described.map((field) => [field.name, field.value]));
}

/** A number as a person reads it: small ones in decimal, large ones also in hexadecimal. */
export function numberText(value: number): string {
  return value < 10 ? `${value}` : `${value} (0x${value.toString(16)})`;
}

/** The word that a table gives for a value. */
export function nameOf(names: ValueNames | null, value: number): string | undefined {
  if (names === null) return undefined;
  return Object.entries(names).find(([, known]) => known === value)?.[0];
}

interface Place {
  readonly name: string;
  readonly words: Uint32Array;
  readonly at: number;
}

function describeField(field: Field, place: Place, described: FieldText[]): void {
  const { name, words, at } = place;
  if (field instanceof Repeat) {
    for (let i = 0; i < field.count; i++) {
      for (const item of describeStruct(field.item, words, field.at(at, i))) {
        described.push({ ...item, name: `${name}[${i}].${item.name}` });
      }
    }
    return;
  }
  if (field instanceof Bits) {
    const value = field.get(words, at);
    const word = nameOf(field.names, value);
    const text = word === undefined ? numberText(value) : `${value} (${word})`;
    described.push({ name, value, text, doc: field.doc });
    return;
  }
  described.push({ name, ...describeLong(field, words, at), doc: field.doc });
}

function describeLong(
  field: U64 | Wide,
  words: Uint32Array,
  at: number,
): { value: number | string; text: string } {
  if (field instanceof U64) {
    if (field.isExact(words, at)) {
      const value = field.get(words, at);
      return { value, text: numberText(value) };
    }
    const value = hexOf([words[at + field.dword + 1]!, words[at + field.dword]!], 8);
    return { value, text: value };
  }
  if (field.kind === 'text') {
    const value = field.text(words, at);
    return { value, text: value };
  }
  if (field.kind === 'count') {
    const count = field.count(words, at);
    const value = count <= Number.MAX_SAFE_INTEGER ? Number(count) : count.toString();
    return { value, text: count.toString() };
  }
  const value = hexOf([...field.bytes(words, at)], 2);
  return { value, text: value };
}

function hexOf(parts: readonly number[], digits: number): string {
  return `0x${parts.map((part) => part.toString(16).padStart(digits, '0')).join('')}`;
}

/** Dword after the last one that a field touches. */
function endOf(field: Field): number {
  if (field instanceof Bits) return field.dword + 1;
  if (field instanceof U64) return field.dword + 2;
  // Items of a repeated structure that lie beyond the memory are left out one by one.
  if (field instanceof Repeat) return field.dword;
  return Math.ceil((field.offset + field.length) / 4);
}

function isField(value: unknown): value is Field {
  return (
    value instanceof Bits ||
    value instanceof U64 ||
    value instanceof Wide ||
    value instanceof Repeat
  );
}
