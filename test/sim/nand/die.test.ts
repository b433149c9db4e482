import * as assert from 'uvu/assert';
import { Lane } from '../../../sim/nand/flash-ops.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from '../ftl/rig.js';
import { endsOf, oneDie, written } from './one-die.js';

const test = suite('die');

const dataNs = 10_240;
const readCommandNs = 290;
const dataOutNs = 30;
const programCommandNs = 361;
const eraseCommandNs = 220;

test('reads of one die follow each other, the data of one before the cells of the next', () => {
  const rig = written({}, 4);
  const start = rig.world.nowNs;
  for (let unit = 0; unit < 3; unit++) rig.drive.read(unit, 1, unit);
  rig.settle();
  const each = readCommandNs + 10_000 + dataOutNs + dataNs;
  assert.equal(endsOf(rig, start), { 0: each, 1: 2 * each, 2: 3 * each });
});

test('a cache read hides the bus behind the cells of the next read', () => {
  // The cells are the longer part here: 20 us against 10.27 us of data.
  const rig = written(
    { hasCacheRead: true, cacheBusyNs: 500, pageTypes: [{ readNs: 20_000, programNs: 100_000 }] },
    4,
  );
  const start = rig.world.nowNs;
  for (let unit = 0; unit < 3; unit++) rig.drive.read(unit, 1, unit);
  rig.settle();
  const out = dataOutNs + dataNs;
  // The command of the next read waits for the bus that carries this one's data.
  const first = readCommandNs + 20_000 + out;
  const second = first + readCommandNs + 20_000 + out;
  assert.is(endsOf(rig, start)[0], first);
  assert.ok(endsOf(rig, start)[1]! <= second, 'no slower than one after the other');
  const plain = written({ pageTypes: [{ readNs: 20_000, programNs: 100_000 }] }, 4);
  const plainStart = plain.world.nowNs;
  for (let unit = 0; unit < 3; unit++) plain.drive.read(unit, 1, unit);
  plain.settle();
  assert.is(plain.ended.length, 3);
  assert.ok(plain.ended.at(-1)!.atNs - plainStart >= rig.ended.at(-1)!.atNs - start);
});

test('a cache program hides the data of the next program behind the cells of this one', () => {
  const times = [false, true].map((hasCacheProgram) => {
    const rig = new DriveRig({ ...oneDie, hasCacheProgram, cacheBusyNs: 1000 });
    rig.drive.write(0, 3, 0, 1);
    rig.settle();
    return rig.ended[0]!.atNs;
  });
  const load = programCommandNs + dataNs;
  assert.equal(times, [3 * (load + 100_000), load + 3 * 100_000 + 2 * 1000]);
});

test('reads of different planes and pages run together only when they are independent', () => {
  const times = [false, true].map((hasIndependentReads) => {
    const rig = written({ planesPerDie: 2, hasIndependentReads, hasMultiPlane: true }, 8);
    const start = rig.world.nowNs;
    // Units 1 and 4: plane 1 of row 0, plane 0 of row 2. The first read keeps the die busy.
    rig.drive.read(7, 1, 7);
    rig.drive.read(1, 1, 1);
    rig.drive.read(4, 1, 4);
    rig.settle();
    return endsOf(rig, start)[4]!;
  });
  const one = readCommandNs + 10_000 + dataOutNs + dataNs;
  assert.equal(times, [3 * one, 2 * one + 650 + dataOutNs + dataNs]);
});

test('a host read interrupts an erase, which then takes the rest of its time', () => {
  const suspendNs = 20_000;
  const rig = written({ hasEraseSuspend: true, eraseSuspendNs: suspendNs, suspendLimit: 4 }, 4);
  const { drive, world } = rig;
  const busyBefore = drive.flash.dieBusyNs[0]!;
  // An erase of a block that holds nothing; the drive counts it as one on its way.
  drive.flash.erase(0, 1, 5, Lane.erase);
  drive.blocks.states[5] = 4;
  drive.blocks.freeCounts[0]!--;
  drive.blocks.comingCounts[0]!++;
  world.advance(300_000);
  const start = world.nowNs;
  drive.read(0, 1, 1);
  rig.settle();
  assert.is(endsOf(rig, start)[1], suspendNs + readCommandNs + 10_000 + dataOutNs + dataNs);
  assert.is(drive.statistics.suspends, 1);
  // 1 ms in all, the interruption, and one more command to go on.
  const busyNs = 2 * eraseCommandNs + 1_000_000 + endsOf(rig, start)[1]!;
  assert.is(drive.flash.dieBusyNs[0]! - busyBefore, busyNs);
});

