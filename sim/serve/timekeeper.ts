import { msNs, usNs } from '../../sdk/units.js';
import type { World } from '../world.js';

/** In free time, how far away an event may be that happens at once: no timer is so short. */
const aheadNs = msNs;

/** Between two looks at a card that works passes less. */
const behindNs = 10 * usNs;

/** A number: virtual nanoseconds per real one. Free: what the card does takes no real time. */
export type TimeScale = number | 'free';

/**
 * Ties the virtual time of a world to the real one, which is passed in. With a scale, events happen
 * when their time has come. In free time whatever is due within a moment happens at once, and
 * timers that are farther away still wait.
 */
export class Timekeeper {
  private readonly world: World;
  private readonly scale: TimeScale;
  private realNs = -1;
  private carryNs = 0;

  constructor(world: World, scale: TimeScale) {
    if (scale !== 'free' && !(scale > 0 && scale <= 1e6)) {
      throw new RangeError(`time scale ${scale}: a number above 0 and up to 1,000,000, or 'free'`);
    }
    this.world = world;
    this.scale = scale;
  }

  /** Run the world to a moment of real time, in nanoseconds; it never runs backwards. */
  run(realNs: number): void {
    const { world, scale } = this;
    if (this.realNs < 0) this.realNs = realNs;
    const passedNs = Math.max(0, realNs - this.realNs);
    this.realNs += passedNs;
    if (scale === 'free') world.runEvents(world.nowNs + aheadNs);
    const exactNs = passedNs * (scale === 'free' ? 1 : scale) + this.carryNs;
    const wholeNs = Math.floor(exactNs);
    this.carryNs = exactNs - wholeNs;
    world.advance(wholeNs);
  }

  /** Whether the world has not been run for so long that it matters when something happens. */
  isBehind(realNs: number): boolean {
    return realNs - this.realNs > behindNs;
  }

  /** The world stands still until a moment of real time. */
  skip(realNs: number): void {
    this.realNs = Math.max(this.realNs, realNs);
  }

  /** Real nanoseconds until the next event; Infinity when none waits. */
  untilNextNs(): number {
    const leftNs = this.world.earliestNs - this.world.nowNs;
    if (this.scale === 'free') return Math.max(0, leftNs - aheadNs);
    return leftNs / this.scale;
  }
}
