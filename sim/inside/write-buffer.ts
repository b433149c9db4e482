import { assert } from '../../sdk/assert.js';

const none = -1;

const State = {
  free: 0,
  /** In the list of its drive and stream. */
  dirty: 1,
  /** Taken out for a row; the firmware works on it. */
  staged: 2,
  /** Given to the drive. */
  leaving: 3,
} as const;

/**
 * Units that were written and are not on the medium yet. Only which units, not what they hold.
 *
 * What always holds: a unit has at most one dirty slot; the index names the newest slot of a unit;
 * each list has the dirty slots of one drive and stream in the order of their first write.
 */
export class WriteBuffer {
  /** Writes that met a dirty slot of their unit. */
  coalesced = 0;
  used = 0;
  dirty = 0;
  /** Counts first writes into a slot. */
  sequence = 0;
  readonly capacity: number;
  private readonly units: Int32Array;
  private readonly states: Uint8Array;
  private readonly lists: Uint16Array;
  private readonly sequences: Float64Array;
  private readonly nexts: Int32Array;
  private readonly previous: Int32Array;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly counts: Int32Array;
  private freeHead = none;
  /** Open addressing: slot + 1 of the newest slot of a unit, 0 where nothing is. */
  private readonly index: Int32Array;
  private readonly mask: number;

  constructor(capacity: number, lists: number) {
    this.capacity = capacity;
    this.units = new Int32Array(capacity);
    this.states = new Uint8Array(capacity);
    this.lists = new Uint16Array(capacity);
    this.sequences = new Float64Array(capacity);
    this.nexts = new Int32Array(capacity);
    this.previous = new Int32Array(capacity);
    this.heads = new Int32Array(lists).fill(none);
    this.tails = new Int32Array(lists).fill(none);
    this.counts = new Int32Array(lists);
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, 2 * capacity)));
    this.index = new Int32Array(size);
    this.mask = size - 1;
    for (let slot = capacity - 1; slot >= 0; slot--) this.toFree(slot);
  }

  get listCount(): number {
    return this.heads.length;
  }

  countOf(list: number): number {
    return this.counts[list]!;
  }

  unitOf(slot: number): number {
    return this.units[slot]!;
  }

  listOf(slot: number): number {
    return this.lists[slot]!;
  }

  isStaged(slot: number): boolean {
    return this.states[slot] === State.staged;
  }

  has(unit: number): boolean {
    return this.index[this.place(unit)] !== 0;
  }

  /** Sequence number of the oldest dirty slot of a list, Infinity when it has none. */
  oldest(list: number): number {
    const head = this.heads[list]!;
    return head === none ? Infinity : this.sequences[head]!;
  }

  /**
   * @param keepFree  slots that have to stay free
   * @returns         false when there is no room
   */
  put(unit: number, list: number, keepFree = 0): boolean {
    const at = this.place(unit);
    const old = this.index[at]! - 1;
    if (old >= 0 && this.states[old] === State.dirty && this.lists[old] === list) {
      this.coalesced++;
      return true;
    }
    const slot = this.freeHead;
    if (slot === none || this.used + keepFree >= this.capacity) return false;
    if (old >= 0 && this.states[old] === State.dirty) this.unlink(old);
    this.freeHead = this.nexts[slot]!;
    this.used++;
    this.units[slot] = unit;
    this.lists[slot] = list;
    this.append(slot, ++this.sequence);
    this.index[at] = slot + 1;
    // An older dirty slot in another stream is overtaken: it never goes to the medium.
    if (old >= 0 && this.states[old] === State.free) this.giveBack(old);
    return true;
  }

  /** Take the oldest slot of a list out for a row. */
  stage(list: number): number {
    const slot = this.heads[list]!;
    assert(slot !== none, 'a row is taken from an empty list');
    this.unlink(slot);
    this.states[slot] = State.staged;
    return slot;
  }

  /** The drive has it. */
  leave(slot: number): void {
    assert(this.states[slot] === State.staged, 'what goes to the drive was staged');
    this.states[slot] = State.leaving;
  }

  /** It is on the medium. */
  release(slot: number): void {
    const at = this.place(this.units[slot]!);
    if (this.index[at] === slot + 1) this.removeAt(at);
    this.giveBack(slot);
  }

  /** Forget a unit that is dirty; one that is under way ends its way. */
  drop(unit: number): void {
    const at = this.place(unit);
    const slot = this.index[at]! - 1;
    if (slot < 0 || this.states[slot] !== State.dirty) return;
    this.unlink(slot);
    this.removeAt(at);
    this.giveBack(slot);
  }

  /** Forget dirty units in a range, however long it is. */
  dropRange(unit: number, count: number): void {
    if (count <= this.capacity) {
      for (let i = 0; i < count; i++) this.drop(unit + i);
      return;
    }
    for (let slot = 0; slot < this.capacity; slot++) {
      const own = this.units[slot]!;
      if (this.states[slot] === State.dirty && own >= unit && own < unit + count) this.drop(own);
    }
  }

  /**
   * The power went. With capacitors, what the drive had is on the medium and what was staged waits
   * again; without, nothing is left.
   */
  powerLost(isProtected: boolean): void {
    for (let slot = 0; slot < this.capacity; slot++) {
      const state = this.states[slot];
      if (state === State.free) continue;
      if (isProtected && state === State.dirty) continue;
      if (isProtected && state === State.staged) {
        this.append(slot, this.sequences[slot]!);
      } else {
        if (state === State.dirty) this.unlink(slot);
        this.release(slot);
      }
    }
  }

  private append(slot: number, sequence: number): void {
    const list = this.lists[slot]!;
    const tail = this.tails[list]!;
    this.states[slot] = State.dirty;
    this.sequences[slot] = sequence;
    this.nexts[slot] = none;
    this.previous[slot] = tail;
    if (tail === none) this.heads[list] = slot;
    else this.nexts[tail] = slot;
    this.tails[list] = slot;
    this.counts[list]!++;
    this.dirty++;
  }

  /** Out of its list; what comes next is the caller's to say. */
  private unlink(slot: number): void {
    const list = this.lists[slot]!;
    const next = this.nexts[slot]!;
    const previous = this.previous[slot]!;
    if (previous === none) this.heads[list] = next;
    else this.nexts[previous] = next;
    if (next === none) this.tails[list] = previous;
    else this.previous[next] = previous;
    this.counts[list]!--;
    this.dirty--;
    this.states[slot] = State.free;
  }

  private giveBack(slot: number): void {
    this.used--;
    this.toFree(slot);
  }

  private toFree(slot: number): void {
    this.states[slot] = State.free;
    this.nexts[slot] = this.freeHead;
    this.freeHead = slot;
  }

  /** Where a unit stands in the index, or the empty place where it would. */
  private place(unit: number): number {
    let at = (Math.imul(unit, 0x9e3779b1) >>> 7) & this.mask;
    for (;;) {
      const slot = this.index[at]! - 1;
      if (slot < 0 || this.units[slot] === unit) return at;
      at = (at + 1) & this.mask;
    }
  }

  /** Close the gap: what stands behind it and would be found through it moves up. */
  private removeAt(at: number): void {
    const { index, mask } = this;
    let hole = at;
    index[hole] = 0;
    for (let next = (hole + 1) & mask; index[next] !== 0; next = (next + 1) & mask) {
      const home = (Math.imul(this.units[index[next]! - 1]!, 0x9e3779b1) >>> 7) & mask;
      const isBetween = hole <= next ? hole < home && home <= next : hole < home || home <= next;
      if (isBetween) continue;
      index[hole] = index[next]!;
      index[next] = 0;
      hole = next;
    }
  }
}
