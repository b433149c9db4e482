import type { CellWear } from '../nand/cell-wear.js';
import type { FlashArray } from '../nand/flash-array.js';
import { Lane } from '../nand/flash-ops.js';
import { BlockState, type Blocks } from './blocks.js';
import { coldBlock } from './cold-block.js';
import { CopyKind } from './copy-gate.js';
import { CopyPermits } from './copy-permits.js';
import type { Counters } from './counters.js';
import { driveUnitBytes } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { Reason } from './relocation-reason.js';
import type { RelocationListener, RelocatorParts } from './relocator-parts.js';
import { Right, type RowWriter } from './row-writer.js';
import { noRow } from './rows.js';
import { lostUnit, type UnitMap } from './unit-map.js';
import type { Victims } from './victims.js';
import { WaitingBlocks } from './waiting-blocks.js';
import { WantedBlocks } from './wanted-blocks.js';

/** The owner of a flash read that moves data. */
export const relocationOwner = -1;

/** In the background, a block is worth moving with at least this part of it void. */
const idleGain = 1 / 8;
const nothing = -1;

/**
 * Moves the data of a block elsewhere in its pool and erases it: for garbage collection, wear
 * levelling, refresh, and before a failing block is given up. One block of a pool at a time.
 *
 * What always holds: a block is erased only when all that was valid in it is programmed elsewhere.
 * Host writes leave `gcFreeBlocks` free, so relocation always finds room for the block that it
 * moves; a block that has something to gain exists whenever a pool is within its quota (`Blocks`).
 */
export class Relocator {
  /** What each pool does: a `Reason`, the block, the next page of it. */
  readonly reasons: Uint8Array;
  private readonly jobBlocks: Int32Array;
  private readonly pages: Int32Array;
  /** Reads in flight and units that they will bring. */
  private readonly reads: Int32Array;
  private readonly coming: Int32Array;
  /** The slot that its data goes to. */
  private readonly jobSlots: Uint8Array;
  /** 1 when something of the block went into a row. */
  private readonly hasMoved: Uint8Array;
  private readonly waiting: WaitingBlocks;
  private readonly wanted: WantedBlocks;
  readonly permits: CopyPermits;
  private readonly readAhead: number;
  private readonly pagesPerBlock: number;
  private isStopped = false;
  private readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  private readonly map: UnitMap;
  private readonly writer: RowWriter;
  private readonly flash: FlashArray;
  readonly cells: CellWear;
  private readonly victims: Victims;
  private readonly counters: Counters;
  private readonly listener: RelocationListener;

  constructor(parts: RelocatorParts) {
    const { layout } = parts;
    this.ftl = parts.ftl;
    this.layout = layout;
    this.blocks = parts.blocks;
    this.map = parts.map;
    this.writer = parts.writer;
    this.flash = parts.flash;
    this.cells = parts.cells;
    this.victims = parts.victims;
    this.counters = parts.counters;
    this.listener = parts.listener;
    this.reasons = new Uint8Array(layout.pools);
    this.jobBlocks = new Int32Array(layout.pools).fill(nothing);
    this.pages = new Int32Array(layout.pools);
    this.reads = new Int32Array(layout.pools);
    this.coming = new Int32Array(layout.pools);
    this.jobSlots = new Uint8Array(layout.pools);
    this.hasMoved = new Uint8Array(layout.pools);
    this.waiting = new WaitingBlocks(layout, parts.writer);
    this.wanted = new WantedBlocks(layout, parts.blocks);
    this.permits = new CopyPermits(parts);
    this.pagesPerBlock = layout.unitsPerBlock / layout.unitsPerPage;
    // Two pages of every plane: the bus carries one while the next is read.
    this.readAhead = Math.min(2 * layout.planesPerPool, this.pagesPerBlock);
  }

