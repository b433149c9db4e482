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

/** A drive that is full, whose patrol is due with the next read. */
function patrolled(scanEveryNs = 10_000_000): DriveRig {
  const scan = { scanEveryNs, scanPages: 4, overProvisioningPermille: 500 };
  const rig = new DriveRig({ blocksPerPlane: 16, pagesPerBlock: 8 }, scan);
  rig.drive.fill();
  rig.world.advance(scanEveryNs);
  return rig;
}

test('a patrol reads page after page, each when it may, and is not due again before', () => {
  const rig = patrolled();
  const { drive, world } = rig;
  const delayNs = 3_000_000;
  const gate = new Gate(rig, () => delayNs);
  drive.read(0, 1, 0);
  assert.equal([gate.asked[CopyKind.upkeep], drive.statistics.scannedPages], [1, 0]);
  for (const pages of [1, 2, 3]) {
    world.advance(delayNs + 500_000);
    assert.is(drive.statistics.scannedPages, pages);
    // The next part would be due by now, but this one has not ended.
    drive.read(1, 1, 0);
    assert.is(gate.asked[CopyKind.upkeep], pages + 1);
  }
  world.advance(delayNs + 500_000);
  assert.is(drive.statistics.scannedPages, 4);
  assert.is(gate.asked[CopyKind.upkeep], 4);
  drive.read(2, 1, 0);
  assert.is(gate.asked[CopyKind.upkeep], 5);
  drive.powerCut(true);
  assert.is(gate.waiting.size + gate.onTheirWay.size, 0);
  rig.settle();
});

test('reads of a patrol that began without a gate end nothing of what the gate was asked for', () => {
  const rig = patrolled(100_000);
  const { drive, world } = rig;
  const gate = new Gate(rig, never);
  gate.isOpen = true;
  drive.read(0, 1, 0);
  assert.is(drive.statistics.scannedPages, 4);
  world.advance(100_000);
  gate.isOpen = false;
  drive.read(1, 1, 0);
  assert.is(gate.waiting.size, 1);
  world.advance(10_000_000);
  assert.equal([gate.waiting.size, gate.asked[CopyKind.upkeep]], [1, 1]);
});

test('a page that is erased while its patrol waits is not read', () => {
  const rig = patrolled();
  const { drive, world } = rig;
  const gate = new Gate(rig, () => 1_000_000);
  drive.read(0, 1, 0);
  const { states } = drive.blocks;
  const state = states[0]!;
  states[0] = 0;
  world.advance(2_000_000);
  states[0] = state;
  assert.is(drive.statistics.scannedPages, 0);
  assert.is(gate.waiting.size + gate.onTheirWay.size, 0);
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
