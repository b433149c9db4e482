import { type InsideResult, insideShares, type Ruler, reserved, runInside } from './inside.js';
import { FifoPolicy, OurPolicy, TextbookPolicy, TokenBucketPolicy } from './policies.js';

/** The reserved tenants on the card with its whole inside, beside neighbours of every kind. */
export async function insideFigures(figures: Record<string, number>): Promise<void> {
  const alone = await runInside(null, { kind: 'card' });
  figures.inside_p99Us_alone = alone.p99Us.poisson!;
  for (const key of kinds) {
    const result = await runInside(key, { kind: 'card' });
    figures[`S1_reservationMetPct_worst100ms_inside_${key}`] = worst(result);
    figures[`S3_p99Us_inside_${key}`] = result.p99Us.poisson!;
    figures[`S3_p99Ratio_inside_${key}`] = result.p99Us.poisson! / alone.p99Us.poisson!;
    figures[`inside_units_${key}`] = Math.round(result.units);
    if (key === 'write4K') figures.inside_writtenPerHost_write4K = result.writtenPerHost;
    if (key !== 'mixed') continue;
    for (const { name: pace } of reserved) {
      figures[`S1_inside_mixed_metPct_${pace}`] = result.worstMetPct[pace]!;
      figures[`S3_inside_mixed_p99Us_${pace}`] = result.p99Us[pace]!;
    }
  }
  for (const [name, ruler] of Object.entries(rulers())) {
    const result = await runInside('mixed', ruler);
    figures[`inside_worstMetPct_${name}`] = worst(result);
    figures[`inside_p99Us_${name}`] = result.p99Us.poisson!;
    figures[`inside_units_${name}`] = Math.round(result.units);
  }
}

const kinds = ['read4K', 'write4K', 'discard', 'read256K', 'write256K', 'mixed'] as const;

/** Others in the card's place. Policies stand on the host, before a card that has none. */
function rulers(): Readonly<Record<string, Ruler>> {
  const isReserved = insideShares.map(({ reservation }) => reservation > 0);
  const spare = 300_000 - insideShares.reduce((sum, { reservation }) => sum + reservation, 0);
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
