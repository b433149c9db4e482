import * as assert from 'uvu/assert';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { InPlaceRig, smallInPlace } from './in-place-rig.js';
import { DriveRig, smallFlash, smallFtl } from './rig.js';

const test = suite('drive configuration keys');

/** Where every key has something to act on. */
const flash: FlashProfile = {
  ...smallFlash,
  planesPerDie: 2,
  blocksPerPlane: 32,
  pagesPerBlock: 12,
  pageBytes: 8192,
  pageTypes: [
    { readNs: 40_000, programNs: 400_000 },
    { readNs: 60_000, programNs: 900_000 },
  ],
  readSpreadPermille: 20,
  hasMultiPlane: true,
  hasCacheProgram: true,
  cacheBusyNs: 2000,
  hasProgramSuspend: true,
  hasEraseSuspend: true,
  programSuspendNs: 30_000,
  eraseSuspendNs: 60_000,
  suspendLimit: 3,
  reservedSuspends: 1,
  readStops: 2,
  readStopNs: 4000,
  correctableBits: 12,
  retryLevels: 4,
  retryGainPermille: 900,
  decodeNs: 3000,
  freshErrorsPerTbit: 9e8,
  wearErrorsPerTbit: 4e7,
  retentionErrorsPerTbitDay: 2e6,
  disturbErrorsPerTbitKiloread: 2e8,
  enduranceCycles: 1,
  factoryBadPpm: 3000,
  programFailPpb: 200_000,
  eraseFailPpb: 200_000,
  wornFailPpm: 100,
};

const ftl: FtlProfile = {
  ...smallFtl,
  overProvisioningPermille: 420,
  streams: 2,
  detectsHotData: true,
  mapCacheBytes: 8 * 4096,
  victim: 'd-choices',
  victimChoices: 4,
  gcIdleFreeBlocks: 2,
  staticWearGap: 2,
  spareBlocks: 2,
  refreshReads: 150,
  refreshDays: 20,
  refreshRetries: 2,
  scanEveryNs: 4_000_000,
  scanPages: 3,
};

/** Everything that a run of mixed load shows: the hash of its events, its counters, its wear. */
function resultOf(flashChanges: Partial<FlashProfile>, ftlChanges: Partial<FtlProfile>): string {
  const rig = new DriveRig({ ...flash, ...flashChanges }, { ...ftl, ...ftlChanges }, 6);
  const prng = new Prng(6, 'load');
  rig.notes = false;
  rig.age(1, prng);
  const { drive, world } = rig;
  drive.age(25);
  const hot = Math.ceil(drive.unitCount / 10);
  rig.loop(2500, 24, (token) => {
    const unit = prng.below(prng.chance(0.7) ? hot : drive.unitCount - 3);
    if (prng.chance(0.6)) drive.read(unit, 1 + prng.below(3), token, prng.chance(0.3));
    else drive.write(unit, 1 + prng.below(3), 0, token);
  });
  rig.demandSound();
  return `${world.eventHash} ${JSON.stringify(drive.statistics)} ${JSON.stringify(drive.wear())}`;
}

const base = resultOf({}, {});

