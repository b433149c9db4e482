/** A power of two: counters of the filter. */
const filterSize = 4096;
/** Longer requests are not spread over the filter; while there are any, everyone looks. */
const longestUnits = 64;

/** Blocks that somebody holds, or waits for. */
export class HeldRange {
  first = 0;
  end = 0;
  isExclusive = false;
  /** @internal Units of the filter, and where it stands among the others. */
  firstUnit = 0;
  lastUnit = 0;
  order = 0;
  place = 0;
}

/**
 * Who may work on which blocks: requests whose blocks overlap take turns in the order in which they
 * came, unless both only read. Nobody overtakes one that waits, so nobody waits for ever.
 *
 * A filter of counters says for nearly every request at once that nobody is near; only when it does
 * not, the others are looked at one by one. Nothing is allocated.
 */
export class RangeLocks {
  /** Units per block: a power of two, so that multiplying is exact. */
  private readonly perBlock: number;
  private readonly filter = new Int32Array(filterSize);
  private longCount = 0;
  /** All that hold or want blocks, in no order. */
  private readonly list: (HeldRange | null)[];
  private count = 0;
  private nextOrder = 0;

  constructor(rangeCount: number, blockBytes: number) {
    this.perBlock = 1 / Math.max(1, 2 ** Math.floor(Math.log2(4096 / blockBytes)));
    this.list = new Array<HeldRange | null>(rangeCount).fill(null);
  }

  /** Ask for blocks. @returns whether the range has them now */
  enter(range: HeldRange, lba: number, blockCount: number, isExclusive: boolean): boolean {
    range.first = lba;
    range.end = lba + blockCount;
    range.order = this.nextOrder++;
    range.isExclusive = isExclusive;
    const first = Math.floor(lba * this.perBlock);
    const last = Math.floor((lba + blockCount - 1) * this.perBlock);
    range.firstUnit = first;
    range.lastUnit = last;
    let isAlone = this.longCount === 0;
    if (last - first >= longestUnits) {
      this.longCount++;
      isAlone = this.count === 0;
    } else {
      for (let unit = first; unit <= last; unit++) {
        const at = unit & (filterSize - 1);
        if (this.filter[at]!++ !== 0) isAlone = false;
      }
    }
    range.place = this.count;
    this.list[this.count++] = range;
    return isAlone || this.has(range);
  }

  /** Whether a range that has been asked for is at its turn. */
  has({ first, end, order, isExclusive }: HeldRange): boolean {
    for (let i = 0; i < this.count; i++) {
      const other = this.list[i]!;
      if (other.first >= end || other.end <= first) continue;
      if (other.order < order && (isExclusive || other.isExclusive)) return false;
    }
    return true;
  }

  /** Whether another range waits for this one. */
  isAwaited({ first, end, order, isExclusive }: HeldRange): boolean {
    for (let i = 0; i < this.count; i++) {
      const other = this.list[i]!;
      if (other.first >= end || other.end <= first) continue;
      if (other.order > order && (isExclusive || other.isExclusive)) return true;
    }
    return false;
  }

  leave(range: HeldRange): void {
    const { firstUnit, lastUnit } = range;
    if (lastUnit - firstUnit >= longestUnits) this.longCount--;
    else
      for (let unit = firstUnit; unit <= lastUnit; unit++) this.filter[unit & (filterSize - 1)]!--;
    const moved = this.list[--this.count]!;
    this.list[range.place] = moved;
    moved.place = range.place;
    this.list[this.count] = null;
  }
}
