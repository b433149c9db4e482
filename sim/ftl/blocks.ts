import { assert } from '../../sdk/assert.js';
import type { CellWear } from '../nand/cell-wear.js';
import type { Layout } from './layout.js';

export const BlockState = {
  /** Erased. */
  free: 0,
  /** Being written, or full with programs in flight. */
  open: 1,
  closed: 2,
  /** Its data is being moved, or waits for that to be programmed. */
  moving: 3,
  erasing: 4,
  spare: 5,
  bad: 6,
} as const;

const nothing = -1;

/** State, valid units and lists of the blocks of all pools. Every block has exactly one state. */
export class Blocks {
  readonly states: Uint8Array;
  readonly validUnits: Int32Array;
  /** Rows of an open block that are programmed, in order; all of a closed one. */
  readonly rowsDone: Int32Array;
  /** Rows that are taken and not done. */
  readonly rowsBusy: Int32Array;
  /** A program failed here: its data is to be moved, then it is bad. */
  readonly isFailing: Uint8Array;
  /** The slot that wrote it. */
  readonly slots: Uint8Array;
  /** Units written to the medium when the block was opened and when it was closed. */
  readonly openedAt: Float64Array;
  readonly closedAt: Float64Array;
  // By pool.
  readonly freeCounts: Int32Array;
  /** Blocks that have nothing valid and will be erased: that will be free. */
  readonly comingCounts: Int32Array;
  readonly spareCounts: Int32Array;
  /** Blocks that are neither spare nor bad. */
  readonly usableCounts: Int32Array;
  readonly poolValidUnits: Float64Array;
  badCount = 0;
  spareCount = 0;
  private readonly layout: Layout;
  private readonly wear: CellWear;
  private readonly levelsWear: boolean;
  private readonly next: Int32Array;
  private readonly freeHeads: Int32Array;
  private readonly freeTails: Int32Array;

  constructor(layout: Layout, wear: CellWear, sparePerPool: number, levelsWear: boolean) {
    const { blocks, pools } = layout;
    this.layout = layout;
    this.wear = wear;
    this.levelsWear = levelsWear;
    this.states = new Uint8Array(blocks);
    this.validUnits = new Int32Array(blocks);
    this.rowsDone = new Int32Array(blocks);
    this.rowsBusy = new Int32Array(blocks);
    this.isFailing = new Uint8Array(blocks);
    this.slots = new Uint8Array(blocks);
    this.openedAt = new Float64Array(blocks);
    this.closedAt = new Float64Array(blocks);
    this.freeCounts = new Int32Array(pools);
    this.comingCounts = new Int32Array(pools);
    this.spareCounts = new Int32Array(pools);
    this.usableCounts = new Int32Array(pools);
    this.poolValidUnits = new Float64Array(pools);
    this.next = new Int32Array(blocks);
    this.freeHeads = new Int32Array(pools).fill(nothing);
    this.freeTails = new Int32Array(pools).fill(nothing);
    for (let pool = 0; pool < pools; pool++) this.fillPool(pool, sparePerPool);
  }

  poolOf(block: number): number {
    return Math.trunc(block / this.layout.blocksPerPool);
  }

  /**
   * Take a free block.
   *
   * @param slot        that will write it
   * @param isMostWorn  cold data goes to the most worn one, all other data to the least worn
   * @returns           -1 when the pool has none
   */
  open(pool: number, slot: number, isMostWorn: boolean, clock: number): number {
    const block = this.takeFree(pool, isMostWorn);
    if (block === nothing) return nothing;
    assert(this.validUnits[block] === 0, 'a free block holds valid units');
    this.states[block] = BlockState.open;
    this.rowsDone[block] = 0;
    this.rowsBusy[block] = 0;
    this.slots[block] = slot;
    this.openedAt[block] = clock;
    return block;
  }

  /** A block that was written once in order: the first free one. @returns -1 without one */
  takeFilled(pool: number, validUnits: number): number {
    const block = this.freeHeads[pool]!;
    if (block === nothing) return nothing;
    const next = this.next[block]!;
    this.freeHeads[pool] = next;
    if (next === nothing) this.freeTails[pool] = nothing;
    this.freeCounts[pool] = this.freeCounts[pool]! - 1;
    this.states[block] = BlockState.closed;
    this.rowsDone[block] = this.layout.rowsPerBlock;
    this.rowsBusy[block] = 0;
    this.validUnits[block] = validUnits;
    this.poolValidUnits[pool] = this.poolValidUnits[pool]! + validUnits;
    return block;
  }

  close(block: number, clock: number): void {
    assert(this.states[block] === BlockState.open, 'only an open block closes');
    this.states[block] = BlockState.closed;
    this.closedAt[block] = clock;
  }

  startMoving(block: number): void {
    assert(this.states[block] === BlockState.closed, 'only data of a closed block moves');
    this.states[block] = BlockState.moving;
  }

