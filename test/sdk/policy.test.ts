import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { UltimaQos } from '../../sdk/nvme/ultima-qos.js';
import { enforce } from '../../sdk/policy.js';
import type { QosPolicy } from '../../sdk/qos/policy-file.js';
import { bestEffort } from '../../sdk/qos/tiers.js';
import { openCard } from '../sim/nvme/qos/load.js';
import { suite } from '../support/suite.js';

const test = suite('a policy in force');

/** Of 100,000 units per second that the card does. */
const policy: QosPolicy = {
  tiers: [
    { ...bestEffort, name: 'database', minIops: 60_000, weight: 1 },
    { ...bestEffort, name: 'backup', maxIops: 5_000 },
  ],
  namespaces: { 1: 'database', 2: 'backup', 3: 'best-effort', 4: 'best-effort' },
};
const cards = { card: {}, gate: { qos: null } } as const;
const gate = {
  capacity: { capacity: [{ latencyNs: 1e6, unitsPerSecond: 100_000 }], headroom: 0.1 },
  depthUnits: 8,
};

/** Requests per second of each, all of them always wanting more, after 50 ms. */
function rates(devices: readonly BlockDevice[], seconds: number): number[] {
  const [first] = devices;
  const { clock } = first!;
  const counts = devices.map(() => 0);
  let isOver = false;
  let inFlight = 0;
  for (const [i, device] of devices.entries()) {
    for (let n = 0; n < 64; n++) {
      const request = new BlockRequest((one) => {
        assert.is(one.status, BlockStatus.ok);
        counts[i]!++;
        inFlight--;
        if (!isOver) submit();
      });
      const submit = (): void => {
        inFlight++;
        device.submit(request);
      };
      request.op = BlockOp.read;
      request.blockCount = 4096 / device.blockBytes;
      request.setData(device.memory.allocate(4096), 0, 4096);
      submit();
    }
  }
  const runUntil = (untilNs: number, isDone: () => boolean): void => {
    while (!isDone()) {
      let ended = 0;
      for (const device of devices) ended += device.poll();
      // A gate may have something to do before the card has: a look each 10 us.
      if (ended === 0) clock.idle(Math.min(untilNs, clock.nowNs() + 10_000));
    }
  };
  const startNs = clock.nowNs() + 50e6;
  runUntil(startNs, () => clock.nowNs() >= startNs);
  counts.fill(0);
  const endNs = startNs + seconds * 1e9;
  runUntil(endNs, () => clock.nowNs() >= endNs);
  const found = counts.map((count) => count / seconds);
  isOver = true;
  runUntil(Number.POSITIVE_INFINITY, () => inFlight === 0);
  return found;
}

for (const [by, changes] of Object.entries(cards)) {
  test(`the same policy holds by the ${by}`, async () => {
    const { controller } = await openCard(4, changes);
    const inForce = await enforce(controller, policy, { gate });
    assert.is(inForce.by, by);
    assert.equal(inForce.withoutMinimum, []);
    const devices = [1, 2, 3, 4].map((nsid) => inForce.devices.get(nsid)!);
    const [database, backup, ...rest] = rates(devices, 0.2);
    assert.ok(database! >= 0.99 * 60_000, `database ${database}`);
    assert.ok(backup! <= 1.01 * 5_000 + 5 * 32 && backup! > 4_500, `backup ${backup}`);
    const [one, other] = rest;
    assert.ok(Math.abs(one! / other! - 1) < 0.02, `${one} and ${other}`);
  });

  test(`what does not fit is refused by the ${by} with the numbers, or taken without`, async () => {
    const { controller } = await openCard(4, changes);
    const greedy = { ...policy, namespaces: { 1: 'database', 2: 'database' } };
    try {
      await enforce(controller, greedy, { gate });
      assert.unreachable();
    } catch (error) {
      assert.ok(error instanceof UltimaError && error.code === ErrorCode.qosOvercommitted);
      assert.is(error.facts.available, 90_000);
    }
    const taken = await enforce(controller, greedy, { gate, orBestEffort: true });
    assert.equal(taken.withoutMinimum, [2]);
  });

  test(`a policy that names no tier, or one that cannot be, changes nothing by the ${by}`, async () => {
    const { controller } = await openCard(1, changes);
    const named = enforce(controller, { namespaces: { 1: 'gold' } });
    await assertRange(named, /no tier 'gold'; there are best-effort, high, medium/);
    const bad = { ...bestEffort, name: 'bad', minIops: -1 };
    await assertRange(enforce(controller, { tiers: [bad], namespaces: {} }), /minIops is -1/);
    if (by === 'gate') return;
    const tiers = await new UltimaQos(controller.admin).tiers();
    assert.is(tiers.filter((tier) => tier !== null).length, 3);
  });
}

