import * as assert from 'uvu/assert';
import { Lane } from '../../../sim/nand/flash-ops.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from '../ftl/rig.js';

const test = suite('pieces on the bus of a channel');

/** Two dies on one bus; 4 KiB in 10,240 ns, a row of 16 KiB in four pieces of that. */
const twoDies: Partial<FlashProfile> = {
  channels: 1,
  packagesPerChannel: 2,
  pageBytes: 16_384,
  busMegatransfers: 400,
  busPieceBytes: 4096,
  pageTypes: [{ readNs: 10_000, programNs: 100_000 }],
  hasProgramSuspend: true,
  programSuspendNs: 1_000,
  suspendLimit: 4,
};
const pieceNs = 10_240;
const commandNs = 290;
const cellsNs = 10_000;
const outNs = 30 + pieceNs;
const loadNs = 361 + 4 * pieceNs;
const programNs = 100_000;
const suspendNs = 1_000;
const resumeNs = 220;
const nobody = -3;

/** Units 0..3 lie on the first die, 4..7 on the second; a write of 8..11 goes to the first. */
function written(changes: Partial<FlashProfile> = {}): DriveRig {
  const rig = new DriveRig({ ...twoDies, ...changes });
  rig.drive.write(0, 8, 0, 0);
  rig.settle();
  rig.ended.length = 0;
  return rig;
}

/** Time by token at which things ended, after `startNs`. */
function endsOf(rig: DriveRig, startNs: number): Record<number, number> {
  rig.settle();
  return Object.fromEntries(rig.ended.map(({ token, atNs }) => [token, atNs - startNs]));
}

test('a read goes between two pieces of the data of a program, which comes later by as much', () => {
  const rig = written();
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.write(8, 4, 0, 1);
  world.advance(5_000);
  drive.read(4, 1, 2);
  // Its command waits for the first piece, its data for the second.
  const second = 2 * pieceNs + commandNs;
  assert.ok(second > pieceNs + commandNs + cellsNs, 'the second piece is under way by then');
  assert.equal(endsOf(rig, start), {
    1: loadNs + commandNs + outNs + programNs,
    2: second + outNs,
  });
});

test('without pieces the same read waits for all of the data', () => {
  const rig = written({ busPieceBytes: 0 });
  const start = rig.world.nowNs;
  rig.drive.write(8, 4, 0, 1);
  rig.world.advance(5_000);
  rig.drive.read(4, 1, 2);
  assert.equal(endsOf(rig, start), {
    1: loadNs + programNs,
    2: loadNs + commandNs + cellsNs + outNs,
  });
});

test('a program that waits for the bus leaves its die to reads', () => {
  const rig = written();
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.write(8, 4, 0, 1);
  drive.write(12, 4, 0, 3);
  world.advance(5_000);
  drive.read(4, 1, 2);
  const firstLoaded = loadNs + commandNs + outNs;
  assert.equal(endsOf(rig, start), {
    1: firstLoaded + programNs,
    2: 2 * pieceNs + commandNs + outNs,
    3: firstLoaded + loadNs + programNs,
  });
});

test('a reserved read stops the data that comes into its die, and all of it is sent again', () => {
  const latencies = [true, false].map((isReserved) => {
    const rig = written();
    const { drive, world } = rig;
    const start = world.nowNs;
    drive.write(8, 4, 0, 1);
    world.advance(5_000);
    drive.read(0, 1, 2, isReserved);
    return endsOf(rig, start);
  });
  const readEnds = pieceNs + commandNs + cellsNs + outNs;
  assert.equal(latencies[0], { 1: readEnds + loadNs + programNs, 2: readEnds });
  // One without a reservation waits for the data, and then interrupts the cells.
  const plainEnds = loadNs + suspendNs + commandNs + cellsNs + outNs;
  assert.equal(latencies[1], { 1: plainEnds + resumeNs + programNs, 2: plainEnds });
});

test('data that stops and starts for reserved reads counts as interruptions of its program', () => {
  const rig = written({ suspendLimit: 2 });
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.write(8, 4, 0, 1);
  world.advance(5_000);
  for (let i = 0; i < 40; i++) {
    drive.read(i % 4, 1, 2, true);
    world.advance(30_000);
  }
  // The first piece, a read, from the start: twice; the third read comes too late.
  const interruptionNs = pieceNs + commandNs + cellsNs + outNs;
  assert.is(endsOf(rig, start)[1], 2 * interruptionNs + loadNs + programNs);
  assert.is(
    rig.ended.findIndex(({ token }) => token === 1),
    2,
  );
});

test('data of a read that nobody waits for goes in pieces, and holds its die until the last', () => {
  const rig = written();
  const { drive, world } = rig;
  const start = world.nowNs;
  drive.flash.read(0, 0, 0, 0, 16_384, Lane.relocation, nobody, 0);
  world.advance(5_000);
  drive.read(4, 1, 1);
  drive.read(0, 1, 2);
  const first = commandNs + cellsNs + outNs;
  const others = 3 * outNs;
  assert.equal(endsOf(rig, start), {
    1: first + outNs,
    2: first + outNs + others + commandNs + cellsNs + outNs,
  });
});

test('a channel is as busy as its transfers are long, however often they are interrupted', () => {
  const rig = written();
  const { drive, world } = rig;
  const before = drive.flash.bus.busyNs[0]!;
  drive.write(8, 4, 0, 1);
  world.advance(5_000);
  drive.read(4, 1, 2);
  drive.read(5, 1, 3);
  rig.settle();
  // Neighbours in one page are two reads here, of one die.
  assert.is(drive.flash.bus.busyNs[0]! - before, loadNs + 2 * (commandNs + outNs));
  const half = drive.flash.bus.busyNs[0]!;
  drive.write(12, 4, 0, 4);
  world.advance(15_000);
  drive.powerCut(true);
  assert.is(drive.flash.bus.busyNs[0]! - half, 15_000);
});

test.run();