  /**
   * Something changed in a pool: start what is due there. Garbage is collected no sooner than a
   * block is needed, because every write until then makes the best victim better.
   */
  consider(pool: number): void {
    if (this.reasons[pool] !== Reason.none) {
      this.advance(pool);
      return;
    }
    if (this.isStopped) return;
    const free = this.blocks.freeCounts[pool]!;
    const willBeFree = free + this.blocks.comingCounts[pool]!;
    if (this.writer.isShort(pool)) {
      if (!this.collect(pool, 1)) this.waiting.pad(pool);
    } else if (this.wanted.counts[pool]! > 0 && free > this.ftl.gcFreeBlocks) {
      this.startWanted(pool);
    } else if (free >= this.ftl.gcFreeBlocks && willBeFree <= this.ftl.gcIdleFreeBlocks) {
      // Below that floor the data could find no room without padding, which makes new garbage:
      // a pool whose blocks are all but full would be collected for ever.
      this.collect(pool, Math.ceil(this.layout.unitsPerBlock * idleGain));
    }
  }

  /**
   * The host finds no room in a pool. Blocks that wait for a row which is not full get it filled,
   * or padded; those whose rows are on their way come by themselves.
   */
  blocked(pool: number): void {
    this.permits.hurry(pool);
    if (this.isStopped || this.reasons[pool] !== Reason.none || this.waiting.isEmpty(pool)) {
      this.consider(pool);
    } else {
      this.fillRow(pool);
    }
  }

  /** Nobody keeps the pool from moving its block on. */
  hurry(pool: number): void {
    this.permits.hurry(pool);
    this.advance(pool);
  }

  /** The data of a block is to move when its pool can afford it. */
  want(block: number, reason: number): void {
    if (this.note(block, reason)) this.listener.poolDue(this.blocks.poolOf(block));
  }

  /** The same, but not now. @returns false when it is known or its data cannot move */
  note(block: number, reason: number): boolean {
    return this.wanted.note(block, reason);
  }

  /** The gate lets a pool copy the page that it asked for. */
  copyGranted(pool: number): void {
    this.permits.granted(pool);
    this.advance(pool);
    this.permits.giveBackUnused(pool);
  }

  /** A read for this class is over. */
  readDone(op: number): void {
    const { ops } = this.flash;
    const block = ops.block[op]!;
    const pool = this.blocks.poolOf(block);
    const units = ops.bytes[op]! / driveUnitBytes;
    // Counted as on its way until all of it has found room.
    this.movePage(pool, block, ops.extra[op]!, ops.failed[op] === 1);
    this.reads[pool] = this.reads[pool]! - 1;
    this.coming[pool] = this.coming[pool]! - units;
    this.permits.giveBack(pool);
    this.advance(pool);
  }

  /**
   * A row is programmed: blocks that waited for it are erased, and what had no room may have it.
   */
  rowProgrammed(pool: number): void {
    let block = this.waiting.takeSafe(pool);
    while (block !== nothing) {
      this.erase(pool, block);
      block = this.waiting.takeSafe(pool);
    }
    this.advance(pool);
  }

  /**
   * A failed row finds no room: a block makes some that has nothing valid, or else one that waits
   * for that row. What it held is then in the buffer of the row alone. @returns false without one
   */
  makeRoom(pool: number): boolean {
    if (this.eraseVoid(pool)) return true;
    for (let block = this.waiting.takeAny(pool); block !== nothing; ) {
      if (this.erase(pool, block)) return true;
      block = this.waiting.takeAny(pool);
    }
    return false;
  }

  /** Units of a failed row are in other rows now: what waited for the first waits for those. */
  rowMoved(pool: number, slot: number): void {
    this.waiting.extend(pool, slot);
  }

  eraseDone(block: number, failed: boolean): void {
    const { blocks, counters } = this;
    const pool = blocks.poolOf(block);
    counters.erases++;
    blocks.comingCounts[pool] = blocks.comingCounts[pool]! - 1;
    if (failed) {
      counters.eraseFailures++;
      this.giveUp(block);
    } else {
      blocks.addFree(block);
    }
    this.writer.placeFailed();
    this.listener.roomGained();
    this.consider(pool);
    this.levelWear(pool);
  }

