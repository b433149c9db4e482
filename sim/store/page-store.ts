import { absent, PageIndex } from './page-index.js';
import { blankPage, type PagePool } from './page-pool.js';

/** The page could not be read: the answer of `find` in place of a content. */
export const unreadable = -2;

/** What is durable: one content per page. Contents belong to one pool. */
export interface PageStore {
  /** @returns the durable content (`blankPage` for a page never written), or `unreadable` */
  find(page: number): number;
  /**
   * Make a content durable. The store takes over one reference of the caller.
   *
   * @param mask  the blocks that differ from what was durable before
   * @returns     false when the medium refused; nothing is promised about those blocks then
   */
  put(page: number, content: number, mask: number): boolean;
  /** Pages in [first, end) that may have a block written, ascending. For the control path. */
  pagesIn(first: number, end: number): number[];
  /** Everything that was put has reached the last resort. @returns false when it did not */
  sync(): boolean;
  close(): void;
}

/** Pages in memory: what was never written costs nothing, what is deallocated is used again. */
export class MemoryStore implements PageStore {
  private readonly pool: PagePool;
  private readonly index = new PageIndex(10);

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  find(page: number): number {
    const content = this.index.get(page);
    return content === absent ? blankPage : content;
  }

  put(page: number, content: number, _mask: number): boolean {
    const old = this.index.get(page);
    if (old !== absent) this.pool.release(old);
    if (content === blankPage) {
      if (old !== absent) this.index.delete(page);
    } else {
      this.index.set(page, content);
    }
    return true;
  }

  pagesIn(first: number, end: number): number[] {
    return this.index.pagesIn(first, end);
  }

  sync(): boolean {
    return true;
  }

  close(): void {
    this.index.clear();
  }
}

/**
 * Nothing is kept: every page reads as never written. For studies of time alone, where the content
 * of a big drive would fill the memory.
 */
export class NoStore implements PageStore {
  private readonly pool: PagePool;

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  find(): number {
    return blankPage;
  }

  put(_page: number, content: number, _mask: number): boolean {
    if (content !== blankPage) this.pool.release(content);
    return true;
  }

  pagesIn(): number[] {
    return [];
  }

  sync(): boolean {
    return true;
  }

  close(): void {
    // There is nothing to give back.
  }
}
