import type { Share } from '../../../sdk/qos/scheduler.js';
import { bestEffort, builtInTiers, checkTier, shareOf, type Tier } from '../../../sdk/qos/tiers.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import {
  QosStatus,
  QosTier,
  QosTierTable,
  qosBestEffortIndex,
  qosThousand,
  qosTierMaximum,
} from '../../../sdk/spec/ultima/qos.js';

const unlimited = Number.POSITIVE_INFINITY;

/**
 * What a host has programmed: the tiers of the card and the tier of each namespace. What always
 * holds: each namespace has a tier that is in the table, and the reservations of all namespaces
 * together are at most what the card can keep.
 */
export class Policies {
  /** The table as it was set, and what it says. */
  words = builtInTable();
  private shares: (Share | null)[] = sharesOf(this.words) ?? [];
  private readonly tierOf: Uint8Array;
  private readonly capacityUnits: number;

  constructor(namespaceLimit: number, capacityUnits: number) {
    this.tierOf = new Uint8Array(namespaceLimit + 1);
    this.capacityUnits = capacityUnits;
  }

  /** Whether any namespace has another tier than best effort. */
  get hasAny(): boolean {
    return this.tierOf.some((tier) => tier !== qosBestEffortIndex);
  }

  tier(nsid: number): number {
    return this.tierOf[nsid]!;
  }

  share(nsid: number): Share {
    return this.shares[this.tierOf[nsid]!] ?? shareOf(bestEffort);
  }

  /** @returns 0 or the status of a table that cannot be */
  checkTable(words: Uint32Array): number {
    const shares = sharesOf(words);
    if (shares === null) return Status.invalidField;
    if (this.tierOf.some((tier) => shares[tier] == null)) return Status.invalidField;
    return this.reserved(shares) > this.capacityUnits ? QosStatus.overcommitted : 0;
  }

  setTable(words: Uint32Array): void {
    const shares = sharesOf(words);
    if (shares === null) return;
    this.words = words;
    this.shares = shares;
    // A reset brought back a table without the tier of somebody: it has what everybody has.
    this.tierOf.forEach((tier, nsid) => {
      if (shares[tier] == null) this.tierOf[nsid] = qosBestEffortIndex;
    });
  }

  /** @returns 0 or the status of an assignment that cannot be */
  checkTier(nsid: number, tier: number): number {
    const share = this.shares[tier];
    if (share == null) return Status.invalidField;
    const others = this.reserved(this.shares) - this.share(nsid).reservation;
    return others + share.reservation > this.capacityUnits ? QosStatus.overcommitted : 0;
  }

  setTier(nsid: number, tier: number): void {
    this.tierOf[nsid] = this.shares[tier] == null ? qosBestEffortIndex : tier;
  }

  private reserved(shares: readonly (Share | null)[]): number {
    return this.tierOf.reduce((sum, tier) => sum + (shares[tier]?.reservation ?? 0), 0);
  }
}

/** Best effort first, then the tiers that every card has. */
export function builtInTable(): Uint32Array {
  const words = new Uint32Array(QosTierTable.layout.bytes / 4);
  const tiers = [bestEffort, ...builtInTiers.filter(({ name }) => name !== bestEffort.name)];
  tiers.forEach((tier, index) => {
    const at = QosTierTable.tiers.at(0, index);
    QosTier.name.setText(words, at, tier.name);
    QosTier.minIops.set(words, at, tier.minIops);
    QosTier.minBytes.set(words, at, tier.minBytesPerSecond);
    QosTier.weight.set(words, at, tier.weight * qosThousand);
  });
  return words;
}

/** @returns the share of each tier, null where there is none; null for a table that cannot be */
function sharesOf(words: Uint32Array): (Share | null)[] | null {
  const shares: (Share | null)[] = [];
  const names = new Set<string>();
  for (let index = 0; index < qosTierMaximum; index++) {
    const tier = tierAt(words, index);
    if (tier === null || names.has(tier.name)) return null;
    if (tier.name === '') {
      shares.push(null);
      continue;
    }
    names.add(tier.name);
    const share = shareIfPossible(tier);
    if (share === null) return null;
    shares.push(share);
  }
  const first = shares[qosBestEffortIndex];
  const isPlain = first?.reservation === 0 && first.limit === unlimited && first.weight === 1;
  const isNamed = tierAt(words, qosBestEffortIndex)?.name === bestEffort.name;
  return isPlain && isNamed ? shares : null;
}

/** @returns null for numbers that no tier can have; an empty name is no tier */
function tierAt(words: Uint32Array, index: number): Tier | null {
  const at = QosTierTable.tiers.at(0, index);
  const { minIops, minBytes, maxIops, maxBytes, latencyNs } = QosTier;
  const wide = [minIops, minBytes, maxIops, maxBytes, latencyNs];
  if (!wide.every((field) => field.isExact(words, at))) return null;
  const burst = QosTier.burst.get(words, at);
  const latencyTargetNs = latencyNs.get(words, at);
  return {
    name: QosTier.name.text(words, at),
    minIops: minIops.get(words, at),
    minBytesPerSecond: minBytes.get(words, at),
    maxIops: maxIops.get(words, at) || unlimited,
    maxBytesPerSecond: maxBytes.get(words, at) || unlimited,
    weight: QosTier.weight.get(words, at) / qosThousand,
    ...(burst === 0 ? {} : { burst }),
    ...(latencyTargetNs === 0 ? {} : { latencyTargetNs }),
  };
}

function shareIfPossible(tier: Tier): Share | null {
  try {
    checkTier(tier);
    return shareOf(tier);
  } catch (error) {
    // What a driver wrote is never an exception of the card.
    if (error instanceof RangeError) return null;
    throw error;
  }
}
