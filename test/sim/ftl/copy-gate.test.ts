import * as assert from 'uvu/assert';
import { CopyKind } from '../../../sim/ftl/copy-gate.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { Gate } from './gate.js';
import { isPossible, randomDrive, runMixed } from './random-drive.js';
import { DriveRig } from './rig.js';

const test = suite('copies of a drive that have to ask');

const never = (): number => Number.POSITIVE_INFINITY;

test('a pool that the host waits for is copied although the gate lets nothing else through', () => {
  const rig = new DriveRig({}, { gcIdleFreeBlocks: 3 });
  const gate = new Gate(rig, never);
  const prng = new Prng(3, 'load');
  rig.age(2, prng);
  assert.is(rig.drive.inFlight, 0);
  assert.equal(rig.drive.audit(), []);
  assert.ok(gate.urgent > 100 && rig.drive.statistics.gcUnits > 1_000);
  assert.is(gate.asked[CopyKind.upkeep], 0);
});

test('the need of a pool rises to one before the host waits for it', () => {
  const rig = new DriveRig({}, { gcIdleFreeBlocks: 6 });
  const gate = new Gate(rig, never);
  rig.age(1, new Prng(3, 'load'));
  const { needs } = gate;
  const first = needs.findIndex((need) => need > 0.9);
  const low = needs.slice(0, first).filter((need) => need < 0.3).length;
  assert.ok(first > 0 && low > 0, `${needs.slice(0, 20)}`);
  assert.ok(gate.highestNeed > 0.9, `${gate.highestNeed}`);
});

test('wear levelling and refresh pay for themselves, apart from garbage collection', () => {
  const rig = new DriveRig({}, { staticWearGap: 3, refreshReads: 200 });
  const gate = new Gate(rig, () => 1_000);
  const prng = new Prng(5, 'load');
  rig.age(2, prng);
  for (let i = 0; i < 3_000; i++) rig.drive.read(prng.below(64), 1, 0);
  rig.settle();
  const { wearUnits, refreshUnits, gcUnits } = rig.drive.statistics;
  assert.ok(wearUnits + refreshUnits > 0 && gcUnits > 0);
  // A page holds one unit here. What was overwritten while it waited is not copied.
  assert.ok(gate.asked[CopyKind.upkeep]! >= wearUnits + refreshUnits);
  assert.ok(gate.asked[CopyKind.collection]! >= gcUnits);
});

test('drives of every geometry are sound whenever their copies are let go, and over power cuts', () => {
  let copied = 0;
  for (let seed = 1; seed <= 24; seed++) {
    const prng = new Prng(seed, 'copies');
    const { flash, ftl } = randomDrive(prng);
    if (!isPossible(flash, ftl)) continue;
    const rig = new DriveRig(flash, ftl, seed);
    const gate = new Gate(rig, () => (prng.chance(0.1) ? never() : prng.below(2_000_000)));
    try {
      runMixed(rig, prng, 1_500);
      assert.is(gate.onTheirWay.size, 0, 'all that was let go has ended');
      rig.loop(300, 16, () => rig.drive.write(prng.below(rig.drive.unitCount), 1, 0, 0));
      rig.drive.powerCut(prng.chance(0.5));
      assert.is(gate.onTheirWay.size + gate.waiting.size, 0, 'a power cut ends all of them');
      rig.demandSound();
      runMixed(rig, prng, 500);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error}`);
    }
    copied += rig.drive.statistics.gcUnits;
  }
  assert.ok(copied > 10_000, `${copied}`);
});

test.run();
