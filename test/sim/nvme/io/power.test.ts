import * as assert from 'uvu/assert';
import type { Namespace } from '../../../../sim/nvme/namespace.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import { flush, read, write } from './commands.js';
import { makeNamespace, Rig } from './rig.js';

const test = suite('power and reset under writes');

const span = 24;
const dataBytes = 512;

interface Plan {
  readonly tag: number;
  readonly lba: number;
  readonly count: number;
  readonly isForced: boolean;
}

interface Outcome {
  readonly tags: readonly number[];
  /** Writes that had completed, and the tag up to which blocks are durable. */
  readonly completed: ReadonlySet<number>;
  readonly durable: readonly number[];
  readonly plans: readonly Plan[];
}

interface Cut {
  readonly seed: number;
  /** Timers that run before it. */
  readonly steps: number;
  readonly isPower: boolean;
  readonly powerFailBlocks: number;
  readonly isVolatile: boolean;
}

/** Writes at depth 4 with flushes between; everything stops after so many timers. */
function run(cut: Cut): Outcome & { isOver: boolean } {
  const prng = new Prng(cut.seed, 'plan');
  const namespace = makeNamespace({
    seed: cut.seed,
    powerFailBlocks: cut.powerFailBlocks,
    isVolatile: cut.isVolatile,
  });
  const rig = new Rig(namespace);
  const plans: Plan[] = [];
  const completed = new Set<number>();
  const durable = new Array<number>(span).fill(0);
  let steps = 0;
  let isOver = false;
  // Writes of one round do not overlap: their order would not be known.
  for (let round = 0; round < 6 && steps < cut.steps; round++) {
    const running = [];
    for (let part = 0; part < 3; part++) {
      const count = 1 + prng.below(8);
      const lba = part * 8 + prng.below(8 - count + 1);
      const plan = { tag: plans.length + 1, lba, count, isForced: prng.chance(0.2) };
      plans.push(plan);
      const data = new Uint8Array(count * dataBytes).fill(plan.tag);
      const slot = rig.start(write(plan, data, { fua: plan.isForced ? 1 : 0 }));
      running.push({ plan, slot });
    }
    while (steps < cut.steps && rig.step()) steps++;
    for (const { plan, slot } of running) {
      if (slot.ending === null) continue;
      assert.is(slot.ending.status, 0);
      completed.add(plan.tag);
      const isDurable = plan.isForced || !cut.isVolatile;
      if (isDurable) durable.fill(plan.tag, plan.lba, plan.lba + plan.count);
    }
    if (steps < cut.steps && prng.chance(0.4)) {
      const before = tagsOf(rig);
      const slot = rig.start(flush());
      if (rig.step()) steps++;
      if (slot.ending !== null) for (const [i, tag] of before.entries()) durable[i] = tag;
    }
    isOver = round === 5;
  }
  rig.reset();
  if (cut.isPower) namespace.medium.cutPower();
  const tags = tagsOf(new Rig(namespace));
  return { tags, completed, durable, plans, isOver };
}

function tagsOf(rig: Rig | { namespace: Namespace }): number[] {
  const own = new Rig(rig.namespace);
  const data = new Uint8Array(span * dataBytes);
  assert.is(own.run(read({ lba: 0, count: span }, data)).status, 0);
  return Array.from({ length: span }, (_, lba) => {
    const block = data.subarray(lba * dataBytes, (lba + 1) * dataBytes);
    assert.ok(
      block.every((byte) => byte === block[0]),
      'no block is torn inside',
    );
    return block[0]!;
  });
}

/** What no cut may do. @returns whether a write is there in part */
function check(cut: Cut, outcome: Outcome): boolean {
  const { tags, completed, durable, plans } = outcome;
  let isTorn = false;
  for (const [lba, tag] of tags.entries()) {
    const text = `${JSON.stringify(cut)} block ${lba}`;
    assert.ok(tag >= durable[lba]!, `${text}: a durable block fell back`);
    const plan = plans[tag - 1];
    const isWriter = plan !== undefined && lba >= plan.lba && lba < plan.lba + plan.count;
    assert.ok(tag === 0 || isWriter, `${text}: holds what nobody wrote there`);
    if (cut.isPower && cut.isVolatile) continue;
    const newest = plans.filter(
      (p) => completed.has(p.tag) && lba >= p.lba && lba < p.lba + p.count,
    );
    assert.ok(tag >= (newest.at(-1)?.tag ?? 0), `${text}: a completed write is lost`);
  }
  for (const plan of plans) {
    const own = tags.slice(plan.lba, plan.lba + plan.count);
    const isPart = own.includes(plan.tag) && own.some((tag) => tag < plan.tag);
    if (!isPart) continue;
    isTorn = true;
    const isAtomic = plan.count <= cut.powerFailBlocks;
    assert.not(
      isAtomic,
      `${JSON.stringify(cut)}: write ${plan.tag} of ${plan.count} blocks is torn`,
    );
  }
  return isTorn;
}

/** Cut after every timer of several plans. @returns how many cuts tore a write */
function sweep(how: Omit<Cut, 'seed' | 'steps'>): { cuts: number; torn: number } {
  let cuts = 0;
  let torn = 0;
  for (let seed = 1; seed <= 12; seed++) {
    for (let steps = 0; ; steps++) {
      const cut = { seed, steps, ...how };
      const outcome = run(cut);
      cuts++;
      if (check(cut, outcome)) torn++;
      if (outcome.isOver && steps > 20) break;
      if (steps > 40) break;
    }
  }
  return { cuts, torn };
}

for (const powerFailBlocks of [1, 4]) {
  test(`a power cut at every step tears only writes above ${powerFailBlocks} blocks`, () => {
    const { cuts, torn } = sweep({ isPower: true, isVolatile: true, powerFailBlocks });
    assert.ok(cuts > 200);
    assert.ok(torn > 0, 'above the unit writes are torn');
  });
}

test('no write of at most the atomic unit is ever torn', () => {
  const { torn } = sweep({ isPower: true, isVolatile: true, powerFailBlocks: 8 });
  assert.is(torn, 0);
});

test('with a protected cache a power cut loses nothing that completed', () => {
  sweep({ isPower: true, isVolatile: false, powerFailBlocks: 1 });
});

test('a reset of the controller loses nothing that completed', () => {
  sweep({ isPower: false, isVolatile: true, powerFailBlocks: 1 });
});

test('one seed gives one outcome', () => {
  const cut = { seed: 12, steps: 9, isPower: true, isVolatile: true, powerFailBlocks: 1 };
  assert.equal(run(cut).tags, run(cut).tags);
});

test.run();
