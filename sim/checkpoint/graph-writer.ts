import { AssertionFailure } from '../../sdk/assert.js';
import { Slab } from '../store/slab.js';
import { ByteWriter } from './bytes.js';
import type { Construction } from './constants.js';
import { partnersOf } from './partners.js';
import { writeSlab } from './slabs.js';
import { writeSparse } from './sparse.js';
import { classOf, fieldsOf, notState, Tag, viewKinds } from './vocabulary.js';

/**
 * Writes everything that is reachable from a root, each object once: its fields in their order, and
 * a number where an object comes again. So two objects that are one stay one, and rings of
 * references end. Objects that a new world has at the same place have the first numbers.
 */
export class GraphWriter {
  private readonly out = new ByteWriter();
  private readonly numbers = new Map<object, number>();
  private readonly written = new Set<object>();
  private readonly shapes = new Map<string, number>();
  private readonly shared: ReadonlyMap<object, number>;
  private readonly like: Construction;
  private readonly outside: ReadonlySet<object>;
  private readonly trail: string[] = [];
  private readonly memories = new Set<ArrayBufferLike>();
  private readonly slabs: Slab[] = [];

  /** @param like  what is written is held against it */
  constructor(like: Construction) {
    this.like = like;
    this.outside = like.outside;
    this.shared = new Map(like.shared.map((each, index) => [each, index]));
  }

  /** @returns the body of a checkpoint */
  write(root: unknown): Uint8Array {
    this.standing(root);
    this.value(root);
    // It would come back twice, and the two would differ from then on.
    const isSeen = this.slabs.some(({ bytes }) => this.memories.has(bytes.buffer));
    if (isSeen) this.refuse('a view of a slab');
    return this.out.written;
  }

  /** Which objects of a new world, in the order in which they are reached, are filled. */
  private standing(root: unknown): void {
    const { like } = this;
    const partners = partnersOf(like.root, root, new Set([...like.shared, ...like.outside]));
    this.out.count(partners.size);
    let skipped = 0;
    for (const one of like.reached) {
      const partner = partners.get(one);
      if (partner === undefined) {
        skipped++;
        continue;
      }
      this.out.count(skipped);
      skipped = 0;
      this.numbers.set(partner, this.numbers.size);
    }
  }

  private value(value: unknown): void {
    const { out } = this;
    switch (typeof value) {
      case 'undefined':
        out.byte(Tag.undefined);
        return;
      case 'boolean':
        out.byte(value ? Tag.true : Tag.false);
        return;
      case 'number':
        this.number(value);
        return;
      case 'string':
        out.byte(Tag.text);
        out.text(value);
        return;
      case 'bigint':
        out.byte(Tag.bigint);
        out.text(String(value));
        return;
      case 'function':
        out.byte(Tag.kept);
        return;
      case 'object':
        if (value === null) out.byte(Tag.null);
        else if (this.outside.has(value)) out.byte(Tag.kept);
        else this.reference(value);
        return;
      default:
        this.refuse('a symbol');
    }
  }

  private number(value: number): void {
    const { out } = this;
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      out.byte(value >= 0 ? Tag.count : Tag.negative);
      out.count(value >= 0 ? value : -1 - value);
    } else {
      out.byte(Tag.float);
      out.float(value);
    }
  }

  private reference(value: object): void {
    const { out } = this;
    const place = this.shared.get(value);
    const number = this.numbers.get(value);
    if (place !== undefined) {
      out.byte(Tag.shared);
      out.count(place);
      return;
    }
    if (number !== undefined) {
      const isAgain = this.written.has(value);
      out.byte(isAgain ? Tag.again : Tag.standing);
      out.count(number);
      if (isAgain) return;
    } else {
      this.numbers.set(value, this.numbers.size);
    }
    this.written.add(value);
    this.content(value);
  }

  private content(value: object): void {
    if (Array.isArray(value)) this.array(value);
    else if (value instanceof Map) this.map(value);
    else if (value instanceof Set) this.set(value);
    else if (ArrayBuffer.isView(value)) this.view(value);
    else if (value instanceof ArrayBuffer) this.memory(value);
    else if (value instanceof Slab) this.slab(value);
    else this.object(value);
  }

  private memory(memory: ArrayBuffer): void {
    this.memories.add(memory);
    this.out.byte(Tag.memory);
    writeSparse(this.out, memory);
  }

  private slab(slab: Slab): void {
    this.slabs.push(slab);
    this.out.byte(Tag.slab);
    writeSlab(this.out, slab);
  }

  private object(value: object): void {
    const name = classOf(value);
    if (foreign.has(name)) this.refuse(`a ${name}`);
    const fields = fieldsOf(value);
    this.out.byte(Tag.object);
    this.shape(name, fields);
    const left = notState[name];
    for (const field of fields) {
      this.trail.push(`${name}.${field}`);
      if (left?.includes(field) === true) this.out.byte(Tag.kept);
      else this.value(Reflect.get(value, field));
      this.trail.pop();
    }
  }

  /** Class and field names, once; later only their number. */
  private shape(name: string, fields: readonly string[]): void {
    const key = `${name}:${fields.join()}`;
    const number = this.shapes.get(key);
    this.out.count(number ?? this.shapes.size);
    if (number !== undefined) return;
    this.shapes.set(key, this.shapes.size);
    this.out.text(name);
    this.out.count(fields.length);
    for (const field of fields) this.out.text(field);
  }

  private array(values: readonly unknown[]): void {
    this.out.byte(Tag.array);
    this.out.count(values.length);
    for (let i = 0; i < values.length; i++) this.value(values[i]);
  }

  private map(map: ReadonlyMap<unknown, unknown>): void {
    this.out.byte(Tag.map);
    this.out.count(map.size);
    for (const [key, value] of map) {
      this.value(key);
      this.value(value);
    }
  }

  private set(set: ReadonlySet<unknown>): void {
    this.out.byte(Tag.set);
    this.out.count(set.size);
    for (const value of set) {
      if (typeof value === 'function') this.refuse('a function in a set');
      this.value(value);
    }
  }

  private view(view: ArrayBufferView): void {
    // Memory of a Buffer may be shared with anything: its own bytes are the state.
    const own = Buffer.isBuffer(view) ? Uint8Array.from(view) : view;
    const kind = viewKinds.findIndex((each) => own instanceof each);
    if (kind < 0) this.refuse(`a ${view.constructor.name}`);
    this.out.byte(Tag.view);
    this.out.count(kind);
    this.out.count(own.byteOffset);
    this.out.count(own.byteLength);
    this.value(own.buffer);
  }

  private refuse(what: string): never {
    throw new AssertionFailure(`${what} is no state of a card: ${this.trail.join(' > ')}`);
  }
}

/** What belongs to a running program and cannot come back. */
const foreign = new Set(['Promise', 'WeakMap', 'WeakRef', 'AbortController', 'Date']);
