import { Slab } from '../store/slab.js';
import { fieldsOf } from './vocabulary.js';

/**
 * For each object of a new world the one of a used world that stands at the same place: in the same
 * field, element or entry of partners. Both have the same class, and memory has the same size, so
 * that the new one can become the used one by being filled.
 */
export function partnersOf(
  fresh: unknown,
  used: unknown,
  shared: ReadonlySet<object>,
): ReadonlyMap<object, object> {
  const partners = new Map<object, object>();
  const taken = new Set<object>();
  const waiting: [unknown, unknown][] = [[fresh, used]];
  // First come, first served: what stands near the root is found by its shortest path.
  for (const [one, other] of waiting) {
    if (typeof one !== 'object' || one === null || typeof other !== 'object') continue;
    if (other === null || shared.has(one) || shared.has(other)) continue;
    if (partners.has(one) || taken.has(other) || !isAlike(one, other)) continue;
    partners.set(one, other);
    taken.add(other);
    waiting.push(...childrenOf(one, other));
  }
  return partners;
}

function isAlike(one: object, other: object): boolean {
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  if (one instanceof Slab && other instanceof Slab) {
    return one.pages === other.pages && one.metadataBytes === other.metadataBytes;
  }
  if (one instanceof ArrayBuffer && other instanceof ArrayBuffer) {
    return one.byteLength === other.byteLength;
  }
  if (!ArrayBuffer.isView(one) || !ArrayBuffer.isView(other)) return true;
  const isSamePart = one.byteOffset === other.byteOffset && one.byteLength === other.byteLength;
  return isSamePart && one.buffer.byteLength === other.buffer.byteLength;
}

function childrenOf(one: object, other: object): [unknown, unknown][] {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.slice(0, other.length).map((each: unknown, i) => [each, other[i]]);
  }
  if (one instanceof Map && other instanceof Map) {
    return [...one].map(([key, value]) => [value, other.get(key)]);
  }
  if (one instanceof Set || one instanceof ArrayBuffer) return [];
  if (ArrayBuffer.isView(one) && ArrayBuffer.isView(other)) return [[one.buffer, other.buffer]];
  return fieldsOf(one).map((name) => [Reflect.get(one, name), Reflect.get(other, name)]);
}