const flashKeys: Partial<Record<keyof FlashProfile, FlashProfile[keyof FlashProfile]>> = {
  channels: 1,
  packagesPerChannel: 1,
  diesPerPackage: 2,
  planesPerDie: 4,
  blocksPerPlane: 40,
  pagesPerBlock: 24,
  pageBytes: 4096,
  pagesPerProgram: 2,
  pageTypes: [{ readNs: 40_000, programNs: 400_000 }],
  pageOrder: 'paired',
  eraseNs: 2_000_000,
  readSpreadPermille: 0,
  bus: 'toggle',
  busMegatransfers: 800,
  busBytes: 2,
  isBusQuantised: true,
  busPieceBytes: 4096,
  hasMultiPlane: false,
  hasIndependentReads: true,
  hasCacheRead: true,
  hasCacheProgram: false,
  cacheBusyNs: 9000,
  hasProgramSuspend: false,
  hasEraseSuspend: false,
  programSuspendNs: 10_000,
  eraseSuspendNs: 10_000,
  suspendLimit: 1,
  reservedSuspends: 2,
  readStops: 0,
  readStopNs: 9000,
  codewordBytes: 2048,
  correctableBits: 14,
  retryLevels: 1,
  retryGainPermille: 500,
  decodeNs: 0,
  freshErrorsPerTbit: 7e8,
  wearErrorsPerTbit: 1e7,
  retentionErrorsPerTbitDay: 9e6,
  disturbErrorsPerTbitKiloread: 9e9,
  enduranceCycles: 30,
  factoryBadPpm: 30_000,
  programFailPpb: 2_000_000,
  eraseFailPpb: 50_000_000,
  wornFailPpm: 800_000,
};

const ftlKeys: Partial<Record<keyof FtlProfile, FtlProfile[keyof FtlProfile]>> = {
  overProvisioningPermille: 480,
  streams: 1,
  separatesRelocated: false,
  detectsHotData: false,
  mapCacheBytes: 0,
  victim: 'greedy',
  victimChoices: 9,
  gcIdleFreeBlocks: 4,
  gcFreeBlocks: 2,
  isGcPreemptible: false,
  hasDynamicWearLevelling: false,
  staticWearGap: 0,
  spareBlocks: 3,
  refreshReads: 30,
  refreshDays: 0,
  refreshRetries: 1,
  scanEveryNs: 0,
  scanPages: 5,
};

test('every key of flash and translation layer is tried here', () => {
  assert.equal(Object.keys(flashKeys).sort(), Object.keys(smallFlash).sort());
  assert.equal(Object.keys(ftlKeys).sort(), Object.keys(smallFtl).sort());
});

for (const [key, value] of Object.entries(flashKeys)) {
  test(`flash.${key} changes what happens`, () => {
    assert.not.equal(resultOf({ [key]: value }, {}), base);
  });
}

for (const [key, value] of Object.entries(ftlKeys)) {
  test(`ftl.${key} changes what happens`, () => {
    assert.not.equal(resultOf({}, { [key]: value }), base);
  });
}

const inPlaceKeys: Partial<typeof smallInPlace> = {
  channels: 2,
  diesPerChannel: 1,
  bytesPerDie: 65_536,
  stripeDies: 4,
  readNs: 4000,
  writeNs: 4000,
  commandNs: 50,
  channelMBPerS: 2048,
  spreadPermille: 0,
  busyReadsPpm: 0,
  busyNs: 500,
  enduranceWrites: 10,
  wearMoveWrites: 5,
};

function inPlaceResult(changes: Partial<typeof smallInPlace>): string {
  const noisy = { spreadPermille: 50, busyReadsPpm: 50_000, busyNs: 9000, bytesPerDie: 32_768 };
  const rig = new InPlaceRig({ ...noisy, enduranceWrites: 1000, wearMoveWrites: 50, ...changes });
  const { drive, world } = rig;
  const prng = new Prng(1, 'load');
  for (let i = 0; i < 600; i++) {
    if (prng.chance(0.5)) drive.read(prng.below(drive.unitCount), 1, i);
    else drive.write(prng.below(drive.unitCount), 1, 0, i);
    world.advance(3000);
  }
  rig.settle();
  return `${world.eventHash} ${JSON.stringify(drive.wear())}`;
}

test('every key of an in-place medium changes what happens', () => {
  assert.equal(Object.keys(inPlaceKeys).sort(), Object.keys(smallInPlace).sort());
  const plain = inPlaceResult({});
  for (const [key, value] of Object.entries(inPlaceKeys)) {
    assert.not.equal(inPlaceResult({ [key]: value }), plain, key);
  }
});

test.run();
