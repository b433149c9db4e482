import * as assert from 'uvu/assert';
import { suite } from '../../../support/suite.js';
import { Load, type OpenedCard, openCard, runLoads } from './load.js';

const test = suite('a reserved namespace on the card');
const neighbours = 14;
const warmNs = 50_000_000;
const windowNs = 100_000_000;
const windows = 4;

interface Measured {
  readonly p99Ns: number;
  /** Of the one with 5,000 IOPS, in its worst window. */
  readonly worstWindow: number;
  /** Of everybody, in the whole. */
  readonly total: number;
}

/** Namespace 1 comes at 18,000 reads per second, 2 and all others keep 32 reads going. */
async function run(opened: OpenedCard, others: number): Promise<Measured> {
  const { card, controller } = opened;
  const loads: Load[] = [];
  for (let nsid = 1; nsid <= 2 + others; nsid++) {
    const how = nsid === 1 ? { rate: 18_000, depth: 512 } : { depth: 32 };
    if (others === 0 && nsid === 2) break;
    loads.push(new Load(await controller.namespace(nsid), how));
  }
  const startNs = card.world.nowNs + warmNs;
  runLoads(card, loads, startNs);
  runLoads(card, loads, startNs + windows * windowNs);
  const counts = Array.from({ length: windows }, (_, i) =>
    (loads[1] ?? loads[0]!).countIn(startNs + i * windowNs, startNs + (i + 1) * windowNs),
  );
  const endNs = startNs + windows * windowNs;
  const total = loads.reduce((sum, load) => sum + load.countIn(startNs, endNs), 0);
  card.checker.demandNone();
  return {
    p99Ns: loads[0]!.latency.percentile(99),
    worstWindow: Math.min(...counts),
    total,
  };
}

test('keeps its IOPS and its p99 beside neighbours that saturate the card', async () => {
  const alone = await run(await openCard(2 + neighbours), 0);
  const plain = await run(await openCard(2 + neighbours), neighbours);
  const opened = await openCard(2 + neighbours);
  const tiers = await opened.qos.tiers();
  const indexOf = (name: string) => tiers.findIndex((tier) => tier?.name === name);
  await opened.qos.assign(1, indexOf('high'));
  await opened.qos.assign(2, indexOf('medium'));
  const kept = await run(opened, neighbours);
  // The threshold for a tenant at 90 % of what it reserved.
  const ratio = kept.p99Ns / alone.p99Ns;
  assert.ok(ratio <= 1.7, `p99 ${kept.p99Ns} ns beside neighbours, ${alone.p99Ns} alone`);
  assert.ok(plain.p99Ns > 10 * alone.p99Ns, `without a policy ${plain.p99Ns} ns`);
  // 5,000 per second in every 100 ms.
  assert.ok(kept.worstWindow >= 0.99 * 500, `${kept.worstWindow} in 100 ms`);
  // Eight reads of 80 us: 100,000 per second, of which the front end costs little.
  assert.ok(kept.total >= 0.99 * plain.total, `${kept.total}, ${plain.total} without a policy`);
  const counters = await opened.qos.counters();
  assert.equal(
    counters.map(({ nsid, guaranteedIntervals, metIntervals }) => [
      nsid,
      guaranteedIntervals >= windows,
      guaranteedIntervals - metIntervals,
    ]),
    [
      [1, true, 0],
      [2, true, 0],
    ],
  );
  const [high] = counters;
  assert.ok(high!.lastIntervalUnits > 1_500 && high!.lastIntervalUnits < 2_100);
});

test.run();
