import { assert } from '../../sdk/assert.js';
import type { Blocks } from './blocks.js';
import type { Layout } from './layout.js';
import type { TableOrigin } from './unit-table.js';

const nothing = -1;

/**
 * Where the units of a drive lie that was written once, in order: row after row, each in the next
 * pool. It is a formula in both directions, so that a full drive of any size is made at once and
 * costs memory only for what changes afterwards.
 */
export class FillOrder {
  readonly units: number;
  private readonly layout: Layout;
  private readonly blocksOfPool: number;
  /** Blocks in the order in which each pool took them, and the place of each in that order. */
  private readonly taken: Int32Array;
  private readonly turns: Int32Array;

  constructor(layout: Layout, blocks: Blocks, units: number) {
    this.layout = layout;
    this.units = units;
    const { pools, unitsPerRow, rowsPerBlock } = layout;
    const rows = Math.ceil(units / unitsPerRow);
    this.blocksOfPool = Math.ceil(Math.ceil(rows / pools) / rowsPerBlock);
    this.taken = new Int32Array(pools * this.blocksOfPool).fill(nothing);
    this.turns = new Int32Array(layout.blocks).fill(nothing);
    for (let pool = 0; pool < pools; pool++) this.takeBlocks(blocks, pool);
  }

  /** -1 for a unit that was not written. */
  physicalOf(unit: number): number {
    if (unit >= this.units) return nothing;
    const { pools, unitsPerRow, rowsPerBlock, unitsPerBlock } = this.layout;
    const row = Math.trunc(unit / unitsPerRow);
    const rowOfPool = Math.trunc(row / pools);
    const pool = row - rowOfPool * pools;
    const turn = Math.trunc(rowOfPool / rowsPerBlock);
    const block = this.taken[pool * this.blocksOfPool + turn]!;
    const inBlock = (rowOfPool - turn * rowsPerBlock) * unitsPerRow;
    return block * unitsPerBlock + inBlock + (unit - row * unitsPerRow);
  }

  /** -1 for a place that was not written. */
  unitAt(physical: number): number {
    const { pools, unitsPerRow, rowsPerBlock, unitsPerBlock, blocksPerPool } = this.layout;
    const block = Math.trunc(physical / unitsPerBlock);
    const turn = this.turns[block]!;
    if (turn === nothing) return nothing;
    const inBlock = physical - block * unitsPerBlock;
    const rowOfBlock = Math.trunc(inBlock / unitsPerRow);
    const pool = Math.trunc(block / blocksPerPool);
    const row = (turn * rowsPerBlock + rowOfBlock) * pools + pool;
    const unit = row * unitsPerRow + (inBlock - rowOfBlock * unitsPerRow);
    return unit < this.units ? unit : nothing;
  }

  private takeBlocks(blocks: Blocks, pool: number): void {
    const { pools, unitsPerRow, rowsPerBlock } = this.layout;
    const fullRows = Math.trunc(this.units / unitsPerRow);
    const rest = this.units - fullRows * unitsPerRow;
    for (let turn = 0; turn < this.blocksOfPool; turn++) {
      const firstRow = turn * rowsPerBlock;
      // Rows of this block that are full: those below `fullRows` that fall on this pool.
      const rowsOfPool = Math.trunc((fullRows - pool + pools - 1) / pools);
      const rows = Math.min(Math.max(rowsOfPool - firstRow, 0), rowsPerBlock);
      const hasRest = rest > 0 && fullRows % pools === pool;
      const isRestHere = hasRest && Math.trunc(rowsOfPool / rowsPerBlock) === turn;
      const valid = rows * unitsPerRow + (isRestHere ? rest : 0);
      if (valid === 0) return;
      const block = blocks.takeFilled(pool, valid);
      assert(block !== nothing, 'a pool without room for its part of a full drive');
      this.taken[pool * this.blocksOfPool + turn] = block;
      this.turns[block] = turn;
    }
  }
}

/** The places of the units, as a table has them: number + 1. */
export class FilledPlaces implements TableOrigin {
  private readonly order: FillOrder;

  constructor(order: FillOrder) {
    this.order = order;
  }

  entryOf(unit: number): number {
    return this.order.physicalOf(unit) + 1;
  }
}

/** What the places hold, the same way. */
export class FilledContents implements TableOrigin {
  private readonly order: FillOrder;

  constructor(order: FillOrder) {
    this.order = order;
  }

  entryOf(physical: number): number {
    return this.order.unitAt(physical) + 1;
  }
}
