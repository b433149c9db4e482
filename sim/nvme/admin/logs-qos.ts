import { unitBytes } from '../../../sdk/qos/cost.js';
import {
  QosCapabilities,
  QosCopies,
  QosCounters,
  QosCountersHeader,
  QosHistory,
  QosSample,
  qosHistoryIntervals,
  qosThousand,
  qosTierMaximum,
} from '../../../sdk/spec/ultima/qos.js';
import { CopyKind } from '../../ftl/copy-gate.js';
import type { CardQos } from '../qos/card-qos.js';
import { intervalMs } from '../qos/counters.js';
import type { AdminContext } from './context.js';
import { hasQos } from './features-qos.js';
import type { LogSource } from './log-source.js';

function capabilities({ subsystem }: AdminContext): Uint8Array {
  const words = new Uint32Array(QosCapabilities.layout.bytes / 4);
  const { qos } = subsystem;
  if (qos === null) return new Uint8Array(words.buffer);
  const { profile, policies } = qos;
  QosCapabilities.tiers.set(words, 0, qosTierMaximum);
  QosCapabilities.namespaces.set(words, 0, qos.namespaceLimit);
  QosCapabilities.capacity.set(words, 0, Math.floor(policies.available));
  QosCapabilities.depth.set(words, 0, profile.depthUnits);
  QosCapabilities.quietDepth.set(words, 0, profile.quietDepthUnits);
  QosCapabilities.unitBytes.set(words, 0, unitBytes);
  QosCapabilities.writeCost.set(words, 0, policies.capacity.writeCostPermille);
  QosCapabilities.discardCost.set(words, 0, profile.discardCostPermille);
  QosCapabilities.intervalMs.set(words, 0, intervalMs);
  QosCapabilities.isMeasured.set(words, 0, policies.capacity.isMeasured ? 1 : 0);
  QosCapabilities.promised.set(words, 0, Math.ceil(policies.promised));
  QosCapabilities.history.set(words, 0, qosHistoryIntervals);
  QosCapabilities.kept.set(words, 0, Math.floor(qosThousand * qos.keptPart));
  return new Uint8Array(words.buffer);
}

const headerWords = QosCountersHeader.layout.bytes / 4;

/** A header, and an entry for each client that has a policy, and each class of copies. */
function page(
  { subsystem, world }: AdminContext,
  entryBytes: number,
  put: (qos: CardQos, client: number, words: Uint32Array, at: number) => void,
): Uint8Array {
  const { qos } = subsystem;
  if (qos === null) return new Uint8Array(QosCountersHeader.layout.bytes);
  const clients = [...qos.clientsWithPolicy(), ...qos.clientsOfCopies()];
  const words = new Uint32Array(headerWords + (clients.length * entryBytes) / 4);
  QosCountersHeader.count.set(words, 0, clients.length);
  QosCountersHeader.interval.set(words, 0, qos.counters.intervalsAt(world.nowNs));
  clients.forEach((client, index) => {
    qos.counters.roll(client, world.nowNs);
    put(qos, client, words, headerWords + (index * entryBytes) / 4);
  });
  return new Uint8Array(words.buffer);
}

function putCounters(qos: CardQos, client: number, words: Uint32Array, at: number): void {
  const { counters, policies } = qos;
  const { nsid, queue, copies } = nameOf(qos, client);
  QosCounters.nsid.set(words, at, nsid);
  QosCounters.queue.set(words, at, queue);
  QosCounters.copies.set(words, at, copies);
  if (copies === QosCopies.none) {
    QosCounters.tier.set(words, at, policies.tier(client));
    QosCounters.isBestEffort.set(words, at, policies.lacksReservation(client) ? 1 : 0);
  }
  QosCounters.served.set(words, at, Math.floor(counters.served[client]!));
  QosCounters.reserved.set(words, at, Math.floor(counters.reserved[client]!));
  QosCounters.throttled.set(words, at, counters.throttled[client]!);
  QosCounters.guaranteed.set(words, at, counters.guaranteed[client]!);
  QosCounters.met.set(words, at, counters.met[client]!);
  QosCounters.lastServed.set(words, at, Math.floor(counters.lastServed[client]!));
  QosCounters.waiting.set(words, at, counters.waiting[client]!);
  QosCounters.kept.set(words, at, Math.floor(qos.keptOf(client)));
}

function putHistory(qos: CardQos, client: number, words: Uint32Array, at: number): void {
  const { nsid, queue, copies } = nameOf(qos, client);
  QosHistory.nsid.set(words, at, nsid);
  QosHistory.queue.set(words, at, queue);
  QosHistory.copies.set(words, at, copies);
  if (copies === QosCopies.none) QosHistory.tier.set(words, at, qos.policies.tier(client));
  let index = 0;
  const whole = (value: number): number => Math.min(Math.floor(value), QosSample.served.max);
  const count = qos.counters.eachInterval(client, (intervals, from) => {
    const to = QosHistory.samples.at(at, index++);
    QosSample.interval.set(words, to, intervals.interval[from]!);
    QosSample.served.set(words, to, whole(intervals.served[from]!));
    QosSample.due.set(words, to, whole(intervals.due[from]!));
    QosSample.throttled.set(words, to, whole(intervals.throttled[from]!));
    QosSample.isGuaranteed.set(words, to, intervals.isGuaranteed[from]!);
    QosSample.isMet.set(words, to, intervals.isMet[from]!);
  });
  QosHistory.count.set(words, at, count);
}

interface ClientName {
  readonly nsid: number;
  readonly queue: number;
  readonly copies: number;
}

function nameOf(qos: CardQos, client: number): ClientName {
  const { none, collection, upkeep } = QosCopies;
  const kind = qos.copyKindOf(client);
  if (kind >= 0) {
    return { nsid: 0, queue: 0, copies: kind === CopyKind.collection ? collection : upkeep };
  }
  const queue = client - qos.clientOfQueue(0);
  return queue > 0 ? { nsid: 0, queue, copies: none } : { nsid: client, queue: 0, copies: none };
}

export const qosCapabilitiesLog: LogSource = { build: capabilities, isThere: hasQos };
export const qosCountersLog: LogSource = {
  build: (context) => page(context, QosCounters.layout.bytes, putCounters),
  isThere: hasQos,
};
export const qosHistoryLog: LogSource = {
  build: (context) => page(context, QosHistory.layout.bytes, putHistory),
  isThere: hasQos,
};