  /** No block is moved any more; what is under way ends. */
  stop(): void {
    this.isStopped = true;
  }

  /** The power is gone: blocks whose data was moving keep it. */
  clear(): void {
    const { blocks, layout } = this;
    for (let block = 0; block < layout.blocks; block++) {
      const state = blocks.states[block];
      // One whose erase was cut short has nothing valid, and is erased again as garbage.
      if (state !== BlockState.moving && state !== BlockState.erasing) continue;
      blocks.states[block] = BlockState.closed;
    }
    this.reasons.fill(Reason.none);
    this.jobBlocks.fill(nothing);
    this.reads.fill(0);
    this.coming.fill(0);
    this.waiting.clear();
    this.permits.clear();
    blocks.comingCounts.fill(0);
  }

  /** Everything is erased: nothing is wanted any more. */
  forget(): void {
    this.wanted.forget();
  }

  private collect(pool: number, gain: number): boolean {
    const block = this.victims.pick(pool, this.counters.mediaWriteUnits);
    if (block < 0) return false;
    if (this.layout.unitsPerBlock - this.blocks.validUnits[block]! < gain) return false;
    this.start(pool, block, Reason.garbage);
    return true;
  }

  /**
   * The row that blocks wait for gets the data of another victim, which makes less garbage than
   * padding. It is padded when so many blocks wait that the host goes on once they are erased,
   * before anything is collected in the background. While that data might need padding itself, room
   * that is on its way is waited for: a pool that pads all that it gains goes round for ever.
   */
  private fillRow(pool: number): void {
    const { blocks, ftl, layout, writer } = this;
    const toFill = this.waiting.countToFill(pool);
    if (toFill === 0) return;
    const free = blocks.freeCounts[pool]!;
    const coming = blocks.comingCounts[pool]!;
    if (free + coming <= Math.max(ftl.gcFreeBlocks + 1, ftl.gcIdleFreeBlocks)) {
      const block = this.victims.pick(pool, this.counters.mediaWriteUnits);
      if (block >= 0) {
        const slot = this.slotFor(block, Reason.garbage);
        const room = writer.roomIn(pool, slot) + free * layout.unitsPerBlock;
        if (room >= blocks.validUnits[block]!) {
          this.start(pool, block, Reason.garbage);
          return;
        }
        if (coming > toFill) return;
      }
    }
    this.waiting.pad(pool);
  }

  private startWanted(pool: number): void {
    const block = this.wanted.firstOf(pool);
    if (block >= 0) this.start(pool, block, this.wanted.reasonOf(block));
  }

  /** Erase counts have drifted apart: the data of the least worn block is cold, and moves. */
  private levelWear(pool: number): void {
    const gap = this.ftl.staticWearGap;
    const isFree = this.reasons[pool] === Reason.none && !this.isStopped;
    if (gap === 0 || !isFree || this.blocks.freeCounts[pool]! <= this.ftl.gcFreeBlocks) return;
    const coldest = coldBlock(this, pool, gap);
    if (coldest === nothing) return;
    this.start(pool, coldest, Reason.wear);
  }

  private start(pool: number, block: number, reason: number): void {
    this.wanted.drop(pool, block);
    this.blocks.startMoving(block);
    this.reasons[pool] = reason;
    this.jobBlocks[pool] = block;
    this.pages[pool] = 0;
    this.hasMoved[pool] = 0;
    this.jobSlots[pool] = this.slotFor(block, reason);
    this.advance(pool);
  }

  private kindOf(pool: number): number {
    return this.reasons[pool] === Reason.garbage ? CopyKind.collection : CopyKind.upkeep;
  }

