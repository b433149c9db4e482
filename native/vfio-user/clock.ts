import { MonotonicClock } from '../vfio/clock.js';

const roundsPerLook = 256;

/**
 * Time of the machine. A loop that polls without a turn of the event loop would leave the server's
 * commands unanswered and its end unseen: now and then `idle` looks.
 */
export class PumpingClock extends MonotonicClock {
  private rounds = 0;
  private readonly pump: () => void;

  constructor(pump: () => void) {
    super();
    this.pump = pump;
  }

  override idle(untilNs: number): void {
    super.idle(untilNs);
    if (++this.rounds % roundsPerLook === 0) this.pump();
  }
}
