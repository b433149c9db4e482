import {
  QosAssignment,
  QosCapabilities,
  QosCounters,
  QosCountersHeader,
  QosFeature,
  QosLogPage,
  QosTier,
  QosTierTable,
  qosThousand,
  qosTierMaximum,
} from '../spec/ultima/qos.js';
import type { Admin } from './admin.js';

/** A tier as the card keeps it: the shape of `Tier`, rates in units of a 4 KiB read. */
export interface CardTier {
  /** 1..63 characters: lower case letters, digits and inner hyphens. */
  readonly name: string;
  /** Assured, 0 for none; the larger of the two counts. */
  readonly minIops: number;
  readonly minBytesPerSecond: number;
  /** Never exceeded, Infinity for none; the smaller of the two counts. */
  readonly maxIops: number;
  readonly maxBytesPerSecond: number;
  /** Whole thousandths. */
  readonly weight: number;
  readonly burst?: number;
  readonly latencyTargetNs?: number;
}

export interface CardQosCapabilities {
  readonly maxTiers: number;
  readonly maxNamespaces: number;
  /** Units per second that can be reserved. */
  readonly capacityUnits: number;
  readonly depthUnits: number;
  readonly unitBytes: number;
  /** A write, in reads of its size; any other command, in units. */
  readonly writeCost: number;
  readonly discardCost: number;
  readonly intervalNs: number;
}

/** What the card did for a namespace that has a policy, since power came. */
export interface CardQosCounters {
  readonly nsid: number;
  /** Index of its tier. */
  readonly tier: number;
  readonly servedUnits: number;
  readonly reservedUnits: number;
  /** Commands that had to wait in the card. */
  readonly throttledCommands: number;
  /** Intervals with a reservation and commands, and those of them in which it was met. */
  readonly guaranteedIntervals: number;
  readonly metIntervals: number;
  /** Units in the last complete interval. */
  readonly lastIntervalUnits: number;
  readonly waitingCommands: number;
}

type Which = 'current' | 'default' | 'saved';

const tableBytes = QosTierTable.layout.bytes;
const entryBytes = QosCounters.layout.bytes;
const headerBytes = QosCountersHeader.layout.bytes;
const unlimited = Number.POSITIVE_INFINITY;

/**
 * Quality of service of an Ultima card, by its vendor command set (`sdk/spec/ultima/qos.ts`). On a
 * controller without it every call rejects with COMMAND_FAILED, as any other command does.
 */
export class UltimaQos {
  private readonly admin: Admin;

  constructor(admin: Admin) {
    this.admin = admin;
  }

  async capabilities(): Promise<CardQosCapabilities> {
    const bytes = QosCapabilities.layout.bytes;
    const words = await this.admin.logPage(QosLogPage.capabilities, bytes);
    return {
      maxTiers: QosCapabilities.tiers.get(words, 0),
      maxNamespaces: QosCapabilities.namespaces.get(words, 0),
      capacityUnits: QosCapabilities.capacity.get(words, 0),
      depthUnits: QosCapabilities.depth.get(words, 0),
      unitBytes: QosCapabilities.unitBytes.get(words, 0),
      writeCost: QosCapabilities.writeCost.get(words, 0) / qosThousand,
      discardCost: QosCapabilities.discardCost.get(words, 0) / qosThousand,
      intervalNs: QosCapabilities.intervalMs.get(words, 0) * 1_000_000,
    };
  }

  /** By index, null where the table is empty. */
  async tiers(which: Which = 'current'): Promise<readonly (CardTier | null)[]> {
    const options = { select: which, dataBytes: tableBytes };
    const { words } = await this.admin.getFeature(QosFeature.tiers, options);
    return Array.from({ length: qosTierMaximum }, (_, index) =>
      tierAt(words, QosTierTable.tiers.at(0, index)),
    );
  }

  /**
   * Replace the whole table. The first tier is best effort.
   *
   * @param options.isSaved  keep it over resets and power cycles
   * @throws RangeError for a ninth tier or a number that the table has no room for; UltimaError
   *   COMMAND_FAILED: Invalid Field for a table that cannot be, `QosStatus.overcommitted`
   */
  async setTiers(
    tiers: readonly (CardTier | null)[],
    options: { readonly isSaved?: boolean } = {},
  ): Promise<void> {
    if (tiers.length > qosTierMaximum) {
      throw new RangeError(`${tiers.length} tiers; a card has ${qosTierMaximum} at most`);
    }
    const words = new Uint32Array(tableBytes / 4);
    tiers.forEach((tier, index) => {
      if (tier !== null) putTier(words, QosTierTable.tiers.at(0, index), tier);
    });
    const data = new Uint8Array(words.buffer);
    await this.admin.setFeature(QosFeature.tiers, 0, { ...options, data });
  }