  /** Where the data of the block that moves goes. */
  private slotOf(pool: number): number {
    return this.jobSlots[pool]!;
  }

  private slotFor(block: number, reason: number): number {
    const { wearSlot, relocationSlot } = this.layout;
    if (reason === Reason.wear) return wearSlot;
    if (relocationSlot >= 0) return relocationSlot;
    const slot = this.blocks.slots[block]!;
    return slot === wearSlot ? 0 : slot;
  }

  /** Read on in the block that moves, as far as there is room for what comes. */
  private advance(pool: number): void {
    if (this.reasons[pool] === Reason.none) return;
    this.flash.beginBatch();
    this.readOn(pool);
    this.flash.endBatch();
  }

  private readOn(pool: number): void {
    const block = this.jobBlocks[pool]!;
    const slot = this.slotOf(pool);
    while (this.reads[pool]! < this.readAhead && this.pages[pool]! < this.pagesPerBlock) {
      const page = this.pages[pool]!;
      const units = this.validIn(block, page);
      if (units > 0) {
        const room =
          this.writer.roomIn(pool, slot) +
          this.blocks.freeCounts[pool]! * this.layout.unitsPerBlock;
        if (room < this.coming[pool]! + units) {
          if (this.reads[pool] === 0) this.findRoom(pool, units);
          return;
        }
        if (!this.permits.take(pool, this.kindOf(pool), units)) return;
        this.readPage(pool, block, page, units);
      }
      this.pages[pool] = page + 1;
    }
    if (this.reads[pool] === 0 && this.pages[pool] === this.pagesPerBlock) this.end(pool, block);
  }

  /**
   * What moves has no room, because a program or an erase failed whose block was counted on. Room
   * is on its way, or a void block gives some, or the rest of another open block will do, or blocks
   * that wait for a row get it padded: last, for what pads a row is garbage again, and a pool that
   * is that short would go round for ever. When nothing of that is left it cannot be collected.
   */
  private findRoom(pool: number, units: number): void {
    const { writer, blocks, waiting } = this;
    if (blocks.freeCounts[pool]! > 0) return;
    if (blocks.comingCounts[pool]! > waiting.countToFill(pool)) return;
    if (this.eraseVoid(pool) || this.changeSlot(pool, units)) return;
    waiting.pad(pool);
    if (blocks.comingCounts[pool]! > 0) return;
    if (!writer.hasFailedRows) this.listener.poolStuck(pool);
  }

  /** What moves goes to the open block of another slot from now on. @returns false without room */
  private changeSlot(pool: number, units: number): boolean {
    const { layout, writer } = this;
    const slot = this.jobSlots[pool]!;
    for (let other = 0; other < layout.slots; other++) {
      if (other === slot || writer.roomIn(pool, other) < units) continue;
      // Its program comes before those of the other slot, so waiting for these is enough.
      writer.pad(pool, slot);
      this.jobSlots[pool] = other;
      this.listener.poolDue(pool);
      return true;
    }
    return false;
  }

  private readPage(pool: number, block: number, page: number, units: number): void {
    const { layout } = this;
    const row = Math.trunc(page / (layout.pagesPerRow * layout.planesPerPool));
    const inRow = page - row * layout.pagesPerRow * layout.planesPerPool;
    this.reads[pool] = this.reads[pool]! + 1;
    this.coming[pool] = this.coming[pool]! + units;
    this.flash.read(
      layout.dieOf(pool),
      layout.planeOf(pool, inRow),
      block,
      row * layout.pagesPerRow + Math.trunc(inRow / layout.planesPerPool),
      units * driveUnitBytes,
      this.laneOf(pool, Lane.relocation),
      relocationOwner,
      page,
    );
  }

  private validIn(block: number, page: number): number {
    const { map, layout } = this;
    // The rest of the block is void: nothing to look for.
    if (this.blocks.validUnits[block] === 0) return 0;
    const first = block * layout.unitsPerBlock + page * layout.unitsPerPage;
    return map.countAt(first, layout.unitsPerPage);
  }

