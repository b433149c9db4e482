/**
 * What the writer knows of each region. A region that is not `touched` is equal on all configured
 * members, and durable there.
 */
export class Regions {
  readonly regionBlocks: number;
  /** Regions per block: exact, because a region is a power of two of blocks. */
  private readonly perBlock: number;
  count: number;
  /** 0 equal and durable everywhere, 1 written some time ago, 2 written lately. */
  touched: Uint8Array;
  /** The members must be made equal before anyone may use it. */
  unreconciled: Uint8Array;
  unreconciledCount = 0;
  /** The target does not have it yet. */
  missing: Uint8Array;
  missingCount = 0;

  constructor(count: number, regionBlocks: number) {
    this.count = count;
    this.regionBlocks = regionBlocks;
    this.perBlock = 1 / regionBlocks;
    this.touched = new Uint8Array(count);
    this.unreconciled = new Uint8Array(count);
    this.missing = new Uint8Array(count);
  }

  /** More regions, which are equal everywhere; a target that is sent nothing yet misses them. */
  grow(count: number): void {
    const before = this.count;
    const isSentNothing = this.missingCount === before;
    this.count = count;
    this.touched = longer(this.touched, count);
    this.unreconciled = longer(this.unreconciled, count);
    this.missing = longer(this.missing, count);
    if (!isSentNothing) return;
    this.missing.fill(1, before);
    this.missingCount = count;
  }

  of(lba: number): number {
    return Math.floor(lba * this.perBlock);
  }

  /** Note a write to regions. @returns whether the target has any of them */
  touch(first: number, last: number): boolean {
    let hasAny = false;
    for (let region = first; region <= last; region++) {
      this.touched[region] = 2;
      if (this.missing[region] === 0) hasAny = true;
    }
    return hasAny;
  }

  /** The first region of a range that is not reconciled, -1 for none. */
  firstUnreconciled(lba: number, blockCount: number): number {
    const last = this.of(lba + blockCount - 1);
    for (let region = this.of(lba); region <= last; region++) {
      if (this.unreconciled[region] !== 0) return region;
    }
    return -1;
  }

  unreconcile(region: number): void {
    if (this.unreconciled[region] === 0) this.unreconciledCount++;
    this.unreconciled[region] = 1;
    // Marked it is meanwhile: whoever returns lacks it.
    this.mark(region);
  }

  reconciled(region: number): void {
    if (this.unreconciled[region] !== 0) this.unreconciledCount--;
    this.unreconciled[region] = 0;
    this.mark(region);
  }

  /** Marked on some member: not known to be equal, or not durable. */
  mark(region: number): void {
    if (this.touched[region] === 0) this.touched[region] = 1;
  }

  /** What a returning member lacks: what is marked on the others, or on itself. */
  miss(own: Uint8Array): void {
    this.missOnly((region) => this.touched[region] !== 0 || this.isMarked(own, region));
  }

  missAll(): void {
    this.missOnly(() => true);
  }

  missOnly(isMissing: (region: number) => boolean): void {
    this.missingCount = 0;
    for (let region = 0; region < this.count; region++) {
      this.missing[region] = isMissing(region) ? 1 : 0;
      this.missingCount += this.missing[region]!;
    }
  }

  /** A bit of a member's own map. */
  isMarked(own: Uint8Array, region: number): boolean {
    return ((own[region >>> 3]! >>> (region & 7)) & 1) === 1;
  }

  /** The target may differ there again. */
  lose(region: number): void {
    if (this.missing[region] === 0) this.missingCount++;
    this.missing[region] = 1;
  }

  found(region: number): void {
    if (this.missing[region] === 0) return;
    this.missing[region] = 0;
    this.missingCount--;
    this.mark(region);
  }

  /** Regions written some time ago and not since; all others are looked at again next time. */
  idle(most: number): number[] {
    const found: number[] = [];
    for (let region = 0; region < this.count; region++) {
      if (this.isIdle(region) && found.length < most) found.push(region);
      else if (this.touched[region] === 2) this.touched[region] = 1;
    }
    return found;
  }

  isIdle(region: number): boolean {
    const isSettled = this.unreconciled[region] === 0 && this.missing[region] === 0;
    return isSettled && this.touched[region] === 1;
  }

  get touchedCount(): number {
    let count = 0;
    for (const value of this.touched) if (value !== 0) count++;
    return count;
  }
}

function longer(bytes: Uint8Array, length: number): Uint8Array {
  const all = new Uint8Array(length);
  all.set(bytes);
  return all;
}
