import { msNs, secondNs, usNs } from '../../sdk/units.js';

/** A card that had something to do is looked at without a pause for so long. */
const hotNs = msNs;
/** An event that is nearer than this is waited for without a pause. */
const nearNs = 300 * usNs;
/** A card that was used a moment ago is looked at every millisecond. */
const warmNs = secondNs / 2;
const warmPauseMs = 1;
/** What the first command after a long quiet waits at most. */
const coldPauseMs = 4;
/** Nobody can ring a doorbell: timers of the card are served late at most by this. */
const lonelyPauseMs = 1000;

/**
 * How long to pause between two looks at a card: not at all while it works, a millisecond when it
 * worked a moment ago, then longer. The card that nobody uses costs next to nothing, the busy one
 * is never waited for.
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
    const warmth = quietNs < warmNs ? warmPauseMs : coldPauseMs;
    const pauseMs = look.isConnected ? warmth : lonelyPauseMs;
    return Math.max(1, Math.min(pauseMs, Math.floor(look.untilNextNs / msNs)));
  }

  /** Something arrived: whatever comes next is near. */
  wake(): void {
    this.quietSinceNs = -1;
  }
}
