import type { Pace } from '../firmware/firmware-cores.js';
import type { CardInside } from '../nvme/card-inside.js';
import { FixedInside } from '../nvme/fixed-inside.js';
import type { Subsystem } from '../nvme/subsystem.js';
import type { Profile } from '../profiles/profile.js';
import type { World } from '../world.js';
import type { MakeDrive } from './drive-kinds.js';
import { ModelInside } from './model-inside.js';

/** The one place that chooses between fixed service times and a model of the inside. */
export function makeInside(parts: {
  readonly world: World;
  readonly profile: Profile;
  /** Of the card, in its world. */
  readonly name: string;
  readonly pace: () => Pace;
  readonly makeDrive?: MakeDrive;
}): CardInside {
  const { world, profile } = parts;
  const { inside, media, firmware } = profile;
  if (inside !== null) return new ModelInside({ ...parts, inside });
  if (media !== null) return new FixedInside(media, firmware, world.prng('media'));
  throw new TypeError(`profile ${profile.name} has neither media nor an inside`);
}

/** How fast a card may run: its temperature, its host's wishes and its power state. */
export function paceOf(subsystem: Subsystem, profile: Profile): Pace {
  const cores = profile.inside?.cores;
  const state = subsystem.powerState();
  const throttleLevel =
    cores === undefined
      ? 0
      : subsystem.health.throttleLevel({
          lightKelvin: cores.lightThrottleKelvin,
          heavyKelvin: cores.heavyThrottleKelvin,
        });
  return {
    throttleLevel,
    powerPermille: state?.clockPermille ?? 1000,
    exitNs: state === null || state.isOperational ? 0 : state.exitUs * 1000,
  };
}
