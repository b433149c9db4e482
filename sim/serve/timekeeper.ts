import { msNs, usNs } from '../../sdk/units.js';
import type { World } from '../world.js';

/** In free time, how far away an event may be that happens at once: no timer is so short. */
const aheadNs = msNs;

/** Between two looks at a card that works passes less. */
const behindNs = 10 * usNs;

/** No event waits, or none for long. Whole and this small, a number costs no allocation. */
export const farUs = 1e9;

/** A number: virtual nanoseconds per real one. Free: what the card does takes no real time. */
export type TimeScale = number | 'free';

/**
 * Ties the virtual time of a world to the real one, as a cell of its owner has it: a number that is
 * passed would be allocated at every look. With a scale, events happen when their time has come. In
 * free time whatever is due within a moment happens at once, and timers that are farther away still
 * wait.
 */
export class Timekeeper {
  private readonly world: World;
  private readonly scale: TimeScale;
  private readonly real: Float64Array;
  /** Real time that the world has been run to. */
  private realNs = -1;
  private carryNs = 0;

  /** @param real  one cell: nanoseconds from some fixed point, moved on by its owner */
  constructor(world: World, scale: TimeScale, real: Float64Array) {
    if (scale !== 'free' && !(scale > 0 && scale <= 1e6)) {
      throw new RangeError(`time scale ${scale}: a number above 0 and up to 1,000,000, or 'free'`);
    }
    this.world = world;
    this.scale = scale;
    this.real = real;
  }

  /** Run the world to the real time of now; it never runs backwards. */
  run(): void {
    const { world, scale } = this;
    const nowNs = this.real[0]!;
    if (this.realNs < 0) this.realNs = nowNs;
    const passedNs = Math.max(0, nowNs - this.realNs);
    this.realNs += passedNs;
    if (scale === 'free') world.runEvents(aheadNs);
    const exactNs = passedNs * (scale === 'free' ? 1 : scale) + this.carryNs;
    const wholeNs = Math.floor(exactNs);
    this.carryNs = exactNs - wholeNs;
    world.advance(wholeNs);
  }

  /** Whether the world has not been run for so long that it matters when something happens. */
  get isBehind(): boolean {
    return this.real[0]! - this.realNs > behindNs;
  }

  /** The world has stood still until now. */
  skip(): void {
    this.realNs = Math.max(this.realNs, this.real[0]!);
  }

  /** Real microseconds until the next event, whole, at most `farUs`. */
  untilNextUs(): number {
    const leftNs = this.world.earliestNs - this.world.nowNs;
    const realNs = this.scale === 'free' ? Math.max(0, leftNs - aheadNs) : leftNs / this.scale;
    return Math.min(farUs, Math.floor(realNs / usNs));
  }
}