test('a gate promises what the device does at the latency that a tier wants, and no more', async () => {
  const { controller } = await openCard(2, cards.gate);
  const capacity = [
    { latencyNs: 1e6, unitsPerSecond: 50_000 },
    { latencyNs: 10e6, unitsPerSecond: 100_000 },
  ];
  const options = { gate: { ...gate, capacity: { capacity, headroom: 0 } } };
  const patient = { ...bestEffort, name: 'patient', minIops: 60_000 };
  const namespaces = { 1: 'patient' };
  assert.is((await enforce(controller, { tiers: [patient], namespaces }, options)).by, 'gate');
  const swift = { ...patient, latencyTargetNs: 1e6 };
  const refused = await enforce(controller, { tiers: [swift], namespaces }, options).then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(refused instanceof UltimaError && refused.code === ErrorCode.qosOvercommitted);
  assert.is(refused.facts.available, 50_000);
});

test('a policy for a card takes the place of the one before, and gives back what that had', async () => {
  const { controller } = await openCard(4);
  const qos = new UltimaQos(controller.admin);
  const tierNames = async (): Promise<string[]> => {
    const tiers = await qos.tiers();
    return Promise.all([1, 2, 3, 4].map(async (nsid) => tiers[await qos.tierOf(nsid)]!.name));
  };
  const { tiers = [] } = policy;
  await enforce(controller, { tiers, namespaces: { 1: 'database', 2: 'backup' } });
  assert.equal(await tierNames(), ['database', 'backup', 'best-effort', 'best-effort']);
  // Both cannot have what the card can promise to one.
  await enforce(controller, { tiers, namespaces: { 2: 'database' } });
  assert.equal(await tierNames(), ['best-effort', 'database', 'best-effort', 'best-effort']);
});

test('a policy that a card cannot keep leaves the one before in force, all of it', async () => {
  const { controller } = await openCard(3);
  const qos = new UltimaQos(controller.admin);
  const inForce = async () => {
    const clients = await qos.counters();
    return [
      await qos.tiers(),
      clients.map(({ nsid, tier, isBestEffort }) => [nsid, tier, isBestEffort]),
    ];
  };
  const [database, backup] = policy.tiers!;
  const names = { 1: 'backup', 2: 'database', 3: 'database' };
  await enforce(controller, { ...policy, namespaces: names }, { orBestEffort: true });
  const before = await inForce();
  const more = [
    { ...database!, minIops: 40_000 },
    { ...backup!, name: 'third', weight: 3 },
  ];
  const greedy = { tiers: more, namespaces: { 1: 'database', 2: 'third', 3: 'database' } };
  await enforce(controller, {
    ...greedy,
    tiers: [{ ...database!, minIops: 50_000 }, more[1]!],
  }).then(
    () => assert.unreachable(),
    (error) => assert.is(error.code, ErrorCode.qosOvercommitted),
  );
  assert.equal(await inForce(), before);
  await enforce(controller, { ...greedy, namespaces: { 1: 'third', 9: 'third' } }).then(
    () => assert.unreachable(),
    (error) => assert.match(String(error), /9/),
  );
  assert.equal(await inForce(), before);
});

async function assertRange(outcome: Promise<unknown>, message: RegExp): Promise<void> {
  try {
    await outcome;
  } catch (error) {
    assert.instance(error, RangeError);
    assert.match(String(error), message);
    return;
  }
  assert.unreachable();
}

test.run();
