import { fieldsOf } from './vocabulary.js';

/**
 * What two worlds that were constructed alike have in common: the profile, tables of standards and
 * whatever else belongs to the program and not to a card. It is neither stored nor written to; a
 * checkpoint names it by its place in this list, which equal constructions make equal.
 */
export function sharedBy(
  one: unknown,
  other: unknown,
  outside: ReadonlySet<object> = nothing,
): readonly object[] {
  const reached = reachable(other, outside);
  return [...reachable(one, outside)].filter((each) => reached.has(each));
}

/** Every object that can be reached, in the order of fields, but not by way of those outside. */
export function reachable(
  root: unknown,
  outside: ReadonlySet<object> = nothing,
): ReadonlySet<object> {
  const found = new Set<object>();
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null || found.has(value)) continue;
    if (outside.has(value)) continue;
    found.add(value);
    for (const child of childrenOf(value)) waiting.push(child);
  }
  return found;
}

const nothing: ReadonlySet<object> = new Set();

function childrenOf(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value;
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  if (ArrayBuffer.isView(value)) return [value.buffer];
  return fieldsOf(value).map((field): unknown => Reflect.get(value, field));
}
