import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { type HostRing, Rig } from './rig.js';

const test = suite('arbitration');
const weighted = 1 << 11;
const urgent = 0;
const high = 1;
const medium = 2;
const low = 3;

interface Plan {
  /** Most that is fetched at one time. */
  readonly fetchBurst?: number;
  /** A queue whose commands a reservation pays for. */
  readonly reserved?: number;
  readonly cc?: number;
  readonly burst?: number;
  readonly weights?: readonly [number, number, number];
  /** Priority of queue 1, 2, … */
  readonly priorities: readonly number[];
  readonly entries?: number;
}

/**
 * The order in which a controller begins commands of queues that were filled while it was busy with
 * one long fetch: the queue of each command.
 */
function serve(plan: Plan): number[] {
  const { fetchBurst, reserved } = plan;
  const rig = new Rig(fetchBurst === undefined ? {} : { fetchLimit: { fetchBurst } });
  rig.io.onBegin = (command) => {
    command.isReserved = command.queueId === reserved;
    rig.controller.services.complete(command, 0);
  };
  rig.enable(plan.cc ?? 0);
  const [highWeight, mediumWeight, lowWeight] = plan.weights ?? [1, 1, 1];
  rig.controller.services.setArbitration({
    burst: plan.burst ?? 1,
    highWeight,
    mediumWeight,
    lowWeight,
  });
  const entries = plan.entries ?? 64;
  const rings = plan.priorities.map((priority, i) => rig.pair(i + 1, entries, { priority }));
  // The first doorbell starts a fetch at once; all others arrive while it is on the link.
  const starter = rig.pair(60, 4, { priority: urgent });
  starter.put({ cid: 0 });
  starter.ring();
  for (const ring of rings) fill(ring, entries - 1);
  rig.run(1_000_000_000);
  rig.checker.demandNone();
  return rig.io.begun.slice(1).map((queueAndCid) => queueAndCid >>> 16);
}

function fill(ring: HostRing, count: number): void {
  for (let cid = 0; cid < count; cid++) ring.put({ cid });
  ring.ring();
}

function counts(order: readonly number[]): (number | undefined)[] {
  const found: (number | undefined)[] = [];
  for (const queue of order) found[queue] = (found[queue] ?? 0) + 1;
  return found;
}

test('round robin serves all queues in turn, one burst each', () => {
  const order = serve({ priorities: [urgent, low, high], burst: 1 });
  assert.equal(order.slice(0, 9), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
  assert.is(order.length, 3 * 63);
});

test('the arbitration burst is the length of a turn', () => {
  const order = serve({ priorities: [0, 0], burst: 4 });
  assert.equal(order.slice(0, 16), [1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2]);
});

test('without a limit a turn takes all that is there', () => {
  const order = serve({ priorities: [0, 0], burst: Infinity });
  assert.equal(order, [...new Array(63).fill(1), ...new Array(63).fill(2)]);
});

test('who limits a fetch makes turns shorter than the burst that the host allows', () => {
  const order = serve({ priorities: [0, 0], burst: Infinity, fetchBurst: 2 });
  assert.equal(order.slice(0, 8), [1, 1, 2, 2, 1, 1, 2, 2]);
  assert.equal(serve({ priorities: [0, 0], burst: 1, fetchBurst: 2 }).slice(0, 4), [1, 2, 1, 2]);
});

test('a queue that lives on its reservation has its turns first, the others every ninth', () => {
  const order = serve({ priorities: [0, 0, 0], burst: 1, reserved: 2 });
  // From its first command on: what it is shows when one has ended.
  const from = order.indexOf(2) + 1;
  const own = order.slice(from, from + 54).filter((queue) => queue === 2).length;
  assert.is(own, 48, `${order.slice(from, from + 54)}`);
  assert.equal(counts(order).slice(1), [63, 63, 63]);
});

test('the urgent class is served before the weighted ones', () => {
  const order = serve({ cc: weighted, priorities: [high, urgent, urgent], weights: [9, 9, 9] });
  const urgents = order.slice(0, 126);
  assert.ok(urgents.every((queue) => queue !== 1));
  assert.equal(urgents.slice(0, 4), [2, 3, 2, 3]);
});

for (const weights of [
  [8, 4, 2],
  [1, 1, 1],
  [16, 3, 1],
  [255, 17, 1],
] as const) {
  for (const burst of [1, 2, 8, Infinity]) {
    test(`weights ${weights} are the shares of the classes, burst ${burst}`, () => {
      const order = serve({
        cc: weighted,
        priorities: [high, medium, low],
        weights,
        burst,
        entries: 1024,
      });
      // While all three have work: rounds until the first queue of 1023 entries is empty.
      const rounds = Math.min(...weights.map((weight) => Math.floor(1023 / weight)));
      const round = weights[0] + weights[1] + weights[2];
      const found = counts(order.slice(0, rounds * round));
      assert.equal(
        [found[1], found[2], found[3]],
        weights.map((weight) => weight * rounds),
      );
    });
  }
}

test('two queues of a class share its weight evenly', () => {
  const order = serve({
    cc: weighted,
    priorities: [high, high, low],
    weights: [6, 1, 2],
    entries: 256,
  });
  const found = counts(order.slice(0, 20 * 8));
  assert.equal([found[1], found[2], found[3]], [60, 60, 40]);
});

test('a class without work leaves its share to the others', () => {
  const order = serve({
    cc: weighted,
    priorities: [high, low],
    weights: [3, 200, 1],
    entries: 256,
  });
  const found = counts(order.slice(0, 80));
  assert.equal([found[1], found[2]], [60, 20]);
});

test('the admin queue comes before the urgent class', () => {
  const rig = new Rig();
  rig.enable(weighted);
  const ring = rig.pair(1, 64, { priority: urgent });
  ring.put({ cid: 0 });
  ring.ring();
  fill(ring, 40);
  rig.admin.put({ cid: 7 });
  rig.admin.ring();
  let before = -1;
  rig.adminExecutor.onBegin = (command) => {
    before = rig.io.begun.length;
    rig.controller.services.complete(command, 0);
  };
  rig.run();
  assert.is(before, 1);
});

test('without weights the priority of a queue means nothing', () => {
  const order = serve({ priorities: [low, urgent], burst: 2 });
  assert.equal(order.slice(0, 8), [1, 1, 2, 2, 1, 1, 2, 2]);
});

test('a queue that was deleted while it waited is not served', () => {
  const rig = new Rig();
  rig.enable();
  const first = rig.pair(1, 64);
  const second = rig.pair(2, 64);
  fill(first, 10);
  fill(second, 10);
  rig.controller.services.deleteSubmissionQueue(2);
  rig.run();
  assert.equal(counts(rig.io.begun.map((value) => value >>> 16)), [undefined, 10]);
  assert.is(rig.checker.countOf('queueDeletedInUse'), 1);
});

test.run();
