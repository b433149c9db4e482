import * as assert from 'uvu/assert';
import { DriveStatus } from '../../../sim/ftl/drive.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('flash drive');

test('every request ends once, from inside an event, with its token', () => {
  const rig = new DriveRig();
  rig.drive.read(7, 1, 70);
  rig.drive.write(7, 1, 0, 71);
  rig.drive.read(7, 1, 72);
  rig.drive.flush(73);
  assert.is(rig.ended.length, 0);
  rig.settle();
  assert.equal(rig.ended.map(({ token }) => token).sort(), [70, 71, 72, 73]);
  assert.ok(rig.ended.every(({ status }) => status === DriveStatus.done));
  assert.is(rig.drive.inFlight, 0);
});

test('a unit that was never written, trimmed, or waits in a row costs no flash time', () => {
  const rig = new DriveRig({ pageBytes: 8192 });
  const readNs = (): number => {
    const start = rig.world.nowNs;
    rig.drive.read(3, 1, 9);
    rig.world.advance(1_000_000);
    return rig.ended.at(-1)!.atNs - start;
  };
  assert.is(readNs(), 0);
  rig.drive.write(3, 1, 0, 1);
  assert.is(readNs(), 0, 'half a row');
  rig.drive.flush(2);
  rig.settle();
  assert.ok(readNs() > 75_000, 'programmed');
  rig.drive.trim(3, 1);
  assert.is(readNs(), 0, 'trimmed');
  rig.demandSound();
});

test('a full drive takes random overwrites without end, and everything adds up', () => {
  const seed = 11;
  const rig = new DriveRig({}, { overProvisioningPermille: 120 });
  rig.age(3, new Prng(seed, 'ageing'));
  rig.demandSound();
  const { statistics, unitCount, map } = rig.drive;
  assert.is(statistics.hostWriteUnits, 4 * unitCount);
  assert.is(map.mappedCount, unitCount);
  assert.ok(statistics.gcUnits > 0);
  assert.is(rig.drive.inFlight, 0);
});

test('a sequential overwrite has a write amplification of one', () => {
  const rig = new DriveRig();
  rig.notes = false;
  const { drive } = rig;
  let unit = 0;
  const write = (token: number): void => drive.write(unit++ % drive.unitCount, 1, 0, token);
  rig.loop(3 * drive.unitCount, 16, write);
  assert.is(drive.statistics.gcUnits, 0);
});

test('a write of many units ends once, when the last of them is programmed', () => {
  const rig = new DriveRig({ pageBytes: 16_384, hasMultiPlane: true, planesPerDie: 2 });
  assert.is(rig.drive.rowUnits, 8);
  rig.drive.write(0, 20, 0, 1);
  rig.settle();
  assert.is(rig.ended.length, 0, 'four units wait for their row to fill');
  rig.drive.write(20, 4, 0, 2);
  rig.settle();
  assert.equal(rig.ended.map(({ token }) => token).sort(), [1, 2]);
  assert.is(rig.drive.statistics.padUnits, 0);
});

test('a flush pads, ends after all writes of before, and does not wait for later ones', () => {
  const rig = new DriveRig({ pageBytes: 16_384 });
  rig.drive.write(0, 1, 0, 1);
  rig.drive.flush(2);
  rig.drive.write(9, 1, 0, 3);
  rig.settle();
  assert.equal(
    rig.ended.map(({ token }) => token),
    [1, 2],
  );
  assert.is(rig.drive.statistics.padUnits, 3);
  rig.drive.flush(4);
  rig.settle();
  assert.equal(rig.ended.map(({ token }) => token).slice(2), [3, 4]);
  rig.demandSound();
});

test('a flush does not end with the first of several writes that it waits for', () => {
  const rig = new DriveRig({ channels: 1, packagesPerChannel: 1 });
  // One die: three programs, one after the other.
  for (let token = 1; token <= 3; token++) rig.drive.write(token, 1, 0, token);
  rig.drive.flush(4);
  rig.drive.write(9, 1, 0, 5);
  rig.settle();
  assert.equal(
    rig.ended.map(({ token }) => token),
    [1, 2, 3, 4, 5],
  );
});

test('the parts of a latency add up to it exactly, under load', () => {
  const rig = new DriveRig({ pageBytes: 8192, retryLevels: 2, freshErrorsPerTbit: 9e9 });
  rig.age(1, new Prng(5, 'ageing'));
  const { drive } = rig;
  const prng = new Prng(5, 'reads');
  const started = new Map<number, number>();
  let checked = 0;
  rig.onDone = (token) => {
    const { mapNs, queueNs, arrayNs, transferNs } = drive.breakdown;
    const total = mapNs + queueNs + arrayNs + transferNs;
    assert.is(total, rig.world.nowNs - started.get(token)!, `request ${token}`);
    assert.ok(mapNs >= 0 && queueNs >= 0 && arrayNs >= 0 && transferNs >= 0);
    checked++;
  };
  for (let token = 0; token < 3000; token++) {
    started.set(token, rig.world.nowNs);
    const unit = prng.below(drive.unitCount - 4);
    if (prng.chance(0.6)) drive.read(unit, 1 + prng.below(4), token);
    else drive.write(unit, 1 + prng.below(4), 0, token);
    rig.world.advance(prng.below(60_000));
  }
  started.set(3000, rig.world.nowNs);
  drive.flush(3000);
  rig.settle();
  assert.is(checked, 3001);
  assert.ok(drive.statistics.retries > 0);
  rig.demandSound();
});

test('equal seeds give equal runs, event for event', () => {
  const hash = (seed: number): string => {
    const rig = new DriveRig({ readSpreadPermille: 50 }, { victim: 'd-choices' }, seed);
    rig.age(1, new Prng(3, 'ageing'));
    const { drive } = rig;
    rig.loop(500, 8, (token) => drive.read(token, 1, token));
    return rig.world.eventHash;
  };
  assert.is(hash(4), hash(4));
  assert.not.equal(hash(4), hash(5));
});

test.run();
