import { NvmeController } from '../sdk/nvme/controller.js';
import { KiB } from '../sdk/units.js';
import { SimCard } from '../sim/card.js';
import { findProfile } from '../sim/profiles/index.js';
import { type Bench, type Figures, machine } from './figures.js';
import { IoLoad, type LoadResult, namespacesOf } from './io-load.js';
import { steadyCollection } from './ultima-g2-gc.js';

const pairs = 8;
const depths = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;
const mixes = { randread: 100, randwrite: 0, '7030': 70 } as const;
const requests = 60_000;
const rated = 1_000_000;
const openRequests = 300_000;

/** What the card promises, through eight queue pairs of the driver. */
export const bench: Bench = {
  claim: 'one million commands of 4 KiB per second, 99 % of them below 100 us at that load',
  run,
};

async function run(): Promise<Figures> {
  const figures: Record<string, number> = {};
  for (const [name, readPercent] of Object.entries(mixes)) {
    let most = 0;
    for (const depth of depths) {
      const result = await simulate(readPercent, depth, null);
      const key = `${name}_qd${depth}`;
      most = Math.max(most, result.iops);
      figures[`iops_${key}`] = Math.round(result.iops);
      addPercentiles(figures, key, result);
    }
    figures[`iops_${name}_max`] = Math.round(most);
  }
  figures.p50Us_qd1 = figures.p50Us_randread_qd1!;
  const open = await simulate(100, 4096, rated);
  figures.p99Us_at_1M = us(open.latency.percentile(99));
  figures.p999Us_at_1M = us(open.latency.percentile(99.9));
  figures.p50Us_at_1M = us(open.latency.percentile(50));
  figures.iops_at_1M = Math.round(open.iops);
  const steady = await steadyCollection();
  Object.assign(figures, steady.figures);
  return {
    conditions: {
      card: 'sim:ultima-g2',
      queuePairs: pairs,
      depth: 'in all, spread over the queue pairs',
      requests,
      openLoop: `random reads, Poisson arrivals, ${rated} per second, ${openRequests} requests`,
      preparation: 'every drive full, written once in order; collection only where a key says gc',
      ...steady.conditions,
      dataCarrying: false,
      latency: 'from submit, or in the open loop from the arrival, to the callback',
      ...machine(),
    },
    figures,
  };
}

async function simulate(
  readPercent: number,
  depth: number,
  perSecond: number | null,
): Promise<LoadResult> {
  const profile = findProfile('ultima-g2');
  const card = new SimCard({ profile, seed: 1, carriesData: false });
  card.fill();
  const controller = await NvmeController.open(card.open());
  const namespaces = await namespacesOf(controller, pairs, 1024);
  const load = new IoLoad(namespaces, { bytes: 4 * KiB, depth, readPercent });
  const result = perSecond === null ? load.run(requests) : load.runOpen(perSecond, openRequests);
  card.checker.demandNone();
  await controller.close();
  await card.close();
  return result;
}

function addPercentiles(figures: Record<string, number>, key: string, result: LoadResult): void {
  for (const [name, percent] of Object.entries({ p50: 50, p99: 99, p999: 99.9 })) {
    figures[`${name}Us_${key}`] = us(result.latency.percentile(percent));
  }
}

function us(ns: number): number {
  return Number((ns / 1000).toFixed(2));
}
