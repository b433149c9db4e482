import type { Layout } from './layout.js';
import type { RowWriter } from './row-writer.js';

const nothing = -1;

/**
 * Blocks whose data has been moved into rows that are not all programmed: they are erased when
 * those are. A chain per pool.
 */
export class WaitingBlocks {
  private readonly layout: Layout;
  private readonly writer: RowWriter;
  private readonly heads: Int32Array;
  private readonly next: Int32Array;
  /** The slot whose rows hold the data, and the number of the last one. */
  private readonly slots: Uint8Array;
  private readonly rows: Int32Array;

  constructor(layout: Layout, writer: RowWriter) {
    this.layout = layout;
    this.writer = writer;
    this.heads = new Int32Array(layout.pools).fill(nothing);
    this.next = new Int32Array(layout.blocks);
    this.slots = new Uint8Array(layout.blocks);
    this.rows = new Int32Array(layout.blocks);
  }

  isEmpty(pool: number): boolean {
    return this.heads[pool] === nothing;
  }

  /**
   * The block waits for all rows that its pool has opened in the slot. @returns false if it need
   * not
   */
  add(pool: number, block: number, slot: number): boolean {
    this.slots[block] = slot;
    this.rows[block] = this.writer.opened[pool * this.layout.slots + slot]!;
    if (this.isSafe(pool, block)) return false;
    this.next[block] = this.heads[pool]!;
    this.heads[pool] = block;
    return true;
  }

  /** Take a block that waits no longer; -1 when there is none. */
  takeSafe(pool: number): number {
    let before = nothing;
    let block = this.heads[pool]!;
    while (block !== nothing && !this.isSafe(pool, block)) {
      before = block;
      block = this.next[block]!;
    }
    if (block === nothing) return nothing;
    if (before === nothing) this.heads[pool] = this.next[block]!;
    else this.next[before] = this.next[block]!;
    return block;
  }

  /** Take a block that still waits; -1 when there is none. */
  takeAny(pool: number): number {
    const block = this.heads[pool]!;
    if (block !== nothing) this.heads[pool] = this.next[block]!;
    return block;
  }

  /** Units of a failed row are in other rows now: what waited for the first waits for those. */
  extend(pool: number, slot: number): void {
    const opened = this.writer.opened[pool * this.layout.slots + slot]!;
    for (let block = this.heads[pool]!; block !== nothing; block = this.next[block]!) {
      if (this.slots[block] === slot) this.rows[block] = opened;
    }
  }

  /** How many wait for a row that is not full yet. */
  countToFill(pool: number): number {
    let count = 0;
    for (let block = this.heads[pool]!; block !== nothing; block = this.next[block]!) {
      if (this.writer.isFillingUpTo(pool, this.slots[block]!, this.rows[block]!)) count++;
    }
    return count;
  }

  /** Nothing else will fill the rows that blocks wait for. */
  pad(pool: number): void {
    for (let block = this.heads[pool]!; block !== nothing; block = this.next[block]!) {
      this.writer.pad(pool, this.slots[block]!);
    }
  }

  clear(): void {
    this.heads.fill(nothing);
  }

  private isSafe(pool: number, block: number): boolean {
    return this.writer.isDoneUpTo(pool, this.slots[block]!, this.rows[block]!);
  }
}
