import { assert } from '../../sdk/assert.js';
import { MediaStatus } from '../../sdk/spec/nvme/status.js';
import {
  blankPage,
  blocksIn,
  maskOf,
  PagePool,
  pageDataBytes,
  zeroPage,
} from '../store/page-pool.js';
import { MemoryStore, type PageStore, unreadable } from '../store/page-store.js';
import { type Chance, WriteCache } from './cache.js';

const { writeFault } = MediaStatus;

/** Where a write may be cut in two by the power, in blocks [NVM-1.0 §2.1.4]. */
export interface TearOptions {
  /** Writes of at most so many blocks are never torn. */
  readonly powerFailBlocks: number;
  /** A write that crosses such a boundary is torn there; 0 is no boundary. */
  readonly boundaryBlocks: number;
  readonly boundaryOffset: number;
}

export interface MediumOptions {
  /** The card has a write cache that loses its content with the power. */
  readonly hasVolatileCache: boolean;
  /** Bytes that may be in the cache before the oldest go to the medium. */
  readonly cacheBytes: number;
  readonly tear: TearOptions;
  readonly chance: Chance;
  /** Makes the durable store; `isFresh` when what it held before is to be forgotten. */
  readonly openStore: (pool: PagePool, isFresh: boolean) => PageStore;
}

/**
 * The blocks of one namespace: a durable store under a write cache. Contents are given and taken as
 * numbers of `pool`; a reformat makes a new pool and raises `epoch`, and contents of before are
 * void.
 */
export class Medium {
  /** Rises with each reformat. */
  epoch = 0;
  /** Blocks that are written and not deallocated since (NUSE counts them). */
  usedBlocks = 0;
  /** Feature 06h. */
  isCacheEnabled = true;
  readonly hasVolatileCache: boolean;
  readonly tear: TearOptions;
  pool: PagePool;
  private readonly chance: Chance;
  private readonly cachePages: number;
  /** Null when the medium was closed. */
  private openStore: MediumOptions['openStore'] | null;
  private store: PageStore | null = null;
  private cache: WriteCache;
  private unit = 0;

  constructor(options: MediumOptions) {
    this.chance = options.chance;
    this.cachePages = options.cacheBytes / pageDataBytes;
    this.openStore = options.openStore;
    this.hasVolatileCache = options.hasVolatileCache;
    this.tear = options.tear;
    // No blocks before the first `reformat`.
    this.pool = new PagePool(512, new Uint8Array(0));
    const store = new MemoryStore(this.pool);
    this.cache = new WriteCache(this.pool, store, { capacityPages: 0, chance: this.chance });
  }

  /** Writes may complete before they are durable. */
  get isCacheVolatile(): boolean {
    return this.hasVolatileCache && this.isCacheEnabled;
  }

  /** Entries of the cache that a flush must write back. */
  get dirtyPages(): number {
    return this.cache.dirtyCount;
  }

  /** Feature 06h. Turning the cache off makes everything durable first. @returns 0 or a status */
  setCacheEnabled(isEnabled: boolean): number {
    const status = isEnabled ? 0 : this.flush();
    if (status === 0) this.isCacheEnabled = isEnabled;
    return status;
  }

  /** Make everything durable. @returns 0 or a status */
  flush(): number {
    return this.cache.flush() ? 0 : writeFault;
  }

  /**
   * The geometry from now on. The first time, a store that already holds blocks of this geometry
   * keeps them; later all blocks are forgotten, durably and at once.
   */
  reformat(dataBytes: number, blankMetadata: Uint8Array): void {
    const isFirst = this.epoch === 0;
    this.epoch++;
    this.store?.close();
    const pool = new PagePool(dataBytes, blankMetadata);
    assert(this.openStore !== null, 'a medium that was closed is not formatted');
    const store = this.openStore(pool, !isFirst);
    this.pool = pool;
    this.store = store;
    this.cache = this.makeCache(store);
    this.usedBlocks = 0;
    if (!isFirst) return;
    for (const page of store.pagesIn(0, Number.MAX_SAFE_INTEGER)) {
      const content = store.find(page);
      if (content !== unreadable) this.usedBlocks += blocksIn(pool.written[content]!);
    }
  }

  /**
   * Power goes away now: unflushed writes survive, or not, in any order, torn at the atomic unit.
   */
  cutPower(): void {
    this.usedBlocks += this.cache.cutPower();
  }

