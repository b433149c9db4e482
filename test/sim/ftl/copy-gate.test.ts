import * as assert from 'uvu/assert';
import type { CopyGate } from '../../../sim/ftl/copy-gate.js';
import { CopyKind } from '../../../sim/ftl/copy-gate.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { randomDrive, runMixed } from './random-drive.js';
import { DriveRig } from './rig.js';

const test = suite('copies of a drive that have to ask');

/** Lets pools go on when it likes, and holds them to what they are allowed. */
class Gate implements CopyGate {
  isOpen = false;
  /** By pool: it waits, or a page of it is on its way. */
  readonly waiting = new Set<number>();
  readonly onTheirWay = new Set<number>();
  readonly asked = [0, 0];
  urgent = 0;
  highestNeed = 0;
  readonly needs: number[] = [];
  private readonly rig: DriveRig;
  private readonly delayNs: () => number;
  private readonly onGrant: number;

  /** @param delayNs  until a pool that is in no hurry goes on; Infinity is never */
  constructor(rig: DriveRig, delayNs: () => number) {
    this.rig = rig;
    this.delayNs = delayNs;
    this.onGrant = rig.world.register((pool) => this.grant(pool));
    rig.drive.setCopyGate(this);
  }

  asks(pool: number, kind: number, units: number, need: number, isUrgent: boolean): boolean {
    assert.not(this.onTheirWay.has(pool), `pool ${pool} has a page on its way`);
    assert.ok(units >= 1 && need >= 0 && need <= 1, `${units} units, need ${need}`);
    if (!this.waiting.has(pool)) this.asked[kind]!++;
    this.needs.push(need);
    this.highestNeed = Math.max(this.highestNeed, need);
    if (isUrgent) {
      this.urgent++;
      this.waiting.delete(pool);
      this.onTheirWay.add(pool);
      return true;
    }
    const ns = this.waiting.has(pool) ? Number.POSITIVE_INFINITY : this.delayNs();
    this.waiting.add(pool);
    if (ns < Number.POSITIVE_INFINITY) this.rig.world.schedule(ns, this.onGrant, pool);
    return false;
  }

  ended(pool: number): void {
    this.waiting.delete(pool);
    this.onTheirWay.delete(pool);
  }

  private grant(pool: number): void {
    if (!this.waiting.delete(pool)) return;
    this.onTheirWay.add(pool);
    this.rig.drive.copyGranted(pool);
  }
}

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
    let rig: DriveRig;
    try {
      rig = new DriveRig(flash, ftl, seed);
    } catch {
      continue;
    }
    const gate = new Gate(rig, () => (prng.chance(0.1) ? never() : prng.below(2_000_000)));
    try {
      runMixed(rig, prng, 1_500);
      assert.is(gate.onTheirWay.size, 0, 'all that was let go has ended');
      rig.loop(300, 16, () => rig.drive.write(prng.below(rig.drive.unitCount), 1, 0, 0));
      rig.drive.powerCut(prng.chance(0.5));
      assert.is(gate.onTheirWay.size + gate.waiting.size, 0, 'a power cut ends all of them');
      rig.demandSound();
    } catch (error) {
      throw new Error(`seed ${seed}: ${error}`);
    }
    copied += rig.drive.statistics.gcUnits;
  }
  assert.ok(copied > 10_000, `${copied}`);
});

test.run();
