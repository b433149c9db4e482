import { Admission } from '../../sdk/qos/admission.js';
import { Scheduler, type Share } from '../../sdk/qos/scheduler.js';
import { TestPrng } from '../../sdk/testing/prng.js';
import { type Device, jain, probeDevice, runModel, unitsIn, windows } from './model.js';
import { OurPolicy } from './policies.js';

const none = Number.POSITIVE_INFINITY;
const plain: Share = { reservation: 0, limit: none, weight: 1 };
const steady: Device = { workers: 8, unitNs: () => 80_000, spread: 0 };
const backlogged = { depth: 32 };

/** Percent that a saturating client gets above limit × time + burst + one request, in any span. */
export function overLimitPct(): number {
  const share = { ...plain, limit: 10_000, limitBurst: 32, weight: 4 };
  const cost = (count: number) => [1, 1, 4, 16][count % 4]!;
  const clients = [{ depth: 32, cost }, backlogged];
  const options = { device: probeDevice, untilNs: 1e9, seed: 2 };
  const result = runModel(new OurPolicy([share, plain]), clients, options);
  const { services } = result.clients[0]!;
  let most = 0;
  for (let from = 0; from < services.length; from++) {
    let units = 0;
    for (let to = from; to < services.length; to++) {
      units += services[to]!.units;
      const ns = services[to]!.atNs - services[from]!.atNs;
      const allowed = (share.limit * ns) / 1e9 + share.limitBurst + 16;
      most = Math.max(most, (100 * (units - allowed)) / allowed);
    }
  }
  return most;
}

/** Largest deviation of weights 4:2:1 from their shares, in percent, over 20 s. */
export function weightErrorPct(): number {
  const weights = [4, 2, 1];
  const policy = new OurPolicy(weights.map((weight) => ({ ...plain, weight })));
  const clients = weights.map(() => backlogged);
  const result = runModel(policy, clients, { device: probeDevice, untilNs: 20e9, seed: 3 });
  const units = result.clients.map((client) => unitsIn(client, 0, 20e9));
  const total = units.reduce((sum, one) => sum + one, 0);
  return Math.max(...units.map((one, i) => 100 * Math.abs((one * 7) / (total * weights[i]!) - 1)));
}

/** Largest deviation from equal cost of clients with costs 1, 16, and 70 % 1 with 30 % 10. */
export function costShareErrorPct(): number {
  const costs = [() => 1, () => 16, (count: number) => (count % 10 < 7 ? 1 : 10)];
  const policy = new OurPolicy(costs.map(() => plain));
  const clients = costs.map((cost) => ({ depth: 32, cost }));
  const result = runModel(policy, clients, { device: probeDevice, untilNs: 20e9, seed: 4 });
  const units = result.clients.map((client) => unitsIn(client, 0, 20e9));
  const mean = units.reduce((sum, one) => sum + one, 0) / units.length;
  return Math.max(...units.map((one) => 100 * Math.abs(one / mean - 1)));
}

/** Milliseconds until all shares are within 10 % for good: the worst of five kinds of change. */
export function settleMs(): number {
  return Math.max(...Object.values(settleMsByChange()));
}

const changeNs = 20e9;
const stepNs = 1e7;

function settleMsByChange(): Readonly<Record<string, number>> {
  const reserved = { ...plain, reservation: 60_000 };
  const three = [backlogged, backlogged, backlogged];
  const late = [backlogged, backlogged, { depth: 32, fromNs: changeNs }];
  const even = [1 / 3, 1 / 3, 1 / 3];
  const limited = { ...plain, limit: 5_000 };
  return {
    join: settle([plain, plain, plain], late, even, () => {}),
    reservationRemoved: settle([reserved, plain, plain], three, even, (policy, nowNs) => {
      policy.scheduler.change(0, plain, nowNs);
    }),
    reservationGiven: settle([plain, plain, plain], three, [0.6, 0.2, 0.2], (policy, nowNs) => {
      policy.scheduler.change(0, reserved, nowNs);
    }),
    limitRaised: settle([limited, plain, plain], three, even, (policy, nowNs) => {
      policy.scheduler.change(0, plain, nowNs);
    }),
    weightRaised: settle([plain, plain, plain], three, [0.5, 0.25, 0.25], (policy, nowNs) => {
      policy.scheduler.change(0, { ...plain, weight: 2 }, nowNs);
    }),
  };
}

function settle(
  shares: readonly Share[],
  clients: Parameters<typeof runModel>[1],
  expected: readonly number[],
  act: (policy: OurPolicy, nowNs: number) => void,
): number {
  const policy = new OurPolicy(shares);
  const untilNs = changeNs + 1e9;
  const events = [{ atNs: changeNs, act: () => act(policy, changeNs) }];
  const result = runModel(policy, clients, { device: steady, untilNs, seed: 5, events });
  const span = { fromNs: changeNs, untilNs, windowNs: stepNs };
  const perClient = result.clients.map((client) => windows(client, span));
  let settled = 0;
  for (let window = 0; window < perClient[0]!.length; window++) {
    const units = perClient.map((list) => list[window]!);
    const total = units.reduce((sum, one) => sum + one, 0);
    const isOff = units.some((one, i) => Math.abs(one / total / expected[i]! - 1) > 0.1);
    if (isOff) settled = window + 1;
  }
  return (settled * stepNs) / 1e6;
}

