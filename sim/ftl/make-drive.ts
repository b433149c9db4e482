import type { FlashProfile } from '../nand/flash-profile.js';
import type { InPlaceProfile } from '../nand/in-place-profile.js';
import type { World } from '../world.js';
import { checkFlashDrive, checkInPlaceDrive } from './check-drive.js';
import type { Drive, DriveListener } from './drive.js';
import { FlashDrive } from './flash-drive.js';
import type { FtlProfile } from './ftl-profile.js';
import { InPlaceDrive } from './in-place-drive.js';

/** What a drive is made of: flash with its translation layer, or cells written in place. */
export type DriveMedium =
  | { readonly flash: FlashProfile; readonly ftl: FtlProfile }
  | { readonly inPlace: InPlaceProfile };

export interface DriveParts {
  readonly medium: DriveMedium;
  readonly world: World;
  readonly listener: DriveListener;
  /** Names its streams of chance: equal names in equal worlds give equal drives. */
  readonly name: string;
}

/** @throws UltimaError PROFILE_INVALID that names the field, its value and what it must be */
export function makeDrive(parts: DriveParts): Drive {
  const { medium, world, listener, name } = parts;
  if ('inPlace' in medium) {
    checkInPlaceDrive(medium.inPlace);
    return new InPlaceDrive({ profile: medium.inPlace, world, listener, name });
  }
  const { flash, ftl } = medium;
  checkFlashDrive(flash, ftl);
  return new FlashDrive({ flash, ftl, world, listener, name });
}
