import * as assert from 'uvu/assert';
import { Scheduler, type Share } from '../../../sdk/qos/scheduler.js';
import { TestPrng } from '../../../sdk/testing/prng.js';
import { suite } from '../../support/suite.js';
import { NaiveScheduler } from './naive-scheduler.js';

const test = suite('qos scheduler');
const none = Number.POSITIVE_INFINITY;
const plain: Share = { reservation: 0, limit: none, weight: 1 };

function randomShare(prng: TestPrng): Required<Share> {
  const reservation = prng.below(3) === 0 ? 0 : 10 ** (2 + 3 * prng.fraction());
  const limit = prng.below(2) === 0 ? none : Math.max(reservation, 100) * (1 + 3 * prng.fraction());
  const reservationBurst = 1 + prng.below(40);
  const limitBurst = 1 + prng.below(40);
  return { reservation, limit, weight: 1 + prng.below(8), reservationBurst, limitBurst };
}

/** Every choice of the scheduler must be one that the rules allow. */
function compare(seed: number, steps: number): void {
  const prng = new TestPrng(seed);
  const clientCount = 1 + prng.below(12);
  const scheduler = new Scheduler({ clientCount, requestCount: 4096 });
  const naive = new NaiveScheduler();
  const free = Array.from({ length: 4096 }, (_, request) => request);
  let nowNs = 1e9;
  for (let client = 0; client < clientCount; client++) {
    const share = randomShare(prng);
    scheduler.add(client, share, nowNs);
    naive.add(client, share, nowNs);
  }
  const busy = 0.3 + 0.6 * prng.fraction();
  for (let step = 0; step < steps; step++) {
    const where = `seed ${seed}, step ${step}`;
    const what = prng.fraction();
    nowNs += Math.floor(prng.fraction() * 20_000);
    const victim = prng.below(clientCount);
    const line = naive.clients.get(victim)!.waiting;
    if (what > 0.99 && line.length > 0) {
      const gone = line[prng.below(line.length)]!.request;
      for (let i = line.length - 1; i >= 0; i--) if (line[i]!.request === gone) line.splice(i, 1);
      assert.ok(scheduler.cancel(victim, gone), where);
      assert.not(scheduler.cancel(victim, gone), where);
      free.push(gone);
    } else if (what < 0.01) {
      const client = prng.below(clientCount);
      const share = randomShare(prng);
      scheduler.change(client, share, nowNs);
      naive.change(client, share, nowNs);
    } else if (what < busy) {
      const client = prng.below(clientCount);
      const request = free.pop();
      if (request === undefined) continue;
      const cost = [0.25, 1, 1, 1, 2, 10, 16][prng.below(7)]!;
      // A request in pieces is so many requests in a row.
      const pieces = prng.below(4) === 0 ? 1 + prng.below(5) : 1;
      for (let i = 0; i < pieces; i++) naive.push(client, request, cost, nowNs);
      if (pieces > 1 || scheduler.waitingCount > 0 || prng.below(2) === 0) {
        scheduler.push(client, request, cost, nowNs, pieces);
      } else {
        // Nobody else waits: what passes is what a push and a pull would give.
        const choice = naive.choose(nowNs);
        assert.is(scheduler.passes(client, cost, nowNs), choice !== null, where);
        if (choice === null) {
          scheduler.push(client, request, cost, nowNs);
        } else {
          assert.is(scheduler.isReserved, choice.isReserved, where);
          assert.is(naive.serve(client, choice.isReserved, nowNs), request, where);
          free.push(request);
        }
      }
    } else {
      const choice = naive.choose(nowNs);
      assert.is(scheduler.pull(nowNs), choice !== null, where);
      if (choice === null) {
        checkWake(scheduler.wakeNs, naive.wakeNs(), nowNs, where);
        continue;
      }
      assert.ok(choice.clients.includes(scheduler.client), where);
      assert.is(scheduler.isReserved, choice.isReserved, where);
      const request = naive.serve(scheduler.client, choice.isReserved, nowNs);
      assert.is(scheduler.request, request, where);
      const { waiting } = naive.clients.get(scheduler.client)!;
      assert.is(scheduler.isLast, waiting[0]?.request !== request, where);
      if (scheduler.isLast) free.push(request);
    }
    assert.is(scheduler.waitingCount, 4096 - free.length, where);
  }
}

test('each choice is one that the rules allow, for random clients, loads and changes', () => {
  for (let seed = 1; seed <= 60; seed++) compare(seed, 2_000);
});

/** Never too late; for a time far ahead the scheduler may be asked in between. */
function checkWake(actualNs: number, expectedNs: number, nowNs: number, where: string): void {
  if (expectedNs === Number.POSITIVE_INFINITY) assert.is(actualNs, expectedNs, where);
  else assert.ok(actualNs > nowNs && actualNs <= expectedNs + 1e-3, where);
}

