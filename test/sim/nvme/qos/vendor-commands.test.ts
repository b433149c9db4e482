import * as assert from 'uvu/assert';
import { BlockStatus } from '../../../../sdk/block/request.js';
import { UltimaError } from '../../../../sdk/errors.js';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import { type CardTier, UltimaQos } from '../../../../sdk/nvme/ultima-qos.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { QosStatus } from '../../../../sdk/spec/ultima/qos.js';
import { forkCard } from '../../../../sim/checkpoint/checkpoint.js';
import { suite } from '../../../support/suite.js';
import { Load, openCard, runLoads } from './load.js';

const test = suite('vendor commands for quality of service');
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
const large: CardTier = { ...bestEffort, name: 'large', minIops: 50_000, weight: 2.5, burst: 64 };

/** The status that a command was refused with; 0 when it was not. */
async function refusal(attempt: Promise<unknown>): Promise<number> {
  try {
    await attempt;
    return 0;
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    return statusKind(Number(error.facts.status));
  }
}

test('a card comes with best effort, high and medium as the product had them', async () => {
  const { qos } = await openCard(1);
  const tiers = await qos.tiers();
  const rates = tiers.map((tier) => tier && [tier.name, tier.minIops, tier.minBytesPerSecond]);
  assert.equal(rates.slice(0, 3), [
    ['best-effort', 0, 0],
    ['high', 20_000, 62_500_000],
    ['medium', 5_000, 15_625_000],
  ]);
  assert.equal(rates.slice(3), [null, null, null, null, null]);
  assert.is(await qos.tierOf(1), 0);
});

test('the capabilities are those of the profile', async () => {
  const { qos } = await openCard(1);
  assert.equal(await qos.capabilities(), {
    maxTiers: 8,
    maxNamespaces: 128,
    capacityUnits: 90_000,
    depthUnits: 8,
    quietDepthUnits: 8,
    unitBytes: 4096,
    writeCost: 2,
    discardCost: 1,
    intervalNs: 100_000_000,
    promisedUnits: 0,
    isMeasured: false,
    historyIntervals: 16,
    keptPart: 1,
  });
});

test('a table reads back as it was set; current, saved and default are three', async () => {
  const { qos } = await openCard(1);
  const initial = await qos.tiers('default');
  const padded = (tiers: readonly CardTier[]) => [...tiers, ...Array(8 - tiers.length).fill(null)];
  await qos.setTiers([bestEffort, slow], save);
  await qos.setTiers([bestEffort, slow, large]);
  assert.equal(await qos.tiers(), padded([bestEffort, slow, large]));
  assert.equal(await qos.tiers('saved'), padded([bestEffort, slow]));
  assert.equal(await qos.tiers('default'), initial);
});

test('a reset puts saved policies in force, a power cycle too; others are gone', async () => {
  const { card, controller, qos } = await openCard(2);
  await qos.setTiers([bestEffort, slow, large], save);
  await qos.assign(1, 1, save);
  await qos.assign(2, 2);
  await controller.reset();
  assert.equal([await qos.tierOf(1), await qos.tierOf(2)], [1, 0]);
  await controller.close();
  card.powerCut();
  card.restore();
  runLoads(card, [], card.world.nowNs + 1_000_000_000);
  const again = new UltimaQos((await NvmeController.open(card.open())).admin);
  assert.equal((await again.tiers())[1], slow);
  assert.equal([await again.tierOf(1), await again.tierOf(2)], [1, 0]);
});

test('tables that cannot be are refused, and the table stays', async () => {
  const { qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow, large]);
  await qos.assign(1, 2);
  const before = await qos.tiers();
  const bad: (CardTier | null)[][] = [
    [],
    [slow],
    [{ ...bestEffort, minIops: 1 }],
    [bestEffort, slow, slow],
    [bestEffort, slow, { ...large, name: 'Large!' }],
    [bestEffort, slow, { ...large, maxIops: 49_999 }],
    [bestEffort, slow, { ...large, weight: 0 }],
    // Somebody has this one.
    [bestEffort, slow],
  ];
  for (const [index, table] of bad.entries()) {
    assert.is(await refusal(qos.setTiers(table)), Status.invalidField, `table ${index}`);
  }
  assert.equal(await qos.tiers(), before);
  const nine = Array.from({ length: 9 }, (_, i) => ({ ...slow, name: `t${i}` }));
  const error = await qos.setTiers(nine).catch((reason: unknown) => reason);
  assert.ok(error instanceof RangeError && error.message.includes('9 tiers'));
});

