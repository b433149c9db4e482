import type { Prng } from '../prng.js';
import type { World } from '../world.js';
import type { CellWear } from './cell-wear.js';
import type { FlashListener } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';

/** What dies and buses are made of. */
export interface FlashArrayParts {
  readonly flash: FlashProfile;
  readonly world: World;
  readonly wear: CellWear;
  readonly chance: Prng;
  readonly listener: FlashListener;
}
