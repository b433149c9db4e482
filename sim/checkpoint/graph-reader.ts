import { assert } from '../../sdk/assert.js';
import type { UltimaError } from '../../sdk/errors.js';
import { Slab } from '../store/slab.js';
import { type ByteReader, unusable } from './bytes.js';
import type { Construction } from './constants.js';
import { readSlab } from './slabs.js';
import { readSparse } from './sparse.js';
import { classes, classOf, fieldsOf, makers, Tag, viewKinds } from './vocabulary.js';

interface Shape {
  readonly name: string;
  readonly fields: readonly string[];
}

/**
 * Lays a written graph over a new world of the same construction: objects that stand at the same
 * place are filled there, because handlers and other parts hold them; what came into being later is
 * made. Nothing is trusted: an unknown class, field or number is refused by name.
 */
export class GraphReader {
  private readonly input: ByteReader;
  private readonly shared: readonly object[];
  /** By number; those of the new world first. */
  private readonly objects: unknown[] = [];
  private readonly shapes: Shape[] = [];
  private readonly makers = new Map(makers.map((make) => [classOf(make()), make]));
  /** Prototypes of classes without a maker, from the new world. */
  private readonly prototypes: ReadonlyMap<string, object | null>;

  /** @param fresh  the world to lay it over */
  constructor(input: ByteReader, fresh: Construction) {
    this.input = input;
    this.shared = fresh.shared;
    const reached = [...fresh.reached];
    const isShared = new Set(fresh.shared);
    this.prototypes = prototypesIn(reached, isShared);
    let at = 0;
    for (let left = input.count(); left > 0; left--) {
      at += input.count();
      const one = known(reached, at++, 'body');
      if (isShared.has(one)) throw unusable('body', 'fills what belongs to the program');
      this.objects.push(one);
    }
  }

  /** @throws UltimaError CHECKPOINT_INVALID */
  read(): void {
    this.value(undefined, 'body');
    if (!this.input.isAtEnd) throw unusable('body', 'goes on after its end');
  }

