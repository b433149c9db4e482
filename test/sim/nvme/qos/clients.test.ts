import * as assert from 'uvu/assert';
import { UltimaError } from '../../../../sdk/errors.js';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import { type CardTier, UltimaQos } from '../../../../sdk/nvme/ultima-qos.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { suite } from '../../../support/suite.js';
import { Load, openCard, runLoads } from './load.js';

const test = suite('clients and capacity of the card');
const none = Number.POSITIVE_INFINITY;
const save = { isSaved: true };
const bestEffort: CardTier = {
  name: 'best-effort',
  minIops: 0,
  minBytesPerSecond: 0,
  maxIops: none,
  maxBytesPerSecond: none,
  weight: 1,
};
const slow: CardTier = { ...bestEffort, name: 'slow', maxIops: 1_000, burst: 1 };
const large: CardTier = { ...bestEffort, name: 'large', minIops: 50_000, burst: 64 };
const quick: CardTier = { ...large, name: 'quick', minIops: 10_000, latencyTargetNs: 750_000 };
const msNs = 1_000_000;

const capacity = {
  points: [
    { latencyNs: 500_000, reads: 40_000, mixed: 30_000, writes: null, large: 35_000 },
    { latencyNs: 1_000_000, reads: 90_000, mixed: 70_000, writes: null, large: 60_000 },
  ],
  writeCost: 4,
  headroom: 0.1,
};

async function errorOf(attempt: Promise<unknown>): Promise<UltimaError> {
  const error = await attempt.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof UltimaError) return error;
  throw new Error(`no UltimaError: ${String(error)}`);
}

test('a measured capacity is kept with the card, and the least of it less headroom counts', async () => {
  const { controller, qos } = await openCard(3);
  await qos.setCapacity(capacity, save);
  assert.equal(await qos.capacity(), capacity);
  const { capacityUnits, isMeasured, writeCost } = await qos.capabilities();
  assert.equal([capacityUnits, isMeasured, writeCost], [54_000, true, 4]);
  await controller.reset();
  assert.equal(await qos.capacity(), capacity);
  await qos.setTiers([bestEffort, large, quick]);
  await qos.assign(1, 1);
  // Half way between 30,000 and 60,000 at 750 us, less a tenth: 40,500 for both.
  const error = await errorOf(qos.assign(2, 2));
  assert.is(error.code, 'QOS_OVERCOMMITTED');
  assert.equal([error.facts.promised, error.facts.available], [50_000, 54_000]);
  assert.match(error.message, /50000 of 54000 units per second are promised/);
  await qos.assign(1, 0);
  await qos.assign(2, 2);
  assert.is((await qos.capabilities()).capacityUnits, 40_500);
  await qos.setCapacity({ points: [], writeCost: null, headroom: 0 });
  assert.is((await qos.capabilities()).capacityUnits, 90_000);
});

test('points that do not rise, and more than there is room for, are refused', async () => {
  const { qos } = await openCard(1);
  const [first, second] = capacity.points;
  const falling = { ...capacity, points: [second!, first!] };
  const { facts } = await errorOf(qos.setCapacity(falling));
  assert.is(statusKind(Number(facts.status)), Status.invalidField);
  const many = { ...capacity, points: Array.from({ length: 9 }, () => first!) };
  const error = await qos.setCapacity(many).catch((reason: unknown) => reason);
  assert.ok(error instanceof RangeError && error.message.includes('9 points'));
  assert.equal((await qos.capacity()).points, []);
});

test('a reservation that does not fit is taken as best effort when that is asked for', async () => {
  const { controller, qos } = await openCard(2);
  await qos.setTiers([bestEffort, large], save);
  assert.is(await qos.assign(1, 1, { ...save, orBestEffort: true }), true);
  assert.is(await qos.assign(2, 1, { ...save, orBestEffort: true }), false);
  assert.is((await qos.capabilities()).promisedUnits, 50_000);
  const flags = (await qos.counters()).map(({ nsid, isBestEffort }) => [nsid, isBestEffort]);
  assert.equal(flags, [
    [1, false],
    [2, true],
  ]);
  // After a reset one of them has it again, and never both.
  await controller.reset();
  assert.is((await qos.capabilities()).promisedUnits, 50_000);
  await qos.assign(1, 0);
  assert.is(await qos.assign(2, 1, { orBestEffort: true }), true);
});

