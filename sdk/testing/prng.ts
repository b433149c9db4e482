/** Seeded chance for tests: xorshift32, the same numbers for the same seed on every machine. */
export class TestPrng {
  readonly seed: number;
  private state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    // A state of zero would stay zero.
    this.state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  }

  /** 0..2^32 - 1 */
  word(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  /** An integer 0..limit - 1, for limits up to 2^53. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** 0 up to but not 1, with 52 bits of chance. */
  fraction(): number {
    const high = this.word() >>> 6;
    const low = this.word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 52;
  }

  /** An item by weight. */
  weighted<T>(choices: readonly { readonly weight: number; readonly item: T }[]): T {
    const total = choices.reduce((sum, choice) => sum + choice.weight, 0);
    let left = this.fraction() * total;
    for (const { weight, item } of choices) {
      left -= weight;
      if (left < 0) return item;
    }
    return choices.at(-1)!.item;
  }
}
