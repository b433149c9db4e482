import { msNs, usNs } from '../../sdk/units.js';

/** A card that had something to do is looked at without a pause for so long. */
const hotNs = msNs;
/** An event that is nearer than this is waited for without a pause. */
const nearNs = 300 * usNs;
/** Pauses grow to this while nothing happens: what the first command after them waits at most. */
const longestPauseMs = 4;

/**
 * How long to pause between two looks at a card: not at all while it works, then longer and longer.
 * The card that nobody uses costs next to nothing, the busy one is never waited for.
 */
export class Pace {
  private quietSinceNs = -1;
  private pauseMs = 1;

  /**
   * @param wasBusy       whether the last look found something to do
   * @param untilNextNs   until the card does something by itself
   * @param isConnected   whether anybody could ring a doorbell
   * @returns milliseconds to pause; 0: look again at once
   */
  after(
    wasBusy: boolean,
    nowNs: number,
    look: { readonly untilNextNs: number; readonly isConnected: boolean },
  ): number {
    if (wasBusy || this.quietSinceNs < 0) {
      this.quietSinceNs = nowNs;
      this.pauseMs = 1;
      return 0;
    }
    if (look.untilNextNs < nearNs) return 0;
    const untilNextMs = look.untilNextNs / msNs;
    if (!look.isConnected) return Math.max(1, Math.min(untilNextMs, unconnectedPauseMs));
    if (nowNs - this.quietSinceNs < hotNs) return 0;
    const pauseMs = this.pauseMs;
    this.pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    return Math.max(1, Math.min(pauseMs, Math.floor(untilNextMs)));
  }

  /** Something arrived: whatever comes next is near. */
  wake(): void {
    this.quietSinceNs = -1;
  }
}

/** Nobody can ring; timers of the card are served late at most by this. */
const unconnectedPauseMs = 1000;
