import type { FlashArray } from '../nand/flash-array.js';
import { BlockState, type Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { noRow, Rows } from './rows.js';
import { takeBack } from './undo.js';
import { lostUnit, type UnitMap, unmappedUnit } from './unit-map.js';

/** Who asks for room, which decides how far down the free blocks may go. */
export const Right = {
  /** Leaves `gcFreeBlocks` free. */
  host: 0,
  /** May take the last free block: it will give one back. */
  relocation: 1,
} as const;

const nobody = -1;

export interface RowListener {
  /** A unit that this request wrote is programmed. */
  unitProgrammed(request: number, row: number): void;
  /** A row of an open block is programmed: what waited for that can go on. */
  rowProgrammed(pool: number, slot: number): void;
  /** The request's unit was given up with a failed row. */
  unitAbandoned(request: number): void;
  /** Units of a failed row are in other rows of its pool and slot now. */
  rowMoved(pool: number, slot: number): void;
  /** A block was opened: the pool has one free block less. */
  blockOpened(pool: number, block: number): void;
  /** A program failed in this block; no row of it is in flight any more. */
  blockFailed(block: number): void;
}

/**
 * Fills rows unit by unit and programs them when they are full. Each pool has, for each slot, at
 * most one open block and at most one row that is being filled, so a block is written in order.
 *
 * A unit maps to its new place as soon as it is in a row. Until the row is programmed it is read
 * from the row's buffer. When a program fails, the block takes no more rows, and everything in its
 * rows that still counts is put into rows of other blocks, with the requests that wait for it.
 */
export class RowWriter {
  readonly rows: Rows;
  /** Rows opened and rows done with, by pool × slots + slot; whole numbers that wrap. */
  readonly opened: Int32Array;
  readonly done: Int32Array;
  /** Open block and row that is being filled, by pool × slots + slot. */
  private readonly openBlocks: Int32Array;
  private readonly nextIndex: Int32Array;
  private readonly filling: Int32Array;
  /** Rows of failed programs whose units have not all found a place. */
  private firstFailed = noRow;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  private readonly flash: FlashArray;
  private readonly counters: Counters;
  private readonly listener: RowListener;
  private readonly gcFreeBlocks: number;
  /** All that a pool writes goes into one open block. */
  private readonly isOneBlock: boolean;

  constructor(parts: RowWriterParts) {
    const { layout } = parts;
    this.layout = layout;
    this.blocks = parts.blocks;
    this.map = parts.map;
    this.flash = parts.flash;
    this.counters = parts.counters;
    this.listener = parts.listener;
    this.gcFreeBlocks = parts.ftl.gcFreeBlocks;
    this.isOneBlock = layout.slots === 1;
    this.rows = new Rows(layout.unitsPerRow);
    const count = layout.pools * layout.slots;
    this.opened = new Int32Array(count);
    this.done = new Int32Array(count);
    this.openBlocks = new Int32Array(count).fill(nobody);
    this.nextIndex = new Int32Array(count);
    this.filling = new Int32Array(count).fill(noRow);
  }

  /** The row to put the next unit into; `noRow` when the pool has no room for this asker now. */
  rowFor(pool: number, slot: number, right: number): number {
    const at = pool * this.layout.slots + slot;
    if (right === Right.host && this.isShort(pool)) return noRow;
    const row = this.filling[at]!;
    return row === noRow ? this.openRow(pool, slot, right) : row;
  }

  /** Whether a row still has room, and is the slot's. */
  isFilling(row: number, slot: number): boolean {
    if (this.rows.slot[row] !== slot) return false;
    return this.filling[this.rows.pool[row]! * this.layout.slots + slot] === row;
  }

  /**
   * Whether the pool is down to the blocks that it keeps free: garbage is due, and the host waits
   * for it. In the one block that host and relocation share, the rest of it counts with the whole
   * block that it was when garbage was last due.
   */
  isShort(pool: number): boolean {
    const { freeCounts, comingCounts } = this.blocks;
    const free = freeCounts[pool]! + comingCounts[pool]!;
    if (!this.isOneBlock) return free <= this.gcFreeBlocks;
    const { unitsPerBlock } = this.layout;
    const room = free * unitsPerBlock + this.roomIn(pool, 0);
    return room <= (this.gcFreeBlocks + 1) * unitsPerBlock;
  }

  /** The host gets no room in a slot of a pool whatever is collected there. */
  isClosedToHost(pool: number, slot: number): boolean {
    return this.roomIn(pool, slot) === 0 && this.blocks.isAtQuota(pool);
  }

  /** Places left in the open block of a slot. */
  roomIn(pool: number, slot: number): number {
    const at = pool * this.layout.slots + slot;
    if (this.openBlocks[at] === nobody) return 0;
    const { unitsPerRow, rowsPerBlock } = this.layout;
    const row = this.filling[at]!;
    const inRow = row === noRow ? 0 : unitsPerRow - this.rows.fill[row]!;
    return inRow + (rowsPerBlock - this.nextIndex[at]!) * unitsPerRow;
  }

  /** The open block of a slot; -1 when there is none. */
  openBlock(pool: number, slot: number): number {
    return this.openBlocks[pool * this.layout.slots + slot]!;
  }

  /** @param request  that waits for it, or -1 */
  put(row: number, unit: number, request: number): void {
    const { rows, layout } = this;
    const block = rows.block[row]!;
    const place = rows.fill[row]!;
    const at = row * layout.unitsPerRow + place;
    const physical = this.baseOf(row) + place;
    rows.units[at] = unit;
    rows.requests[at] = request;
    rows.before[at] = this.map.place(unit, physical, block);
    if (request !== nobody) rows.owners[row] = rows.owners[row]! + 1;
    rows.fill[row] = place + 1;
    if (place + 1 === layout.unitsPerRow) this.program(row);
  }

  /** A unit with nothing in it that anybody will ask for. */
  putNothing(row: number): void {
    const { rows, layout } = this;
    const place = rows.fill[row]!;
    const at = row * layout.unitsPerRow + place;
    rows.units[at] = nobody;
    rows.requests[at] = nobody;
    rows.before[at] = 0;
    this.map.placeNothing(this.baseOf(row) + place);
    rows.fill[row] = place + 1;
    if (place + 1 === layout.unitsPerRow) this.program(row);
  }

  /** Program the row of a slot that is being filled, if there is one, with padding. */
  pad(pool: number, slot: number): void {
    const row = this.filling[pool * this.layout.slots + slot]!;
    if (row === noRow) return;
    let left = this.layout.unitsPerRow - this.rows.fill[row]!;
    this.counters.padUnits += left;
    for (; left > 0; left--) this.putNothing(row);
  }

  /** Requests wait for a row of this slot that nobody may ever fill. */
  isAwaited(pool: number, slot: number): boolean {
    const row = this.filling[pool * this.layout.slots + slot]!;
    return row !== noRow && this.rows.owners[row]! > 0;
  }

  /** Whether a unit must be read from flash, or is still in a row's buffer. */
  isBuffered(physical: number, block: number): boolean {
    if (this.blocks.states[block] !== BlockState.open) return false;
    const { unitsPerBlock, unitsPerRow } = this.layout;
    const index = Math.trunc((physical - block * unitsPerBlock) / unitsPerRow);
    return index >= this.blocks.rowsDone[block]!;
  }

  programDone(row: number, failed: boolean): void {
    const { rows, blocks, counters } = this;
    const block = rows.block[row]!;
    counters.mediaWriteUnits += this.layout.unitsPerRow;
    rows.isOut[row] = 1;
    if (failed) {
      counters.programFailures++;
      this.fail(block);
    }
    if (blocks.isFailing[block] === 1) {
      this.keepFailed(row);
      this.placeFailed();
      return;
    }
    blocks.rowsDone[block] = blocks.rowsDone[block]! + 1;
    if (blocks.rowsDone[block] === this.layout.rowsPerBlock) {
      blocks.close(block, counters.mediaWriteUnits);
    }
    this.release(row);
  }

  /** Row number `sequence` of a pool and slot, and all before it, are programmed. */
  isDoneUpTo(pool: number, slot: number, sequence: number): boolean {
    // Rows of a pool end in order, but for those whose program failed.
    if (this.firstFailed !== noRow) return !this.rows.hasUpTo(pool, slot, sequence);
    return ((this.done[pool * this.layout.slots + slot]! - sequence) | 0) >= 0;
  }

  /** The row of a slot that is being filled has this number or an earlier one. */
  isFillingUpTo(pool: number, slot: number, sequence: number): boolean {
    const row = this.filling[pool * this.layout.slots + slot]!;
    return row !== noRow && ((this.rows.sequence[row]! - sequence) | 0) <= 0;
  }

  /** Units of failed rows look for room again. */
  placeFailed(): void {
    while (this.firstFailed !== noRow) {
      const row = this.firstFailed;
      if (!this.moveAll(row)) return;
      this.firstFailed = this.rows.next[row]!;
      this.listener.rowMoved(this.rows.pool[row]!, this.rows.slot[row]!);
      this.release(row);
    }
  }

  /** The pool whose failed row waits for room; -1 when none does. */
  get poolOfFailed(): number {
    return this.firstFailed === noRow ? nobody : this.rows.pool[this.firstFailed]!;
  }

  /** Nothing will make room any more: what is left of failed rows is as it was before. */
  abandonFailed(): void {
    const { rows, layout } = this;
    const failed: number[] = [];
    for (let row = this.firstFailed; row !== noRow; row = rows.next[row]!) failed.push(row);
    takeBack(this, failed, lostUnit);
    for (const row of failed) {
      this.firstFailed = rows.next[row]!;
      const first = row * layout.unitsPerRow;
      for (let place = first + rows.moved[row]!; place < first + rows.fill[row]!; place++) {
        const request = rows.requests[place]!;
        // What was overwritten since, or trimmed, is not missed: `release` tells its end.
        if (request === nobody || rows.units[place] !== nobody) continue;
        rows.requests[place] = nobody;
        this.listener.unitAbandoned(request);
      }
      this.release(row);
    }
  }

  /**
   * The power goes away. With protection every row is programmed as it is; without, the units of
   * rows that are not programmed are where they were before, if they are anywhere.
   */
  cutPower(isProtected: boolean): void {
    const { rows, blocks, layout, counters } = this;
    const inUse = rows.inUse();
    for (const row of inUse) {
      const block = rows.block[row]!;
      // What waits for room after a failed program is saved as well.
      if (isProtected) {
        blocks.rowsDone[block] = Math.max(blocks.rowsDone[block]!, rows.index[row]! + 1);
      }
      if (rows.isOut[row] === 1) continue;
      if (!isProtected) {
        counters.abandonedUnits += rows.fill[row]!;
        continue;
      }
      counters.mediaWriteUnits += layout.unitsPerRow;
      counters.padUnits += layout.unitsPerRow - rows.fill[row]!;
    }
    if (!isProtected) takeBack(this, inUse, unmappedUnit);
    for (const row of inUse) blocks.rowsBusy[rows.block[row]!] = 0;
    this.clear();
  }

  /** Units in rows that are being filled or programmed. For checks. */
  get unitsInRows(): number {
    let count = 0;
    for (const row of this.rows.inUse()) {
      if (this.rows.isOut[row] === 0) count += this.rows.fill[row]!;
    }
    return count;
  }

  get hasFailedRows(): boolean {
    return this.firstFailed !== noRow;
  }

  /**
   * No row is being filled. Open blocks stay open behind the rows that were lost: without them a
   * pool that was down to its last block could not be collected any more.
   */
  private clear(): void {
    const { blocks } = this;
    for (let at = 0; at < this.openBlocks.length; at++) {
      const block = this.openBlocks[at]!;
      if (block === nobody) continue;
      const isFull = this.nextIndex[at] === this.layout.rowsPerBlock;
      if (isFull || blocks.isFailing[block] === 1) this.openBlocks[at] = nobody;
      else blocks.rowsDone[block] = this.nextIndex[at]!;
    }
    this.filling.fill(noRow);
    this.firstFailed = noRow;
    this.rows.clear();
    this.done.set(this.opened);
  }

  /** Rows of this block can still be opened. */
  isOpen(block: number): boolean {
    const { slots } = this.layout;
    const first = this.blocks.poolOf(block) * slots;
    for (let at = first; at < first + slots; at++) if (this.openBlocks[at] === block) return true;
    return false;
  }

  /** Everything is about to be erased. */
  closeAll(): void {
    this.openBlocks.fill(nobody);
    this.filling.fill(noRow);
  }

  /** Physical unit of the first place of a row. */
  private baseOf(row: number): number {
    const { unitsPerBlock, unitsPerRow } = this.layout;
    return this.rows.block[row]! * unitsPerBlock + this.rows.index[row]! * unitsPerRow;
  }

  private openRow(pool: number, slot: number, right: number): number {
    const at = pool * this.layout.slots + slot;
    if (this.openBlocks[at] === nobody && !this.openBlockFor(pool, slot, right)) return noRow;
    const block = this.openBlocks[at]!;
    const index = this.nextIndex[at]!;
    const sequence = (this.opened[at]! + 1) | 0;
    this.opened[at] = sequence;
    const row = this.rows.take(pool, slot, block, index, sequence);
    this.filling[at] = row;
    this.blocks.rowsBusy[block] = this.blocks.rowsBusy[block]! + 1;
    this.nextIndex[at] = index + 1;
    return row;
  }

  private openBlockFor(pool: number, slot: number, right: number): boolean {
    const { blocks, layout, counters } = this;
    const free = blocks.freeCounts[pool]!;
    if (right === Right.host) {
      if (free <= this.gcFreeBlocks) return false;
      if (blocks.isAtQuota(pool)) return false;
    }
    const block = blocks.open(pool, slot, slot === layout.wearSlot, counters.mediaWriteUnits);
    if (block === nobody) return false;
    const at = pool * layout.slots + slot;
    this.openBlocks[at] = block;
    this.nextIndex[at] = 0;
    this.listener.blockOpened(pool, block);
    return true;
  }

  /** The row is full. */
  private program(row: number): void {
    const { rows, layout } = this;
    const pool = rows.pool[row]!;
    const at = pool * layout.slots + rows.slot[row]!;
    const block = rows.block[row]!;
    this.filling[at] = noRow;
    if (this.nextIndex[at] === layout.rowsPerBlock) this.openBlocks[at] = nobody;
    this.flash.program(
      layout.dieOf(pool),
      layout.planesPerPool,
      block,
      rows.index[row]! * layout.pagesPerRow,
      layout.unitsPerRow * (layout.pageBytes / layout.unitsPerPage),
      row,
    );
  }

  /** Tell everybody who waited for the row. */
  private release(row: number): void {
    const { rows, layout, listener } = this;
    const pool = rows.pool[row]!;
    const slot = rows.slot[row]!;
    const block = rows.block[row]!;
    const at = pool * layout.slots + slot;
    this.done[at] = (this.done[at]! + 1) | 0;
    this.blocks.rowsBusy[block] = this.blocks.rowsBusy[block]! - 1;
    if (this.blocks.isFailing[block] === 1 && this.blocks.rowsBusy[block] === 0) {
      this.blocks.close(block, this.counters.mediaWriteUnits);
      listener.blockFailed(block);
    }
    if (rows.owners[row]! > 0) {
      const first = row * layout.unitsPerRow;
      for (let i = first; i < first + rows.fill[row]!; i++) {
        const request = rows.requests[i]!;
        if (request !== nobody) listener.unitProgrammed(request, row);
      }
    }
    rows.give(row);
    listener.rowProgrammed(pool, slot);
  }

  /** The block takes no more rows; the one that is being filled in it is given up. */
  private fail(block: number): void {
    const { blocks, layout } = this;
    if (blocks.isFailing[block] === 1) return;
    blocks.isFailing[block] = 1;
    blocks.replace(block);
    const pool = blocks.poolOf(block);
    for (let slot = 0; slot < layout.slots; slot++) {
      const at = pool * layout.slots + slot;
      if (this.openBlocks[at] === block) this.openBlocks[at] = nobody;
      const row = this.filling[at]!;
      if (row === noRow || this.rows.block[row] !== block) continue;
      this.filling[at] = noRow;
      this.counters.abandonedUnits += this.rows.fill[row]!;
      this.rows.isOut[row] = 1;
      this.keepFailed(row);
    }
  }

  private keepFailed(row: number): void {
    this.rows.next[row] = noRow;
    if (this.firstFailed === noRow) {
      this.firstFailed = row;
      return;
    }
    let last = this.firstFailed;
    while (this.rows.next[last] !== noRow) last = this.rows.next[last]!;
    this.rows.next[last] = row;
  }

  /** @returns false when there is no room for all of it yet */
  private moveAll(row: number): boolean {
    const { rows, layout, map } = this;
    const first = row * layout.unitsPerRow;
    const base = this.baseOf(row);
    for (let place = rows.moved[row]!; place < rows.fill[row]!; place++) {
      const unit = rows.units[first + place]!;
      if (unit !== nobody && map.find(unit) === base + place + 1) {
        const target = this.rowFor(rows.pool[row]!, rows.slot[row]!, Right.relocation);
        if (target === noRow) return false;
        const request = rows.requests[first + place]!;
        rows.requests[first + place] = nobody;
        this.counters.rewrittenUnits++;
        this.put(target, unit, request);
      }
      rows.moved[row] = place + 1;
    }
    return true;
  }
}

export interface RowWriterParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly flash: FlashArray;
  readonly counters: Counters;
  readonly listener: RowListener;
}
