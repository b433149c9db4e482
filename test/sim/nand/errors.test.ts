import * as assert from 'uvu/assert';
import { DriveStatus } from '../../../sim/ftl/drive.js';
import { CellWear, poissonTails } from '../../../sim/nand/cell-wear.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig, smallFlash } from '../ftl/rig.js';

const test = suite('flash errors');

/** One codeword of 1 KiB, eight correctable bits, every retry halves the errors. */
const weak: Partial<FlashProfile> = {
  codewordBytes: 1024,
  correctableBits: 8,
  retryLevels: 4,
  retryGainPermille: 500,
};
/** Errors per 10^12 bits for so many errors on average in a codeword of 1 KiB. */
const errorsFor = (mean: number): number => Math.round((mean / 8192) * 1e12);

test('the tail of a Poisson distribution is what its sum says', () => {
  // 1 - e^-m (1 + m + m^2/2), for a limit of 2.
  for (const mean of [0.01, 1, 5, 40]) {
    const exact = 1 - Math.exp(-mean) * (1 + mean + (mean * mean) / 2);
    const error = Math.abs(poissonTails(2)(mean) - exact);
    assert.ok(error < 1e-12, `mean ${mean}: off by ${error}`);
  }
  assert.ok(poissonTails(72)(10) < 1e-30 && poissonTails(72)(10) > 0);
});

test('the raw error rate has its four parts', () => {
  const flash: FlashProfile = {
    ...smallFlash,
    freshErrorsPerTbit: 1e6,
    wearErrorsPerTbit: 8e6,
    retentionErrorsPerTbitDay: 1e4,
    disturbErrorsPerTbitKiloread: 5e5,
    enduranceCycles: 1000,
  };
  const cells = new CellWear(flash, 4, new Prng(1, 'cells'));
  const tbit = (): number => cells.errorRate(2, 0) * 1e12;
  assert.is(Math.round(tbit()), 1e6);
  cells.eraseCounts[2] = 500;
  assert.is(Math.round(tbit()), 3e6, 'a quarter of the wear at half the cycles');
  cells.readCounts[2] = 4000;
  assert.is(Math.round(tbit()), 5e6, 'four thousand reads');
  cells.age(100);
  assert.is(Math.round(tbit()), 5_500_000, 'a hundred days at half the wear');
});

test('retries come as often as the distribution says, and each costs a whole read', () => {
  const mean = 8;
  const rig = new DriveRig({ ...weak, freshErrorsPerTbit: errorsFor(mean), decodeNs: 2000 });
  const { drive, world } = rig;
  drive.write(0, 1, 0, 0);
  rig.settle();
  const readNs = 75_000 + 290 + 30 + 4_096_000 / 333;
  const count = 2000;
  const seen = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const start = world.nowNs;
    drive.read(0, 1, 1);
    rig.settle();
    const ns = rig.ended.at(-1)!.atNs - start - 2000;
    const attempts = Math.round(ns / readNs);
    assert.ok(Math.abs(ns - attempts * readNs) < 3, `${ns} ns`);
    seen[attempts]!++;
  }
  // Four codewords must all come through.
  const first = (1 - poissonTails(8)(mean)) ** 4;
  const second = (1 - first) * (1 - poissonTails(8)(mean / 2)) ** 4;
  const tolerance = 4 * Math.sqrt(count / 4);
  assert.ok(Math.abs(seen[1]! - count * first) < tolerance, `${seen[1]} at once`);
  assert.ok(Math.abs(seen[2]! - count * second) < tolerance, `${seen[2]} at the second try`);
  assert.is(drive.statistics.retries, seen[2]! + 2 * seen[3]! + 3 * seen[4]! + 4 * seen[5]!);
});

test('what no attempt can correct is an unrecovered read that names its unit', () => {
  const rig = new DriveRig({ ...weak, retryLevels: 1, freshErrorsPerTbit: errorsFor(200) });
  const { drive } = rig;
  drive.write(40, 8, 0, 0);
  rig.settle();
  const failed: number[] = [];
  rig.onDone = () => failed.push(drive.failedUnit);
  drive.read(42, 2, 1);
  rig.settle();
  assert.is(rig.ended.at(-1)!.status, DriveStatus.unrecovered);
  assert.equal(failed, [42]);
  assert.ok(drive.statistics.unrecoveredUnits >= 1);
});

test('a lost unit cannot be read until it is written again', () => {
  const rig = new DriveRig();
  const { drive } = rig;
  drive.write(0, 16, 0, 0);
  rig.settle();
  drive.loseUnit(9);
  const statusOf = (unit: number, count: number): number => {
    drive.read(unit, count, 1);
    rig.settle();
    return rig.ended.at(-1)!.status;
  };
  assert.is(statusOf(8, 1), DriveStatus.done);
  assert.is(statusOf(8, 4), DriveStatus.unrecovered);
  assert.is(drive.failedUnit, 9);
  drive.write(9, 1, 0, 2);
  rig.settle();
  assert.is(statusOf(8, 4), DriveStatus.done);
  rig.demandSound();
});

test.run();
