import type { Share } from '../../../sdk/qos/scheduler.js';
import { bestEffort, builtInTiers, checkTier, shareOf, type Tier } from '../../../sdk/qos/tiers.js';
import {
  QosTier,
  QosTierTable,
  qosBestEffortIndex,
  qosThousand,
  qosTierMaximum,
} from '../../../sdk/spec/ultima/qos.js';

const unlimited = Number.POSITIVE_INFINITY;

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

/** A tier of the card as the scheduler and admission see it. */
export interface TierShare extends Share {
  /** Infinity for none. */
  readonly latencyTargetNs: number;
}

/** @returns the share of each tier, null where there is none; null for a table that cannot be */
export function sharesOf(words: Uint32Array): (TierShare | null)[] | null {
  const shares: (TierShare | null)[] = [];
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

function shareIfPossible(tier: Tier): TierShare | null {
  try {
    checkTier(tier);
    return { ...shareOf(tier), latencyTargetNs: tier.latencyTargetNs ?? unlimited };
  } catch (error) {
    // What a driver wrote is never an exception of the card.
    if (error instanceof RangeError) return null;
    throw error;
  }
}
