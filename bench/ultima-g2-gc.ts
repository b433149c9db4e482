import { NvmeController } from '../sdk/nvme/controller.js';
import { KiB, MiB } from '../sdk/units.js';
import { SimCard } from '../sim/card.js';
import { defineProfile, findProfile } from '../sim/profiles/index.js';
import type { Profile } from '../sim/profiles/profile.js';
import { IoLoad, type LoadOptions, type LoadResult, namespacesOf } from './io-load.js';

const pairs = 8;
const depth = 256;
const measured = 200_000;
/** Turns of overwriting before anything is measured: from the second on, little changes. */
const turns = 2;
const blockPages = 16;
const blocks = 48;

/**
 * The card with all of its channels, dies and planes, but with few and small blocks, so that they
 * can be overwritten in a minute. The collector has the same work for each write of the host: the
 * part of the closed blocks that is valid when the drives are full is that of the whole card, and
 * an erase takes the same part of the time that it takes to write a block.
 */
function smallBlocks(): Profile {
  const whole = findProfile('ultima-g2');
  const { inside } = whole;
  if (inside === null || inside.flash === null || inside.ftl === null) throw new Error('no flash');
  const { flash, ftl } = inside;
  const open = (streams: number): number => ftl.gcFreeBlocks + streams + 2;
  const closedValid =
    (1 - ftl.overProvisioningPermille / 1000) /
    (1 - open(ftl.streams) / (flash.blocksPerPlane - ftl.spareBlocks));
  const hiddenPermille = Math.ceil(1000 * (1 - closedValid * (1 - open(1) / blocks)));
  const dieBytes = blocks * blockPages * flash.pageBytes * flash.planesPerDie;
  const allBytes = inside.drives * flash.channels * flash.diesPerPackage * dieBytes;
  // Whole stripes of every drive, and a little less than they have.
  const shown = Math.floor((allBytes * (1000 - hiddenPermille)) / 1000 / MiB);
  const capacityBytes = (shown - inside.drives) * MiB;
  return defineProfile(whole, {
    inside: {
      flash: {
        pagesPerBlock: blockPages,
        blocksPerPlane: blocks,
        eraseNs: Math.round((flash.eraseNs * blockPages) / flash.pagesPerBlock),
      },
      ftl: { streams: 1, spareBlocks: 0, overProvisioningPermille: hiddenPermille },
    },
    subsystem: { capacityBytes },
    namespaces: [{ ...whole.namespaces[0]!, bytes: capacityBytes }],
  });
}

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
