import type { Clock } from '../../sdk/device.js';
import type { World } from '../world.js';

/** The world's clock, with what the host pays for each look. */
export function hostClock(world: World, lookNs: number): Clock {
  if (lookNs === 0) return world.clock;
  return {
    nowNs: () => world.nowNs,
    idle: (untilNs) => {
      world.idle(untilNs);
      world.advance(lookNs);
    },
    turn: async (untilNs) => {
      await world.clock.turn(untilNs);
      world.advance(lookNs);
    },
  };
}