  /** It was erased. */
  addFree(block: number): void {
    const pool = this.poolOf(block);
    this.states[block] = BlockState.free;
    this.isFailing[block] = 0;
    this.next[block] = nothing;
    const tail = this.freeTails[pool]!;
    if (tail === nothing) this.freeHeads[pool] = block;
    else this.next[tail] = block;
    this.freeTails[pool] = block;
    this.freeCounts[pool] = this.freeCounts[pool]! + 1;
  }

  /** All blocks but spare and bad ones are about to be erased. */
  forgetFree(): void {
    const { states } = this;
    for (let block = 0; block < states.length; block++) {
      if (states[block]! < BlockState.spare) states[block] = BlockState.erasing;
    }
    this.freeCounts.fill(0);
    this.freeHeads.fill(nothing);
    this.freeTails.fill(nothing);
  }

  /** It will be bad soon; a spare block of its pool, when there is one, becomes free at once. */
  replace(block: number): void {
    const pool = this.poolOf(block);
    this.usableCounts[pool] = this.usableCounts[pool]! - 1;
    if (this.spareCounts[pool] === 0) return;
    this.spareCounts[pool] = this.spareCounts[pool]! - 1;
    this.spareCount--;
    this.usableCounts[pool] = this.usableCounts[pool]! + 1;
    const first = pool * this.layout.blocksPerPool;
    this.addFree(this.states.indexOf(BlockState.spare, first));
  }

  /** It is bad from now on. */
  retire(block: number): void {
    assert(this.validUnits[block] === 0, 'a block that goes bad holds valid units');
    if (this.isFailing[block] === 0) this.replace(block);
    this.isFailing[block] = 1;
    this.states[block] = BlockState.bad;
    this.badCount++;
  }

  /** A spare block turns out to be bad. */
  dropSpare(block: number): void {
    const pool = this.poolOf(block);
    assert(this.states[block] === BlockState.spare, 'only a spare block is dropped');
    this.spareCounts[pool] = this.spareCounts[pool]! - 1;
    this.spareCount--;
    this.isFailing[block] = 1;
    this.states[block] = BlockState.bad;
    this.badCount++;
  }

  /** Blocks of a pool that wait in a state. For checks. */
  countIn(pool: number, state: number): number {
    const first = pool * this.layout.blocksPerPool;
    let count = 0;
    for (let i = 0; i < this.layout.blocksPerPool; i++) {
      if (this.states[first + i] === state) count++;
    }
    return count;
  }

  /** Blocks of a pool that are failing and not bad yet. For checks. */
  countFailing(pool: number): number {
    const first = pool * this.layout.blocksPerPool;
    let count = 0;
    for (let block = first; block < first + this.layout.blocksPerPool; block++) {
      if (this.isFailing[block] === 1 && this.states[block] !== BlockState.bad) count++;
    }
    return count;
  }

  /** Length of the free list of a pool. For checks. */
  countFreeList(pool: number): number {
    let count = 0;
    for (let at = this.freeHeads[pool]!; at !== nothing; at = this.next[at]!) count++;
    return count;
  }

  /** Units that a pool can hold with its blocks of now. */
  quotaOf(pool: number): number {
    const blocks = this.usableCounts[pool]! - this.layout.reservedBlocks;
    return Math.max(0, blocks) * this.layout.unitsPerBlock;
  }

  /** The valid units of a pool leave no room for another block of the host's. */
  isAtQuota(pool: number): boolean {
    return this.poolValidUnits[pool]! + this.layout.unitsPerBlock > this.quotaOf(pool);
  }

  /**
   * Good blocks beyond those that are always in use are spare. A maker guarantees how many blocks
   * of a pool are bad at most: as many as can be spared.
   */
  private fillPool(pool: number, spares: number): void {
    const { blocksPerPool } = this.layout;
    const first = pool * blocksPerPool;
    let bad = 0;
    for (let block = first; block < first + blocksPerPool; block++) {
      if (bad < spares && this.wear.isBadFromFactory()) {
        bad++;
        this.states[block] = BlockState.bad;
        this.isFailing[block] = 1;
        this.badCount++;
      } else if (this.usableCounts[pool]! < blocksPerPool - spares) {
        this.usableCounts[pool] = this.usableCounts[pool]! + 1;
        this.addFree(block);
      } else {
        this.states[block] = BlockState.spare;
        this.spareCounts[pool] = this.spareCounts[pool]! + 1;
        this.spareCount++;
      }
    }
  }

  private takeFree(pool: number, isMostWorn: boolean): number {
    let before = nothing;
    let best = this.freeHeads[pool]!;
    if (best === nothing) return nothing;
    if (this.levelsWear) {
      const { eraseCounts } = this.wear;
      let last = best;
      for (let at = this.next[best]!; at !== nothing; at = this.next[at]!) {
        const isBetter = isMostWorn
          ? eraseCounts[at]! > eraseCounts[best]!
          : eraseCounts[at]! < eraseCounts[best]!;
        if (isBetter) {
          best = at;
          before = last;
        }
        last = at;
      }
    }
    const after = this.next[best]!;
    if (before === nothing) this.freeHeads[pool] = after;
    else this.next[before] = after;
    if (after === nothing) this.freeTails[pool] = before;
    this.freeCounts[pool] = this.freeCounts[pool]! - 1;
    return best;
  }
}
