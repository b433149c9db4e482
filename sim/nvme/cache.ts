import { assert } from '../../sdk/assert.js';
import { absent, PageIndex } from '../store/page-index.js';
import { blankPage, blocksIn, type PagePool } from '../store/page-pool.js';
import { type PageStore, unreadable } from '../store/page-store.js';

/**
 * The volatile write cache.
 *
 * What always holds: `find` gives the newest content of a page, durable or not; the log lists what
 * is not durable, oldest first, in units that are durable wholly or not at all. Whatever leaves the
 * log in order is durable.
 *
 * What may happen: a power cut draws for each unit whether it survives. So writes are lost, a later
 * one survives an earlier one (reordered), and one that is longer than a unit survives in part
 * (torn). Nothing that was flushed, written with FUA or written with the cache off is touched.
 */

/** Chance as a power cut needs it. */
export interface Chance {
  /** An integer 0..bound - 1. */
  below(bound: number): number;
  /** 0 <= x < 1 */
  unit(): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
}

export interface CacheOptions {
  /** Contents that may be dirty at a time. */
  readonly capacityPages: number;
  readonly chance: Chance;
}

export class WriteCache {
  private readonly pool: PagePool;
  private readonly store: PageStore;
  private readonly chance: Chance;
  private readonly capacity: number;

  /** Page → place in the tables of dirty pages. */
  private readonly dirty: PageIndex;
  private readonly newest: Int32Array;
  private readonly pending: Int32Array;
  private readonly freeSlots: Int32Array;
  private freeCount = 0;
  /** Places from here on were never used. */
  private freshSlot = 0;

  // The log, a ring: `tail` is the oldest entry, both run on without wrapping.
  private readonly logPage: Float64Array;
  private readonly logContent: Int32Array;
  private readonly logMask: Uint8Array;
  /** Unit of the first block of the entry, and of the last; where in between a new one starts. */
  private readonly logUnit: Float64Array;
  private readonly logLast: Float64Array;
  private readonly logStarts: Uint8Array;
  private head = 0;
  private tail = 0;