  private movePage(pool: number, block: number, page: number, isLost: boolean): void {
    const { layout, map, writer, counters } = this;
    const first = block * layout.unitsPerBlock + page * layout.unitsPerPage;
    const slot = this.slotOf(pool);
    const reason = this.reasons[pool]!;
    for (let i = 0; i < layout.unitsPerPage; i++) {
      const unit = map.unitAt(first + i);
      if (unit < 0) continue;
      if (isLost) {
        counters.unrecoveredUnits++;
        map.forget(unit, lostUnit);
        continue;
      }
      const row = writer.rowFor(pool, slot, Right.relocation);
      // It stays where it is, and `end` comes back for it.
      if (row === noRow) return;
      this.hasMoved[pool] = 1;
      writer.put(row, unit, nothing);
      if (reason === Reason.garbage) counters.gcUnits++;
      else if (reason === Reason.wear) counters.wearUnits++;
      else counters.refreshUnits++;
      this.listener.unitMoved(unit, pool, slot);
    }
  }

  private end(pool: number, block: number): void {
    if (this.blocks.validUnits[block]! > 0) {
      // Some units found no room: the host was faster. What waits for its row makes some.
      this.pages[pool] = 0;
      this.waiting.pad(pool);
      this.listener.poolDue(pool);
      return;
    }
    const slot = this.slotOf(pool);
    this.reasons[pool] = Reason.none;
    this.jobBlocks[pool] = nothing;
    this.permits.relax(pool);
    this.blocks.comingCounts[pool] = this.blocks.comingCounts[pool]! + 1;
    const mustWait = this.hasMoved[pool] === 1 && this.waiting.add(pool, block, slot);
    if (!mustWait) this.erase(pool, block);
    this.listener.poolDue(pool);
    this.listener.roomGained();
  }

  /**
   * Nothing of such a block has to move, so it gives room to a pool that has none at all.
   *
   * @returns false when the pool has no block that is void and good
   */
  private eraseVoid(pool: number): boolean {
    const { blocks } = this;
    const first = pool * this.layout.blocksPerPool;
    for (let block = first; block < first + this.layout.blocksPerPool; block++) {
      if (blocks.validUnits[block] !== 0 || blocks.isFailing[block] === 1) continue;
      if (blocks.states[block] !== BlockState.closed) continue;
      this.wanted.drop(pool, block);
      blocks.comingCounts[pool] = blocks.comingCounts[pool]! + 1;
      return this.erase(pool, block);
    }
    return false;
  }

  /** @returns false when it will not be free after all */
  private erase(pool: number, block: number): boolean {
    if (this.blocks.validUnits[block]! > 0) {
      // A row with its data was given up: it holds them again.
      this.blocks.comingCounts[pool] = this.blocks.comingCounts[pool]! - 1;
      this.blocks.states[block] = BlockState.closed;
      return false;
    }
    if (this.blocks.isFailing[block] === 1) {
      this.blocks.comingCounts[pool] = this.blocks.comingCounts[pool]! - 1;
      this.giveUp(block);
      this.listener.roomGained();
      return false;
    }
    const { layout } = this;
    const lane = this.laneOf(pool, Lane.erase);
    this.blocks.states[block] = BlockState.erasing;
    this.flash.erase(layout.dieOf(pool), layout.planesPerPool, block, lane);
    return true;
  }

  private giveUp(block: number): void {
    this.blocks.retire(block);
    this.listener.blocksLost();
  }

  /** Garbage collection that host writes wait for is as urgent as they are. */
  private laneOf(pool: number, lane: number): number {
    if (!this.ftl.isGcPreemptible) return Lane.read;
    return this.blocks.freeCounts[pool]! <= this.ftl.gcFreeBlocks ? Lane.program : lane;
  }
}
