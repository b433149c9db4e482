import type { FirmwareCores } from '../firmware/firmware-cores.js';
import type { InsideProfile } from '../profiles/inside.js';
import type { World } from '../world.js';
import type { MakeDrive } from './drive-kinds.js';

/** What the media of a card with an inside are made of. */
export interface InsideMediaParts {
  readonly world: World;
  readonly profile: InsideProfile;
  /** Writes that are not flushed may be lost with the power. */
  readonly isVolatile: boolean;
  /** Unit in which namespaces get room. */
  readonly allocationBytes: number;
  readonly firmware: FirmwareCores;
  readonly makeDrive: MakeDrive;
  /** Units of one drive, units of one program of it, and its write streams. */
  readonly driveUnits: number;
  readonly rowUnits: number;
  readonly streams: number;
  /** 4 KiB from the medium, without queues. */
  readonly typicalReadNs: number;
  /** Every block of a drive. */
  readonly eraseAllNs: number;
  /** One unit of many that are written at one time to one drive. */
  readonly unitWriteNs: number;
}
