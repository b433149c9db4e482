const ways = 8;
const empty = -1;

/**
 * Units that were read from the medium and are still in memory: sets of eight, and in each the
 * clock algorithm, which spares what was used since its hand came by. Only which units, not what
 * they hold.
 */
export class ReadCache {
  hits = 0;
  misses = 0;
  private readonly units: Int32Array;
  private readonly isUsed: Uint8Array;
  private readonly hands: Uint8Array;
  private readonly sets: number;

  /** @param capacity  units, rounded down to whole sets */
  constructor(capacity: number) {
    this.sets = Math.floor(capacity / ways);
    this.units = new Int32Array(this.sets * ways).fill(empty);
    this.isUsed = new Uint8Array(this.sets * ways);
    this.hands = new Uint8Array(this.sets);
  }

  get capacity(): number {
    return this.sets * ways;
  }

  /** Whether a unit is there; counts, and marks it as used. */
  look(unit: number): boolean {
    const at = this.find(unit);
    if (at === empty) {
      this.misses++;
      return false;
    }
    this.isUsed[at] = 1;
    this.hits++;
    return true;
  }

  has(unit: number): boolean {
    return this.find(unit) !== empty;
  }

  add(unit: number): void {
    if (this.sets === 0 || this.find(unit) !== empty) return;
    const set = this.setOf(unit);
    let hand = this.hands[set]!;
    while (this.isUsed[set * ways + hand] === 1) {
      this.isUsed[set * ways + hand] = 0;
      hand = (hand + 1) % ways;
    }
    this.units[set * ways + hand] = unit;
    this.hands[set] = (hand + 1) % ways;
  }

  drop(unit: number): void {
    const at = this.find(unit);
    if (at === empty) return;
    this.units[at] = empty;
    this.isUsed[at] = 0;
  }

  clear(): void {
    this.units.fill(empty);
    this.isUsed.fill(0);
  }

  private setOf(unit: number): number {
    return (Math.imul(unit, 0x9e3779b1) >>> 0) % this.sets;
  }

  private find(unit: number): number {
    if (this.sets === 0) return empty;
    const from = this.setOf(unit) * ways;
    for (let at = from; at < from + ways; at++) if (this.units[at] === unit) return at;
    return empty;
  }
}
