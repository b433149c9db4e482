import { checkFlashDrive } from '../sim/ftl/check-drive.js';
import type { DriveListener } from '../sim/ftl/drive.js';
import { FlashDrive } from '../sim/ftl/flash-drive.js';
import type { FtlProfile } from '../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../sim/nand/flash-profile.js';
import { World } from '../sim/world.js';

const flushToken = -7;
const stepNs = 1_000_000;
/** A drive that does not end any request for so long is busy with itself. */
const patienceNs = 10_000_000_000;

/** A flash drive without a card in front of it, and closed loops over it. */
export class DriveLoad implements DriveListener {
  readonly world: World;
  readonly drive: FlashDrive;
  /** Called at the end of each request. */
  onDone: ((token: number, status: number) => void) | null = null;

  constructor(flash: FlashProfile, ftl: FtlProfile, seed = 1) {
    // One that no card may have would get stuck, and say nothing about those that may.
    checkFlashDrive(flash, ftl);
    this.world = new World({ seed });
    this.drive = new FlashDrive({ flash, ftl, world: this.world, listener: this, name: 'drive' });
  }

  driveDone(token: number, status: number): void {
    this.onDone?.(token, status);
  }

  mapRead(_token: number): boolean {
    return false;
  }

  driveChanged(): void {
    throw new Error(`the drive is in state ${this.drive.state}`);
  }

  /**
   * Keep `depth` requests in flight until `count` have ended. What only waits for its row to fill
   * is flushed.
   *
   * @param next  starts request number `token`
   * @throws when requests are in flight and none of them will ever end
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
    let endedNs = this.world.nowNs;
    this.onDone = (token, status) => {
      if (token === flushToken) return;
      endedNs = this.world.nowNs;
      before?.(token, status);
      running--;
      if (left > 0) go();
    };
    for (let i = 0; i < depth && left > 0; i++) go();
    let isFlushed = false;
    while (running > 0) {
      if (this.world.pendingCount > 0) {
        isFlushed = false;
        this.world.advance(stepNs);
        if (this.world.nowNs - endedNs > patienceNs) throw new Error('no request ends any more');
        continue;
      }
      if (isFlushed) throw new Error(`${running} requests are stuck`);
      this.drive.flush(flushToken);
      isFlushed = true;
    }
    this.onDone = before;
  }

  /** @throws when a recount of the drive does not agree with its counters */
  demandSound(): void {
    const faults = this.drive.audit();
    if (faults.length > 0) throw new Error(faults.slice(0, 10).join('; '));
  }
}
