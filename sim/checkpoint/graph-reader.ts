import { assert } from '../../sdk/assert.js';
import { type ByteReader, unusable } from './bytes.js';
import { reachable } from './constants.js';
import { readSparse } from './sparse.js';
import { classes, classOf, fieldsOf, makers, Tag, viewKinds } from './vocabulary.js';

interface Shape {
  readonly name: string;
  readonly fields: readonly string[];
}

/**
 * Lays a written graph over a fresh one of the same construction: objects that stand at the same
 * place are filled in place, because handlers and other parts hold them; what came into being later
 * is made. Nothing is trusted: an unknown class, field or number is refused by name.
 */
export class GraphReader {
  private readonly input: ByteReader;
  private readonly constants: readonly object[];
  private readonly objects: unknown[] = [];
  private readonly shapes: Shape[] = [];
  /** Fresh objects that have become one of the written ones, or are nobody's to be filled. */
  private readonly used: Set<object>;
  private readonly makers = new Map(makers.map((make) => [classOf(make()), make]));
  /** Prototypes of classes without a maker, from the fresh graph. */
  private readonly prototypes: ReadonlyMap<string, object | null>;

  constructor(input: ByteReader, constants: readonly object[], fresh: unknown) {
    this.input = input;
    this.constants = constants;
    this.used = new Set(constants);
    this.prototypes = prototypesIn(fresh, new Set(constants));
  }

  /** @throws UltimaError CHECKPOINT_INVALID */
  read(fresh: unknown): void {
    this.value(fresh, 'body');
    if (!this.input.isAtEnd) throw unusable('body', 'goes on after its end');
  }

  private value(fresh: unknown, at: string): unknown {
    const { input } = this;
    const tag = input.byte();
    switch (tag) {
      case Tag.undefined:
        return undefined;
      case Tag.null:
        return null;
      case Tag.false:
        return false;
      case Tag.true:
        return true;
      case Tag.count:
        return input.count();
      case Tag.negative:
        return -1 - input.count();
      case Tag.float:
        return input.float();
      case Tag.text:
        return input.text();
      case Tag.bigint:
        return bigintOf(input.text(), at);
      case Tag.kept:
        if (fresh === undefined) throw unusable(at, 'holds a function that a new card has not');
        return fresh;
      default:
        return this.reference(tag, fresh, at);
    }
  }

  private reference(tag: number, fresh: unknown, at: string): unknown {
    const { input } = this;
    switch (tag) {
      case Tag.again:
        return known(this.objects, input.count(), at);
      case Tag.shared:
        return known(this.constants, input.count(), at);
      case Tag.object:
        return this.object(fresh, at);
      case Tag.array:
        return this.array(fresh, at);
      case Tag.map:
        return this.map(fresh, at);
      case Tag.set:
        return this.set(fresh, at);
      case Tag.memory:
        return this.memory(fresh);
      case Tag.view:
        return this.view(fresh, at);
      default:
        throw unusable(at, `has a value of the unknown kind ${tag}`);
    }
  }

  private object(fresh: unknown, at: string): object {
    const { name, fields } = this.shape();
    const target = this.targetOf(name, fresh, at);
    this.objects.push(target);
    const isMade = target !== fresh && !this.makers.has(name);
    if (!isMade) sameFields(name, fieldsOf(target), fields);
    for (const field of fields) {
      const before: unknown = Reflect.get(target, field);
      const value = this.value(before, `${name}.${field}`);
      if (value === before) continue;
      const isSet = Reflect.set(target, field, value);
      assert(isSet, 'a field of a card that cannot be set');
    }
    return target;
  }

  /** The fresh object when it is one of the class, and nobody else's; else a new one. */
  private targetOf(name: string, fresh: unknown, at: string): object {
    if (typeof fresh === 'object' && fresh !== null && !Array.isArray(fresh)) {
      if (classOf(fresh) === name && !this.used.has(fresh)) {
        this.used.add(fresh);
        return fresh;
      }
    }
    if (name === '') return {};
    const make = this.makers.get(name);
    if (make !== undefined) return make();
    const prototype = this.prototypes.get(name);
    assert(prototype !== null, 'a class that needs a maker has a name of its own');
    if (prototype === undefined) throw unusable(at, `is a ${name}, which this version has not`);
    const made: unknown = Object.create(prototype);
    assert(typeof made === 'object' && made !== null, 'an object of a class');
    return made;
  }

  private shape(): Shape {
    const { input, shapes } = this;
    const number = input.count();
    if (number < shapes.length) return shapes[number]!;
    if (number > shapes.length) throw unusable('body', `has no shape ${number}`);
    const name = input.text();
    const fields: string[] = [];
    for (let left = input.count(); left > 0; left--) fields.push(input.text());
    const shape = { name, fields };
    shapes.push(shape);
    return shape;
  }

