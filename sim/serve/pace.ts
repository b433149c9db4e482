import { msNs, usNs } from '../../sdk/units.js';

/** A card that had something to do is looked at without a pause for so long. */
const hotNs = msNs;
/** An event that is nearer than this is waited for without a pause. */
const nearUs = 300;
/** Timers of the card are served late at most by this. */
const longestPauseMs = 1000;

/**
 * How long to pause between two looks at a card: not at all while it works or has worked a moment
 * ago, then until its own next event. Doorbells that ring meanwhile are the business of somebody
 * else, who ends the pause. The card that nobody uses costs nothing here, the busy one is never
 * waited for.
 */
export class Pace {
  private readonly real: Float64Array;
  private quietSinceNs = -1;

  /** @param real  one cell: nanoseconds of real time, moved on by its owner */
  constructor(real: Float64Array) {
    this.real = real;
  }

  /** The last look found something to do. */
  worked(): void {
    this.quietSinceNs = this.real[0]!;
  }

  /** The last look found nothing. @returns milliseconds to pause; 0: look again at once */
  pauseMs(card: PacedCard): number {
    if (this.quietSinceNs < 0) {
      this.worked();
      return 0;
    }
    const nextUs = card.untilNextUs();
    if (nextUs < nearUs) return 0;
    const quietNs = this.real[0]! - this.quietSinceNs;
    if (card.isConnected && quietNs < hotNs) return 0;
    return Math.max(1, Math.min(longestPauseMs, Math.floor((nextUs * usNs) / msNs)));
  }

  /** Milliseconds in which the card had nothing to do. */
  get quietMs(): number {
    const { quietSinceNs } = this;
    return quietSinceNs < 0 ? 0 : Math.floor((this.real[0]! - quietSinceNs) / msNs);
  }

  /** Something arrived: whatever comes next is near. */
  wake(): void {
    this.quietSinceNs = -1;
  }
}

export interface PacedCard {
  /** Whether anybody could ring a doorbell. */
  readonly isConnected: boolean;
  /** Whole microseconds until the card does something by itself. */
  untilNextUs(): number;
}
