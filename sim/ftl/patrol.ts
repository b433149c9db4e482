import type { CellWear } from '../nand/cell-wear.js';
import type { FlashArray } from '../nand/flash-array.js';
import { Lane } from '../nand/flash-ops.js';
import { BlockState, type Blocks } from './blocks.js';
import { type CopyGate, openGate } from './copy-gate.js';
import type { Counters } from './counters.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { Reason } from './relocation-reason.js';
import type { Relocator } from './relocator.js';

/** Host requests between two looks at the age of a block. */
const patrolRequests = 64;

/** The owner of a flash read that nobody asked for. */
export const scanOwner = -3;

/** Of the page that the gate is asked for. */
const Permit = { none: 0, waits: 1, used: 2 } as const;

/**
 * Looks at the age of one block after the other, so that old data is written again, and reads the
 * medium through. It goes with the requests of the host: a drive at rest has no events.
 *
 * Where a gate has to be asked the pages of a part go one after the other, each when it may; the
 * next part is not due before.
 */
export class Patrol {
  gate: CopyGate = openGate;
  private permit: number = Permit.none;
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
  /** The part ends before this page. */
  private scanEnd = 0;

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

  /**
   * A read of the scan is over: a page that was hard to read is written again.
   *
   * @param permit  the gate was asked for it: `Permit.used`
   */
  scanned(block: number, attempts: number, permit: number): void {
    const limit = this.ftl.refreshRetries;
    if (limit > 0 && attempts >= limit) this.relocator.want(block, Reason.refresh);
    if (permit !== Permit.used) return;
    this.giveBack();
    this.readOn();
  }

  /** The gate lets the page be read that it was asked for. */
  granted(): void {
    if (this.isReadable) {
      this.readNext();
      return;
    }
    this.giveBack();
    this.scanPage = this.scanEnd;
  }

  /** The power is gone. */
  clear(): void {
    this.giveBack();
    this.scanPage = this.scanEnd;
  }

  private scan(nowNs: number): void {
    // Of the part before, pages still wait for the gate.
    if (this.scanPage < this.scanEnd || this.permit !== Permit.none) return;
    const { layout, ftl } = this;
    this.scanAtNs = nowNs + ftl.scanEveryNs;
    const pagesPerBlock = layout.rowsPerBlock * layout.pagesPerRow;
    if (this.scanPage === pagesPerBlock) {
      this.scanPage = 0;
      // Its neighbour by number lies on the same die: the next part is one of another die.
      const next = this.scanBlock + layout.blocksPerPool;
      this.scanBlock = next < layout.blocks ? next : (next + 1) % layout.blocksPerPool;
    }
    this.scanEnd = Math.min(pagesPerBlock, this.scanPage + ftl.scanPages);
    if (this.isReadable) {
      this.readOn();
    } else {
      this.scanPage = pagesPerBlock;
      this.scanEnd = pagesPerBlock;
    }
  }

  /** What is not written through, or being erased, has nothing to be looked at. */
  private get isReadable(): boolean {
    return this.blocks.states[this.scanBlock] === BlockState.closed;
  }

  /** Pages of the part, as many as may be read now. */
  private readOn(): void {
    const { flash, gate, layout } = this;
    flash.beginBatch();
    while (this.scanPage < this.scanEnd && this.permit === Permit.none) {
      if (gate.isOpen) {
        this.readPage();
      } else if (gate.asksToRead(layout.pools, layout.unitsPerPage)) {
        this.granted();
      } else {
        this.permit = Permit.waits;
      }
    }
    flash.endBatch();
  }

  private readNext(): void {
    this.permit = Permit.used;
    this.readPage();
  }

  private readPage(): void {
    const { layout, scanBlock: block } = this;
    const pool = this.blocks.poolOf(block);
    const plane = layout.planeOf(pool, 0);
    const { pageBytes } = layout;
    const lane = Lane.read;
    const page = this.scanPage++;
    this.counters.scannedPages++;
    this.flash.read(
      layout.dieOf(pool),
      plane,
      block,
      page,
      pageBytes,
      lane,
      scanOwner,
      this.permit,
    );
  }

  private giveBack(): void {
    if (this.permit === Permit.none) return;
    this.permit = Permit.none;
    this.gate.ended(this.layout.pools);
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
