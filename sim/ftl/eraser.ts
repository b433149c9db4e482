import type { FlashArray } from '../nand/flash-array.js';
import { Lane } from '../nand/flash-ops.js';
import { BlockState, type Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import type { Layout } from './layout.js';

/** Erases every block that is not bad, spare ones too: one at a time in each pool. */
export class Eraser {
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly flash: FlashArray;
  private readonly counters: Counters;
  private readonly ended: () => void;
  private readonly nextBlocks: Int32Array;
  /** Blocks whose erase failed. */
  private readonly failed: Uint8Array;
  private left = 0;

  constructor(parts: EraserParts) {
    this.layout = parts.layout;
    this.blocks = parts.blocks;
    this.flash = parts.flash;
    this.counters = parts.counters;
    this.ended = parts.ended;
    this.failed = new Uint8Array(parts.layout.blocks);
    this.nextBlocks = new Int32Array(parts.layout.pools);
  }

  get isRunning(): boolean {
    return this.left > 0;
  }

  start(): void {
    const { layout } = this;
    this.left = layout.blocks - this.blocks.badCount;
    this.nextBlocks.fill(0);
    this.blocks.forgetFree();
    for (let pool = 0; pool < layout.pools; pool++) this.goOn(pool);
  }

  /** The power is gone; what is left is not erased. */
  stop(): void {
    this.left = 0;
  }

  eraseDone(block: number, failed: boolean): void {
    const { blocks } = this;
    this.counters.erases++;
    this.left--;
    if (failed) this.counters.eraseFailures++;
    // One whose program failed before is not used again either.
    if (failed || blocks.isFailing[block] === 1) {
      this.failed[block] = 1;
    } else if (blocks.states[block] !== BlockState.spare) {
      blocks.addFree(block);
    }
    if (this.left > 0) {
      this.goOn(blocks.poolOf(block));
      return;
    }
    this.retireFailed();
    this.ended();
  }

  private retireFailed(): void {
    const { blocks, failed } = this;
    // Spare ones first: none of them may replace another. They were never in use, so there is just
    // one spare less.
    for (let block = 0; block < failed.length; block++) {
      if (failed[block] === 0 || blocks.states[block] !== BlockState.spare) continue;
      blocks.dropSpare(block);
      failed[block] = 0;
    }
    for (let block = 0; block < failed.length; block++) {
      if (failed[block] === 1) blocks.retire(block);
    }
    failed.fill(0);
  }

  private goOn(pool: number): void {
    const { blocks, layout } = this;
    while (this.nextBlocks[pool]! < layout.blocksPerPool) {
      const block = pool * layout.blocksPerPool + this.nextBlocks[pool]!;
      this.nextBlocks[pool] = this.nextBlocks[pool]! + 1;
      if (blocks.states[block] === BlockState.bad) continue;
      this.flash.erase(layout.dieOf(pool), layout.planesPerPool, block, Lane.erase);
      return;
    }
  }
}

export interface EraserParts {
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly flash: FlashArray;
  readonly counters: Counters;
  /** All is erased; from inside an event. */
  readonly ended: () => void;
}
