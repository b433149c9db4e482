import type { CoreClock } from './core-group.js';

/**
 * A stage in hardware: a pipeline. A command takes the whole latency of the stage, the next one can
 * enter one slot later.
 */
export class Accelerator {
  /** Time that slots were taken. */
  busyNs = 0;
  private freeAtNs = 0;
  private readonly slotCycles: number;
  private readonly clock: CoreClock;

  constructor(slotCycles: number, clock: CoreClock) {
    this.slotCycles = slotCycles;
    this.clock = clock;
  }

  /** @returns when what enters at `startNs` or later is through */
  pass(startNs: number, cycles: number): number {
    const perNs = this.clock.rate / 1000;
    const enterNs = Math.max(startNs, this.freeAtNs);
    const slotNs = this.slotCycles / perNs;
    this.freeAtNs = enterNs + slotNs;
    this.busyNs += slotNs;
    return Math.ceil(enterNs + cycles / perNs);
  }

  clear(): void {
    this.freeAtNs = 0;
  }
}
