import { assert } from '../assert.js';

const bucketCount = 512;

/** What completed during one interval. */
export interface TimelinePoint {
  readonly startNs: number;
  readonly lengthNs: number;
  readonly count: number;
  readonly bytes: number;
}

/**
 * Completions and bytes over time in a fixed amount of memory: when the time is longer than all
 * buckets, neighbours are joined and the interval doubles. Recording allocates nothing.
 */
export class Timeline {
  private readonly counts = new Float64Array(bucketCount);
  private readonly bytes = new Float64Array(bucketCount);
  private readonly startNs: number;
  private intervalNs: number;
  private used = 0;

  /** @param startNs clock at the start @param intervalNs length of the first intervals, 1 ms */
  constructor(startNs: number, intervalNs = 1_000_000) {
    assert(intervalNs > 0, 'an interval has a length');
    this.startNs = startNs;
    this.intervalNs = intervalNs;
  }

  record(nowNs: number, bytes: number): void {
    assert(nowNs >= this.startNs, 'a completion is not before the start');
    while (nowNs - this.startNs >= this.intervalNs * bucketCount) this.join();
    const i = Math.floor((nowNs - this.startNs) / this.intervalNs);
    this.counts[i]! += 1;
    this.bytes[i]! += bytes;
    if (i >= this.used) this.used = i + 1;
  }

  /** From the start to the last completion, intervals without one included. */
  points(): TimelinePoint[] {
    return Array.from({ length: this.used }, (_, i) => ({
      startNs: i * this.intervalNs,
      lengthNs: this.intervalNs,
      count: this.counts[i]!,
      bytes: this.bytes[i]!,
    }));
  }

  private join(): void {
    for (const values of [this.counts, this.bytes]) {
      for (let i = 0; i < bucketCount / 2; i++) {
        values[i] = values[2 * i]! + values[2 * i + 1]!;
      }
      values.fill(0, bucketCount / 2);
    }
    this.intervalNs *= 2;
    this.used = Math.ceil(this.used / 2);
  }
}