interface Load {
  readonly share: Share;
  readonly cost: (count: number) => number;
}

/** Units that each client gets, all of them always waiting; `rate` is the device's, per second. */
function serveBacklogged(
  scheduler: Scheduler,
  loads: readonly Load[],
  span: { readonly rate: number; readonly fromNs: number; readonly untilNs: number },
): number[] {
  const served = loads.map(() => 0);
  const counts = loads.map(() => 0);
  let nowNs = span.fromNs;
  while (nowNs < span.untilNs) {
    if (!scheduler.pull(nowNs)) {
      nowNs = Math.min(scheduler.wakeNs, span.untilNs);
      continue;
    }
    const { client, request } = scheduler;
    const cost = costOf.get(request)!;
    served[client]! += cost;
    nowNs += (cost * 1e9) / span.rate;
    const next = loads[client]!.cost(counts[client]!++);
    costOf.set(request, next);
    scheduler.push(client, request, next, nowNs);
  }
  return served;
}

const costOf = new Map<number, number>();

/** Four requests of each client wait. */
function backlogged(loads: readonly Load[]): Scheduler {
  const count = loads.length;
  const scheduler = new Scheduler({ clientCount: count, requestCount: 4 * count });
  loads.forEach(({ share, cost }, client) => {
    scheduler.add(client, share, 0);
    for (let i = 0; i < 4; i++) {
      costOf.set(4 * client + i, cost(i));
      scheduler.push(client, 4 * client + i, cost(i), 0);
    }
  });
  return scheduler;
}

const ones = () => 1;
const seconds = (from: number, until: number, rate = 10_000) => ({
  rate,
  fromNs: from * 1e9,
  untilNs: until * 1e9,
});

function assertNear(actual: readonly number[], expected: readonly number[], part: number): void {
  actual.forEach((value, i) => {
    const off = Math.abs(value - expected[i]!);
    assert.ok(off <= part * expected[i]!, `client ${i}: ${value}, expected ${expected[i]}`);
  });
}

test('weights 4:2:1 share a device within 1 %', () => {
  const loads = [4, 2, 1].map((weight) => ({ share: { ...plain, weight }, cost: ones }));
  const served = serveBacklogged(backlogged(loads), loads, seconds(0, 20));
  assertNear(served, [114_286, 57_143, 28_571], 0.01);
});

test('equal weights get equal cost, whatever their requests cost', () => {
  const costs = [ones, () => 16, (count: number) => (count % 10 < 7 ? 1 : 10)];
  const loads = costs.map((cost) => ({ share: plain, cost }));
  const served = serveBacklogged(backlogged(loads), loads, seconds(0, 20));
  assertNear(served, [66_667, 66_667, 66_667], 0.01);
});

test('a limit holds beside a reservation, and the rest is shared', () => {
  const shares: Share[] = [
    { reservation: 0, limit: 1_000, weight: 1 },
    { reservation: 3_000, limit: none, weight: 1 },
    plain,
    plain,
  ];
  const loads = shares.map((share) => ({ share, cost: ones }));
  const served = serveBacklogged(backlogged(loads), loads, seconds(0, 20));
  assertNear(served, [20_000, 60_000, 60_000, 60_000], 0.01);
});

test('a client that idled takes nothing from the past', () => {
  const loads = [plain, plain].map((share) => ({ share, cost: ones }));
  const scheduler = new Scheduler({ clientCount: 2, requestCount: 8 });
  scheduler.add(0, plain, 0);
  scheduler.add(1, plain, 0);
  for (let i = 0; i < 4; i++) {
    costOf.set(i, 1);
    scheduler.push(0, i, 1, 0);
  }
  serveBacklogged(scheduler, loads, seconds(0, 16));
  for (let i = 4; i < 8; i++) {
    costOf.set(i, 1);
    scheduler.push(1, i, 1, 16e9);
  }
  const served = serveBacklogged(scheduler, loads, seconds(16, 16.1));
  assertNear(served, [500, 500], 0.01);
});

test('after reservations are taken away, who had them shares at once', () => {
  const reserved: Share = { reservation: 6_000, limit: none, weight: 1 };
  const loads = [reserved, plain, plain].map((share) => ({ share, cost: ones }));
  const scheduler = backlogged(loads);
  serveBacklogged(scheduler, loads, seconds(0, 40));
  scheduler.change(0, plain, 40e9);
  const served = serveBacklogged(scheduler, loads, seconds(40, 40.1));
  assertNear(served, [333, 333, 333], 0.02);
});

