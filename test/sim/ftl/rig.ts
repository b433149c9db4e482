import { DriveLoad } from '../../../bench/drive-load.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { mqsimFlash, mqsimFtl } from '../../../sim/profiles/mqsim-media.js';

/** Two channels, four dies of one plane, 64 blocks of 32 pages of 4 KiB: 32 MiB. */
export const smallFlash: FlashProfile = {
  ...mqsimFlash,
  channels: 2,
  packagesPerChannel: 2,
  diesPerPackage: 1,
  planesPerDie: 1,
  blocksPerPlane: 64,
  pagesPerBlock: 32,
  pageBytes: 4096,
};

export const smallFtl: FtlProfile = {
  ...mqsimFtl,
  overProvisioningPermille: 200,
  victim: 'greedy',
  gcIdleFreeBlocks: 1,
  gcFreeBlocks: 1,
  staticWearGap: 0,
};

interface Ended {
  readonly token: number;
  readonly status: number;
  readonly atNs: number;
}

/** A small drive, and what it told. */
export class DriveRig extends DriveLoad {
  /** Requests in the order in which they ended, while `notes` is set. */
  readonly ended: Ended[] = [];
  notes = true;
  /** States of the drive as they came. */
  readonly states: number[] = [];

  constructor(flash: Partial<FlashProfile> = {}, ftl: Partial<FtlProfile> = {}, seed = 1) {
    super({ ...smallFlash, ...flash }, { ...smallFtl, ...ftl }, seed);
  }

  override driveDone(token: number, status: number): void {
    if (this.notes) this.ended.push({ token, status, atNs: this.world.nowNs });
    super.driveDone(token, status);
  }

  override driveChanged(): void {
    this.states.push(this.drive.state);
  }

  /** Until nothing happens any more. */
  settle(): void {
    while (this.world.pendingCount > 0) this.world.advance(1_000_000_000);
  }

  /** Fill the drive in order, then overwrite it `turns` times at random. */
  age(turns: number, prng: { below(bound: number): number }): void {
    const { drive } = this;
    const noted = this.notes;
    this.notes = false;
    let unit = 0;
    this.loop(drive.unitCount, 32, (token) => drive.write(unit++, 1, 0, token));
    const count = drive.unitCount * turns;
    this.loop(count, 32, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
    this.notes = noted;
  }
}
