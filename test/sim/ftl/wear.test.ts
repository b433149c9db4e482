import * as assert from 'uvu/assert';
import { DriveState, DriveStatus } from '../../../sim/ftl/drive.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('drive wear');
const seed = 3;

/** One die of few small blocks, so that wear shows soon. */
const tiny: Partial<FlashProfile> = {
  channels: 1,
  packagesPerChannel: 1,
  blocksPerPlane: 48,
  pagesPerBlock: 8,
};

/** Erase counts after most writes went to a tenth of the data. */
function spread(ftl: Partial<FtlProfile>, writes = 12_000): number {
  const rig = new DriveRig(tiny, { hasDynamicWearLevelling: true, ...ftl });
  const prng = new Prng(seed, 'hot writes');
  rig.notes = false;
  rig.age(0, prng);
  const { drive } = rig;
  const hot = Math.floor(drive.unitCount / 10);
  rig.loop(writes, 8, (token) => drive.write(prng.below(hot), 1, 0, token));
  rig.demandSound();
  const { minErases, maxErases } = drive.wear();
  return maxErases - minErases;
}

test('static wear levelling bounds the spread of erase counts, without it cold blocks stay', () => {
  const gap = 6;
  const levelled = spread({ staticWearGap: gap });
  assert.ok(levelled <= 2 * gap, `levelled: ${levelled}`);
  const left = spread({ staticWearGap: 0 });
  assert.ok(left > 5 * levelled, `left alone: ${left}, levelled: ${levelled}`);
});

test('a drive without spare blocks ends read only: reads work, writes are refused by name', () => {
  const rig = new DriveRig(
    { ...tiny, enduranceCycles: 20, wornFailPpm: 400_000 },
    { spareBlocks: 2, overProvisioningPermille: 250 },
  );
  const prng = new Prng(seed, 'to the end');
  rig.age(0, prng);
  const { drive } = rig;
  const statuses = new Set<number>();
  rig.onDone = (_, status) => statuses.add(status);
  for (let turn = 0; turn < 400 && drive.state !== DriveState.readOnly; turn++) {
    rig.loop(200, 8, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
  }
  assert.is(drive.state, DriveState.readOnly);
  assert.equal(rig.states, [DriveState.noSpare, DriveState.readOnly]);
  assert.is(drive.wear().sparePercent, 0);
  assert.ok(drive.wear().usedPercent > 100);
  statuses.clear();
  drive.write(0, 1, 0, 1);
  rig.settle();
  assert.equal([...statuses], [DriveStatus.writeProtected]);
  statuses.clear();
  rig.loop(drive.unitCount, 8, (token) => drive.read(token, 1, token));
  assert.ok(statuses.has(DriveStatus.done));
  drive.flush(5);
  rig.settle();
  assert.is(drive.inFlight, 0);
  rig.demandSound();
});

test('a program that fails loses nothing: its units go elsewhere, its block to the bad ones', () => {
  const rig = new DriveRig(tiny, { spareBlocks: 2 });
  const prng = new Prng(seed, 'failing');
  rig.age(1, prng);
  const { drive } = rig;
  drive.failPrograms(0, 1);
  rig.loop(300, 8, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
  assert.is(drive.statistics.programFailures, 1);
  assert.ok(drive.statistics.rewrittenUnits >= 1);
  assert.is(drive.map.mappedCount, drive.unitCount);
  assert.is(drive.wear().sparePercent, 50);
  rig.loop(3000, 8, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
  assert.is(drive.wear().badBlocks, 1);
  assert.ok(rig.ended.every(({ status }) => status === DriveStatus.done));
  rig.demandSound();
});

test('an erase that fails costs the block and a spare', () => {
  const rig = new DriveRig(tiny, { spareBlocks: 1 });
  const prng = new Prng(seed, 'erasing');
  rig.age(0, prng);
  rig.drive.failErases(0, 1);
  const { drive } = rig;
  rig.loop(1000, 8, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
  assert.is(drive.statistics.eraseFailures, 1);
  assert.is(drive.wear().badBlocks, 1);
  assert.is(drive.state, DriveState.noSpare);
  rig.demandSound();
});

test('bad blocks of the factory are known before the first write and cost spare ones only', () => {
  const rig = new DriveRig({ ...tiny, factoryBadPpm: 60_000 }, { spareBlocks: 10 }, 5);
  const { drive } = rig;
  const { badBlocks, sparePercent } = drive.wear();
  assert.ok(badBlocks > 0 && badBlocks <= 10);
  assert.is(drive.blocks.spareCount, 10 - badBlocks);
  assert.is(sparePercent, 100);
  rig.age(1, new Prng(seed, 'use'));
  assert.is(drive.state, DriveState.good);
  rig.demandSound();
});

test('read disturb: a block that is read too often is written again', () => {
  for (const refreshReads of [0, 100]) {
    const rig = new DriveRig(tiny, { refreshReads });
    rig.age(0, new Prng(seed, 'fill'));
    const { drive } = rig;
    rig.loop(2000, 4, (token) => drive.read(token % 8, 1, token));
    const worst = Math.max(...drive.cells.readCounts);
    assert.is(drive.statistics.refreshUnits > 0, refreshReads > 0);
    if (refreshReads > 0) assert.ok(worst < 3 * refreshReads, `${worst} reads`);
    rig.demandSound();
  }
});

test('retention: data that grew old is written again, and read without retries then', () => {
  const rig = new DriveRig(
    {
      ...tiny,
      correctableBits: 8,
      retryLevels: 8,
      wearErrorsPerTbit: 1,
      retentionErrorsPerTbitDay: 4e7,
      enduranceCycles: 2,
    },
    { refreshDays: 30 },
  );
  const prng = new Prng(seed, 'old');
  rig.age(2, prng);
  const { drive } = rig;
  const readAll = (): number => {
    const before = drive.statistics.retries;
    rig.loop(drive.unitCount, 8, (token) => drive.read(token, 1, token));
    return drive.statistics.retries - before;
  };
  assert.is(readAll(), 0);
  drive.age(60);
  const old = readAll();
  assert.ok(old > 50, `${old} retries after 60 days`);
  // Every 64th request looks at the age of one block.
  for (let round = 0; round < 100; round++) {
    rig.loop(64, 1, (token) => drive.read(token % 8, 1, token));
    rig.settle();
  }
  assert.ok(drive.statistics.refreshUnits > drive.unitCount / 2);
  const fresh = readAll();
  // Open blocks keep what is in them.
  assert.ok(fresh < old / 8, `${fresh} retries after the refresh, ${old} before`);
  rig.demandSound();
});

test('a read that needs retries has its block written again', () => {
  const rig = new DriveRig(
    { ...tiny, correctableBits: 8, retryLevels: 8, disturbErrorsPerTbitKiloread: 4e9 },
    { refreshRetries: 1 },
  );
  rig.age(0, new Prng(seed, 'fill'));
  const { drive } = rig;
  rig.loop(4000, 4, (token) => drive.read(token % 8, 1, token));
  assert.ok(drive.statistics.retries > 0);
  assert.ok(drive.statistics.refreshUnits > 0);
  rig.demandSound();
});

test.run();