  constructor(pool: PagePool, store: PageStore, options: CacheOptions) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, options.capacityPages)));
    this.pool = pool;
    this.store = store;
    this.chance = options.chance;
    this.capacity = capacity;
    this.dirty = new PageIndex();
    this.newest = new Int32Array(capacity);
    this.pending = new Int32Array(capacity);
    this.freeSlots = new Int32Array(capacity);
    this.logPage = new Float64Array(capacity);
    this.logContent = new Int32Array(capacity);
    this.logMask = new Uint8Array(capacity);
    this.logUnit = new Float64Array(capacity);
    this.logLast = new Float64Array(capacity);
    this.logStarts = new Uint8Array(capacity);
  }

  /** Entries that are not durable. */
  get dirtyCount(): number {
    return this.head - this.tail;
  }

  /** Whether something about the page is not durable. */
  isDirty(page: number): boolean {
    return this.head !== this.tail && this.dirty.get(page) !== absent;
  }

  /** @returns the newest content, or `unreadable` */
  find(page: number): number {
    if (this.head !== this.tail) {
      const slot = this.dirty.get(page);
      if (slot !== absent) return this.newest[slot]!;
    }
    return this.store.find(page);
  }

  /**
   * The whole newest content of a page, durable some time later. Takes one reference over. Blocks
   * of
   * one unit number survive a power cut together, over entries that follow each other.
   *
   * @param mask      blocks that this write changed
   * @param unit      of the first of them
   * @param starts    blocks after the first at which another unit starts
   * @param lastUnit  of the last of them
   * @returns         false when there was no room and the medium refused to make some
   */
  add(
    page: number,
    content: number,
    mask: number,
    unit: number,
    starts: number,
    lastUnit: number,
  ): boolean {
    while (this.head - this.tail === this.capacity) {
      if (this.destageUnit()) continue;
      this.pool.release(content);
      return false;
    }
    let slot = this.dirty.get(page);
    if (slot === absent) {
      slot = this.freeCount > 0 ? this.freeSlots[--this.freeCount]! : this.freshSlot++;
      this.pending[slot] = 0;
      this.dirty.set(page, slot);
    } else {
      this.pool.release(this.newest[slot]!);
    }
    this.newest[slot] = content;
    this.pending[slot]!++;
    this.pool.hold(content);
    const at = this.head & (this.capacity - 1);
    this.logPage[at] = page;
    this.logContent[at] = content;
    this.logMask[at] = mask;
    this.logUnit[at] = unit;
    this.logStarts[at] = starts;
    this.logLast[at] = lastUnit;
    this.head++;
    return true;
  }

  /**
   * The same, durable at once. What is in the log for these blocks is older: it must not follow.
   */
  addDurable(page: number, content: number, mask: number): boolean {
    const slot = this.head === this.tail ? absent : this.dirty.get(page);
    if (slot === absent) return this.putOrRelease(page, content, mask);
    for (let entry = this.tail; entry < this.head; entry++) {
      const at = entry & (this.capacity - 1);
      if (this.logPage[at] === page) this.logMask[at]! &= ~mask;
    }
    this.pool.release(this.newest[slot]!);
    this.newest[slot] = content;
    return this.merge(page, content, mask);
  }

  /** Make everything durable. @returns false when the medium refused; what is left stays dirty */
  flush(): boolean {
    while (this.head !== this.tail) if (!this.destageUnit()) return false;
    return this.store.sync();
  }

  /**
   * Power goes away: units survive or not. One probability is drawn per cut, the ends included, so
   * that "all lost" and "all survived" happen as well.
   *
   * @returns by how many blocks the written ones have changed
   */
  cutPower(): number {
    let change = 0;
    this.dirty.forEach((_, slot) => {
      change -= blocksIn(this.pool.written[this.newest[slot]!]!);
    });
    const probability = this.chance.below(5) / 4;
    let unit = -1;
    let survives = false;
    for (let entry = this.tail; entry < this.head; entry++) {
      const at = entry & (this.capacity - 1);
      if (this.logUnit[at] !== unit) survives = this.chance.chance(probability);
      unit = this.logLast[at]!;
      let alive = 0;
      for (let block = 0; block < this.pool.blocksPerPage; block++) {
        const isStart = ((this.logStarts[at]! >>> block) & 1) === 1;
        if (isStart) survives = this.chance.chance(probability);
        if (survives) alive |= 1 << block;
      }
      this.merge(this.logPage[at]!, this.logContent[at]!, this.logMask[at]! & alive);
      this.pool.release(this.logContent[at]!);
    }
    this.tail = this.head;
    this.dirty.forEach((page, slot) => {
      this.pool.release(this.newest[slot]!);
      this.freeSlots[this.freeCount++] = slot;
      const durable = this.store.find(page);
      if (durable !== unreadable) change += blocksIn(this.pool.written[durable]!);
    });
    this.dirty.clear();
    return change;
  }

  /** Dirty pages in [first, end). For the control path. */
  pagesIn(first: number, end: number): number[] {
    return this.dirty.pagesIn(first, end);
  }

  /** The oldest unit becomes durable and leaves the log. An entry that the medium refuses stays. */
  private destageUnit(): boolean {
    for (;;) {
      const at = this.tail & (this.capacity - 1);
      if (!this.destage(at)) return false;
      const unit = this.logLast[at];
      this.tail++;
      if (this.tail === this.head) return true;
      if (this.logUnit[this.tail & (this.capacity - 1)] !== unit) return true;
    }
  }

  private destage(at: number): boolean {
    const page = this.logPage[at]!;
    const content = this.logContent[at]!;
    const mask = this.logMask[at]!;
    const slot = this.dirty.get(page);
    assert(slot !== absent, 'a logged page is dirty');
    if (this.pending[slot]! > 1) {
      if (!this.merge(page, content, mask)) return false;
    } else {
      // All older entries are durable, so the newest content is what the medium must hold.
      const newest = this.newest[slot]!;
      this.pool.hold(newest);
      if (!this.store.put(page, newest, mask)) {
        this.pool.release(newest);
        return false;
      }
      this.pool.release(newest);
      this.dirty.delete(page);
      this.freeSlots[this.freeCount++] = slot;
    }
    this.pending[slot]!--;
    this.pool.release(content);
    return true;
  }

  /** The blocks in `mask` become durable; the other blocks of the content do not. */
  private merge(page: number, content: number, mask: number): boolean {
    if (mask === 0) return true;
    const { pool } = this;
    if (mask === pool.allBlocks) {
      pool.hold(content);
      return this.putOrRelease(page, content, mask);
    }
    const durable = this.store.find(page);
    if (durable === unreadable) return false;
    const merged = pool.take();
    pool.copyBlocks(durable, merged, pool.allBlocks & ~mask);
    pool.copyBlocks(content, merged, mask);
    if (pool.written[merged] === 0 && pool.bad[merged] === 0) {
      pool.release(merged);
      return this.store.put(page, blankPage, mask);
    }
    return this.putOrRelease(page, merged, mask);
  }

  private putOrRelease(page: number, content: number, mask: number): boolean {
    if (this.store.put(page, content, mask)) return true;
    this.pool.release(content);
    return false;
  }
}