/** Percent of the device's time that is used while somebody who may go on waits. */
export function workConservingPct(): number {
  const shares = [
    { ...plain, reservation: 20_000, limit: 30_000 },
    { ...plain, limit: 10_000 },
    plain,
  ];
  const clients = [{ ratePerSecond: 15_000 }, backlogged, backlogged];
  const options = { device: probeDevice, untilNs: 10e9, seed: 6 };
  return 100 * runModel(new OurPolicy(shares), clients, options).used;
}

/** Percent of its reservation of a client whose requests come by many queues of one card. */
export function skewedMetPct(): number {
  // All queues of a client on a card wait under one clock, so however uneven they are, the client
  // is what the model makes of them: one.
  const reserved = { ...plain, reservation: 20_000 };
  const policy = new OurPolicy([reserved, ...Array.from({ length: 62 }, () => plain)]);
  const clients = [{ depth: 33 }, ...Array.from({ length: 62 }, () => backlogged)];
  const result = runModel(policy, clients, { device: probeDevice, untilNs: 5e9, seed: 7 });
  const span = { fromNs: 5e8, untilNs: 5e9, windowNs: 1e8 };
  return Math.min(...windows(result.clients[0]!, span).map((units) => units / 20));
}

/** Requests lost by 1,000 changes under load. */
export function lostByChanges(): number {
  const prng = new TestPrng(8);
  const shares = Array.from({ length: 16 }, () => plain);
  const policy = new OurPolicy(shares);
  const events = Array.from({ length: 1_000 }, (_, i) => {
    const atNs = (i + 1) * 2e6;
    const reservation = prng.below(2) === 0 ? 0 : 100 + prng.below(5_000);
    const limit = prng.below(2) === 0 ? none : reservation + 1_000 + prng.below(20_000);
    const share = { reservation, limit, weight: 1 + prng.below(8) };
    return { atNs, act: () => policy.scheduler.change(i % 16, share, atNs) };
  });
  const clients = shares.map(() => backlogged);
  const options = { device: probeDevice, untilNs: 3e9, seed: 9, events, drains: true };
  const result = runModel(policy, clients, options);
  return result.came - result.accounted;
}

/** 1 when a reservation beyond the capacity is refused and leaves what was promised as it was. */
export function overcommitRefused(): number {
  const capacity = [{ latencyNs: 1e6, unitsPerSecond: 100_000 }];
  const admission = new Admission({ capacity, headroom: 0.1 });
  admission.admit('first', { share: { ...plain, reservation: 60_000 } });
  try {
    admission.admit('second', { share: { ...plain, reservation: 40_000 } });
  } catch {
    return admission.promised === 60_000 ? 1 : 0;
  }
  return 0;
}

/** Percent of the reservations met while the device does half of what it did. */
export function slowedMetPct(): number {
  const device = { ...probeDevice, unitNs: (nowNs: number) => (nowNs < 2e9 ? 80_000 : 160_000) };
  const reserved = [20_000, 5_000].map((reservation) => ({ ...plain, reservation }));
  const others = Array.from({ length: 62 }, () => plain);
  const policy = new OurPolicy([...reserved, ...others]);
  const clients = [...reserved, ...others].map(() => backlogged);
  const result = runModel(policy, clients, { device, untilNs: 4e9, seed: 10 });
  const span = { fromNs: 2.1e9, untilNs: 4e9, windowNs: 1e8 };
  return Math.min(
    ...reserved.flatMap(({ reservation }, client) =>
      windows(result.clients[client]!, span).map((units) => (1000 * units) / reservation),
    ),
  );
}

/** Jain's index of equal clients, and of two to 10,000 of them. */
export function jainOfEquals(count: number): number {
  const policy = new OurPolicy(Array.from({ length: count }, () => plain));
  const clients = Array.from({ length: count }, () => ({ depth: 2 }));
  // Each client is served 50 times.
  const untilNs = (count * 50 * 80_000) / 8;
  const result = runModel(policy, clients, { device: steady, untilNs, seed: 11 });
  return jain(result.clients.map((client) => unitsIn(client, 0, untilNs)));
}

/** Nanoseconds of processor time for a push and a pull: the best of three. */
export function nsPerOperation(clientCount: number, limitFactor: number): number {
  const depth = clientCount > 1_000 ? 4 : 16;
  const scheduler = new Scheduler({ clientCount, requestCount: clientCount * depth });
  const unitsPerSecond = 1e6;
  const fair = unitsPerSecond / clientCount;
  for (let client = 0; client < clientCount; client++) {
    const share = { reservation: fair / 2, limit: fair * limitFactor, weight: 1 + (client % 3) };
    scheduler.add(client, share, 0);
    for (let i = 0; i < depth; i++) scheduler.push(client, client * depth + i, 1, 0);
  }
  let nowNs = 0;
  const go = (count: number): void => {
    for (let i = 0; i < count; i++) {
      nowNs += 1e9 / unitsPerSecond;
      while (!scheduler.pull(nowNs)) nowNs = Math.max(nowNs, scheduler.wakeNs);
      scheduler.push(scheduler.client, scheduler.request, 1, nowNs);
    }
  };
  const count = 500_000;
  go(count);
  const runs = [1, 2, 3].map(() => {
    const start = process.cpuUsage();
    go(count);
    return (process.cpuUsage(start).user * 1000) / count;
  });
  return Math.min(...runs);
}