  /** @param before  what the place holds now, for what is kept */
  private value(before: unknown, at: string): unknown {
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
        if (before === undefined) throw unusable(at, 'holds a function that a new card has not');
        return before;
      default:
        return this.reference(tag, at);
    }
  }

  private reference(tag: number, at: string): unknown {
    const { input, objects } = this;
    switch (tag) {
      case Tag.again:
        return known(objects, input.count(), at);
      case Tag.shared:
        return known(this.shared, input.count(), at);
      case Tag.standing: {
        const standing = known(objects, input.count(), at);
        return this.content(input.byte(), standing, at);
      }
      default:
        return this.content(tag, null, at);
    }
  }

  /** @param standing  the object to fill; null when it is to be made, with the next number */
  private content(tag: number, standing: unknown, at: string): unknown {
    switch (tag) {
      case Tag.object:
        return this.object(standing, at);
      case Tag.array:
        return this.array(standing, at);
      case Tag.map:
        return this.map(standing, at);
      case Tag.set:
        return this.set(standing, at);
      case Tag.memory:
        return this.memory(standing, at);
      case Tag.view:
        return this.view(standing, at);
      case Tag.slab:
        return this.slab(standing, at);
      default:
        throw unusable(at, `has a value of the unknown kind ${tag}`);
    }
  }

  private object(standing: unknown, at: string): object {
    const { name, fields } = this.shape();
    const target = standing === null ? this.make(name, at) : standing;
    if (typeof target !== 'object' || target === null || classOf(target) !== name) {
      throw unusable(at, `is a ${name}, which stands somewhere else in this version`);
    }
    const isEmpty = standing === null && !this.makers.has(name);
    if (!isEmpty) sameFields(name, fieldsOf(target), fields);
    for (const field of fields) {
      const before: unknown = Reflect.get(target, field);
      const value = this.value(before, `${name}.${field}`);
      if (value === before) continue;
      assert(Reflect.set(target, field, value), 'a field of a card that cannot be set');
    }
    return target;
  }

  private make(name: string, at: string): object {
    const made = this.makeEmpty(name, at);
    this.objects.push(made);
    return made;
  }

  private makeEmpty(name: string, at: string): object {
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

  private array(standing: unknown, at: string): unknown[] {
    const target: unknown = standing ?? this.numbered([]);
    if (!Array.isArray(target)) throw misplaced(at);
    const length = this.input.count();
    for (let i = 0; i < length; i++) target[i] = this.value(target[i], `${at}[${i}]`);
    target.length = length;
    return target;
  }

  private map(standing: unknown, at: string): Map<unknown, unknown> {
    const target: unknown = standing ?? this.numbered(new Map());
    if (!(target instanceof Map)) throw misplaced(at);
    const entries: [unknown, unknown][] = [];
    for (let left = this.input.count(); left > 0; left--) {
      const key = this.value(undefined, `key of ${at}`);
      entries.push([key, this.value(target.get(key), `${at}(${String(key)})`)]);
    }
    target.clear();
    for (const [key, value] of entries) target.set(key, value);
    return target;
  }

  private set(standing: unknown, at: string): Set<unknown> {
    const target: unknown = standing ?? this.numbered(new Set());
    if (!(target instanceof Set)) throw misplaced(at);
    const values: unknown[] = [];
    for (let left = this.input.count(); left > 0; left--) values.push(this.value(undefined, at));
    target.clear();
    for (const value of values) target.add(value);
    return target;
  }

  private memory(standing: unknown, at: string): ArrayBuffer {
    if (standing !== null && !(standing instanceof ArrayBuffer)) throw misplaced(at);
    const place = standing === null ? this.objects.push(null) - 1 : -1;
    const buffer = readSparse(this.input, standing);
    if (standing !== null && buffer !== standing) throw misplaced(at);
    if (place >= 0) this.objects[place] = buffer;
    return buffer;
  }

  private slab(standing: unknown, at: string): Slab {
    if (standing !== null && !(standing instanceof Slab)) throw misplaced(at);
    const place = standing === null ? this.objects.push(null) - 1 : -1;
    const slab = readSlab(this.input, standing, at);
    if (place >= 0) this.objects[place] = slab;
    return slab;
  }

  private view(standing: unknown, at: string): ArrayBufferView {
    const place = standing === null ? this.objects.push(null) - 1 : -1;
    const kind = known(viewKinds, this.input.count(), at);
    const offset = this.input.count();
    const length = this.input.count();
    const buffer = this.value(undefined, at);
    if (!(buffer instanceof ArrayBuffer)) throw unusable(at, 'is a view of no memory');
    if (standing !== null) {
      if (!(standing instanceof kind) || standing.buffer !== buffer) throw misplaced(at);
      if (standing.byteOffset !== offset || standing.byteLength !== length) throw misplaced(at);
      return standing;
    }
    const view = viewOf(kind, buffer, [offset, length]);
    if (view === null) throw unusable(at, 'reaches beyond its memory');
    this.objects[place] = view;
    return view;
  }

  private numbered<T>(made: T): T {
    this.objects.push(made);
    return made;
  }
}

function misplaced(at: string): UltimaError {
  return unusable(at, 'stands where this version has something else');
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

/** Every class of which there is an instance; null for a name that two classes have. */
function prototypesIn(
  reached: readonly object[],
  shared: ReadonlySet<object>,
): ReadonlyMap<string, object | null> {
  const prototypes = new Map<string, object | null>(
    classes.map(({ name, prototype }) => [name, prototype]),
  );
  for (const value of reached) {
    const name = classOf(value);
    if (name === '' || shared.has(value)) continue;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (typeof prototype !== 'object' || prototype === null) continue;
    const isFirst = (prototypes.get(name) ?? prototype) === prototype;
    prototypes.set(name, isFirst ? prototype : null);
  }
  return prototypes;
}
