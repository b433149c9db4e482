import * as assert from 'uvu/assert';
import { DriveState, DriveStatus } from '../../../sim/ftl/drive.js';
import { StartGap } from '../../../sim/ftl/start-gap.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { InPlaceRig, smallInPlace } from './in-place-rig.js';

const test = suite('in-place drive');

// Half a unit on each of two channels at 1024 MB/s: 2 us, and 100 ns of command.
const busNs = 100 + 2000;

test('a read takes the cells and its share of the bus, a write the bus and the cells', () => {
  const rig = new InPlaceRig();
  rig.drive.read(0, 1, 1);
  rig.settle();
  assert.is(rig.ended[0]!.atNs, 5000 + busNs);
  const start = rig.world.nowNs;
  rig.drive.write(0, 1, 0, 2);
  rig.settle();
  assert.is(rig.ended[1]!.atNs - start, busNs + 8000);
});

test('neighbours lie on other stripes and work at one time; the same stripe does not', () => {
  const rig = new InPlaceRig();
  const { drive } = rig;
  assert.is(drive.stripes.count, 4);
  const timeOf = (units: readonly number[]): number => {
    const start = rig.world.nowNs;
    for (const unit of units) drive.read(unit, 1, unit);
    rig.settle();
    return rig.ended.at(-1)!.atNs - start;
  };
  assert.is(timeOf([0, 1]), 5000 + busNs);
  // Stripes 0 and 2 share their channels.
  assert.is(timeOf([0, 2]), 5000 + 2 * busNs);
  assert.is(timeOf([0, 4]), 2 * 5000 + busNs);
});

test('the parts of a latency add up, and a closed loop obeys Little', () => {
  const rig = new InPlaceRig({ spreadPermille: 100 });
  const { drive, world } = rig;
  const prng = new Prng(2, 'reads');
  const started = new Map<number, number>();
  let sum = 0;
  for (let token = 0; token < 2000; token++) {
    started.set(token, world.nowNs);
    drive.read(prng.below(drive.unitCount), 1, token);
    world.advance(1500);
  }
  rig.settle();
  for (const { token, atNs } of rig.ended) sum += atNs - started.get(token)!;
  assert.is(rig.ended.length, 2000);
  const { queueNs, arrayNs, transferNs, mapNs } = drive.breakdown;
  const last = rig.ended.at(-1)!;
  assert.is(mapNs + queueNs + arrayNs + transferNs, last.atNs - started.get(last.token)!);
  assert.ok(sum / 2000 >= 5000 * 0.9 + busNs);
});

test('a flush ends when all writes of before have', () => {
  const rig = new InPlaceRig();
  for (let unit = 0; unit < 8; unit++) rig.drive.write(unit, 1, 0, unit);
  rig.drive.flush(99);
  rig.drive.read(9, 1, 100);
  rig.settle();
  const order = rig.ended.map(({ token }) => token);
  const writes = order.filter((token) => token < 8).map((token) => order.indexOf(token));
  const flushed = rig.ended.find(({ token }) => token === 99)!.atNs;
  for (const at of writes) assert.ok(rig.ended[at]!.atNs <= flushed);
});

test('no write is amplified, and a share of the reads meets busy cells', () => {
  const rig = new InPlaceRig({ busyReadsPpm: 100_000, busyNs: 50_000 });
  const { drive } = rig;
  for (let i = 0; i < 500; i++) drive.write(i % 100, 1, 0, 1);
  rig.settle();
  assert.is(drive.wear().writeAmplification, 1);
  let busy = 0;
  for (let i = 0; i < 2000; i++) {
    const start = rig.world.nowNs;
    drive.read(i % 64, 1, 2);
    rig.settle();
    if (rig.ended.at(-1)!.atNs - start > 50_000) busy++;
  }
  assert.ok(busy > 140 && busy < 260, `${busy} of 2000`);
});

test('start-gap is a bijection at every step and moves every unit through every place', () => {
  const units = 7;
  const gap = new StartGap(units, 1);
  const model = Array.from({ length: units + 1 }, (_, place) => (place < units ? place : -1));
  for (let step = 0; step < 3 * (units + 1) * units; step++) {
    for (let unit = 0; unit < units; unit++) {
      assert.is(model[gap.placeOf(unit)], unit, `unit ${unit} after ${step} moves`);
    }
    const from = gap.move();
    model[gap.lastTarget] = model[from]!;
    model[from] = -1;
  }
});

test('wear levelling spreads writes to one unit; without it the cells wear out', () => {
  const limits = { bytesPerDie: 32_768, enduranceWrites: 2000 };
  const worn = new InPlaceRig(limits);
  const levelled = new InPlaceRig({ ...limits, wearMoveWrites: 10 });
  for (const rig of [worn, levelled]) {
    for (let i = 0; i < 4000; i++) rig.drive.write(5, 1, 0, 1);
    rig.settle();
  }
  assert.is(worn.drive.state, DriveState.readOnly);
  assert.is(worn.changes, 1);
  assert.is(worn.ended.filter(({ status }) => status === DriveStatus.writeProtected).length, 1999);
  assert.is(levelled.drive.state, DriveState.good);
  assert.ok(levelled.drive.wear().maxErases < 2000);
  assert.ok(levelled.drive.wear().writeAmplification > 1.09);
});

test('a lost unit, a failed write and a power cut', () => {
  const rig = new InPlaceRig();
  const { drive } = rig;
  const statusOf = (unit: number): number => {
    drive.read(unit, 1, 1);
    rig.settle();
    return rig.ended.at(-1)!.status;
  };
  drive.loseUnit(3);
  assert.is(statusOf(3), DriveStatus.unrecovered);
  drive.failPrograms(0, 1);
  drive.write(0, 1, 0, 2);
  rig.settle();
  assert.is(statusOf(0), DriveStatus.unrecovered);
  drive.write(0, 1, 0, 2);
  drive.write(3, 1, 0, 2);
  rig.settle();
  assert.is(statusOf(0), DriveStatus.done);
  assert.is(statusOf(3), DriveStatus.done);
  const count = rig.ended.length;
  drive.write(7, 1, 0, 3);
  drive.powerCut(false);
  rig.settle();
  assert.is(rig.ended.length, count);
  assert.is(drive.inFlight, 0);
  drive.eraseAll(4);
  rig.settle();
  assert.is(rig.ended.at(-1)!.token, 4);
  assert.ok(rig.world.nowNs >= (drive.unitCount / 4) * smallInPlace.writeNs);
});

test.run();