  close(): void {
    this.store?.close();
    this.store = null;
    this.openStore = null;
  }

  /** @returns the newest content of a page, valid until anything else is asked, or `unreadable` */
  find(page: number): number {
    return this.cache.find(page);
  }

  /**
   * Write blocks whose contents are a chain in `pool` (`next`), one per page, the flags of the
   * blocks set. Takes the references over, also when it fails.
   *
   * @param isForced  durable before it returns
   */
  commit(lba: number, count: number, chain: number, isForced: boolean): number {
    const { pool } = this;
    const perPage = pool.blocksPerPage;
    const isDurable = isForced || !this.isCacheVolatile;
    const isWhole = isDurable || this.isWithinUnit(lba, count);
    let content = chain;
    let page = Math.floor(lba / perPage);
    let first = lba - page * perPage;
    let status = 0;
    this.unit++;
    for (let index = 0; index < count; ) {
      const run = Math.min(count - index, perPage - first);
      const next = pool.next[content]!;
      pool.next[content] = blankPage;
      if (status !== 0) pool.release(content);
      else if (isWhole) status = this.writePage(page, content, maskOf(first, run), isDurable);
      else status = this.writeTearing(page, content, first, run, lba, lba + index);
      content = next;
      index += run;
      page++;
      first = 0;
    }
    return status;
  }

  /**
   * The controller went down in the middle of a write: any number of atomic units from the start on
   * may have come through, a write within one unit wholly or not at all.
   */
  commitSome(lba: number, count: number, chain: number): void {
    const { pool, tear } = this;
    const units = this.isWithinUnit(lba, count) ? 1 : Math.ceil(count / tear.powerFailBlocks);
    const done = this.chance.below(units + 1);
    const blocks = Math.min(count, done === units ? count : done * tear.powerFailBlocks);
    const inFirst = lba % pool.blocksPerPage;
    const pages = blocks === 0 ? 0 : Math.ceil((inFirst + blocks) / pool.blocksPerPage);
    let rest = chain;
    let last = blankPage;
    for (let i = 0; i < pages; i++) {
      last = rest;
      rest = pool.next[rest]!;
    }
    while (rest !== blankPage) {
      const next = pool.next[rest]!;
      pool.release(rest);
      rest = next;
    }
    if (last === blankPage) return;
    pool.next[last] = blankPage;
    this.commit(lba, blocks, chain, false);
  }

  /**
   * Give all blocks of a range one and the same new state. A range of any length costs no more than
   * the pages in it that hold something, or for `zero` and `bad` the pages in it.
   *
   * @param isForced  durable before it returns
   */
  fill(range: BlockRange, state: FillState, isForced: boolean): number {
    const { pool } = this;
    const perPage = pool.blocksPerPage;
    const end = range.lba + range.count;
    const firstPage = Math.floor(range.lba / perPage);
    const endPage = Math.ceil(end / perPage);
    const isDurable = isForced || !this.isCacheVolatile;
    const isSparse = state === 'deallocated' && endPage - firstPage > sparseScanPages;
    const pages = isSparse ? this.pagesIn(firstPage, endPage) : null;
    const pageCount = pages === null ? endPage - firstPage : pages.length;
    for (let i = 0; i < pageCount; i++) {
      const page = pages === null ? firstPage + i : pages[i]!;
      const first = Math.max(range.lba - page * perPage, 0);
      const mask = maskOf(first, Math.min(end - page * perPage, perPage) - first);
      this.unit++;
      const status = this.fillPage(page, mask, { state, isDurable });
      if (status !== 0) return status;
    }
    return 0;
  }

  /** One bit of a written block flips, and nothing knows. @returns whether there was one */
  flipBit(lba: number, bit: number): boolean {
    const { pool } = this;
    const page = Math.floor(lba / pool.blocksPerPage);
    const block = lba - page * pool.blocksPerPage;
    const mask = maskOf(block, 1);
    const old = this.cache.find(page);
    if (old === unreadable || (pool.written[old]! & mask) === 0) return false;
    const content = pool.take();
    pool.copyBlocks(old, content, pool.allBlocks);
    const at = block * pool.dataBytes + ((bit >>> 3) % pool.dataBytes);
    pool.changeData(content)[at]! ^= 1 << (bit & 7);
    this.unit++;
    return this.writePage(page, content, mask, !this.cache.isDirty(page)) === 0;
  }

