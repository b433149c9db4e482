import { assert } from '../assert.js';
import { grown } from './nodes.js';

/**
 * Which units of the pool are free, and how many map entries name each of the others.
 *
 * What always holds: a unit is handed out only when the record that freed it is durable and every
 * device request that was under way when it became free has ended. The first is the business of
 * `DeferredReleases`; the second is done here, in two rounds: units freed lately are young; when
 * all requests of the round before have ended, the old ones become free, the young ones old.
 */
export class UnitSpace {
  /** Entries of maps, and writes under way, that name the unit; 0 for units of the system too. */
  refs: Uint32Array;
  unitCount: number;
  freeCount = 0;
  /** Device requests under way, by round. */
  readonly inFlight = new Int32Array(2);
  /** The round that new requests belong to, 0 or 1. */
  round = 0;
  private bits: Uint32Array;
  /** A bit for each word of `bits` that is not 0. */
  private summary: Uint32Array;
  private cursor = 0;
  private young = new Uint32Array(1024);
  private youngCount = 0;
  private old = new Uint32Array(1024);
  private oldCount = 0;

  constructor(unitCount: number) {
    this.unitCount = unitCount;
    this.refs = new Uint32Array(unitCount);
    this.bits = new Uint32Array((unitCount + 31) >>> 5);
    this.summary = new Uint32Array((this.bits.length + 31) >>> 5);
  }

  /** Units on their way to become free. */
  get waitingCount(): number {
    return this.youngCount + this.oldCount;
  }

  grow(unitCount: number): void {
    const refs = new Uint32Array(unitCount);
    refs.set(this.refs);
    const bits = new Uint32Array((unitCount + 31) >>> 5);
    bits.set(this.bits);
    const summary = new Uint32Array((bits.length + 31) >>> 5);
    summary.set(this.summary);
    this.refs = refs;
    this.bits = bits;
    this.summary = summary;
    this.unitCount = unitCount;
  }

  isFree(unit: number): boolean {
    return ((this.bits[unit >>> 5]! >>> (unit & 31)) & 1) === 1;
  }

  /** A copy of what is free: a bit for each unit, the lowest of dword 0 first. */
  freeBits(): Uint32Array {
    return this.bits.slice();
  }

  /** @returns a unit that was free, 0 when there is none */
  allocate(): number {
    if (this.freeCount === 0) return 0;
    const { bits } = this;
    let index = this.cursor >>> 5;
    // What lies at and after the cursor in its own word first, so that units ascend.
    let word = bits[index]! & (-1 << (this.cursor & 31));
    if (word === 0) {
      index = this.nextWord(index + 1);
      word = bits[index]!;
    }
    const unit = index * 32 + (31 - Math.clz32(word & -word));
    this.take(unit);
    this.cursor = unit + 1 < this.unitCount ? unit + 1 : 0;
    return unit;
  }

  /** Search from here on: from the start, so that what became free lately is used first. */
  rewind(unit = 0): void {
    this.cursor = unit;
  }

  /** A unit that is known to be free is in use now. */
  take(unit: number): void {
    assert(this.isFree(unit), 'a unit is taken that is not free');
    const index = unit >>> 5;
    this.bits[index]! ^= 1 << (unit & 31);
    if (this.bits[index] === 0) this.summary[index >>> 5]! &= ~(1 << (index & 31));
    this.freeCount--;
  }

  /** Free at once: nothing durable and nothing under way may name it. */
  free(unit: number): void {
    assert(!this.isFree(unit), 'a unit is freed twice');
    assert(this.refs[unit] === 0, 'a unit is freed that something names');
    const index = unit >>> 5;
    this.bits[index]! |= 1 << (unit & 31);
    this.summary[index >>> 5]! |= 1 << (index & 31);
    this.freeCount++;
  }

  /** One name less, durably. The last one frees the unit as soon as what is under way has ended. */
  release(unit: number): void {
    assert(this.refs[unit]! > 0, 'a unit is released that nothing names');
    if (--this.refs[unit]! > 0) return;
    if (this.youngCount === this.young.length) this.young = grown(this.young);
    this.young[this.youngCount++] = unit;
  }

  /** @returns whether units became free */
  turn(): boolean {
    if (this.waitingCount === 0 || this.inFlight[1 - this.round]! > 0) return false;
    const { old, oldCount } = this;
    for (let i = 0; i < oldCount; i++) this.free(old[i]!);
    this.old = this.young;
    this.oldCount = this.youngCount;
    this.young = old;
    this.youngCount = 0;
    this.round = 1 - this.round;
    return oldCount > 0;
  }

  private nextWord(from: number): number {
    const { bits, summary } = this;
    let group = from >>> 5;
    let word = group < summary.length ? summary[group]! & (-1 << (from & 31)) : 0;
    for (let i = 0; word === 0 && i <= summary.length; i++) {
      group = group + 1 < summary.length ? group + 1 : 0;
      word = summary[group]!;
    }
    assert(word !== 0, 'the count of free units and their bits differ');
    const index = group * 32 + (31 - Math.clz32(word & -word));
    assert(index < bits.length, 'a free unit lies beyond the end');
    return index;
  }
}

/** The high bit tells nodes from units in the list of `DeferredReleases`. */
const nodeFlag = 0x8000_0000;

/**
 * Names that a map has given up and whose giving up is not durable yet. Until it is, they count:
 * the unit is neither free nor anybody's own, because after a power cut the old map may be back.
 * Released in the order of the journal batches that make them durable.
 */
export class DeferredReleases {
  private list = new Uint32Array(4096);
  private head = 0;
  private count = 0;
  private readonly ends: { seq: number; count: number }[] = [];
  private sealed = 0;

  get pending(): number {
    return this.count;
  }

  deferUnit(unit: number): void {
    this.push(unit);
  }

  deferNode(id: number): void {
    this.push((id | nodeFlag) >>> 0);
  }

  /** Everything deferred so far becomes durable with this batch at the latest. */
  seal(seq: number): void {
    const fresh = this.count - this.sealed;
    if (fresh === 0) return;
    this.sealed = this.count;
    this.ends.push({ seq, count: fresh });
  }

  /** Batches up to `seq` are durable. */
  settle(seq: number, releaseUnit: (unit: number) => void, dropNode: (id: number) => void): void {
    for (let first = this.ends[0]; first !== undefined && first.seq <= seq; first = this.ends[0]) {
      this.ends.shift();
      for (let i = 0; i < first.count; i++) {
        const value = this.list[this.head]!;
        this.head = (this.head + 1) % this.list.length;
        if (value >= nodeFlag) dropNode(value & ~nodeFlag);
        else releaseUnit(value);
      }
      this.count -= first.count;
      this.sealed -= first.count;
    }
  }

  private push(value: number): void {
    if (this.count === this.list.length) {
      const next = new Uint32Array(this.list.length * 2);
      for (let i = 0; i < this.count; i++) next[i] = this.list[(this.head + i) % this.list.length]!;
      this.list = next;
      this.head = 0;
    }
    this.list[(this.head + this.count) % this.list.length] = value;
    this.count++;
  }
}
