import { ErrorCode, UltimaError } from '../errors.js';
import { AsyncEventResult } from '../spec/nvme/completion.js';
import { statusKind } from '../spec/nvme/status.js';
import {
  QosAssignment,
  QosCapabilities,
  QosCapacityTable,
  QosCounters,
  QosCountersHeader,
  QosEvent,
  QosFeature,
  QosHistory,
  QosLogPage,
  QosQueueAssignment,
  QosStatus,
  QosTier,
  QosTierTable,
  qosThousand,
  qosTierMaximum,
} from '../spec/ultima/qos.js';
import type { Admin } from './admin.js';
import type { ControllerEvent } from './events.js';
import {
  type CardCapacity,
  type CardQosCopies,
  type CardQosHistory,
  capacityOf,
  copiesAt,
  copiesOfHistory,
  historyAt,
  wordsOfCapacity,
} from './ultima-qos-pages.js';

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
  /** Units per second that can be reserved at the latencies that are asked for now. */
  readonly capacityUnits: number;
  /** Units per second that are reserved. */
  readonly promisedUnits: number;
  /** The capacity comes from a measuring run, not from the maker. */
  readonly isMeasured: boolean;
  /** Units that are worked on at one time; and while nobody with a reservation has commands. */
  readonly depthUnits: number;
  readonly quietDepthUnits: number;
  readonly unitBytes: number;
  /** A write, in reads of its size; any other command, in units. */
  readonly writeCost: number;
  readonly discardCost: number;
  readonly intervalNs: number;
  /** Intervals that the history keeps. */
  readonly historyIntervals: number;
  /** Part of each reservation that the media keep now: below 1 they have slowed too far. */
  readonly keptPart: number;
}

/** What the card did for a client that has a policy, since power came. */
export interface CardQosCounters {
  /** 0 for a queue. */
  readonly nsid: number;
  /** 0 for a namespace. */
  readonly queueId: number;
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
  /** Its reservation did not fit and is not kept; the rest of its tier holds. */
  readonly isBestEffort: boolean;
  /** Units per second of its reservation that the media keep now. */
  readonly keptUnitsPerSecond: number;
}

export interface AssignOptions {
  /** Keep it over resets and power cycles. */
  readonly isSaved?: boolean;
  /** Where the reservation does not fit, take the tier without it instead of refusing. */
  readonly orBestEffort?: boolean;
}

type Which = 'current' | 'default' | 'saved';

const tableBytes = QosTierTable.layout.bytes;
const entryBytes = QosCounters.layout.bytes;
const headerBytes = QosCountersHeader.layout.bytes;
const unlimited = Number.POSITIVE_INFINITY;
/** Namespaces and queues: more than any card has. */
const mostClients = 4096;

/**
 * Quality of service of an Ultima card, by its vendor command set (`sdk/spec/ultima/qos.ts`). On a
 * controller without it every call rejects with COMMAND_FAILED, as any other command does.
 */
export class UltimaQos {
  private readonly admin: Admin;

  constructor(admin: Admin) {
    this.admin = admin;
  }

  /** Whether the controller has these commands. */
  async isThere(): Promise<boolean> {
    try {
      await this.capabilities();
      return true;
    } catch (error) {
      if (error instanceof UltimaError && error.code === ErrorCode.commandFailed) return false;
      throw error;
    }
  }

