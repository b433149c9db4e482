import { assert } from '../assert.js';

/** Buckets per power of two are 2^7: a bucket is at most 1/128 of its lower edge wide. */
const subBuckets = 128;
const subBucketBits = 7;
/** 0..2^53 - 1 needs 46 powers of two beyond the first exact 128 values. */
const bucketCount = (53 - subBucketBits + 1) * subBuckets;
const smallLimit = 2 ** 31;
/** Larger values lose 24 low bits first, which no bucket of theirs can tell apart. */
const largeBits = 24;
const largeStep = 2 ** largeBits;

/** A range of values, edges included, and how many samples fell into it. */
export interface Bin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/**
 * A log-linear histogram of integers 0..2^53 - 1, usually nanoseconds. Values below 256 are exact,
 * every other one is known within 0.4 %. Recording allocates nothing and takes a few nanoseconds;
 * count, minimum, maximum and mean are exact.
 */
export class Histogram {
  private readonly counts = new Float64Array(bucketCount);
  private total = 0;
  private sum = 0;
  private least = Number.POSITIVE_INFINITY;
  private most = 0;

  /** @param value integer 0..2^53 - 1; a fraction is cut off */
  record(value: number): void {
    this.recordMany(value, 1);
  }

  /** The same value `times` times. */
  recordMany(value: number, times: number): void {
    assert(value >= 0, 'a recorded value is not below 0');
    assert(value <= Number.MAX_SAFE_INTEGER, 'a recorded value is at most 2^53 - 1');
    this.counts[bucketOf(value)]! += times;
    this.total += times;
    this.sum += value * times;
    if (value < this.least) this.least = value;
    if (value > this.most) this.most = value;
  }

  /** Samples recorded. */
  get count(): number {
    return this.total;
  }

  /** Smallest sample, 0 without samples. */
  get min(): number {
    return this.total === 0 ? 0 : this.least;
  }

  /** Largest sample, 0 without samples. */
  get max(): number {
    return this.most;
  }

  /** Arithmetic mean of the samples, 0 without samples. */
  get mean(): number {
    return this.total === 0 ? 0 : this.sum / this.total;
  }

  /** Of the population, from bucket midpoints. */
  get standardDeviation(): number {
    if (this.total === 0) return 0;
    const mean = this.mean;
    let squares = 0;
    for (let i = 0; i < bucketCount; i++) {
      const count = this.counts[i]!;
      if (count > 0) squares += count * (this.within(middleOf(i)) - mean) ** 2;
    }
    return Math.sqrt(squares / this.total);
  }

  /**
   * The value that at least `percent` of the samples do not exceed; 0 without samples.
   *
   * @param percent 0..100, for instance 99.999
   */
  percentile(percent: number): number {
    return this.percentiles([percent])[0]!;
  }

  /** @param percents 0..100 each, in any order @returns the values in the same order */
  percentiles(percents: readonly number[]): number[] {
    for (const percent of percents) {
      if (!(percent >= 0 && percent <= 100)) throw new RangeError(`percentile ${percent}: 0..100`);
    }
    const order = percents.map((_, i) => i).sort((a, b) => percents[a]! - percents[b]!);
    const values: number[] = percents.map(() => 0);
    if (this.total === 0) return values;
    let bucket = 0;
    let below = this.counts[0]!;
    for (const i of order) {
      const rank = rankOf(percents[i]!, this.total);
      while (below < rank) below += this.counts[++bucket]!;
      values[i] = rank >= this.total ? this.most : this.within(middleOf(bucket));
    }
    return values;
  }

  /** Add all samples of another histogram. */
  merge(other: Histogram): void {
    for (let i = 0; i < bucketCount; i++) this.counts[i]! += other.counts[i]!;
    this.total += other.total;
    this.sum += other.sum;
    this.least = Math.min(this.least, other.least);
    this.most = Math.max(this.most, other.most);
  }

  reset(): void {
    this.counts.fill(0);
    this.total = 0;
    this.sum = 0;
    this.least = Number.POSITIVE_INFINITY;
    this.most = 0;
  }

  /** The buckets that hold samples, lowest first. */
  bins(): Bin[] {
    const bins: Bin[] = [];
    for (let i = 0; i < bucketCount; i++) {
      const count = this.counts[i]!;
      if (count > 0) bins.push({ low: lowOf(i), high: lowOf(i + 1) - 1, count });
    }
    return bins;
  }

  /** A bucket's midpoint may lie outside of what was recorded. */
  private within(value: number): number {
    return Math.min(Math.max(value, this.least), this.most);
  }
}

/** Samples at or below the percentile; the margin keeps 99.9 % of 1000 at 999. */
function rankOf(percent: number, total: number): number {
  return Math.max(1, Math.ceil((percent / 100) * total - 1e-9 * total));
}

function bucketOf(value: number): number {
  if (value < smallLimit) return bucketOfDword(value, 0);
  return bucketOfDword(value / largeStep, largeBits);
}

function bucketOfDword(value: number, dropped: number): number {
  const high = 31 - Math.clz32(value);
  if (high <= subBucketBits) return Math.trunc(value) + dropped * subBuckets;
  const shift = high - subBucketBits;
  return (shift + dropped) * subBuckets + (value >>> shift);
}

/** Smallest value of a bucket. */
function lowOf(bucket: number): number {
  const power = Math.floor(bucket / subBuckets);
  if (power <= 1) return bucket;
  return (subBuckets + (bucket % subBuckets)) * 2 ** (power - 1);
}

function middleOf(bucket: number): number {
  return Math.floor((lowOf(bucket) + lowOf(bucket + 1) - 1) / 2);
}