test('reservations beyond the capacity are refused, and nothing has changed', async () => {
  const { qos } = await openCard(3);
  await qos.setTiers([bestEffort, large]);
  await qos.assign(1, 1);
  // 50,000 and 50,000 of 90,000.
  assert.is(await refusal(qos.assign(2, 1)), QosStatus.overcommitted);
  assert.equal([await qos.tierOf(1), await qos.tierOf(2)], [1, 0]);
  assert.is(
    await refusal(qos.setTiers([bestEffort, { ...large, minIops: 90_001 }])),
    QosStatus.overcommitted,
  );
  await qos.setTiers([bestEffort, { ...large, minIops: 45_000 }]);
  await qos.assign(2, 1);
  assert.is(await refusal(qos.assign(3, 1)), QosStatus.overcommitted);
});

test('a tier or namespace that is not there is refused', async () => {
  const { qos } = await openCard(1);
  assert.is(await refusal(qos.assign(1, 7)), Status.invalidField);
  assert.is(await refusal(qos.assign(2, 1)), Status.invalidField);
  assert.is(await refusal(qos.assign(5_000, 1)), Status.invalidNamespaceOrFormat);
});

test('a card without it has neither the features nor the log pages', async () => {
  const { qos } = await openCard(1, { qos: null });
  assert.is(await refusal(qos.tiers()), Status.invalidField);
  assert.is(await refusal(qos.tierOf(1)), Status.invalidField);
  assert.is(await refusal(qos.capabilities()), Status.invalidLogPage);
  assert.is(await refusal(qos.counters()), Status.invalidLogPage);
});

test('a limit holds in the card, and another one counts at once', async () => {
  const { card, controller, qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow, { ...slow, name: 'faster', maxIops: 4_000 }]);
  await qos.assign(1, 1);
  const load = new Load(await controller.namespace(1), { depth: 8 });
  const startNs = card.world.nowNs;
  runLoads(card, [load], startNs + 100_000_000);
  // One of credit, one that may end above, one per millisecond; the last is under way for 80 us.
  const first = load.ended.length;
  assert.ok(first >= 99 && first <= 102, `${first}`);
  await qos.assign(1, 2);
  const changedNs = card.world.nowNs;
  runLoads(card, [load], changedNs + 100_000_000);
  const second = load.countIn(changedNs, changedNs + 100_000_000);
  assert.ok(second >= 398 && second <= 404, `${second}`);
  const [counters] = await qos.counters();
  assert.ok(counters!.throttledCommands >= 490);
  assert.is(counters!.guaranteedIntervals, 0);
  await qos.assign(1, 0);
  assert.equal(await qos.counters(), []);
  const freeNs = card.world.nowNs;
  runLoads(card, [load], freeNs + 10_000_000);
  // Eight at a time, 80 us and what the rings cost: no limit is left.
  assert.ok(load.countIn(freeNs, freeNs + 10_000_000) > 700);
});

test('a reset while commands wait in the card forgets them, and the card goes on', async () => {
  const { card, controller, qos } = await openCard(2);
  await qos.setTiers([bestEffort, slow], save);
  await qos.assign(1, 1, save);
  const namespace = await controller.namespace(1);
  const load = new Load(namespace, { depth: 32 });
  runLoads(card, [load], card.world.nowNs + 5_000_000);
  assert.ok((await qos.counters())[0]!.waitingCommands > 20);
  load.isStopped = true;
  await controller.reset();
  assert.is((await qos.counters())[0]!.waitingCommands, 0);
  const other = new Load(namespace, { depth: 4 });
  runLoads(card, [load, other], card.world.nowNs + 50_000_000);
  assert.is(load.inFlight, 0);
  assert.ok(load.statuses.every((one) => one === BlockStatus.ok || one === BlockStatus.unknown));
  assert.ok(other.ended.length >= 49, `${other.ended.length}`);
  card.checker.demandNone();
});

test('a checkpoint holds what waits, and goes on event for event', async () => {
  const { card, controller, qos } = await openCard(1);
  await qos.setTiers([bestEffort, slow]);
  await qos.assign(1, 1);
  runLoads(card, [new Load(await controller.namespace(1), { depth: 32 })], card.world.nowNs + 5e6);
  const fork = forkCard(card);
  const before = card.world.eventCount;
  for (const { world } of [card, fork]) world.advance(20_000_000);
  // A read per millisecond: each of them is woken, read and posted.
  assert.ok(card.world.eventCount > before + 40, `${card.world.eventCount - before} events`);
  assert.is(fork.world.eventHash, card.world.eventHash);
});

test('a namespace that is deleted takes its policy along', async () => {
  const { controller, qos } = await openCard(2);
  await qos.assign(2, 1, save);
  assert.is((await qos.counters()).length, 1);
  await controller.admin.detachNamespace(2, [0]);
  await controller.admin.deleteNamespace(2);
  assert.equal(await qos.counters(), []);
  // All of the capacity can be promised to somebody else.
  await qos.setTiers([bestEffort, { ...large, minIops: 90_000 }]);
  await qos.assign(1, 1);
});

test.run();
