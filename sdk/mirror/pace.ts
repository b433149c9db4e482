import type { Clock } from '../device.js';
import { msNs, secondNs } from '../units.js';
import type { Timers } from './timers.js';

/** Lets so many bytes pass in a second, and no more after a rest. */
export class Pace {
  private readonly clock: Clock;
  private readonly timers: Timers;
  private readonly nsPerByte: number;
  private dueNs = 0;

  constructor(clock: Clock, timers: Timers, bytesPerSecond: number) {
    this.clock = clock;
    this.timers = timers;
    this.nsPerByte = secondNs / bytesPerSecond;
  }

  async pass(bytes: number): Promise<void> {
    const nowNs = this.clock.nowNs();
    this.dueNs = Math.max(this.dueNs, nowNs - msNs) + bytes * this.nsPerByte;
    if (this.dueNs > nowNs) await this.timers.sleepUntil(this.dueNs);
  }
}
