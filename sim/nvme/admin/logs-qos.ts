import { unitBytes } from '../../../sdk/qos/cost.js';
import {
  QosCapabilities,
  QosCounters,
  QosCountersHeader,
  qosTierMaximum,
} from '../../../sdk/spec/ultima/qos.js';
import { intervalMs } from '../qos/counters.js';
import type { AdminContext } from './context.js';
import { hasQos } from './features-qos.js';
import type { LogSource } from './log-source.js';

function capabilities({ subsystem }: AdminContext): Uint8Array {
  const words = new Uint32Array(QosCapabilities.layout.bytes / 4);
  const { qos } = subsystem;
  if (qos === null) return new Uint8Array(words.buffer);
  const { profile } = qos;
  QosCapabilities.tiers.set(words, 0, qosTierMaximum);
  QosCapabilities.namespaces.set(words, 0, qos.namespaceLimit);
  QosCapabilities.capacity.set(words, 0, profile.capacityUnits);
  QosCapabilities.depth.set(words, 0, profile.depthUnits);
  QosCapabilities.unitBytes.set(words, 0, unitBytes);
  QosCapabilities.writeCost.set(words, 0, profile.writeCostPermille);
  QosCapabilities.discardCost.set(words, 0, profile.discardCostPermille);
  QosCapabilities.intervalMs.set(words, 0, intervalMs);
  return new Uint8Array(words.buffer);
}

/** Namespaces that have a policy, ascending. */
function counters({ subsystem, world }: AdminContext): Uint8Array {
  const { qos } = subsystem;
  if (qos === null) return new Uint8Array(QosCountersHeader.layout.bytes);
  const own = subsystem.namespaces.filter(({ nsid }) => qos.policies.tier(nsid) !== 0);
  const entryWords = QosCounters.layout.bytes / 4;
  const words = new Uint32Array(QosCountersHeader.layout.bytes / 4 + own.length * entryWords);
  QosCountersHeader.count.set(words, 0, own.length);
  QosCountersHeader.interval.set(words, 0, qos.counters.intervalsAt(world.nowNs));
  own.forEach(({ nsid }, index) => {
    const at = QosCountersHeader.layout.bytes / 4 + index * entryWords;
    qos.counters.roll(nsid, world.nowNs);
    QosCounters.nsid.set(words, at, nsid);
    QosCounters.tier.set(words, at, qos.policies.tier(nsid));
    QosCounters.served.set(words, at, Math.floor(qos.counters.served[nsid]!));
    QosCounters.reserved.set(words, at, Math.floor(qos.counters.reserved[nsid]!));
    QosCounters.throttled.set(words, at, qos.counters.throttled[nsid]!);
    QosCounters.guaranteed.set(words, at, qos.counters.guaranteed[nsid]!);
    QosCounters.met.set(words, at, qos.counters.met[nsid]!);
    QosCounters.lastServed.set(words, at, Math.floor(qos.counters.lastServed[nsid]!));
    QosCounters.waiting.set(words, at, qos.counters.waiting[nsid]!);
  });
  return new Uint8Array(words.buffer);
}

export const qosCapabilitiesLog: LogSource = { build: capabilities, isThere: hasQos };
export const qosCountersLog: LogSource = { build: counters, isThere: hasQos };