  /** @returns the index of the namespace's tier */
  async tierOf(nsid: number, which: Which = 'current'): Promise<number> {
    const { value } = await this.admin.getFeature(QosFeature.assignment, { nsid, select: which });
    return QosAssignment.tier.of(value);
  }

  /**
   * Give a namespace another tier. Commands that wait go on waiting, by its new share.
   *
   * @param tier  an index of the table, 0 for best effort
   * @throws RangeError for an index outside 0..7; UltimaError COMMAND_FAILED with
   *   `QosStatus.overcommitted` when the card cannot keep all reservations; nothing changed then
   */
  async assign(
    nsid: number,
    tier: number,
    options: { readonly isSaved?: boolean } = {},
  ): Promise<void> {
    if (!(Number.isInteger(tier) && tier >= 0 && tier < qosTierMaximum)) {
      throw new RangeError(`tier ${tier}; a table has 0..${qosTierMaximum - 1}`);
    }
    const word = QosAssignment.tier.put(0, tier);
    await this.admin.setFeature(QosFeature.assignment, word, { ...options, nsid });
  }

  /** Of each namespace that has a policy, by identifier. */
  async counters(): Promise<readonly CardQosCounters[]> {
    const header = await this.admin.logPage(QosLogPage.counters, headerBytes);
    const { maxNamespaces } = await this.capabilities();
    // The count comes from the device: no more than it can have is believed.
    const count = Math.min(QosCountersHeader.count.get(header, 0), maxNamespaces);
    if (count === 0) return [];
    const options = { offset: headerBytes };
    const words = await this.admin.logPage(QosLogPage.counters, count * entryBytes, options);
    return Array.from({ length: count }, (_, index) =>
      countersAt(words, (index * entryBytes) / 4),
    ).filter(({ nsid }) => nsid !== 0);
  }
}

function tierAt(words: Uint32Array, at: number): CardTier | null {
  const name = QosTier.name.text(words, at);
  if (name === '') return null;
  const burst = QosTier.burst.get(words, at);
  const latencyTargetNs = QosTier.latencyNs.get(words, at);
  return {
    name,
    minIops: QosTier.minIops.get(words, at),
    minBytesPerSecond: QosTier.minBytes.get(words, at),
    maxIops: QosTier.maxIops.get(words, at) || unlimited,
    maxBytesPerSecond: QosTier.maxBytes.get(words, at) || unlimited,
    weight: QosTier.weight.get(words, at) / qosThousand,
    ...(burst === 0 ? {} : { burst }),
    ...(latencyTargetNs === 0 ? {} : { latencyTargetNs }),
  };
}

function putTier(words: Uint32Array, at: number, tier: CardTier): void {
  if (tier.name.length > QosTier.name.length) {
    throw new RangeError(`tier name '${tier.name}': ${QosTier.name.length} characters at most`);
  }
  const whole = (field: string, value: number): number => {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return Math.round(value);
    throw new RangeError(`tier '${tier.name}': ${field} is ${value}; 0..2^53 - 1`);
  };
  const limit = (field: string, value: number): number =>
    value === unlimited ? 0 : Math.max(1, whole(field, value));
  QosTier.name.setText(words, at, tier.name);
  QosTier.minIops.set(words, at, whole('minIops', tier.minIops));
  QosTier.minBytes.set(words, at, whole('minBytesPerSecond', tier.minBytesPerSecond));
  QosTier.maxIops.set(words, at, limit('maxIops', tier.maxIops));
  QosTier.maxBytes.set(words, at, limit('maxBytesPerSecond', tier.maxBytesPerSecond));
  const weight = whole('weight', tier.weight * qosThousand);
  if (weight > QosTier.weight.max) {
    throw new RangeError(`tier '${tier.name}': weight is ${tier.weight}; up to 1,000,000`);
  }
  QosTier.weight.set(words, at, weight);
  const burst = whole('burst', tier.burst ?? 0);
  if (burst > QosTier.burst.max) {
    throw new RangeError(`tier '${tier.name}': burst is ${burst}; up to 1e9`);
  }
  QosTier.burst.set(words, at, burst);
  QosTier.latencyNs.set(words, at, whole('latencyTargetNs', tier.latencyTargetNs ?? 0));
}

function countersAt(words: Uint32Array, at: number): CardQosCounters {
  return {
    nsid: QosCounters.nsid.get(words, at),
    tier: QosCounters.tier.get(words, at),
    servedUnits: QosCounters.served.get(words, at),
    reservedUnits: QosCounters.reserved.get(words, at),
    throttledCommands: QosCounters.throttled.get(words, at),
    guaranteedIntervals: QosCounters.guaranteed.get(words, at),
    metIntervals: QosCounters.met.get(words, at),
    lastIntervalUnits: QosCounters.lastServed.get(words, at),
    waitingCommands: QosCounters.waiting.get(words, at),
  };
}
