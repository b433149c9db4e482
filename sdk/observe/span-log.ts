/**
 * Stretches of time in which parts of a card were busy, in columns: the last so many that touch a
 * window. Recording allocates nothing.
 */
export class SpanLog {
  /** Only what touches this stretch is kept. */
  readonly fromNs: number;
  readonly toNs: number;
  private readonly tracks: Uint16Array;
  private readonly starts: Float64Array;
  private readonly ends: Float64Array;
  private taken = 0;

  constructor(options: {
    readonly capacity: number;
    readonly fromNs?: number;
    readonly toNs?: number;
  }) {
    const { capacity } = options;
    if (!(Number.isInteger(capacity) && capacity > 0)) {
      throw new RangeError(`capacity ${capacity}: a whole number above 0`);
    }
    this.fromNs = options.fromNs ?? 0;
    this.toNs = options.toNs ?? Infinity;
    this.tracks = new Uint16Array(capacity);
    this.starts = new Float64Array(capacity);
    this.ends = new Float64Array(capacity);
  }

  span(track: number, startNs: number, endNs: number): void {
    if (endNs <= startNs || endNs < this.fromNs || startNs > this.toNs) return;
    const i = this.taken % this.tracks.length;
    this.taken++;
    this.tracks[i] = track;
    this.starts[i] = startNs;
    this.ends[i] = endNs;
  }

  /** Spans kept. */
  get count(): number {
    return Math.min(this.taken, this.tracks.length);
  }

  /** Of one track in the order of time, none reaching into the next. */
  *of(track: number): Generator<readonly [startNs: number, endNs: number]> {
    const found: number[] = [];
    for (let i = 0; i < this.count; i++) if (this.tracks[i] === track) found.push(i);
    found.sort((a, b) => this.starts[a]! - this.starts[b]! || this.ends[a]! - this.ends[b]!);
    let lastNs = 0;
    for (const i of found) {
      // What was reserved before the power went may overlap with what came after it.
      const startNs = Math.max(this.starts[i]!, lastNs);
      lastNs = Math.max(lastNs, this.ends[i]!);
      if (lastNs > startNs) yield [startNs, lastNs];
    }
  }

  /** Time that a track was busy in [fromNs, toNs). */
  busyNs(track: number, fromNs: number, toNs: number): number {
    let busy = 0;
    for (const [startNs, endNs] of this.of(track)) {
      busy += Math.max(0, Math.min(endNs, toNs) - Math.max(startNs, fromNs));
    }
    return busy;
  }
}