  private fillPage(page: number, mask: number, how: PageFill): number {
    const { pool } = this;
    const { state, isDurable } = how;
    const isIdle = !isDurable || !this.cache.isDirty(page);
    if (state === 'deallocated' && isIdle && this.cache.find(page) === blankPage) return 0;
    if (mask === pool.allBlocks && state === 'deallocated') {
      return this.writePage(page, blankPage, mask, isDurable);
    }
    if (mask === pool.allBlocks && state === 'zero') {
      return this.writePage(page, zeroPage, mask, isDurable);
    }
    const content = pool.take();
    pool.copyBlocks(state === 'deallocated' ? blankPage : zeroPage, content, mask);
    if (state === 'bad') pool.bad[content] = mask;
    return this.writePage(page, content, mask, isDurable);
  }

  /**
   * Set one page. Takes the reference over.
   *
   * @param mask  blocks whose data, metadata and flags `content` carries; the rest is filled in
   *   here
   */
  private writePage(page: number, content: number, mask: number, isDurable: boolean): number {
    const merged = this.complete(page, content, mask);
    if (merged === unreadable) return writeFault;
    const isDone = isDurable
      ? this.cache.addDurable(page, merged, mask)
      : this.cache.add(page, merged, mask, this.unit, 0, this.unit);
    return isDone ? 0 : writeFault;
  }

  /**
   * A write that is longer than the atomic unit: each part of it goes its own way at a power cut.
   */
  private writeTearing(
    page: number,
    content: number,
    first: number,
    run: number,
    lba: number,
    at: number,
  ): number {
    const merged = this.complete(page, content, maskOf(first, run));
    if (merged === unreadable) return writeFault;
    if (this.startsUnit(lba, at)) this.unit++;
    const unit = this.unit;
    let starts = 0;
    for (let i = 1; i < run; i++) {
      if (!this.startsUnit(lba, at + i)) continue;
      starts |= maskOf(first + i, 1);
      this.unit++;
    }
    const mask = maskOf(first, run);
    return this.cache.add(page, merged, mask, unit, starts, this.unit) ? 0 : writeFault;
  }

  /** Fill in the blocks of the page that are not written now, and count. */
  private complete(page: number, content: number, mask: number): number {
    const { pool } = this;
    const old = this.cache.find(page);
    if (old === unreadable) {
      pool.release(content);
      return unreadable;
    }
    this.usedBlocks -= blocksIn(pool.written[old]!);
    const rest = pool.allBlocks & ~mask;
    if (rest !== 0) pool.copyBlocks(old, content, rest);
    this.usedBlocks += blocksIn(pool.written[content]!);
    if (content !== blankPage && pool.written[content] === 0 && pool.bad[content] === 0) {
      pool.release(content);
      return blankPage;
    }
    return content;
  }

  private isWithinUnit(lba: number, count: number): boolean {
    const { powerFailBlocks, boundaryBlocks, boundaryOffset } = this.tear;
    if (count > powerFailBlocks) return false;
    if (boundaryBlocks === 0) return true;
    const first = Math.floor((lba - boundaryOffset) / boundaryBlocks);
    return first === Math.floor((lba + count - 1 - boundaryOffset) / boundaryBlocks);
  }

  private startsUnit(lba: number, at: number): boolean {
    const { powerFailBlocks, boundaryBlocks, boundaryOffset } = this.tear;
    if ((at - lba) % powerFailBlocks === 0) return true;
    return boundaryBlocks !== 0 && (at - boundaryOffset) % boundaryBlocks === 0;
  }

  /** Pages in [first, end) that may hold something, ascending. For the control path. */
  pagesIn(first: number, end: number): number[] {
    const stored = this.store?.pagesIn(first, end) ?? [];
    return [...new Set([...stored, ...this.cache.pagesIn(first, end)])].sort((a, b) => a - b);
  }

  private makeCache(store: PageStore): WriteCache {
    return new WriteCache(this.pool, store, {
      capacityPages: this.cachePages,
      chance: this.chance,
    });
  }
}

/** Above so many pages a deallocation looks for what is there, page by page below. */
const sparseScanPages = 1024;

export interface BlockRange {
  readonly lba: number;
  readonly count: number;
}

export type FillState = 'deallocated' | 'zero' | 'bad';

interface PageFill {
  readonly state: FillState;
  readonly isDurable: boolean;
}
