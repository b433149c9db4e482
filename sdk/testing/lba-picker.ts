import type { TestPrng } from './prng.js';

/**
 * Where a worker's commands go: anywhere alike, one after the other, or by 100 buckets of one size
 * whose weights say how often each is hit (a JEDEC mix is one such list).
 */
export type LbaDistribution = 'uniform' | 'sequential' | readonly number[];

export class LbaPicker {
  private readonly first: number;
  private readonly count: number;
  private readonly distribution: LbaDistribution;
  private readonly prng: TestPrng;
  private readonly total: number;
  private cursor = 0;

  constructor(
    region: { readonly lba: number; readonly count: number },
    distribution: LbaDistribution,
    prng: TestPrng,
  ) {
    this.first = region.lba;
    this.count = region.count;
    this.distribution = distribution;
    this.prng = prng;
    this.total = typeof distribution === 'string' ? 0 : distribution.reduce((a, b) => a + b, 0);
    if (typeof distribution !== 'string' && !(this.total > 0)) {
      throw new RangeError('a distribution has at least one positive weight');
    }
  }

  /** First block of a command of `blocks` blocks; the command lies inside the region. */
  next(blocks: number): number {
    const room = this.count - blocks + 1;
    if (this.distribution === 'uniform') return this.first + this.prng.below(room);
    if (this.distribution === 'sequential') {
      const lba = this.cursor + blocks > this.count ? 0 : this.cursor;
      this.cursor = lba + blocks;
      return this.first + lba;
    }
    const bucket = this.bucket(this.distribution);
    const size = this.count / this.distribution.length;
    const lba = Math.floor((bucket + this.prng.fraction()) * size);
    return this.first + Math.min(lba, room - 1);
  }

  private bucket(weights: readonly number[]): number {
    let left = this.prng.fraction() * this.total;
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return weights.length - 1;
  }
}