  private array(fresh: unknown, at: string): unknown[] {
    const isOurs = Array.isArray(fresh) && !this.used.has(fresh);
    const target: unknown[] = isOurs ? fresh : [];
    this.used.add(target);
    this.objects.push(target);
    const length = this.input.count();
    for (let i = 0; i < length; i++) target[i] = this.value(target[i], `${at}[${i}]`);
    target.length = length;
    return target;
  }

  private map(fresh: unknown, at: string): Map<unknown, unknown> {
    const isOurs = fresh instanceof Map && !this.used.has(fresh);
    const target: Map<unknown, unknown> = isOurs ? fresh : new Map();
    this.used.add(target);
    this.objects.push(target);
    const entries: [unknown, unknown][] = [];
    for (let left = this.input.count(); left > 0; left--) {
      const key = this.value(undefined, `key of ${at}`);
      entries.push([key, this.value(target.get(key), `${at}(${String(key)})`)]);
    }
    target.clear();
    for (const [key, value] of entries) target.set(key, value);
    return target;
  }

  private set(fresh: unknown, at: string): Set<unknown> {
    const isOurs = fresh instanceof Set && !this.used.has(fresh);
    const target: Set<unknown> = isOurs ? fresh : new Set();
    this.used.add(target);
    this.objects.push(target);
    const values: unknown[] = [];
    for (let left = this.input.count(); left > 0; left--) values.push(this.value(undefined, at));
    target.clear();
    for (const value of values) target.add(value);
    return target;
  }

  private memory(fresh: unknown): ArrayBuffer {
    const into = fresh instanceof ArrayBuffer && !this.used.has(fresh) ? fresh : null;
    const place = this.objects.push(null) - 1;
    const buffer = readSparse(this.input, into);
    this.used.add(buffer);
    this.objects[place] = buffer;
    return buffer;
  }

  private view(fresh: unknown, at: string): ArrayBufferView {
    const place = this.objects.push(null) - 1;
    const kind = known(viewKinds, this.input.count(), at);
    const offset = this.input.count();
    const length = this.input.count();
    const isOurs = fresh instanceof kind && !this.used.has(fresh);
    const buffer = this.value(isOurs ? fresh.buffer : undefined, at);
    if (!(buffer instanceof ArrayBuffer)) throw unusable(at, 'is a view of no memory');
    const isSame = isOurs && fresh.buffer === buffer && fresh.byteOffset === offset;
    const view =
      isSame && fresh.byteLength === length ? fresh : viewOf(kind, buffer, [offset, length]);
    if (view === null) throw unusable(at, 'reaches beyond its memory');
    this.objects[place] = view;
    return view;
  }
}

function viewOf(
  kind: (typeof viewKinds)[number],
  buffer: ArrayBuffer,
  [offset, length]: readonly [number, number],
): ArrayBufferView | null {
  const size = kind.BYTES_PER_ELEMENT;
  const fits = offset + length <= buffer.byteLength && offset % size === 0 && length % size === 0;
  return fits ? new kind(buffer, offset, length / size) : null;
}

function known<T>(list: readonly T[], number: number, at: string): T {
  const found = list[number];
  if (found === undefined) throw unusable(at, `refers to number ${number}, which is not there`);
  return found;
}

function bigintOf(text: string, at: string): bigint {
  if (!/^-?\d{1,40}$/.test(text)) throw unusable(at, `'${text.slice(0, 40)}' is no integer`);
  return BigInt(text);
}

/** A class has other fields than when the checkpoint was made: another version of this package. */
function sameFields(name: string, own: readonly string[], saved: readonly string[]): void {
  if (name === '') return;
  for (const field of saved) {
    if (!own.includes(field)) throw unusable(`${name}.${field}`, 'is no field in this version');
  }
  for (const field of own) {
    if (!saved.includes(field)) throw unusable(`${name}.${field}`, 'is not in the checkpoint');
  }
}

/** Every class of which an instance can be reached; null for a name that two classes have. */
function prototypesIn(
  root: unknown,
  skipped: ReadonlySet<object>,
): ReadonlyMap<string, object | null> {
  const prototypes = new Map<string, object | null>(
    classes.map(({ name, prototype }) => [name, prototype]),
  );
  for (const value of reachable(root)) {
    const name = classOf(value);
    if (name === '' || skipped.has(value)) continue;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (typeof prototype !== 'object' || prototype === null) continue;
    const isFirst = (prototypes.get(name) ?? prototype) === prototype;
    prototypes.set(name, isFirst ? prototype : null);
  }
  return prototypes;
}
