import type { DriveListener } from '../../../sim/ftl/drive.js';
import { FlashDrive } from '../../../sim/ftl/flash-drive.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { mqsimFlash, mqsimFtl } from '../../../sim/profiles/mqsim-media.js';
import { World } from '../../../sim/world.js';

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

const flushToken = -7;

/** A drive, and what it told. */
export class DriveRig implements DriveListener {
  readonly world: World;
  readonly drive: FlashDrive;
  /** Statuses by token, in the order in which requests ended. */
  readonly ended: { readonly token: number; readonly status: number; readonly atNs: number }[] = [];
  changes = 0;
  /** Called at the end of each request, after it was noted. */
  onDone: ((token: number, status: number) => void) | null = null;
  notes = true;

  constructor(flash: Partial<FlashProfile> = {}, ftl: Partial<FtlProfile> = {}, seed = 1) {
    this.world = new World({ seed });
    this.drive = new FlashDrive({
      flash: { ...smallFlash, ...flash },
      ftl: { ...smallFtl, ...ftl },
      world: this.world,
      listener: this,
      name: 'rig',
    });
  }

  driveDone(token: number, status: number): void {
    if (this.notes) this.ended.push({ token, status, atNs: this.world.nowNs });
    this.onDone?.(token, status);
  }

  driveChanged(): void {
    this.changes++;
  }

  /**
   * A closed loop: `depth` requests in flight until `count` have ended. What only waits for its row
   * to fill is flushed.
   */
  loop(count: number, depth: number, next: (token: number) => void): void {
    let left = count;
    let running = 0;
    const before = this.onDone;
    const go = (): void => {
      left--;
      running++;
      next(count - left - 1);
    };
    this.onDone = (token) => {
      if (token === flushToken) return;
      running--;
      if (left > 0) go();
    };
    for (let i = 0; i < depth && left > 0; i++) go();
    // No event and requests in flight: after a flush that must not be.
    let isFlushed = false;
    while (running > 0) {
      if (this.world.pendingCount > 0) {
        isFlushed = false;
        this.world.advance(1_000_000);
        continue;
      }
      if (isFlushed) throw new Error(`${running} requests are stuck`);
      this.drive.flush(flushToken);
      isFlushed = true;
    }
    this.onDone = before;
  }

  demandSound(): void {
    const faults = this.drive.audit();
    if (faults.length > 0) throw new Error(faults.slice(0, 10).join('; '));
  }

  /** Until nothing happens any more. */
  settle(): void {
    while (this.world.pendingCount > 0) this.world.advance(1_000_000_000);
  }
}