test('a queue pair with a tier is a client by itself, and its tier ends with it', async () => {
  const { card, controller, qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow]);
  const pair = await controller.createQueuePair();
  const limited = new Load(await controller.namespace(1, { queuePair: pair }), { depth: 8 });
  const free = new Load(await controller.namespace(1), { depth: 8 });
  await qos.assignQueue(pair.id, 1);
  assert.is(await qos.tierOfQueue(pair.id), 1);
  const startNs = card.world.nowNs;
  runLoads(card, [limited, free], startNs + 50 * msNs);
  // A unit per millisecond and two to begin with; the other queue has the rest of 100,000.
  const count = limited.countIn(startNs, startNs + 50 * msNs);
  assert.ok(count >= 49 && count <= 52, `${count}`);
  assert.ok(free.countIn(startNs, startNs + 50 * msNs) > 4_500);
  const counters = await qos.counters();
  assert.equal(
    counters.map(({ nsid, queueId, tier }) => [nsid, queueId, tier]),
    [[0, pair.id, 1]],
  );
  for (const load of [limited, free]) load.isStopped = true;
  runLoads(card, [limited, free], card.world.nowNs + 20 * msNs);
  await controller.deleteQueuePair(pair);
  assert.equal(await qos.counters(), []);
  assert.is(await qos.tierOfQueue(pair.id), 0);
  const { facts } = await errorOf(qos.assignQueue(65_000, 1));
  assert.is(statusKind(Number(facts.status)), Status.invalidField);
});

test('what the media have is not called back: their depth, or all there is when the first policy comes', async () => {
  for (const hadPolicy of [false, true]) {
    const { card, controller, qos } = await openCard(2);
    await qos.setTiers([bestEffort, slow, large]);
    if (hadPolicy) await qos.assign(2, 2);
    const load = new Load(await controller.namespace(1), { depth: 64 });
    runLoads(card, [load], card.world.nowNs + 5 * msNs);
    await qos.assign(1, 1);
    load.work();
    const startNs = card.world.nowNs;
    runLoads(card, [load], startNs + 50 * msNs);
    const all = load.countIn(startNs, startNs + 50 * msNs);
    const old = all - load.countIn(startNs, startNs + 50 * msNs, startNs - 1);
    // A unit of burst, one per millisecond, one that ends above.
    const most = 52 + (hadPolicy ? 8 : old);
    assert.ok(all >= 49 && all <= most, `${all} of ${most}`);
    // Eight at a time, 104 us at most: 64 without a policy end within 0.9 ms.
    const soon = load.countIn(startNs, startNs + msNs);
    if (!hadPolicy) assert.ok(old > 48 && soon >= old, `${soon} of ${old}`);
  }
});

test('all queues of a namespace share its reservation, however uneven they are', async () => {
  const { card, controller, qos } = await openCard(10);
  await qos.setTiers([bestEffort, { ...large, minIops: 20_000 }]);
  await qos.assign(1, 1);
  const own: Load[] = [];
  for (const depth of [25, 1, 1, 1, 1, 1, 1, 1]) {
    const queuePair = await controller.createQueuePair();
    own.push(new Load(await controller.namespace(1, { queuePair }), { depth }));
  }
  const others: Load[] = [];
  for (let nsid = 2; nsid <= 10; nsid++) {
    others.push(new Load(await controller.namespace(nsid), { depth: 32 }));
  }
  const startNs = card.world.nowNs + 20 * msNs;
  runLoads(card, [...own, ...others], startNs + 100 * msNs);
  const served = own.reduce((sum, load) => sum + load.countIn(startNs, startNs + 100 * msNs), 0);
  // 20,000 per second; the threshold is 98 %.
  assert.ok(served >= 0.98 * 2_000, `${served} in 100 ms`);
});

