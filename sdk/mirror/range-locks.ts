/** A power of two: counters of the filter. */
const filterSize = 4096;
/** Longer requests are not spread over the filter; while there are any, everyone looks. */
const longestUnits = 64;

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
  private readonly firsts: Float64Array;
  private readonly ends: Float64Array;
  private readonly orders: Float64Array;
  private readonly exclusive: Uint8Array;
  /** Slots that hold or want a range, in no order, and where each stands. */
  private readonly list: Int32Array;
  private readonly places: Int32Array;
  private count = 0;
  private nextOrder = 0;

  constructor(slotCount: number, blockBytes: number) {
    this.perBlock = 1 / Math.max(1, 2 ** Math.floor(Math.log2(4096 / blockBytes)));
    this.firsts = new Float64Array(slotCount);
    this.ends = new Float64Array(slotCount);
    this.orders = new Float64Array(slotCount);
    this.exclusive = new Uint8Array(slotCount);
    this.list = new Int32Array(slotCount);
    this.places = new Int32Array(slotCount);
  }

  /** Ask for a range. @returns whether the slot has it now */
  enter(slot: number, lba: number, blockCount: number, isExclusive: boolean): boolean {
    const end = lba + blockCount;
    this.firsts[slot] = lba;
    this.ends[slot] = end;
    this.orders[slot] = this.nextOrder++;
    this.exclusive[slot] = isExclusive ? 1 : 0;
    const first = Math.floor(lba * this.perBlock);
    const last = Math.floor((end - 1) * this.perBlock);
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
    this.places[slot] = this.count;
    this.list[this.count++] = slot;
    return isAlone || this.has(slot);
  }

  /** Whether a slot that has asked is at its turn. */
  has(slot: number): boolean {
    const first = this.firsts[slot]!;
    const end = this.ends[slot]!;
    const order = this.orders[slot]!;
    const isExclusive = this.exclusive[slot]!;
    for (let i = 0; i < this.count; i++) {
      const other = this.list[i]!;
      if (this.firsts[other]! >= end || this.ends[other]! <= first) continue;
      if (this.orders[other]! < order && (isExclusive | this.exclusive[other]!) !== 0) return false;
    }
    return true;
  }

  leave(slot: number): void {
    const first = Math.floor(this.firsts[slot]! * this.perBlock);
    const last = Math.floor((this.ends[slot]! - 1) * this.perBlock);
    if (last - first >= longestUnits) this.longCount--;
    else for (let unit = first; unit <= last; unit++) this.filter[unit & (filterSize - 1)]!--;
    const moved = this.list[--this.count]!;
    const place = this.places[slot]!;
    this.list[place] = moved;
    this.places[moved] = place;
  }
}
