import type { DriveListener } from '../../../sim/ftl/drive.js';
import { InPlaceDrive } from '../../../sim/ftl/in-place-drive.js';
import type { InPlaceProfile } from '../../../sim/nand/in-place-profile.js';
import { World } from '../../../sim/world.js';

/** Four channels of two dies, a unit on two of them, round times. */
export const smallInPlace: InPlaceProfile = {
  channels: 4,
  diesPerChannel: 2,
  bytesPerDie: 1024 * 1024,
  stripeDies: 2,
  readNs: 5000,
  writeNs: 8000,
  commandNs: 100,
  channelMBPerS: 1024,
  spreadPermille: 0,
  busyReadsPpm: 0,
  busyNs: 0,
  enduranceWrites: 1_000_000,
  wearMoveWrites: 0,
};

/** A drive that is written in place, and what it told. */
export class InPlaceRig implements DriveListener {
  readonly world: World;
  readonly drive: InPlaceDrive;
  readonly ended: { readonly token: number; readonly status: number; readonly atNs: number }[] = [];
  changes = 0;

  constructor(changes: Partial<InPlaceProfile> = {}, seed = 1) {
    this.world = new World({ seed });
    const profile = { ...smallInPlace, ...changes };
    this.drive = new InPlaceDrive({ profile, world: this.world, listener: this, name: 'rig' });
  }

  driveDone(token: number, status: number): void {
    this.ended.push({ token, status, atNs: this.world.nowNs });
  }

  driveChanged(): void {
    this.changes++;
  }

  /** Its map is always in RAM. */
  mapRead(): boolean {
    throw new Error('a page of the map is read');
  }

  settle(): void {
    while (this.world.pendingCount > 0) this.world.advance(1_000_000_000);
  }
}
