/** Steps of a timeline; the step doubles when the run outlives them. */
const steps = 512;

/**
 * How a run went over time, in at most 512 equal steps. Adding allocates nothing: when time runs
 * past the last step, neighbours are merged and the step doubles.
 */
export class Timeline {
  stepNs: number;
  /** Steps in use. */
  count = 0;
  readonly requests = new Float64Array(steps);
  readonly readBytes = new Float64Array(steps);
  readonly writeBytes = new Float64Array(steps);
  /** Latencies of the step, summed up, and the largest. */
  readonly latencySumNs = new Float64Array(steps);
  readonly latencyMaxNs = new Float64Array(steps);

  constructor(firstStepNs = 100_000) {
    this.stepNs = firstStepNs;
  }

  /** A request ended at `atNs` since the start. */
  add(atNs: number, latencyNs: number, readBytes: number, writeBytes: number): void {
    while (atNs >= this.stepNs * steps) this.merge();
    const step = Math.floor(atNs / this.stepNs);
    if (step >= this.count) this.count = step + 1;
    this.requests[step]!++;
    this.readBytes[step]! += readBytes;
    this.writeBytes[step]! += writeBytes;
    this.latencySumNs[step]! += latencyNs;
    if (latencyNs > this.latencyMaxNs[step]!) this.latencyMaxNs[step] = latencyNs;
  }

  private merge(): void {
    for (let i = 0; i < steps / 2; i++) {
      this.latencyMaxNs[i] = Math.max(this.latencyMaxNs[2 * i]!, this.latencyMaxNs[2 * i + 1]!);
    }
    this.latencyMaxNs.fill(0, steps / 2);
    halve(this.requests);
    halve(this.readBytes);
    halve(this.writeBytes);
    halve(this.latencySumNs);
    this.stepNs *= 2;
    this.count = Math.ceil(this.count / 2);
  }
}

function halve(column: Float64Array): void {
  for (let i = 0; i < steps / 2; i++) column[i] = column[2 * i]! + column[2 * i + 1]!;
  column.fill(0, steps / 2);
}