test('without suspension a read waits for the erase; a nearly finished one is not interrupted', () => {
  const latencyAt = (waitNs: number, hasEraseSuspend: boolean): number => {
    const rig = written({ hasEraseSuspend, eraseSuspendNs: 20_000, suspendLimit: 4 }, 4);
    const { drive, world } = rig;
    drive.flash.erase(0, 1, 5, Lane.erase);
    drive.blocks.states[5] = 4;
    drive.blocks.freeCounts[0]!--;
    drive.blocks.comingCounts[0]!++;
    world.advance(waitNs);
    const start = world.nowNs;
    drive.read(0, 1, 1);
    rig.settle();
    return endsOf(rig, start)[1]!;
  };
  const read = readCommandNs + 10_000 + dataOutNs + dataNs;
  assert.is(latencyAt(300_000, false), eraseCommandNs + 700_000 + read);
  assert.is(latencyAt(990_000, true), eraseCommandNs + 10_000 + read);
});

test('programs are interrupted too, and only so often as the limit says', () => {
  const rig = written({ hasProgramSuspend: true, programSuspendNs: 1000, suspendLimit: 2 }, 4);
  const { drive, world } = rig;
  drive.write(9, 1, 0, 9);
  for (let i = 0; i < 4; i++) {
    world.advance(45_000);
    drive.read(0, 1, i);
  }
  rig.settle();
  assert.is(drive.statistics.suspends, 2);
  assert.is(rig.ended.length, 5);
});

test('nobody starves: reads without end do not keep a write from ending', () => {
  const rig = written({}, 8);
  const { drive, world } = rig;
  let reads = 0;
  let isWritten = false;
  rig.onDone = (token) => {
    if (token === 99) isWritten = true;
    else if (!isWritten && reads++ < 500) drive.read(reads % 8, 1, 1);
  };
  for (let i = 0; i < 8; i++) drive.read(i, 1, 1);
  drive.write(20, 1, 0, 99);
  world.advance(100_000_000);
  assert.ok(isWritten && reads < 100, `${reads} reads came before the write`);
});

test('no die or channel is busier than time passes', () => {
  const rig = new DriveRig({ ...oneDie, channels: 2, packagesPerChannel: 2, hasCacheRead: true });
  const prng = new Prng(3, 'load');
  rig.age(1, prng);
  const { drive, world } = rig;
  rig.loop(2000, 64, (token) => drive.read(prng.below(drive.unitCount), 1, token));
  for (const busy of drive.flash.dieBusyNs) assert.ok(busy <= world.nowNs);
  for (const busy of drive.flash.bus.busyNs) assert.ok(busy <= world.nowNs);
  assert.ok(Math.max(...drive.flash.dieBusyNs) > 0.5 * world.nowNs);
});

test('a die that stalls delays what it does, once', () => {
  const rig = written({}, 4);
  const read = readCommandNs + 10_000 + dataOutNs + dataNs;
  const start = rig.world.nowNs;
  rig.drive.stallDie(0, 5_000_000);
  rig.drive.read(0, 1, 1);
  rig.settle();
  assert.is(endsOf(rig, start)[1], 5_000_000 + read);
  const again = rig.world.nowNs;
  rig.drive.read(0, 1, 2);
  rig.world.advance(1000);
  rig.drive.stallDie(0, 1_000_000);
  rig.settle();
  assert.is(rig.ended.at(-1)!.atNs - again, read + 1_000_000);
});

test.run();
