import type { CellWear } from '../nand/cell-wear.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { Reason, type Relocator } from './relocator.js';

/** Host requests between two looks at the age of a block. */
const patrolRequests = 64;

/**
 * Looks at the age of one block after the other, so that old data is written again. It goes with
 * the requests of the host: a drive at rest has no events.
 */
export class Patrol {
  private readonly ftl: FtlProfile;
  private readonly layout: Layout;
  private readonly cells: CellWear;
  private readonly relocator: Relocator;
  private countdown = patrolRequests;
  private block = 0;

  constructor(ftl: FtlProfile, layout: Layout, cells: CellWear, relocator: Relocator) {
    this.ftl = ftl;
    this.layout = layout;
    this.cells = cells;
    this.relocator = relocator;
  }

  /** A request of the host has come. */
  step(nowNs: number): void {
    if (this.ftl.refreshDays === 0 || --this.countdown > 0) return;
    this.countdown = patrolRequests;
    const block = this.block;
    this.block = block + 1 === this.layout.blocks ? 0 : block + 1;
    const days = this.cells.daysAt(nowNs) - this.cells.writtenDays[block]!;
    if (days >= this.ftl.refreshDays) this.relocator.want(block, Reason.refresh);
  }
}
