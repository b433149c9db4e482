import * as assert from 'uvu/assert';
import { BlockState } from '../../../sim/ftl/blocks.js';
import { DriveStatus } from '../../../sim/ftl/drive.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('drive power');

test('units whose program the power cut off are where they were; with protection they are new', () => {
  for (const isProtected of [false, true]) {
    const rig = new DriveRig({ pageBytes: 8192 });
    const { drive, world } = rig;
    drive.write(0, 8, 0, 1);
    rig.settle();
    const before = Array.from({ length: 8 }, (_, unit) => drive.map.find(unit));
    // Unit 3 twice: both copies are in rows that are not programmed. Unit 20 was never written.
    drive.write(2, 2, 0, 2);
    drive.write(3, 1, 0, 3);
    drive.write(20, 1, 0, 4);
    world.advance(100_000);
    drive.powerCut(isProtected);
    rig.settle();
    assert.is(rig.ended.length, 1, 'what was in flight never ends');
    assert.is(drive.inFlight, 0);
    const after = Array.from({ length: 8 }, (_, unit) => drive.map.find(unit));
    assert.is(drive.map.find(20) > 0, isProtected);
    if (isProtected) assert.not.equal(after, before);
    else assert.equal(after, before);
    rig.demandSound();
  }
});

test('a drive goes on after a power cut at any moment, and everything adds up', () => {
  const seed = 77;
  for (let round = 0; round < 12; round++) {
    const prng = new Prng(seed + round, 'cuts');
    const rig = new DriveRig(
      {
        pageBytes: 8192,
        hasMultiPlane: true,
        planesPerDie: 2,
        blocksPerPlane: 24,
        pagesPerBlock: 8,
      },
      { overProvisioningPermille: 400, mapCacheBytes: round % 2 === 0 ? 0 : 32_768 },
      seed + round,
    );
    const { drive, world } = rig;
    rig.notes = false;
    rig.age(0, prng);
    for (let cut = 0; cut < 4; cut++) {
      for (let i = 0; i < 150; i++) {
        const unit = prng.below(drive.unitCount);
        if (prng.chance(0.3)) drive.read(unit, 1, 1);
        else drive.write(unit, 1, 0, 1);
      }
      world.advance(prng.below(30_000_000));
      drive.powerCut(prng.chance(0.5));
      rig.demandSound();
      assert.is(drive.flash.ops.inUse, 0);
    }
    rig.loop(300, 16, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
    rig.demandSound();
  }
});

test('erasing everything leaves every good block free or spare, and nothing to read', () => {
  const rig = new DriveRig({ factoryBadPpm: 20_000 }, { spareBlocks: 3, staticWearGap: 4 }, 9);
  const prng = new Prng(9, 'before');
  rig.age(1, prng);
  const { drive } = rig;
  const erasesBefore = [...drive.cells.eraseCounts];
  const bad = drive.wear().badBlocks;
  assert.ok(bad > 0);
  drive.eraseAll(50);
  assert.is(drive.inFlight, 1);
  rig.settle();
  assert.equal(rig.ended.at(-1)?.token, 50);
  const { layout, blocks } = drive;
  for (let block = 0; block < layout.blocks; block++) {
    const state = blocks.states[block]!;
    const isBad = state === BlockState.bad;
    assert.ok(isBad || state === BlockState.free || state === BlockState.spare);
    const erased = drive.cells.eraseCounts[block]! - erasesBefore[block]!;
    assert.is(erased, isBad ? 0 : 1, `block ${block}`);
  }
  assert.is(drive.map.mappedCount, 0);
  const start = rig.world.nowNs;
  drive.read(5, 1, 51);
  rig.settle();
  assert.is(rig.ended.at(-1)!.atNs - start, 0);
  rig.age(1, prng);
  rig.demandSound();
});

test('format forgets everything at once; trimmed room lowers the write amplification', () => {
  const rig = new DriveRig({}, { overProvisioningPermille: 120 });
  const prng = new Prng(4, 'trim');
  rig.age(1, prng);
  const { drive } = rig;
  const { statistics } = drive;
  const wafOf = (bound: number): number => {
    const media = statistics.mediaWriteUnits;
    const host = statistics.hostWriteUnits;
    rig.loop(2 * bound, 16, (token) => drive.write(prng.below(bound), 1, 0, token));
    return (statistics.mediaWriteUnits - media) / (statistics.hostWriteUnits - host);
  };
  const full = wafOf(drive.unitCount);
  const half = Math.floor(drive.unitCount / 2);
  drive.trim(half, drive.unitCount - half);
  assert.is(drive.map.mappedCount, half);
  wafOf(half);
  assert.ok(wafOf(half) < 1 + (full - 1) / 3, 'half of the drive is room now');
  drive.trimAll();
  assert.is(drive.map.mappedCount, 0);
  rig.demandSound();
  assert.ok(rig.ended.every(({ status }) => status === DriveStatus.done));
});

test.run();
