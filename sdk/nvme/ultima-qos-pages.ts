import {
  QosCapacityPoint,
  QosCapacityTable,
  QosCopies,
  QosCounters,
  QosHistory,
  QosSample,
  qosCapacityPoints,
  qosHistoryIntervals,
  qosThousand,
} from '../spec/ultima/qos.js';

/** Units per second with 99 % of the requests below a latency; null for what was not measured. */
export interface CardCapacityPoint {
  readonly latencyNs: number;
  /** Reads of 4 KiB. */
  readonly reads: number | null;
  /** Seven reads to three writes of 4 KiB. */
  readonly mixed: number | null;
  readonly writes: number | null;
  /** Reads of 64 KiB. */
  readonly large: number | null;
}

/** What a measuring run has found, as the card keeps it. Of what was measured the least counts. */
export interface CardCapacity {
  /** By rising latency, at most 8; none for the maker's capacity. */
  readonly points: readonly CardCapacityPoint[];
  /** What a write costs in reads of its size; null for the maker's. */
  readonly writeCost: number | null;
  /** Part that is promised to nobody, 0..0.9. */
  readonly headroom: number;
}

/** One interval of a client. */
export interface CardQosInterval {
  readonly interval: number;
  readonly servedUnits: number;
  /** What it reserves in an interval. */
  readonly dueUnits: number;
  /** Commands that began to wait. */
  readonly throttledCommands: number;
  /** It had a reservation and commands. */
  readonly isGuaranteed: boolean;
  /** It got its units, or was not waiting for them. */
  readonly isMet: boolean;
}

/** What the drives of a card copied by themselves in one class since power came. */
export interface CardQosCopies {
  /** Garbage collection; or wear levelling, refresh, and what is saved from failing blocks. */
  readonly kind: 'collection' | 'upkeep';
  /** Units that it paid for: each one that was copied is read and written. */
  readonly servedUnits: number;
  /** Pages that had to wait in the card, and that wait now. */
  readonly throttledPages: number;
  readonly waitingPages: number;
  /** Units per second that it is sure of now: more with fewer free blocks. */
  readonly keptUnitsPerSecond: number;
  /** The last complete intervals, the latest last. */
  readonly intervals: readonly CardQosInterval[];
}

export interface CardQosHistory {
  /** 0 for a queue. */
  readonly nsid: number;
  /** 0 for a namespace. */
  readonly queueId: number;
  readonly tier: number;
  /** The last complete intervals, the latest last. */
  readonly intervals: readonly CardQosInterval[];
}

const pointFields = ['reads', 'mixed', 'writes', 'large'] as const;

export function capacityOf(words: Uint32Array): CardCapacity {
  // The count comes from the device: no more than there is room for is believed.
  const count = Math.min(QosCapacityTable.count.get(words, 0), qosCapacityPoints);
  const writeCost = QosCapacityTable.writeCost.get(words, 0);
  return {
    points: Array.from({ length: count }, (_, index) => {
      const at = QosCapacityTable.points.at(0, index);
      const of = (name: (typeof pointFields)[number]): number | null =>
        QosCapacityPoint[name].get(words, at) || null;
      const latencyNs = QosCapacityPoint.latencyNs.get(words, at);
      return {
        latencyNs,
        reads: of('reads'),
        mixed: of('mixed'),
        writes: of('writes'),
        large: of('large'),
      };
    }),
    writeCost: writeCost === 0 ? null : writeCost / qosThousand,
    headroom: QosCapacityTable.headroom.get(words, 0) / qosThousand,
  };
}

/** @throws RangeError for more points than a table has, or numbers that it has no room for */
export function wordsOfCapacity(capacity: CardCapacity): Uint32Array {
  const { points, writeCost, headroom } = capacity;
  if (points.length > qosCapacityPoints) {
    throw new RangeError(`${points.length} points of capacity; a card keeps ${qosCapacityPoints}`);
  }
  if (!(headroom >= 0 && headroom <= 0.9)) {
    throw new RangeError(`a headroom of ${headroom}: 0..0.9`);
  }
  if (writeCost !== null && !(writeCost >= 0.01 && writeCost <= 1_000)) {
    throw new RangeError(`a write costs ${writeCost} reads: 0.01..1,000`);
  }
  const words = new Uint32Array(QosCapacityTable.layout.bytes / 4);
  QosCapacityTable.count.set(words, 0, points.length);
  QosCapacityTable.writeCost.set(words, 0, Math.round((writeCost ?? 0) * qosThousand));
  QosCapacityTable.headroom.set(words, 0, Math.round(headroom * qosThousand));
  points.forEach((point, index) => {
    const at = QosCapacityTable.points.at(0, index);
    QosCapacityPoint.latencyNs.set(words, at, Math.round(point.latencyNs));
    for (const name of pointFields) {
      QosCapacityPoint[name].set(words, at, Math.floor(point[name] ?? 0));
    }
  });
  return words;
}

/** @returns null for an entry of a namespace or a queue */
export function copiesAt(words: Uint32Array, at: number): Omit<CardQosCopies, 'intervals'> | null {
  const kind = copyKindOf(QosCounters.copies.get(words, at));
  if (kind === null) return null;
  return {
    kind,
    servedUnits: QosCounters.served.get(words, at),
    throttledPages: QosCounters.throttled.get(words, at),
    waitingPages: QosCounters.waiting.get(words, at),
    keptUnitsPerSecond: QosCounters.kept.get(words, at),
  };
}

/** The class of copies that an entry of the history is about; null for any other. */
export function copiesOfHistory(words: Uint32Array, at: number): CardQosCopies['kind'] | null {
  return copyKindOf(QosHistory.copies.get(words, at));
}

function copyKindOf(value: number): CardQosCopies['kind'] | null {
  if (value === QosCopies.collection) return 'collection';
  return value === QosCopies.upkeep ? 'upkeep' : null;
}

export function historyAt(words: Uint32Array, at: number): CardQosHistory {
  const count = Math.min(QosHistory.count.get(words, at), qosHistoryIntervals);
  return {
    nsid: QosHistory.nsid.get(words, at),
    queueId: QosHistory.queue.get(words, at),
    tier: QosHistory.tier.get(words, at),
    intervals: Array.from({ length: count }, (_, index) => {
      const from = QosHistory.samples.at(at, index);
      return {
        interval: QosSample.interval.get(words, from),
        servedUnits: QosSample.served.get(words, from),
        dueUnits: QosSample.due.get(words, from),
        throttledCommands: QosSample.throttled.get(words, from),
        isGuaranteed: QosSample.isGuaranteed.get(words, from) === 1,
        isMet: QosSample.isMet.get(words, from) === 1,
      };
    }),
  };
}
