import { UltimaError } from '../../../sdk/errors.js';
import { checkFlashDrive } from '../../../sim/ftl/check-drive.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import { victimPolicies } from '../../../sim/ftl/victims.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import type { Prng } from '../../../sim/prng.js';
import { type DriveRig, smallFlash, smallFtl } from './rig.js';

/**
 * A drive as chance will have it, small enough to be filled; most of them are possible. What is
 * new is drawn after all that is there.
 */
export function randomDrive(prng: Prng): { flash: FlashProfile; ftl: FtlProfile } {
  const some = <T>(...values: readonly T[]): T => values[prng.below(values.length)]!;
  const pagesPerProgram = some(1, 1, 2, 3);
  const flash: FlashProfile = {
    ...smallFlash,
    channels: some(1, 2, 3),
    packagesPerChannel: some(1, 2),
    diesPerPackage: some(1, 2),
    planesPerDie: some(1, 2, 4),
    blocksPerPlane: 16 + prng.below(32),
    pagesPerBlock: pagesPerProgram * some(2, 4, 8),
    pageBytes: some(4096, 8192, 16_384),
    pagesPerProgram,
    hasMultiPlane: prng.chance(0.5),
    hasIndependentReads: prng.chance(0.5),
    hasCacheRead: prng.chance(0.5),
    hasCacheProgram: prng.chance(0.5),
    cacheBusyNs: some(0, 3000),
    busPieceBytes: some(0, 1024, 4096),
    hasProgramSuspend: prng.chance(0.5),
    hasEraseSuspend: prng.chance(0.5),
    suspendLimit: 1 + prng.below(8),
    reservedSuspends: some(0, 1),
    readSpreadPermille: some(0, 100),
    decodeNs: some(0, 5000),
    retryLevels: 3,
    correctableBits: 20,
    freshErrorsPerTbit: some(0, 0, 2e9),
    factoryBadPpm: some(0, 10_000),
    programFailPpb: some(0, 0, 300_000),
    eraseFailPpb: some(0, 0, 300_000),
  };
  const gcFreeBlocks = some(1, 1, 2);
  const ftl: FtlProfile = {
    ...smallFtl,
    overProvisioningPermille: 300 + prng.below(300),
    streams: some(1, 1, 2, 4),
    separatesRelocated: prng.chance(0.5),
    detectsHotData: prng.chance(0.3),
    mapCacheBytes: some(0, 0, 8 * 4096, 64 * 4096),
    victim: victimPolicies[prng.below(victimPolicies.length)]!,
    victimChoices: 1 + prng.below(10),
    gcFreeBlocks,
    gcIdleFreeBlocks: gcFreeBlocks + some(0, 0, 2),
    isGcPreemptible: prng.chance(0.7),
    hasDynamicWearLevelling: prng.chance(0.7),
    staticWearGap: some(0, 0, 5),
    spareBlocks: some(0, 1, 2),
    refreshReads: some(0, 0, 50),
    refreshRetries: some(0, 1),
    scanEveryNs: some(0, 20_000, 300_000),
    scanPages: 1 + prng.below(8),
  };
  // Drawn last, so that the seeds of pinned plans still mean the drives that they meant.
  const readStops = some(0, 1, 4);
  const readStopNs = some(0, 5000);
  return { flash: { ...flash, readStops, readStopNs }, ftl };
}

/** Whether a card would take such a drive. */
export function isPossible(flash: FlashProfile, ftl: FtlProfile): boolean {
  try {
    checkFlashDrive(flash, ftl);
  } catch (error) {
    if (error instanceof UltimaError && error.code === 'PROFILE_INVALID') return false;
    throw error;
  }
  return true;
}

/** A possible drive with the least room that a card may have: it is always short of free blocks. */
export function narrowDrive(prng: Prng): { flash: FlashProfile; ftl: FtlProfile } | null {
  const { flash, ftl } = randomDrive(prng);
  for (let overProvisioningPermille = 10; overProvisioningPermille < 1000; ) {
    const narrow = { ...ftl, overProvisioningPermille };
    if (isPossible(flash, narrow)) return { flash, ftl: narrow };
    overProvisioningPermille++;
  }
  return null;
}

/**
 * Fill the drive, then reads, writes, trims and flushes at random, and a recount at the end.
 *
 * @throws when something is stuck or does not add up
 */
export function runMixed(rig: DriveRig, prng: Prng, count: number): void {
  const { drive } = rig;
  rig.notes = false;
  const most = Math.min(16, drive.unitCount);
  let unit = 0;
  const fill = (token: number): void => {
    const units = Math.min(most, drive.unitCount - unit);
    drive.write(unit, units, 0, token);
    unit += units;
  };
  rig.loop(Math.ceil(drive.unitCount / most), 16, fill);
  rig.loop(count, 32, (token) => {
    const units = 1 + prng.below(most);
    const first = prng.below(drive.unitCount - units + 1);
    const dice = prng.unit();
    if (dice < 0.05) drive.trim(first, units);
    if (dice < 0.5) drive.read(first, units, token, dice < 0.2);
    else if (dice < 0.52) drive.flush(token);
    else drive.write(first, units, prng.below(drive.streamCount), token);
  });
  rig.settle();
  if (drive.inFlight !== 0) throw new Error(`${drive.inFlight} requests never ended`);
  if (drive.flash.ops.inUse !== 0) throw new Error('flash operations never ended');
  rig.demandSound();
}
