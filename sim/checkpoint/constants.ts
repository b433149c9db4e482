import { fieldsOf } from './vocabulary.js';

/** A new world that a checkpoint is laid over, or held against. */
export interface Construction {
  readonly root: unknown;
  /** Every object of it, in the order of fields. */
  readonly reached: ReadonlySet<object>;
  /**
   * What it has in common with another world that was constructed alike: the profile, tables of
   * standards and whatever else belongs to the program and not to a card. It is neither stored nor
   * written to; a checkpoint names it by its place in this list, which equal constructions make
   * equal.
   */
  readonly shared: readonly object[];
  /** Whom the world serves: no part of it. */
  readonly outside: ReadonlySet<object>;
}

/** @param other  another new world of the same construction */
export function constructionOf(
  root: unknown,
  other: unknown,
  outside: ReadonlySet<object> = nothing,
): Construction {
  const reached = reachable(root, outside);
  const reachedThere = reachable(other, outside);
  const shared = [...reached].filter((each) => reachedThere.has(each));
  return { root, reached, shared, outside };
}

/** Every object that can be reached, but not by way of those outside. */
function reachable(root: unknown, outside: ReadonlySet<object>): ReadonlySet<object> {
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
