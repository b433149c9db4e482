import type { Clock } from '../../sdk/device.js';

const nanosecondsPerMs = 1_000_000;
/** A turn that would wait longer than this lets the thread sleep. */
const sleepThresholdNs = 2 * nanosecondsPerMs;

/** Time of the machine: monotonic, from an arbitrary point. */
export class MonotonicClock implements Clock {
  private turns = 0;

  nowNs(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1_000_000_000 + nanoseconds;
  }

  /** The device works on its own: looking again at once is what a polling loop wants. */
  idle(_untilNs: number): void {}

  /**
   * Other tasks run, then look again. Most turns are one round of the event loop; every so often,
   * when the deadline is far, a timer gives the processor away for a millisecond.
   */
  turn(untilNs: number): Promise<void> {
    this.turns++;
    const isFar = untilNs - this.nowNs() > sleepThresholdNs;
    if (isFar && this.turns % 1024 === 0) {
      return new Promise((resolve) => setTimeout(resolve, 1));
    }
    return new Promise((resolve) => setImmediate(resolve));
  }
}
