import { FlashKind, type FlashOps, Lane, laneCount, noOp } from './flash-ops.js';

/**
 * Reads that may pass others in a row while those wait, of reserved reads and of all the others
 * each: nobody starves.
 */
const readsInARow = 16;
/** How far down its line a read looks for others that can run with it. */
const mateReach = 16;

/** The operations in line for each die: one line per lane. */
export class DieQueues {
  private readonly ops: FlashOps;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly counts: Int32Array;
  private readonly passed: Int32Array;
  private readonly reservedPassed: Int32Array;

  constructor(ops: FlashOps, dies: number) {
    this.ops = ops;
    this.heads = new Int32Array(dies * laneCount).fill(noOp);
    this.tails = new Int32Array(dies * laneCount).fill(noOp);
    this.counts = new Int32Array(dies);
    this.passed = new Int32Array(dies);
    this.reservedPassed = new Int32Array(dies);
  }

  isEmpty(die: number): boolean {
    return this.counts[die] === 0;
  }

  push(die: number, op: number): void {
    const { next, lane } = this.ops;
    const at = die * laneCount + lane[op]!;
    next[op] = noOp;
    const tail = this.tails[at]!;
    if (tail === noOp) this.heads[at] = op;
    else next[tail] = op;
    this.tails[at] = op;
    this.counts[die] = this.counts[die]! + 1;
  }

  /** Back to where it came from: it is tried again before anything of its lane. */
  pushFront(die: number, op: number): void {
    const { next, lane } = this.ops;
    const at = die * laneCount + lane[op]!;
    const head = this.heads[at]!;
    next[op] = head;
    this.heads[at] = op;
    if (head === noOp) this.tails[at] = op;
    this.counts[die] = this.counts[die]! + 1;
  }

  head(die: number, lane: number): number {
    return this.heads[die * laneCount + lane]!;
  }

  /** What the die does next, taken out of its line; `noOp` when nothing waits. */
  pick(die: number): number {
    if (this.counts[die] === 0) {
      this.passed[die] = 0;
      this.reservedPassed[die] = 0;
      return noOp;
    }
    const at = die * laneCount;
    if (this.heads[at + Lane.reserved] !== noOp) {
      const passed = this.reservedPassed[die]!;
      const other = passed < readsInARow ? noOp : this.mostUrgentBelow(die, Lane.reserved);
      if (other === noOp || this.mustReadFirst(die, other)) {
        this.reservedPassed[die] = passed + 1;
        return this.pop(die, Lane.reserved);
      }
    }
    this.reservedPassed[die] = 0;
    if (this.heads[at + Lane.read] !== noOp) {
      const passed = this.passed[die]!;
      const other = passed < readsInARow ? noOp : this.mostUrgentBelow(die, Lane.read);
      if (other === noOp || this.mustReadFirst(die, other)) {
        this.passed[die] = passed + 1;
        return this.pop(die, Lane.read);
      }
      this.passed[die] = 0;
      return this.pop(die, this.ops.lane[other]!);
    }
    this.passed[die] = 0;
    const op = this.mostUrgentBelow(die, Lane.read);
    return this.pop(die, this.ops.lane[op]!);
  }

  /** A read for a die whose program or erase is interrupted; `noOp` when that is to go on. */
  pickRead(die: number): number {
    const at = die * laneCount;
    const lane = this.heads[at + Lane.reserved] === noOp ? Lane.read : Lane.reserved;
    const head = this.heads[at + lane]!;
    const passed = this.passed[die]!;
    if (head === noOp || this.ops.kind[head] !== FlashKind.read || passed >= readsInARow) {
      this.passed[die] = 0;
      return noOp;
    }
    this.passed[die] = passed + 1;
    return this.pop(die, lane);
  }

  /**
   * Reads of other planes that run together with this one leave the line and hang on to it.
   *
   * @param isIndependent  of any block and page; otherwise of the same ones
   * @returns              how many run now
   */
  takeMates(die: number, op: number, isIndependent: boolean): number {
    const { next, mate, kind, plane, block, page, lane } = this.ops;
    const at = die * laneCount + lane[op]!;
    let planes = 1 << plane[op]!;
    let last = op;
    let count = 1;
    let before = noOp;
    let other = this.heads[at]!;
    for (let i = 0; i < mateReach && other !== noOp; i++) {
      const after = next[other]!;
      const bit = 1 << plane[other]!;
      const fits =
        kind[other] === FlashKind.read &&
        (planes & bit) === 0 &&
        (isIndependent || (block[other] === block[op] && page[other] === page[op]));
      if (!fits) {
        before = other;
      } else {
        if (before === noOp) this.heads[at] = after;
        else next[before] = after;
        if (after === noOp) this.tails[at] = before;
        this.counts[die] = this.counts[die]! - 1;
        planes |= bit;
        mate[last] = other;
        mate[other] = noOp;
        last = other;
        count++;
      }
      other = after;
    }
    return count;
  }

  clear(): void {
    this.heads.fill(noOp);
    this.tails.fill(noOp);
    this.counts.fill(0);
    this.passed.fill(0);
    this.reservedPassed.fill(0);
  }

  private mostUrgentBelow(die: number, lane: number): number {
    const at = die * laneCount;
    for (let other = lane + 1; other < laneCount; other++) {
      const head = this.heads[at + other]!;
      if (head !== noOp) return head;
    }
    return noOp;
  }

  /** An erase must not overtake a read of the same block. */
  private mustReadFirst(die: number, other: number): boolean {
    const { kind, block } = this.ops;
    if (kind[other] !== FlashKind.erase) return false;
    const wanted = block[other]!;
    return this.isReading(die, Lane.reserved, wanted) || this.isReading(die, Lane.read, wanted);
  }

  private isReading(die: number, lane: number, wanted: number): boolean {
    const { block, kind, next } = this.ops;
    let op = this.heads[die * laneCount + lane]!;
    while (op !== noOp && (block[op] !== wanted || kind[op] !== FlashKind.read)) op = next[op]!;
    return op !== noOp;
  }

  private pop(die: number, lane: number): number {
    const at = die * laneCount + lane;
    const op = this.heads[at]!;
    const after = this.ops.next[op]!;
    this.heads[at] = after;
    if (after === noOp) this.tails[at] = noOp;
    this.counts[die] = this.counts[die]! - 1;
    return op;
  }
}
