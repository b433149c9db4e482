import { msNs, usNs } from '../../sdk/units.js';

/** A card that had something to do is looked at without a pause for so long. */
const hotNs = msNs;
/** An event that is nearer than this is waited for without a pause. */
const nearNs = 300 * usNs;
/** Timers of the card are served late at most by this. */
const longestPauseMs = 1000;

/**
 * How long to pause between two looks at a card: not at all while it works or has worked a moment
 * ago, then until its own next event. Doorbells that ring meanwhile are the business of somebody
 * else, who ends the pause. The card that nobody uses costs nothing here, the busy one is never
 * waited for.
 */
export class Pace {
  private quietSinceNs = -1;

  /**
   * @param wasBusy           whether the last look found something to do
   * @param look.untilNextNs  until the card does something by itself
   * @param look.isConnected  whether anybody could ring a doorbell
   * @returns milliseconds to pause; 0: look again at once
   */
  after(
    wasBusy: boolean,
    nowNs: number,
    look: { readonly untilNextNs: number; readonly isConnected: boolean },
  ): number {
    if (wasBusy || this.quietSinceNs < 0) {
      this.quietSinceNs = nowNs;
      return 0;
    }
    if (look.untilNextNs < nearNs) return 0;
    const quietNs = nowNs - this.quietSinceNs;
    if (look.isConnected && quietNs < hotNs) return 0;
    return Math.max(1, Math.min(longestPauseMs, Math.floor(look.untilNextNs / msNs)));
  }

  /** Milliseconds in which the card had nothing to do. */
  quietMs(nowNs: number): number {
    return this.quietSinceNs < 0 ? 0 : Math.floor((nowNs - this.quietSinceNs) / msNs);
  }

  /** Something arrived: whatever comes next is near. */
  wake(): void {
    this.quietSinceNs = -1;
  }
}
