import type { CoreClock } from './core-group.js';

/**
 * A stage in hardware: a pipeline. A command takes the whole latency of the stage, the next one can
 * enter one slot later. A reserved command enters before those of others that wait; its slot is
 * charged to those that come after it.
 */
export class Accelerator {
  /** Time that slots were taken. */
  busyNs = 0;
  /** When the next slot is free. */
  freeAtNs = 0;
  private reservedFreeAtNs = 0;
  private readonly slotCycles: number;
  private readonly clock: CoreClock;

  constructor(slotCycles: number, clock: CoreClock) {
    this.slotCycles = slotCycles;
    this.clock = clock;
  }

  /** @returns when what enters at `startNs` or later is through */
  pass(startNs: number, cycles: number, isReserved: boolean): number {
    const perNs = this.clock.rate / 1000;
    const freeNs = isReserved ? this.reservedFreeAtNs : this.freeAtNs;
    const enterNs = Math.max(startNs, freeNs);
    const slotNs = this.slotCycles / perNs;
    if (isReserved) this.reservedFreeAtNs = enterNs + slotNs;
    this.freeAtNs = Math.max(enterNs, this.freeAtNs) + slotNs;
    this.busyNs += slotNs;
    return Math.ceil(enterNs + cycles / perNs);
  }

  clear(): void {
    this.freeAtNs = 0;
    this.reservedFreeAtNs = 0;
  }
}