test('a device that becomes faster is shared at once', () => {
  const reserved: Share = { reservation: 6_000, limit: none, weight: 1 };
  const loads = [reserved, plain, plain].map((share) => ({ share, cost: ones }));
  const scheduler = backlogged(loads);
  serveBacklogged(scheduler, loads, seconds(0, 10));
  const served = serveBacklogged(scheduler, loads, seconds(10, 11, 20_000));
  assertNear(served, [6_667, 6_667, 6_667], 0.06);
});

test('who is over its limit may go on at the nanosecond that the scheduler says', () => {
  const scheduler = new Scheduler({ clientCount: 2, requestCount: 8 });
  scheduler.add(0, { ...plain, limit: 1_000, limitBurst: 1 }, 0);
  scheduler.add(1, { ...plain, limit: 250, limitBurst: 1 }, 0);
  for (let i = 0; i < 8; i++) scheduler.push(i % 2, i, 1, 0);
  const servedNs: number[] = [];
  for (let nowNs = 0; scheduler.waitingCount > 0; nowNs = scheduler.wakeNs) {
    while (scheduler.pull(nowNs)) servedNs.push(nowNs);
  }
  // One of credit and one of its own at once, then one per millisecond, and one per four.
  assert.equal(servedNs, [0, 0, 0, 0, 1e6, 2e6, 4e6, 8e6]);
});

test('a change after idle time brings no more than the burst that was saved', () => {
  const scheduler = new Scheduler({ clientCount: 1, requestCount: 64 });
  const limited = { ...plain, limit: 1_000, limitBurst: 3 };
  scheduler.add(0, limited, 0);
  scheduler.change(0, { ...limited, limitBurst: 50 }, 1e9);
  for (let i = 0; i < 64; i++) scheduler.push(0, i, 1, 1e9);
  let served = 0;
  while (scheduler.pull(1e9)) served++;
  // The three that were saved, and one that may end above.
  assert.is(served, 4);
});

test('a limit that is raised counts at once', () => {
  const loads = [{ share: { ...plain, limit: 20, limitBurst: 8 }, cost: () => 4 }];
  const scheduler = backlogged(loads);
  serveBacklogged(scheduler, loads, seconds(0, 5));
  scheduler.change(0, { ...plain, limit: 300, limitBurst: 8 }, 5e9);
  const [served] = serveBacklogged(scheduler, loads, seconds(5, 6));
  assert.ok(served! >= 295 && served! <= 312, `${served}`);
});

test('no span of time sees more than the limit and its burst, or more reserved than promised', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new TestPrng(seed);
    const shares = Array.from({ length: 4 }, () => randomShare(prng));
    const scheduler = new Scheduler({ clientCount: 4, requestCount: 64 });
    for (const [client, share] of shares.entries()) scheduler.add(client, share, 0);
    const served: { atNs: number; client: number; cost: number; isReserved: boolean }[] = [];
    const idle: number[] = Array.from({ length: 64 }, (_, i) => i);
    let nowNs = 0;
    for (let step = 0; step < 1_500; step++) {
      nowNs += Math.floor(prng.fraction() * 60_000);
      const request = prng.below(2) === 0 ? idle.pop() : undefined;
      const cost = [1, 4, 16][prng.below(3)]!;
      if (request !== undefined) {
        costOf.set(request, cost);
        scheduler.push(prng.below(4), request, cost, nowNs);
      } else if (scheduler.pull(nowNs)) {
        const { client, isReserved } = scheduler;
        served.push({ atNs: nowNs, client, cost: costOf.get(scheduler.request)!, isReserved });
        idle.push(scheduler.request);
      }
    }
    shares.forEach((share, client) => {
      const own = served.filter((one) => one.client === client);
      const bound = (rate: number, burst: number) => (ns: number) => (rate * ns) / 1e9 + burst + 16;
      checkSpans(own, bound(share.limit, share.limitBurst), `limit, seed ${seed}`);
      const reserved = own.filter((one) => one.isReserved);
      const most = bound(share.reservation, share.reservationBurst);
      checkSpans(reserved, most, `reservation, seed ${seed}`);
    });
  }
});

function checkSpans(
  served: readonly { readonly atNs: number; readonly cost: number }[],
  most: (ns: number) => number,
  what: string,
): void {
  for (let from = 0; from < served.length; from++) {
    let sum = 0;
    for (let to = from; to < served.length; to++) {
      sum += served[to]!.cost;
      const bound = most(served[to]!.atNs - served[from]!.atNs);
      if (sum > bound + 1e-6) assert.unreachable(`${what}: ${sum} where ${bound} may be`);
    }
  }
}

