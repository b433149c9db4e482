import { unitBytes } from './cost.js';
import { checkShare, type Share } from './scheduler.js';

/**
 * A performance tier: what every volume of it is promised. Rates count in units of a 4 KiB read,
 * see `CostModel`: 20,000 IOPS are 20,000 reads of 4 KiB, or 1,250 of 64 KiB, per second.
 */
export interface Tier {
  /** 1..63 characters: lower case letters, digits and hyphens. */
  readonly name: string;
  /** Assured whatever others do; the larger of the two counts. 0 for none. */
  readonly minIops: number;
  readonly minBytesPerSecond: number;
  /** Never exceeded; the smaller of the two counts. Infinity for none. */
  readonly maxIops: number;
  readonly maxBytesPerSecond: number;
  /** Units of a burst above the steady rate; see `Share`. */
  readonly burst?: number;
  /** Part of what is left over, 0.001..1,000,000. */
  readonly weight: number;
  /** What admission plans for: a device's capacity depends on the latency it may have. */
  readonly latencyTargetNs?: number;
}

const none = Number.POSITIVE_INFINITY;
const megabit = 1_000_000 / 8;

/** What a volume has that names no tier. It can be neither changed nor removed. */
export const bestEffort: Tier = {
  name: 'best-effort',
  minIops: 0,
  minBytesPerSecond: 0,
  maxIops: none,
  maxBytesPerSecond: none,
  weight: 1,
};

/** The tiers that every card has. */
export const builtInTiers: readonly Tier[] = [
  { ...bestEffort, name: 'high', minIops: 20_000, minBytesPerSecond: 500 * megabit, weight: 4 },
  { ...bestEffort, name: 'medium', minIops: 5_000, minBytesPerSecond: 125 * megabit, weight: 2 },
  bestEffort,
];

/** Tiers that a card can have, the built-in ones among them. */
export const maxTiers = 8;

const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** @throws RangeError that names the field, the value and what can be */
export function checkTier(tier: Tier): void {
  if (!namePattern.test(tier.name)) {
    throw new RangeError(
      `tier name '${tier.name}': 1..63 lower case letters, digits and inner hyphens`,
    );
  }
  for (const field of ['minIops', 'minBytesPerSecond'] as const) {
    const value = tier[field];
    if (value >= 0 && value <= 1e12) continue;
    throw new RangeError(`tier '${tier.name}': ${field} is ${value}; 0..1e12, 0 for none`);
  }
  for (const field of ['maxIops', 'maxBytesPerSecond'] as const) {
    if (tier[field] > 0) continue;
    throw new RangeError(`tier '${tier.name}': ${field} is ${tier[field]}; above 0, or Infinity`);
  }
  if (tier.latencyTargetNs !== undefined && !(tier.latencyTargetNs > 0)) {
    throw new RangeError(`tier '${tier.name}': latencyTargetNs is ${tier.latencyTargetNs}`);
  }
  checkShare(shareOf(tier));
}

/** What the scheduler is told about a volume of this tier. */
export function shareOf(tier: Tier): Share {
  const { minIops, minBytesPerSecond, maxIops, maxBytesPerSecond, weight, burst } = tier;
  return {
    reservation: Math.max(minIops, minBytesPerSecond / unitBytes),
    limit: Math.min(maxIops, maxBytesPerSecond / unitBytes),
    weight,
    ...(burst === undefined ? {} : { reservationBurst: burst, limitBurst: burst }),
  };
}

/** The tiers of one card, by name. */
export class TierTable {
  private readonly tiers = new Map<string, Tier>(builtInTiers.map((tier) => [tier.name, tier]));

  /** Sorted by name. */
  list(): readonly Tier[] {
    return [...this.tiers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws RangeError that lists the tiers there are */
  get(name: string): Tier {
    const tier = this.tiers.get(name);
    if (tier !== undefined) return tier;
    const names = this.list().map((one) => one.name);
    throw new RangeError(`no tier '${name}'; there are ${names.join(', ')}`);
  }

  /**
   * Add a tier, or change one. Who uses it is told by whoever holds the volumes.
   *
   * @throws RangeError for a tier that cannot be, a ninth one, or a change of best-effort
   */
  set(tier: Tier): void {
    checkTier(tier);
    if (tier.name === bestEffort.name) {
      throw new RangeError(`tier '${tier.name}' is what is left over; it cannot be changed`);
    }
    if (!this.tiers.has(tier.name) && this.tiers.size === maxTiers) {
      throw new RangeError(`tier '${tier.name}' would be the ninth; a card has ${maxTiers}`);
    }
    this.tiers.set(tier.name, tier);
  }

  /** @throws RangeError for one that is not there, or best-effort */
  remove(name: string): void {
    this.get(name);
    if (name === bestEffort.name) throw new RangeError(`tier '${name}' cannot be removed`);
    this.tiers.delete(name);
  }
}
