import {
  capacityUnits,
  type InsideResult,
  insideShares,
  type Ruler,
  reserved,
  runInside,
} from './inside.js';
import { FifoPolicy, OurPolicy, TextbookPolicy, TokenBucketPolicy } from './policies.js';

/** The reserved tenants on the card with its whole inside, beside neighbours of every kind. */
export async function insideFigures(figures: Record<string, number>): Promise<void> {
  const alone = await runInside(null, { kind: 'card' }, { without: greedy });
  for (const { name } of modest) figures[`inside_p99Us_alone_${name}`] = alone.p99Us[name]!;
  for (const key of kinds) {
    const result = await runInside(key, { kind: 'card' });
    figures[`S1_reservationMetPct_worst100ms_inside_${key}`] = worst(result);
    const ratios = modest.map(({ name }) => result.p99Us[name]! / alone.p99Us[name]!);
    figures[`S3_p99Ratio_inside_${key}`] = Math.max(...ratios);
    for (const [at, { name }] of modest.entries()) {
      figures[`S3_p99Us_inside_${key}_${name}`] = result.p99Us[name]!;
      figures[`S3_p99Ratio_inside_${key}_${name}`] = ratios[at]!;
    }
    figures[`inside_units_${key}`] = Math.round(result.units);
    figures[`inside_neighbourUnits_${key}`] = Math.round(result.neighbourUnits);
    if (key === 'write4K') figures.inside_writtenPerHost_write4K = result.writtenPerHost;
    if (key !== 'mixed') continue;
    for (const { name } of reserved) {
      figures[`S1_inside_mixed_metPct_${name}`] = result.worstMetPct[name]!;
    }
  }
  await toUnloaded(figures);
  await price(figures);
  for (const [name, ruler] of Object.entries(rulers())) {
    const result = await runInside('mixed', ruler);
    figures[`inside_worstMetPct_${name}`] = worst(result);
    figures[`inside_p99Us_${name}`] = result.p99Us.poisson!;
    figures[`inside_units_${name}`] = Math.round(result.units);
  }
}

/** The Poisson tenant beside the greedy one and all neighbours, to the same on an idle card. */
async function toUnloaded(figures: Record<string, number>): Promise<void> {
  const name = 'poisson';
  const without = modest.map((own) => own.name).filter((other) => other !== name);
  const alone = await runInside(null, { kind: 'card' }, { without: [...without, ...greedy] });
  figures.inside_p99Us_unloaded = alone.p99Us[name]!;
  for (const key of kinds) {
    const beside = await runInside(key, { kind: 'card' }, { without });
    figures[`S3_p99RatioToUnloaded_inside_${key}`] = beside.p99Us[name]! / alone.p99Us[name]!;
  }
}

/** Best-effort writes beside garbage collection: what policies leave of what there is without. */
async function price(figures: Record<string, number>): Promise<void> {
  const plain = await runInside('write4K', { kind: 'none' });
  const others = figures.inside_neighbourUnits_write4K!;
  figures.inside_neighbourUnits_write4K_noPolicy = Math.round(plain.neighbourUnits);
  figures.inside_bestEffortWritePct_underPolicies = (100 * others) / plain.neighbourUnits;
  figures.inside_allWritePct_underPolicies = (100 * figures.inside_units_write4K!) / plain.units;
  // The same while nobody with a reservation asks for anything.
  const without = reserved.map(({ name }) => name);
  const [quiet, quietPlain] = [
    await runInside('write4K', { kind: 'card' }, { without }),
    await runInside('write4K', { kind: 'none' }, { without }),
  ];
  figures.inside_bestEffortWritePct_underPolicies_quiet = (100 * quiet.units) / quietPlain.units;
}

const kinds = ['read4K', 'write4K', 'discard', 'read256K', 'write256K', 'mixed'] as const;

/** Those who ask for less than they reserve, and those who do not. */
const modest = reserved.filter(({ isGreedy }) => isGreedy !== true);
const greedy = reserved.filter(({ isGreedy }) => isGreedy === true).map(({ name }) => name);

/** Others in the card's place. Policies stand on the host, before a card that has none. */
function rulers(): Readonly<Record<string, Ruler>> {
  const isReserved = insideShares.map(({ reservation }) => reservation > 0);
  const spare = capacityUnits - insideShares.reduce((sum, { reservation }) => sum + reservation, 0);
  const part = spare / isReserved.filter((is) => !is).length;
  const limits = isReserved.map((is) => (is ? Number.POSITIVE_INFINITY : part));
  return {
    noPolicy: { kind: 'none' },
    cardWrr: { kind: 'wrr' },
    fifo: { kind: 'host', policy: new FifoPolicy() },
    tokenBucket: { kind: 'host', policy: new TokenBucketPolicy(limits) },
    textbook: { kind: 'host', policy: new TextbookPolicy(insideShares) },
    oursOnHost: { kind: 'host', policy: new OurPolicy(insideShares) },
  };
}

function worst({ worstMetPct }: InsideResult): number {
  return Math.min(...Object.values(worstMetPct));
}
