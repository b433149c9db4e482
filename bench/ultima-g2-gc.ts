import { NvmeController } from '../sdk/nvme/controller.js';
import { KiB } from '../sdk/units.js';
import { SimCard } from '../sim/card.js';
import { IoLoad, type LoadOptions, type LoadResult, namespacesOf } from './io-load.js';
import { blockPages, blocks, smallBlocks } from './ultima-g2-small.js';

const pairs = 8;
const depth = 256;
const measured = 200_000;
/** Turns of overwriting before anything is measured: from the second on, little changes. */
const turns = 2;

/** Full drives that were overwritten at random: each write costs the collector as much as ever. */
export async function steadyCollection(): Promise<{
  readonly figures: Record<string, number>;
  readonly conditions: Record<string, number | string>;
}> {
  const card = new SimCard({ profile: smallBlocks(), seed: 1, carriesData: false });
  card.fill();
  const controller = await NvmeController.open(card.open());
  const namespaces = await namespacesOf(controller, pairs, 1024);
  const load = (options: Partial<LoadOptions>): IoLoad =>
    new IoLoad(namespaces, { bytes: 4 * KiB, depth, readPercent: 0, ...options });
  const units = namespaces[0]!.blockCount;
  load({ seed: 2 }).run(turns * units);
  const before = card.mediaWork();
  const writes = load({ seed: 3 }).run(measured);
  const after = card.mediaWork();
  if (before === null || after === null) throw new Error('a card without a modelled inside');
  const amplification =
    (after.mediaWriteUnits - before.mediaWriteUnits) /
    (after.hostWriteUnits - before.hostWriteUnits);
  const mixed = load({ seed: 4, readPercent: 70 }).run(measured);
  const half = Math.round(writes.iops / 2);
  const open = load({ seed: 5, depth: 4096 }).runOpen(half, measured);
  card.checker.demandNone();
  await controller.close();
  await card.close();
  return {
    figures: {
      iops_randwrite_gc: Math.round(writes.iops),
      ...percentiles('randwrite_gc', writes),
      iops_7030_gc: Math.round(mixed.iops),
      ...percentiles('7030_gc', mixed),
      p99Us_7030_gc_reads: us(mixed.reads.percentile(99)),
      iops_randwrite_gc_half: Math.round(open.iops),
      ...percentiles('randwrite_gc_half', open),
      waf_gc: Number(amplification.toFixed(3)),
    },
    conditions: {
      collection:
        `full drives, then ${turns} times their capacity overwritten at random; depth ${depth}; ` +
        `${blocks} blocks of ${blockPages} pages a plane, the erase in proportion, the same part ` +
        'of the closed blocks valid as on the whole card; the half in an open loop',
    },
  };
}

function percentiles(key: string, { latency }: LoadResult): Record<string, number> {
  return {
    [`p50Us_${key}`]: us(latency.percentile(50)),
    [`p99Us_${key}`]: us(latency.percentile(99)),
  };
}

function us(ns: number): number {
  return Number((ns / 1000).toFixed(2));
}
