import type { CellWear } from '../nand/cell-wear.js';
import type { FlashArray } from '../nand/flash-array.js';
import { Lane } from '../nand/flash-ops.js';
import { BlockState, type Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { Reason } from './relocation-reason.js';
import type { Relocator } from './relocator.js';

/** Host requests between two looks at the age of a block. */
const patrolRequests = 64;

/** The owner of a flash read that nobody asked for. */
export const scanOwner = -3;

/**
 * Looks at the age of one block after the other, so that old data is written again, and reads the
 * medium through. It goes with the requests of the host: a drive at rest has no events.
 */
export class Patrol {
  private readonly ftl: FtlProfile;
  private readonly layout: Layout;
  private readonly cells: CellWear;
  private readonly relocator: Relocator;
  private readonly blocks: Blocks;
  private readonly flash: FlashArray;
  private readonly counters: Counters;
  private countdown = patrolRequests;
  private block = 0;
  /** When the next part of the scan is due, and where. */
  private scanAtNs: number;
  private scanBlock = 0;
  private scanPage = 0;

  constructor(parts: PatrolParts) {
    this.ftl = parts.ftl;
    this.layout = parts.layout;
    this.cells = parts.cells;
    this.relocator = parts.relocator;
    this.blocks = parts.blocks;
    this.flash = parts.flash;
    this.counters = parts.counters;
    this.scanAtNs = parts.ftl.scanEveryNs;
  }

  /** A request of the host has come. */
  step(nowNs: number): void {
    if (nowNs >= this.scanAtNs && this.ftl.scanEveryNs > 0) this.scan(nowNs);
    if (this.ftl.refreshDays === 0 || --this.countdown > 0) return;
    this.countdown = patrolRequests;
    const block = this.block;
    this.block = block + 1 === this.layout.blocks ? 0 : block + 1;
    const days = this.cells.daysAt(nowNs) - this.cells.writtenDays[block]!;
    if (days >= this.ftl.refreshDays) this.relocator.want(block, Reason.refresh);
  }

  /** A read of the scan is over: a page that was hard to read is written again. */
  scanned(block: number, attempts: number): void {
    const limit = this.ftl.refreshRetries;
    if (limit > 0 && attempts >= limit) this.relocator.want(block, Reason.refresh);
  }

  private scan(nowNs: number): void {
    const { layout, flash, ftl } = this;
    this.scanAtNs = nowNs + ftl.scanEveryNs;
    const pagesPerBlock = layout.rowsPerBlock * layout.pagesPerRow;
    if (this.scanPage === pagesPerBlock) {
      this.scanPage = 0;
      // Its neighbour by number lies on the same die: the next part is one of another die.
      const next = this.scanBlock + layout.blocksPerPool;
      this.scanBlock = next < layout.blocks ? next : (next + 1) % layout.blocksPerPool;
    }
    const block = this.scanBlock;
    const end = Math.min(pagesPerBlock, this.scanPage + ftl.scanPages);
    // What is not written through, or being erased, has nothing to be looked at.
    const isClosed = this.blocks.states[block] === BlockState.closed;
    const pool = this.blocks.poolOf(block);
    flash.beginBatch();
    for (let page = this.scanPage; isClosed && page < end; page++) {
      const plane = layout.planeOf(pool, 0);
      const { pageBytes } = layout;
      this.counters.scannedPages++;
      flash.read(layout.dieOf(pool), plane, block, page, pageBytes, Lane.read, scanOwner, 0);
    }
    flash.endBatch();
    this.scanPage = isClosed ? end : pagesPerBlock;
  }
}

export interface PatrolParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly cells: CellWear;
  readonly relocator: Relocator;
  readonly blocks: Blocks;
  readonly flash: FlashArray;
  readonly counters: Counters;
}
