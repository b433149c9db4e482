import { NvmeController } from '../sdk/nvme/controller.js';
import { SimCard } from '../sim/card.js';
import { findProfile } from '../sim/profiles/index.js';
import { type Row, remembered, rows, rowsLeftOut, type Target } from './fidelity-rows.js';
import { type Bench, type Figures, machine } from './figures.js';
import { IoLoad, type LoadResult, namespacesOf } from './io-load.js';

/**
 * What the host of the reviews adds to each latency (block layer, interrupt, wake-up), and what it
 * takes between a completion and the next request: from depth / IOPS - mean of the rows.
 */
const hostNs = 2_000; // guess
const gapNs = { one: 330, many: 1_800 } as const; // from the rows themselves
const requests = 200_000;
/** Ten samples above p99.999, a hundred above p99.99. */
const tailRequests = 1_000_000;
/** Fewer of the big ones: as many bytes. */
const largeRequests = 20_000;
/** A tail that hangs on ten samples. */
export const notJudged: readonly string[] = ['p99999Us'];

/** Each calibration row simulated, driver and queues included, beside what was measured. */
export const bench: Bench = {
  claim: 'mean, median, p99 and IOPS of real drives within 10 %, a third of the rows held out',
  run,
};

async function run(): Promise<Figures> {
  const figures: Record<string, number> = {};
  const errors: { key: string; percent: number; isHeldOut: boolean }[] = [];
  for (const row of rows) {
    for (const { key, metric, value, percent } of await measure(row)) {
      figures[key] = round(value);
      if (notJudged.includes(metric)) continue;
      figures[`errorPct_${key}`] = round(percent);
      errors.push({ key, percent: Math.abs(percent), isHeldOut: row.isHeldOut });
    }
  }
  const worst = (list: readonly { percent: number }[]): number =>
    round(Math.max(...list.map(({ percent }) => percent)));
  figures.worstErrorPct = worst(errors);
  figures.worstHeldOutErrorPct = worst(errors.filter(({ isHeldOut }) => isHeldOut));
  figures.worstFittedErrorPct = worst(errors.filter(({ isHeldOut }) => !isHeldOut));
  const heldOut = rows.filter(({ isHeldOut }) => isHeldOut);
  return {
    conditions: {
      rows: rows.length,
      heldOutRows: keysOf(heldOut),
      heldOutShare: round(heldOut.length / rows.length),
      remembered: keysOf(rows.filter(({ source }) => source === remembered)),
      leftOut: rowsLeftOut,
      worstRow: errors.toSorted((a, b) => b.percent - a.percent)[0]!.key,
      requests: `${requests}; for a far tail ${tailRequests}; of 128 KiB ${largeRequests}`,
      hostNs: `${hostNs} added to each latency: a guess for block layer, interrupt and wake-up`,
      gapNs: `${gapNs.one} at depth 1, ${gapNs.many} above, between completion and next request`,
      preparation:
        'full drive, written once in order; rows of a fresh drive: writes of the 970 Pro',
      dataCarrying: true,
      ...machine(),
    },
    figures,
  };
}

/** One metric of a row: simulated, and how far it is from the real drive. */
export interface Measured {
  readonly key: string;
  readonly metric: string;
  readonly value: number;
  readonly percent: number;
}

/** @param share  of the requests of the figure: a small part for a quick look */
export async function measure(row: Row, share = 1): Promise<Measured[]> {
  const result = await simulate(row, share);
  return compare(row, result).map(([metric, value, target]) => ({
    key: `${row.profile}_${row.name}_${metric}`,
    metric,
    value,
    percent: 100 * (value / target - 1),
  }));
}

async function simulate(row: Row, share: number): Promise<LoadResult> {
  const card = new SimCard({ profile: findProfile(row.profile), seed: 1 });
  if (row.isFresh !== true) card.fill();
  const controller = await NvmeController.open(card.open());
  const namespaces = await namespacesOf(controller, 1, 1024);
  const { depth, bytes } = row.load;
  const isLarge = bytes > 4096;
  const load = new IoLoad(namespaces, {
    ...row.load,
    // Data that is written is kept in memory: a region that fits.
    ...(row.load.readPercent < 100 ? { regionBytes: 512 * 1024 * 1024 } : {}),
    hostNs: isLarge || depth > 16 ? 0 : hostNs,
    gapNs: isLarge || depth > 16 ? 0 : depth === 1 ? gapNs.one : gapNs.many,
    ...row.host,
  });
  const hasTail = (row.target.p99999Us ?? row.target.p9999Us) !== undefined;
  const count = isLarge ? largeRequests : hasTail ? tailRequests : requests;
  const result = load.run(Math.ceil(count * share));
  card.checker.demandNone();
  await controller.close();
  await card.close();
  return result;
}

function compare(row: Row, result: LoadResult): [metric: string, value: number, target: number][] {
  const { latency } = result;
  const values: Record<keyof Target, number> = {
    iops: result.iops,
    megabytesPerSecond: (result.iops * row.load.bytes) / 1e6,
    meanUs: latency.mean / 1000,
    p50Us: latency.percentile(50) / 1000,
    p99Us: latency.percentile(99) / 1000,
    p9999Us: latency.percentile(99.99) / 1000,
    p99999Us: latency.percentile(99.999) / 1000,
  };
  const found: [string, number, number][] = [];
  for (const [metric, value] of Object.entries(values)) {
    const target: unknown = Reflect.get(row.target, metric);
    if (typeof target === 'number') found.push([metric, value, target]);
  }
  return found;
}

function keysOf(list: readonly Row[]): string {
  return list.map(({ profile, name }) => `${profile}_${name}`).join(', ');
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
