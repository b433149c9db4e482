import { BlockState, type Blocks } from './blocks.js';
import type { Layout } from './layout.js';
import { Reason } from './relocation-reason.js';

/** Blocks whose data is to move as soon as their pool can afford it: old, or failing. */
export class WantedBlocks {
  /** How many, by pool. */
  readonly counts: Int32Array;
  /** By block: why, a `Reason`. */
  private readonly reasons: Uint8Array;
  private readonly blocks: Blocks;
  private readonly layout: Layout;

  constructor(layout: Layout, blocks: Blocks) {
    this.layout = layout;
    this.blocks = blocks;
    this.reasons = new Uint8Array(layout.blocks);
    this.counts = new Int32Array(layout.pools);
  }

  /** @returns false when it is known or its data cannot move */
  note(block: number, reason: number): boolean {
    if (this.reasons[block] !== Reason.none) return false;
    if (this.blocks.states[block] !== BlockState.closed) return false;
    this.reasons[block] = reason;
    const pool = this.blocks.poolOf(block);
    this.counts[pool] = this.counts[pool]! + 1;
    return true;
  }

  reasonOf(block: number): number {
    return this.reasons[block]!;
  }

  /** The first of a pool whose data can move now; -1 without one. */
  firstOf(pool: number): number {
    const first = pool * this.layout.blocksPerPool;
    for (let block = first; block < first + this.layout.blocksPerPool; block++) {
      if (this.reasons[block] === Reason.none) continue;
      if (this.blocks.states[block] === BlockState.closed) return block;
    }
    return -1;
  }

  /** Its data moves, for this reason or another. */
  drop(pool: number, block: number): void {
    if (this.reasons[block] === Reason.none) return;
    this.reasons[block] = Reason.none;
    this.counts[pool] = this.counts[pool]! - 1;
  }

  forget(): void {
    this.reasons.fill(Reason.none);
    this.counts.fill(0);
  }
}
