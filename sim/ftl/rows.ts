import { widen } from '../nand/flash-ops.js';

const firstRows = 64;
export const noRow = -1;

/** Rows that are being filled or programmed, as numbers: the buffers in front of the flash. */
export class Rows {
  pool = new Int32Array(firstRows);
  slot = new Int32Array(firstRows);
  block = new Int32Array(firstRows);
  /** Row of the block. */
  index = new Int32Array(firstRows);
  /** Its number among the rows of its pool and slot; whole numbers that wrap. */
  sequence = new Int32Array(firstRows);
  /** Units that are in it. */
  fill = new Int32Array(firstRows);
  /** Units of it that were put elsewhere after its program failed. */
  moved = new Int32Array(firstRows);
  /** Units in it whose requests wait for the program. */
  owners = new Int32Array(firstRows);
  /** 1 when it is programmed or given up, and kept for the units that are to be put elsewhere. */
  isOut = new Int32Array(firstRows);
  next = new Int32Array(firstRows);
  /**
   * By row × unitsPerRow + place: the logical unit or -1, its request or -1, where it lay before.
   */
  units: Int32Array<ArrayBuffer>;
  requests: Int32Array<ArrayBuffer>;
  before: Int32Array<ArrayBuffer>;
  readonly unitsPerRow: number;
  private isTaken = new Int32Array(firstRows);
  private firstFree = noRow;
  private made = 0;

  constructor(unitsPerRow: number) {
    this.unitsPerRow = unitsPerRow;
    this.units = new Int32Array(firstRows * unitsPerRow);
    this.requests = new Int32Array(firstRows * unitsPerRow);
    this.before = new Int32Array(firstRows * unitsPerRow);
  }

  take(pool: number, slot: number, block: number, index: number, sequence: number): number {
    let row = this.firstFree;
    if (row !== noRow) {
      this.firstFree = this.next[row]!;
    } else {
      if (this.made === this.pool.length) this.grow();
      row = this.made++;
    }
    this.pool[row] = pool;
    this.slot[row] = slot;
    this.block[row] = block;
    this.index[row] = index;
    this.sequence[row] = sequence;
    this.fill[row] = 0;
    this.moved[row] = 0;
    this.owners[row] = 0;
    this.isOut[row] = 0;
    this.next[row] = noRow;
    this.isTaken[row] = 1;
    return row;
  }

  give(row: number): void {
    this.isTaken[row] = 0;
    this.next[row] = this.firstFree;
    this.firstFree = row;
  }

  /** A row of this pool and slot with this number or an earlier one is not done with. */
  hasUpTo(pool: number, slot: number, sequence: number): boolean {
    for (let row = 0; row < this.made; row++) {
      if (this.isTaken[row] === 0 || this.pool[row] !== pool || this.slot[row] !== slot) continue;
      if (((this.sequence[row]! - sequence) | 0) <= 0) return true;
    }
    return false;
  }

  /** The row in use with this index in its block, `noRow` without one. For the control path. */
  at(block: number, index: number): number {
    for (let row = 0; row < this.made; row++) {
      if (this.isTaken[row] === 0 || this.block[row] !== block) continue;
      if (this.index[row] === index) return row;
    }
    return noRow;
  }

  /** Every row that is being filled or programmed. For the control path. */
  inUse(): number[] {
    const taken = this.isTaken;
    return Array.from({ length: this.made }, (_, row) => row).filter((row) => taken[row] === 1);
  }

  clear(): void {
    this.firstFree = noRow;
    this.made = 0;
    this.isTaken.fill(0);
  }

  private grow(): void {
    const size = this.pool.length * 2;
    this.pool = widen(this.pool, size);
    this.slot = widen(this.slot, size);
    this.block = widen(this.block, size);
    this.index = widen(this.index, size);
    this.sequence = widen(this.sequence, size);
    this.fill = widen(this.fill, size);
    this.moved = widen(this.moved, size);
    this.owners = widen(this.owners, size);
    this.isOut = widen(this.isOut, size);
    this.next = widen(this.next, size);
    this.isTaken = widen(this.isTaken, size);
    this.units = widen(this.units, size * this.unitsPerRow);
    this.requests = widen(this.requests, size * this.unitsPerRow);
    this.before = widen(this.before, size * this.unitsPerRow);
  }
}
