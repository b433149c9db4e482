import * as assert from 'uvu/assert';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { suite } from '../../support/suite.js';
import type { DriveRig } from '../ftl/rig.js';
import { endsOf, written as writtenOne } from './one-die.js';

const test = suite('reads that are ended for reserved ones');

/** A read is ended twice at most, in 1 us. */
const stops = { readStops: 2, readStopNs: 1_000 };
const commandNs = 290;
const readNs = commandNs + 10_000 + 30 + 10_240;
const loadNs = 361 + 10_240;
const programNs = 100_000;

function written(changes: Partial<FlashProfile>, count: number): DriveRig {
  return writtenOne({ ...stops, ...changes }, count);
}

test('a reserved read ends the read that runs, which is the first to be read again', () => {
  const rig = written({}, 8);
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.read(0, 1, 1);
  drive.read(1, 1, 2);
  world.advance(5_000);
  drive.read(7, 1, 3, true);
  rig.settle();
  const reserved = 5_000 + 1_000 + readNs;
  assert.equal(endsOf(rig, start), { 3: reserved, 1: reserved + readNs, 2: reserved + 2 * readNs });
  assert.is(drive.statistics.stoppedReads, 1);
  rig.demandSound();
});

test('a read whose cells are all but read is not ended', () => {
  // Ending it takes 1,000 ns: as long as it still needs, or one less.
  for (const [waitedNs, stops] of [
    [commandNs + 9_000, 0],
    [commandNs + 8_999, 1],
  ] as const) {
    const rig = written({}, 8);
    const { drive, world } = rig;
    const start = world.nowNs;
    drive.read(0, 1, 1);
    world.advance(waitedNs);
    drive.read(7, 1, 2, true);
    rig.settle();
    assert.is(drive.statistics.stoppedReads, stops);
    const reserved = stops === 0 ? 2 * readNs : waitedNs + 1_000 + readNs;
    assert.is(endsOf(rig, start)[2], reserved);
  }
});

test('a read is ended so often as the limit says, and then goes on whoever comes', () => {
  const rig = written({ readStops: 2 }, 8);
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.read(0, 1, 1);
  for (let i = 0; i < 4; i++) {
    // Each comes in the middle of the cells of the first read.
    world.advance(5_000);
    drive.read(7, 1, 2 + i, true);
    world.advance(i < 2 ? 1_000 + readNs : 0);
  }
  rig.settle();
  const second = 2 * (6_000 + readNs);
  assert.is(drive.statistics.stoppedReads, 2);
  assert.is(endsOf(rig, start)[1], second + readNs);
  assert.is(endsOf(rig, start)[4], second + 2 * readNs, 'the third waits for it');
});

test('a reserved read ends no reserved one, and a read of others none at all', () => {
  for (const [first, second] of [
    [true, true],
    [false, false],
    [true, false],
  ] as const) {
    const rig = written({}, 8);
    const { drive, world } = rig;
    const start = world.nowNs;
    drive.read(0, 1, 1, first);
    world.advance(5_000);
    drive.read(7, 1, 2, second);
    rig.settle();
    assert.equal(endsOf(rig, start), { 1: readNs, 2: 2 * readNs });
  }
});

test('reads that run together on several planes are ended together, and come again together', () => {
  const rig = written({ planesPerDie: 2, hasMultiPlane: true, hasIndependentReads: true }, 8);
  const { drive, world } = rig;
  // Units of the first row lie on both planes in turn.
  const alone = world.nowNs;
  drive.read(0, 2, 1);
  rig.settle();
  const togetherNs = endsOf(rig, alone)[1]!;
  assert.ok(togetherNs < 2 * readNs - 9_000, `${togetherNs} ns: they do not run together`);
  const start = world.nowNs;
  drive.read(0, 2, 2);
  world.advance(5_000);
  drive.read(7, 1, 3, true);
  rig.settle();
  const reserved = 5_000 + 1_000 + readNs;
  assert.is(endsOf(rig, start)[3], reserved);
  assert.is(endsOf(rig, start)[2], reserved + togetherNs);
  assert.is(drive.statistics.stoppedReads, 2);
});

test('a die that has the data of a program in its other register ends no read', () => {
  const ends = [0, 2].map((readStops) => {
    const rig = written({ hasCacheProgram: true, cacheBusyNs: 0, readStops }, 8);
    const { drive, world } = rig;
    const start = world.nowNs;
    // The data of the second program comes in while the first one runs, and then a read is first.
    drive.write(10, 1, 0, 1);
    drive.flush(0);
    drive.write(11, 1, 0, 2);
    drive.flush(0);
    world.advance(loadNs + programNs - 1);
    drive.read(0, 1, 3);
    world.advance(5_000);
    drive.read(7, 1, 4, true);
    rig.settle();
    return endsOf(rig, start);
  });
  assert.equal(ends[1], ends[0]);
  assert.is(ends[0]![4], loadNs + programNs + 2 * readNs);
});

test('a die whose program is interrupted ends no read', () => {
  const suspends = { hasProgramSuspend: true, programSuspendNs: 1_000, suspendLimit: 8 };
  const rig = written({ ...suspends, readStops: 8 }, 8);
  const { drive, world } = rig;
  drive.write(10, 1, 0, 1);
  drive.flush(0);
  world.advance(loadNs + 50_000);
  const start = world.nowNs;
  drive.read(0, 1, 2);
  world.advance(1_000 + 5_000);
  drive.read(7, 1, 3, true);
  rig.settle();
  const ends = endsOf(rig, start);
  assert.equal([ends[2], ends[3]], [1_000 + readNs, 1_000 + 2 * readNs]);
  assert.is(drive.statistics.stoppedReads, 0);
});

test('a die with data of a cache read on its way out ends no read', () => {
  const rig = written({ hasCacheRead: true, cacheBusyNs: 0 }, 8);
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.read(0, 1, 1);
  drive.read(1, 1, 2);
  // The cells of the second are read while the data of the first is on the bus.
  world.advance(commandNs + 10_000 + 1_000);
  drive.read(7, 1, 3, true);
  rig.settle();
  assert.is(endsOf(rig, start)[1], readNs);
  assert.is(drive.statistics.stoppedReads, 0);
});

test.run();