test('the history says what was promised, served and missed in each interval', async () => {
  const { card, controller, qos } = await openCard(1, {
    media: { parallelUnits: 1, readNs: 100_000, jitterPermille: 0 },
  });
  // 10,000 per second is what the media do: a reservation of 20,000 cannot be met.
  await qos.setTiers([bestEffort, { ...large, minIops: 20_000 }]);
  await qos.assign(1, 1);
  const load = new Load(await controller.namespace(1), { depth: 64 });
  runLoads(card, [load], card.world.nowNs + 450 * msNs);
  const [history] = await qos.history();
  assert.is(history!.nsid, 1);
  assert.ok(history!.intervals.length >= 4);
  const whole = history!.intervals.slice(-3);
  for (const interval of whole) {
    assert.is(interval.dueUnits, 2_000);
    assert.ok(Math.abs(interval.servedUnits - 1_000) <= 2, `${interval.servedUnits}`);
    assert.equal([interval.isGuaranteed, interval.isMet], [true, false]);
  }
  assert.is(whole[2]!.interval - whole[0]!.interval, 2);
  runLoads(card, [load], card.world.nowNs + 2_000 * msNs);
  assert.is((await qos.history())[0]!.intervals.length, 16);
});

test('flushes and fused pairs count, and a limit holds them', async () => {
  const { card, controller, qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow]);
  await qos.assign(1, 1);
  const namespace = await controller.namespace(1);
  const startNs = card.world.nowNs;
  for (let i = 0; i < 20; i++) await namespace.flush();
  // Two at once, then one per millisecond.
  const flushedNs = card.world.nowNs - startNs;
  assert.ok(flushedNs >= 18 * msNs && flushedNs < 22 * msNs, `${flushedNs}`);
  const block = (fill: number) => {
    const region = namespace.memory.allocate(namespace.blockBytes);
    region.bytes.fill(fill);
    return { region, offset: 0, length: namespace.blockBytes };
  };
  const fusedNs = card.world.nowNs;
  for (let i = 0; i < 10; i++) {
    const pair = { expected: block(i), next: block(i + 1) };
    assert.is(await namespace.compareAndWrite(0, pair), true);
  }
  assert.is(await namespace.compareAndWrite(0, { expected: block(3), next: block(4) }), false);
  // A write costs two units here, and what is compared one.
  const tookNs = card.world.nowNs - fusedNs;
  assert.ok(tookNs >= 28 * msNs && tookNs < 36 * msNs, `${tookNs}`);
  card.checker.demandNone();
});

test('a power cut while flushes and fused pairs wait leaves a card that goes on', async () => {
  const { card, controller, qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow], save);
  await qos.assign(1, 1, save);
  const namespace = await controller.namespace(1);
  const waiting = Array.from({ length: 20 }, () => namespace.flush().catch(() => {}));
  const region = namespace.memory.allocate(namespace.blockBytes);
  const slice = { region, offset: 0, length: namespace.blockBytes };
  waiting.push(
    namespace.compareAndWrite(0, { expected: slice, next: slice }).then(
      () => {},
      () => {},
    ),
  );
  runLoads(card, [], card.world.nowNs + 3 * msNs);
  assert.ok((await qos.counters())[0]!.waitingCommands > 10);
  await controller.close();
  await Promise.all(waiting);
  card.powerCut();
  card.restore();
  runLoads(card, [], card.world.nowNs + 1_000 * msNs);
  const again = await NvmeController.open(card.open());
  const [counters] = await new UltimaQos(again.admin).counters();
  assert.is(counters!.waitingCommands, 0);
  await (await again.namespace(1)).flush();
});

test.run();
