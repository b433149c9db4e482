import type { Clock } from '../../sdk/device.js';
import type { NativeClock } from '../kernel.js';
import { loadAddon } from '../load.js';

const nanosecondsPerMs = 1_000_000;
/** A turn that would wait longer than this lets the thread sleep. */
const sleepThresholdNs = 2 * nanosecondsPerMs;

/**
 * Time of the machine: monotonic, from an arbitrary point. A look takes half of what `hrtime` takes
 * and allocates nothing where the addon is; `hrtime` makes an array unless the compiler sees that
 * nobody keeps it.
 */
export class MonotonicClock implements Clock {
  private turns = 0;
  private readonly read: () => void;
  private readonly cell: Float64Array;

  constructor() {
    const clock = machineClock();
    this.read = clock;
    this.cell = clock.cell;
  }

  nowNs(): number {
    this.read();
    return this.cell[0]!;
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

/** The monotonic time of the machine, from an arbitrary point, with a cell of its own. */
export function machineClock(): NativeClock {
  return loadAddon().kernel?.newClock?.() ?? clockOfNode();
}

/** The same clock by way of Node. */
function clockOfNode(): NativeClock {
  const cell = new Float64Array(1);
  const read = (): void => {
    const time = process.hrtime();
    cell[0] = time[0] * 1_000_000_000 + time[1];
  };
  return Object.assign(read, { cell });
}