  async capabilities(): Promise<CardQosCapabilities> {
    const bytes = QosCapabilities.layout.bytes;
    const words = await this.admin.logPage(QosLogPage.capabilities, bytes);
    return {
      maxTiers: QosCapabilities.tiers.get(words, 0),
      maxNamespaces: QosCapabilities.namespaces.get(words, 0),
      capacityUnits: QosCapabilities.capacity.get(words, 0),
      depthUnits: QosCapabilities.depth.get(words, 0),
      quietDepthUnits: QosCapabilities.quietDepth.get(words, 0),
      unitBytes: QosCapabilities.unitBytes.get(words, 0),
      writeCost: QosCapabilities.writeCost.get(words, 0) / qosThousand,
      discardCost: QosCapabilities.discardCost.get(words, 0) / qosThousand,
      intervalNs: QosCapabilities.intervalMs.get(words, 0) * 1_000_000,
      promisedUnits: QosCapabilities.promised.get(words, 0),
      isMeasured: QosCapabilities.isMeasured.get(words, 0) === 1,
      historyIntervals: QosCapabilities.history.get(words, 0),
      keptPart: QosCapabilities.kept.get(words, 0) / qosThousand,
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
   *   COMMAND_FAILED: Invalid Field for a table that cannot be; QOS_OVERCOMMITTED
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
    const set = this.admin.setFeature(QosFeature.tiers, 0, { ...options, data });
    await this.orNumbers(set, 'this table, with the tiers as they are assigned,');
  }

  /** What a measuring run has found, or nothing. */
  async capacity(which: Which = 'current'): Promise<CardCapacity> {
    const options = { select: which, dataBytes: QosCapacityTable.layout.bytes };
    return capacityOf((await this.admin.getFeature(QosFeature.capacity, options)).words);
  }

  /**
   * Let the card promise what was measured. Less than what it has promised is taken, too: then it
   * promises nothing more.
   *
   * @throws RangeError for numbers that the table has no room for; UltimaError COMMAND_FAILED,
   *   Invalid Field, for points that do not rise
   */
  async setCapacity(
    capacity: CardCapacity,
    options: { readonly isSaved?: boolean } = {},
  ): Promise<void> {
    const data = new Uint8Array(wordsOfCapacity(capacity).buffer);
    await this.admin.setFeature(QosFeature.capacity, 0, { ...options, data });
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
   * @returns whether its reservation, if it has one, is kept; false only with `orBestEffort`
   * @throws RangeError for an index outside 0..7; UltimaError QOS_OVERCOMMITTED with what is
   *   promised and available when the card cannot keep all reservations; nothing changed then
   */
  async assign(nsid: number, tier: number, options: AssignOptions = {}): Promise<boolean> {
    checkIndex(tier);
    const { orBestEffort = false, ...rest } = options;
    const flag = orBestEffort ? 1 : 0;
    const word = QosAssignment.bestEffort.put(QosAssignment.tier.put(0, tier), flag);
    const set = this.admin.setFeature(QosFeature.assignment, word, { ...rest, nsid });
    await this.orNumbers(set, `tier ${tier} for namespace ${nsid}`);
    if (!orBestEffort) return true;
    const { value } = await this.admin.getFeature(QosFeature.assignment, { nsid });
    return QosAssignment.bestEffort.of(value) === 0;
  }

  /** @returns the index of the tier of a submission queue of this controller, 0 for none */
  async tierOfQueue(queueId: number): Promise<number> {
    const cdw11 = QosQueueAssignment.queue.put(0, queueId);
    const { value } = await this.admin.getFeature(QosFeature.queueAssignment, { cdw11 });
    return QosQueueAssignment.tier.of(value);
  }

  /**
   * Give a queue pair of this controller a tier: its commands are a client by themselves, and do
   * not count to the namespaces that they are for. Tier 0 takes that back. It ends with the queue.
   *
   * @returns whether its reservation, if it has one, is kept; false only with `orBestEffort`
   * @throws as `assign`; UltimaError COMMAND_FAILED, Invalid Field, for a queue that cannot be
   */
  async assignQueue(
    queueId: number,
    tier: number,
    options: { readonly orBestEffort?: boolean } = {},
  ): Promise<boolean> {
    checkIndex(tier);
    if (!(Number.isInteger(queueId) && queueId >= 1 && queueId <= QosQueueAssignment.queue.max)) {
      throw new RangeError(`queue ${queueId}; I/O queues are 1..${QosQueueAssignment.queue.max}`);
    }
    const { queue, bestEffort } = QosQueueAssignment;
    const cdw11 = queue.put(0, queueId);
    const tiered = QosQueueAssignment.tier.put(cdw11, tier);
    const word = bestEffort.put(tiered, options.orBestEffort === true ? 1 : 0);
    const set = this.admin.setFeature(QosFeature.queueAssignment, word);
    await this.orNumbers(set, `tier ${tier} for queue ${queueId}`);
    if (options.orBestEffort !== true) return true;
    const { value } = await this.admin.getFeature(QosFeature.queueAssignment, { cdw11 });
    return bestEffort.of(value) === 0;
  }

  /** Of each client that has a policy: namespaces by identifier, then queues. */
  async counters(): Promise<readonly CardQosCounters[]> {
    const entries = await this.entries(QosLogPage.counters, entryBytes, countersAt);
    return entries.filter(({ nsid, queueId }) => nsid !== 0 || queueId !== 0);
  }

  /** The last intervals of each, in the same order. */
  async history(): Promise<readonly CardQosHistory[]> {
    const entries = await this.entries(QosLogPage.history, QosHistory.layout.bytes, historyAt);
    return entries.filter(({ nsid, queueId }) => nsid !== 0 || queueId !== 0);
  }

  /** What the drives copied by themselves; nothing for a card whose drives never do. */
  async copies(): Promise<readonly CardQosCopies[]> {
    const counters = await this.entries(QosLogPage.counters, entryBytes, copiesAt);
    const bytes = QosHistory.layout.bytes;
    const history = await this.entries(QosLogPage.history, bytes, (words, at) => ({
      kind: copiesOfHistory(words, at),
      intervals: historyAt(words, at).intervals,
    }));
    return counters.flatMap((one) => {
      if (one === null) return [];
      const intervals = history.find(({ kind }) => kind === one.kind)?.intervals ?? [];
      return [{ ...one, intervals }];
    });
  }

  private async entries<T>(
    page: number,
    bytes: number,
    read: (words: Uint32Array, at: number) => T,
  ): Promise<readonly T[]> {
    const header = await this.admin.logPage(page, headerBytes);
    // The count comes from the device: no more than can be is believed.
    const count = Math.min(QosCountersHeader.count.get(header, 0), mostClients);
    if (count === 0) return [];
    const words = await this.admin.logPage(page, count * bytes, { offset: headerBytes });
    return Array.from({ length: count }, (_, index) => read(words, (index * bytes) / 4));
  }

  /** An over-commit is told with the numbers. */
  private async orNumbers(set: Promise<unknown>, what: string): Promise<void> {
    try {
      await set;
    } catch (error) {
      const isFailure = error instanceof UltimaError && error.code === ErrorCode.commandFailed;
      const status = isFailure ? Number(error.facts.status) : 0;
      if (statusKind(status) !== QosStatus.overcommitted) throw error;
      const { promisedUnits: promised, capacityUnits: available } = await this.capabilities();
      throw new UltimaError(
        ErrorCode.qosOvercommitted,
        `${what} reserves more than the card can keep: ${promised} of ${available} units per ` +
          'second are promised; take it as best effort, or a tier that reserves less',
        { promised, available, status },
      );
    }
  }
}

/**
 * What an event of a card's controller says about its reservations: 'shortfall' when the media have
 * slowed so far that of each only a part is kept, or another part than before; 'all kept' when that
 * is over. Null for any other event. `counters` says what is kept, and lets the next event come.
 */
export function qosEventOf(event: ControllerEvent): 'shortfall' | 'all kept' | null {
  if (event.kind !== 'async event' || event.logPage !== QosLogPage.counters) return null;
  if (event.type !== AsyncEventResult.type.names?.vendor) return null;
  return event.information === QosEvent.allKept ? 'all kept' : 'shortfall';
}

function checkIndex(tier: number): void {
  if (Number.isInteger(tier) && tier >= 0 && tier < qosTierMaximum) return;
  throw new RangeError(`tier ${tier}; a table has 0..${qosTierMaximum - 1}`);
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
    queueId: QosCounters.queue.get(words, at),
    isBestEffort: QosCounters.isBestEffort.get(words, at) === 1,
    keptUnitsPerSecond: QosCounters.kept.get(words, at),
  };
}
