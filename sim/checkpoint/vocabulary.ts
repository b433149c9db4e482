import { Reservations } from '../../sdk/reservations/reservations.js';
import { FilledContents, FilledPlaces, FillOrder } from '../ftl/fill-order.js';
import { WriteCache } from '../nvme/cache.js';
import { Command, SegmentList } from '../nvme/command.js';
import { CompletionQueue } from '../nvme/completion-queue.js';
import { Parameters } from '../nvme/io/parameters.js';
import { Medium } from '../nvme/medium.js';
import { Namespace } from '../nvme/namespace.js';
import { QueueMemory } from '../nvme/queue-memory.js';
import { SubmissionQueue } from '../nvme/submission-queue.js';
import { SimDmaRegion, SimDmaSpace } from '../pcie/dma-space.js';
import { HostMemory, Segment } from '../pcie/host-memory.js';
import { Prng } from '../prng.js';
import { PageIndex } from '../store/page-index.js';
import { PagePool } from '../store/page-pool.js';
import { MemoryStore } from '../store/page-store.js';
import { Slab } from '../store/slab.js';

/** What stands in the body of a checkpoint, one byte each. */
export const Tag = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  /** Integers from 0 on, and below it. */
  count: 4,
  negative: 5,
  float: 6,
  text: 7,
  bigint: 8,
  /** An object that was written before, by its number. */
  again: 9,
  /** What belongs to the program, by its place in `Construction.shared`. */
  shared: 10,
  /** What the card itself makes anew: functions, and what belongs to a host. */
  kept: 11,
  object: 12,
  array: 13,
  map: 14,
  set: 15,
  memory: 16,
  view: 17,
  /** In front of the content of an object that a new card has at the same place: its number. */
  standing: 18,
  /** Contents of blocks, that are not copied. */
  slab: 19,
} as const;

/** Views that a card keeps state in, by number. */
export const viewKinds = [
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  Uint8ClampedArray,
  BigUint64Array,
  BigInt64Array,
] as const;

/**
 * Fields that belong to a host or to whoever watches, not to the card: a restored card has them as
 * a new one has. Everything else that is reachable from world and cards is state.
 */
export const notState: Readonly<Record<string, readonly string[]>> = {
  /** Tasks of a host that sleep. */
  VirtualClock: ['waiters'],
  /** Whoever watches commands end, or parts being busy. */
  Poster: ['observer'],
  Direction: ['tracks'],
  CoreGroup: ['tracks'],
  Bus: ['tracks', 'dieTracks'],
  StripeArray: ['tracks'],
};

/**
 * How to make the parts that come into being while a card runs. Parts that a new card has at the
 * same place are filled there, so that whoever holds them keeps holding the right ones; plain
 * objects, arrays and memory need no entry.
 */
export const makers: readonly (() => object)[] = [
  () => new Command(0),
  () => new SegmentList(),
  () => new Parameters(),
  () => new Segment(0, 0),
  () => {
    const space = new SimDmaSpace(new HostMemory());
    return new SimDmaRegion(space, 0, new Uint8Array(4));
  },
  () => new QueueMemory({ base: 0, entryBytes: 16, pageBytes: 4096 }),
  makeCompletionQueue,
  () =>
    new SubmissionQueue({
      queueId: 0,
      entries: 2,
      memory: new QueueMemory({ base: 0, entryBytes: 64, pageBytes: 4096 }),
      priority: 0,
      completionQueue: makeCompletionQueue(),
    }),
];

/** The same for parts whose making needs a card: empty objects of their class are filled. */
export const classes: readonly { readonly name: string; readonly prototype: object }[] = [
  Namespace,
  Reservations,
  Medium,
  WriteCache,
  MemoryStore,
  PagePool,
  PageIndex,
  Prng,
  FillOrder,
  FilledPlaces,
  FilledContents,
];

function makeCompletionQueue(): CompletionQueue {
  return new CompletionQueue({
    queueId: 0,
    entries: 2,
    memory: new QueueMemory({ base: 0, entryBytes: 16, pageBytes: 4096 }),
    areInterruptsEnabled: false,
    vector: 0,
  });
}

/** The class of an object; '' for a plain one. */
export function classOf(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return '';
  return value.constructor.name;
}

/**
 * Names of the fields that hold a value of their own, in the order in which they were made. A slab
 * has none: it goes as one.
 */
export function fieldsOf(value: object): readonly string[] {
  if (value instanceof Slab) return [];
  const fields: string[] = [];
  for (const name of Object.keys(value)) {
    if (Object.getOwnPropertyDescriptor(value, name)?.get === undefined) fields.push(name);
  }
  return fields;
}