test('asked for reserved requests alone, it gives no other and says when there is one', () => {
  const scheduler = new Scheduler({ clientCount: 2, requestCount: 64 });
  scheduler.add(0, { ...plain, reservation: 1_000, reservationBurst: 2 }, 0);
  scheduler.add(1, { ...plain, weight: 1_000 }, 0);
  for (let request = 0; request < 32; request++) {
    scheduler.push(0, request, 1, 0);
    scheduler.push(1, 32 + request, 1, 0);
  }
  const clients: number[] = [];
  while (scheduler.pull(0, true)) clients.push(scheduler.client);
  // Its burst and one request, then one per millisecond; the other one is not touched.
  assert.equal(clients, [0, 0, 0]);
  assert.is(scheduler.wakeNs, 1_000_000);
  assert.not(scheduler.pull(999_999, true));
  assert.ok(scheduler.pull(1_000_000, true));
  assert.is(scheduler.client, 0);
  assert.ok(scheduler.pull(1_000_000));
  assert.is(scheduler.client, 1);
});

test('who passes by without waiting has no more by reservation than its burst at one instant', () => {
  const scheduler = new Scheduler({ clientCount: 1, requestCount: 4 });
  scheduler.add(0, { ...plain, reservation: 1_000, reservationBurst: 64 }, 0);
  const reservedAt = (nowNs: number): number => {
    let reserved = 0;
    for (let i = 0; i < 500; i++) {
      assert.ok(scheduler.passes(0, 1, nowNs));
      if (scheduler.isReserved) reserved++;
    }
    return reserved;
  };
  const hourNs = 3600e9;
  // Whoever is not behind may go, so the last one goes at the burst, not below it.
  assert.is(reservedAt(hourNs), 64 + 1);
  assert.is(reservedAt(hourNs), 0, 'what it had beyond that it has to wait for');
  assert.is(reservedAt(2 * hourNs), 64 + 1);
  assert.is(scheduler.lostUnits(0, 2 * hourNs), 0, 'what it did not ask for it did not lose');
});

test('shares and clients that cannot be are refused with the value and the limit', () => {
  const scheduler = new Scheduler({ clientCount: 2, requestCount: 4 });
  scheduler.add(0, plain, 0);
  const bad: [Partial<Share>, RegExp][] = [
    [{ reservation: -1 }, /reservation of -1/],
    [{ reservation: Number.NaN }, /reservation of NaN/],
    [{ reservation: 500, limit: 400 }, /500 above the limit of 400/],
    [{ limit: 0 }, /limit of 0/],
    [{ weight: 0 }, /weight of 0/],
    [{ weight: 0.000999 }, /weight of 0.000999: 0.001..1,000,000/],
    [{ weight: 1_000_001 }, /weight of 1000001/],
    [{ limitBurst: 1e9 + 1 }, /burst of 1000000001/],
    [{ reservationBurst: 0.5 }, /burst of 0.5 units/],
    [{ limitBurst: 0 }, /burst of 0/],
  ];
  for (const [spoilt, message] of bad) {
    assert.throws(() => scheduler.change(0, { ...plain, ...spoilt }, 0), message);
  }
  const edges = [{ weight: 1e6 }, { weight: 1e-3 }, { limitBurst: 1 }, { reservationBurst: 1e9 }];
  for (const edge of edges) scheduler.change(0, { ...plain, ...edge }, 0);
  assert.throws(() => scheduler.add(0, plain, 0), /client 0 is already there/);
  assert.throws(() => scheduler.change(1, plain, 0), /client 1 is not there/);
  assert.throws(() => scheduler.add(2, plain, 0), /client 2 of a scheduler of 0..1/);
  scheduler.push(0, 0, 1, 0);
  assert.throws(() => scheduler.remove(0), /requests that wait/);
});

test('what a client takes at once it pays for, by its weight and within its limit', () => {
  const scheduler = new Scheduler({ clientCount: 2, requestCount: 100 });
  scheduler.add(0, plain, 0);
  scheduler.add(1, plain, 0);
  for (let request = 0; request < 80; request++) scheduler.push(request % 2, request, 1, 0);
  scheduler.charge(0, 30, 0);
  assert.is(scheduler.servedUnits[0], 30);
  const order = Array.from({ length: 40 }, () => (scheduler.pull(0) ? scheduler.client : -1));
  // The other one has 30 as well before they take turns again.
  assert.is(order.slice(0, 30).filter((client) => client === 1).length, 30);
  assert.is(order.slice(30).filter((client) => client === 1).length, 5);
  const limited = new Scheduler({ clientCount: 1, requestCount: 1 });
  limited.add(0, { reservation: 0, limit: 1_000, weight: 1, limitBurst: 1 }, 0);
  limited.charge(0, 100, 0);
  limited.push(0, 0, 1, 0);
  assert.not(limited.pull(98_000_000));
  // 100 units of a millisecond each, one of them its burst.
  assert.ok(limited.pull(99_000_000));
});

test.run();
