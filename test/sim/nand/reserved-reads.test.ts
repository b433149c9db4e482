import * as assert from 'uvu/assert';
import { FlashKind, Lane } from '../../../sim/nand/flash-ops.js';
import { Suspension } from '../../../sim/nand/suspension.js';
import { suite } from '../../support/suite.js';
import { type DriveRig, smallFlash } from '../ftl/rig.js';
import { written } from './one-die.js';

const test = suite('reserved reads');

const readNs = 290 + 10_000 + 30 + 10_240;
const loadNs = 361 + 10_240;
const suspendNs = 1_000;
const canSuspend = {
  hasProgramSuspend: true,
  hasEraseSuspend: true,
  programSuspendNs: suspendNs,
  eraseSuspendNs: suspendNs,
};

function latencyOf(rig: DriveRig, token: number, startNs: number): number {
  return rig.ended.find((end) => end.token === token)!.atNs - startNs;
}

test('a reserved read waits for the read that runs, and for no other', () => {
  const rig = written({}, 8);
  const start = rig.world.nowNs;
  for (let unit = 0; unit < 6; unit++) rig.drive.read(unit, 1, unit);
  rig.drive.read(7, 1, 7, true);
  rig.settle();
  assert.is(latencyOf(rig, 7, start), 2 * readNs);
  assert.is(latencyOf(rig, 5, start), 7 * readNs, 'nothing is lost for the others');
});

test('a reserved read that meets data on its way to the die interrupts the program at its start', () => {
  const latencies = [true, false].map((isReserved) => {
    const rig = written({ ...canSuspend, suspendLimit: 4 }, 4);
    const { drive, world } = rig;
    const start = world.nowNs;
    drive.write(9, 1, 0, 9);
    drive.flush(8);
    world.advance(5_000);
    drive.read(0, 1, 1, isReserved);
    rig.settle();
    return latencyOf(rig, 1, start);
  });
  assert.equal(latencies, [loadNs + suspendNs + readNs, loadNs + 100_000 + readNs]);
});

test('reads of others leave reserved ones their interruptions, and the limit holds for both', () => {
  const flash = { ...smallFlash, ...canSuspend, suspendLimit: 5, reservedSuspends: 3 };
  const suspension = new Suspension(flash);
  const may = (lane: number): boolean[] =>
    [0, 1, 2, 3, 4, 5, 6].map((times) => suspension.costNs(FlashKind.erase, lane, times) >= 0);
  assert.equal(may(Lane.read), [true, true, false, false, false, false, false]);
  assert.equal(may(Lane.reserved), [true, true, true, true, true, false, false]);
  const plain = new Suspension({ ...flash, hasEraseSuspend: false });
  assert.is(plain.costNs(FlashKind.erase, Lane.reserved, 0), -1);
});

test('an erase ends although reserved reads never stop coming', () => {
  const rig = written({ ...canSuspend, suspendLimit: 6, reservedSuspends: 4 }, 4);
  const { drive, world } = rig;
  drive.blocks.states[5] = 4;
  drive.blocks.freeCounts[0]!--;
  drive.blocks.comingCounts[0]!++;
  drive.flash.erase(0, 1, 5, Lane.erase);
  const before = drive.statistics.erases;
  for (let i = 0; i < 100 && drive.statistics.erases === before; i++) {
    world.advance(60_000);
    drive.read(i % 4, 1, i, true);
  }
  // Each of six interruptions costs itself, the reads until then, and a command.
  assert.is(drive.statistics.suspends, 6);
  assert.is(drive.statistics.erases, before + 1);
  rig.settle();
});

test('nobody starves: reserved reads without end keep neither reads of others nor a write away', () => {
  const rig = written({ ...canSuspend, suspendLimit: 4, reservedSuspends: 2 }, 8);
  const { drive, world } = rig;
  let reserved = 0;
  const seen: number[] = [];
  rig.onDone = (token) => {
    if (token !== 1) seen.push(token);
    if (seen.length < 2 && reserved++ < 2_000) drive.read(reserved % 8, 1, 1, true);
  };
  for (let i = 0; i < 8; i++) drive.read(i, 1, 1, true);
  drive.read(3, 1, 98);
  drive.write(20, 1, 0, 99);
  drive.flush(97);
  world.advance(100_000_000);
  assert.ok(seen.includes(98) && seen.includes(99), `${seen} after ${reserved} reads`);
  assert.ok(reserved < 400, `${reserved} reads came before them`);
});

test.run();
