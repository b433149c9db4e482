import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { busKinds } from '../nand/bus-timing.js';
import type { FlashProfile } from '../nand/flash-profile.js';
import type { InPlaceProfile } from '../nand/in-place-profile.js';
import { pageOrders } from '../nand/page-type.js';
import { driveUnitBytes } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';
import { Layout } from './layout.js';
import { victimPolicies } from './victims.js';

/** Units are 32-bit integers, and 0 is taken. */
const unitLimit = 2 ** 31 - 2;
/** The map needs so many pages in RAM to get on. */
const leastMapPages = 8;

/**
 * What the fields of a flash drive must be together, each of them being within its own range.
 *
 * @param prefix  of the field names in what is thrown, for instance 'inside.'
 * @throws UltimaError PROFILE_INVALID that names the field, its value and what it must be
 */
export function checkFlashDrive(flash: FlashProfile, ftl: FtlProfile, prefix = ''): void {
  const refuse = refusal(prefix);
  if (busKinds[flash.bus] === undefined) {
    refuse('flash.bus', flash.bus, `one of ${Object.keys(busKinds).join(', ')}`);
  }
  if (!pageOrders.includes(flash.pageOrder)) {
    refuse('flash.pageOrder', flash.pageOrder, `one of ${pageOrders.join(', ')}`);
  }
  if (!victimPolicies.includes(ftl.victim)) {
    refuse('ftl.victim', ftl.victim, `one of ${victimPolicies.join(', ')}`);
  }
  if (flash.pageBytes % driveUnitBytes !== 0) {
    refuse('flash.pageBytes', flash.pageBytes, `a multiple of ${driveUnitBytes}`);
  }
  if (flash.pagesPerBlock % flash.pagesPerProgram !== 0) {
    refuse('flash.pagesPerBlock', flash.pagesPerBlock, `a multiple of pagesPerProgram`);
  }
  if (flash.planesPerDie > 16) refuse('flash.planesPerDie', flash.planesPerDie, 'at most 16');
  if (ftl.gcIdleFreeBlocks < ftl.gcFreeBlocks) {
    refuse('ftl.gcIdleFreeBlocks', ftl.gcIdleFreeBlocks, 'at least gcFreeBlocks');
  }
  if (ftl.mapCacheBytes > 0 && ftl.mapCacheBytes < leastMapPages * driveUnitBytes) {
    const range = `0 or at least ${leastMapPages * driveUnitBytes}`;
    refuse('ftl.mapCacheBytes', ftl.mapCacheBytes, range);
  }
  checkRoom(flash, ftl, refuse);
}

/** @throws as checkFlashDrive */
export function checkInPlaceDrive(profile: InPlaceProfile, prefix = ''): void {
  const refuse = refusal(prefix);
  const dies = profile.channels * profile.diesPerChannel;
  if (dies % profile.stripeDies !== 0) {
    refuse('inPlace.stripeDies', profile.stripeDies, `a divisor of all ${dies} dies`);
  }
  const units = (dies * profile.bytesPerDie) / driveUnitBytes;
  if (!Number.isInteger(units) || units < 1 || units > unitLimit) {
    const range = `a multiple of ${driveUnitBytes}, for at most ${unitLimit} units in all`;
    refuse('inPlace.bytesPerDie', profile.bytesPerDie, range);
  }
}

type Refuse = (field: string, value: unknown, range: string) => never;

function checkRoom(flash: FlashProfile, ftl: FtlProfile, refuse: Refuse): void {
  const layout = new Layout(flash, ftl);
  const all = layout.physicalUnits;
  if (all > unitLimit || layout.mappedUnits > unitLimit) {
    const range = `${Math.floor((flash.blocksPerPlane * unitLimit) / all)} or less: a drive has at`;
    refuse('flash.blocksPerPlane', flash.blocksPerPlane, `${range} most ${unitLimit} units`);
  }
  const spare = ftl.spareBlocks;
  // Free, open and one to gain with, and one more so that some pool always has room.
  const least = layout.reservedBlocks + 1;
  if (layout.blocksPerPool - spare <= least) {
    const range = `more than ${least + spare}: ${least} stay free or open, ${spare} are spare`;
    refuse('flash.blocksPerPlane', flash.blocksPerPlane, range);
  }
  const room = layout.pools * (layout.blocksPerPool - spare - least) * layout.unitsPerBlock;
  if (layout.mappedUnits <= room) return;
  const usable = layout.pools * (layout.blocksPerPool - spare) * layout.unitsPerBlock;
  const permille = Math.ceil(1000 * (1 - room / usable));
  const reason = `${least} blocks of ${layout.blocksPerPool - spare} in a pool stay free or open`;
  const range = layout.mapUnits > 0 ? `more than ${permille}` : `at least ${permille}`;
  refuse('ftl.overProvisioningPermille', ftl.overProvisioningPermille, `${range}: ${reason}`);
}

function refusal(prefix: string): Refuse {
  return (name, value, range) => {
    const field = `${prefix}${name}`;
    throw new UltimaError(
      ErrorCode.profileInvalid,
      `profile field ${field} = ${String(value)}: must be ${range}`,
      { field, value: String(value), range },
    );
  };
}
