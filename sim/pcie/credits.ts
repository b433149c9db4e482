import type { World } from '../world.js';

/**
 * A window of what may be under way: `window` units, each of which comes back after `returnNs`.
 * More than `window / returnNs` cannot flow for long, a burst up to the window can. Kept as the
 * time at which all that was taken would be back if it came back evenly: O(1), without a list.
 */
export class Credits {
  private readonly nsPerUnit: number;
  private readonly returnNs: number;
  private backAtNs = 0;

  /** @param returnNs  0: there is always credit */
  constructor(window: number, returnNs: number) {
    this.nsPerUnit = returnNs / window;
    this.returnNs = returnNs;
  }

  /**
   * Take credit for a transfer that waits for `startInNs` anyway.
   *
   * @returns whole ns from now until the last unit of it can go
   */
  take(world: World, startInNs: number, units: number): number {
    if (this.returnNs === 0) return startInNs;
    const { nowNs } = world;
    const startNs = nowNs + startInNs;
    if (this.backAtNs < startNs) this.backAtNs = startNs;
    this.backAtNs += units * this.nsPerUnit;
    return Math.max(startInNs, Math.ceil(this.backAtNs - this.returnNs) - nowNs);
  }

  reset(): void {
    this.backAtNs = 0;
  }
}
