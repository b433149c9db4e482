import {
  QosAssignment,
  QosCapacityTable,
  QosQueueAssignment,
  QosTierTable,
} from '../../../sdk/spec/ultima/qos.js';
import type { CardQos } from '../qos/card-qos.js';
import { builtInTable } from '../qos/tier-table.js';
import type { AdminContext } from './context.js';
import {
  type FeatureDefinition,
  perNamespace,
  plain,
  volatileValue,
  zero,
} from './feature-definition.js';

const tableBytes = QosTierTable.layout.bytes;

/** Policies are the card's: one controller programs them, and its resets put them back. */
export function hasQos({ subsystem, controllerId }: AdminContext): boolean {
  return subsystem.qos !== null && controllerId === subsystem.secondaries.primaryId;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.slice().buffer);
}

export const qosTiers: FeatureDefinition = {
  ...plain,
  isThere: hasQos,
  setBytes: () => tableBytes,
  getBytes: () => tableBytes,
  defaultWord: zero,
  defaultData: () => bytesOf(builtInTable()),
  readData: ({ subsystem }) => bytesOf(subsystem.qos?.policies.words ?? builtInTable()),
  check: ({ subsystem }, { data }) =>
    data === null ? 0 : (subsystem.qos?.policies.checkTable(wordsOf(data)) ?? 0),
  apply: ({ subsystem }, { data }) =>
    subsystem.qos?.setTable(data === null ? builtInTable() : wordsOf(data)),
};

export const qosAssignment: FeatureDefinition = {
  ...perNamespace,
  isThere: hasQos,
  defaultWord: zero,
  readWord: ({ subsystem }, _, nsid) => {
    const { tier, bestEffort } = QosAssignment;
    const { tierIndex, flag } = assignmentOf(subsystem.qos, nsid);
    return bestEffort.put(tier.put(0, tierIndex), flag);
  },
  check: ({ subsystem }, { nsid, word }) => {
    const { tier, bestEffort } = QosAssignment;
    const takes = bestEffort.of(word) === 1;
    return subsystem.qos?.policies.checkTier(nsid, tier.of(word), takes) ?? 0;
  },
  apply: ({ subsystem }, { nsid, word }) =>
    subsystem.qos?.assign(nsid, QosAssignment.tier.of(word)),
};

export const qosQueueAssignment: FeatureDefinition = {
  ...volatileValue,
  isThere: hasQos,
  defaultWord: (_, queueId) => QosQueueAssignment.queue.put(0, queueId),
  selectorOf: ({ subsystem }, word) => {
    const queueId = QosQueueAssignment.queue.of(word);
    return queueId >= 1 && queueId <= (subsystem.qos?.queueLimit ?? 0) ? queueId : -1;
  },
  readWord: ({ subsystem }, queueId) => {
    const { queue, tier, bestEffort } = QosQueueAssignment;
    const client = subsystem.qos?.clientOfQueue(queueId) ?? 0;
    const { tierIndex, flag } = assignmentOf(subsystem.qos, client);
    return bestEffort.put(tier.put(queue.put(0, queueId), tierIndex), flag);
  },
  check: ({ subsystem }, { selector, word }) => {
    const { qos } = subsystem;
    const { tier, bestEffort } = QosQueueAssignment;
    const takes = bestEffort.of(word) === 1;
    if (qos === null) return 0;
    return qos.policies.checkTier(qos.clientOfQueue(selector), tier.of(word), takes);
  },
  apply: ({ subsystem }, { selector, word }) => {
    const { qos } = subsystem;
    // A reset sets the value of no queue: there is none.
    if (selector === 0) qos?.forgetQueues();
    else qos?.assign(qos.clientOfQueue(selector), QosQueueAssignment.tier.of(word));
  },
};

function assignmentOf(qos: CardQos | null, client: number) {
  const tierIndex = qos?.policies.tier(client) ?? 0;
  return { tierIndex, flag: qos?.policies.lacksReservation(client) === true ? 1 : 0 };
}

const capacityBytes = QosCapacityTable.layout.bytes;

/** Less than what is promised is taken, too: it is the truth, and nothing more is promised then. */
export const qosCapacity: FeatureDefinition = {
  ...plain,
  isThere: hasQos,
  setBytes: () => capacityBytes,
  getBytes: () => capacityBytes,
  defaultWord: zero,
  defaultData: () => new Uint8Array(capacityBytes),
  readData: ({ subsystem }) =>
    bytesOf(subsystem.qos?.policies.capacity.words ?? new Uint32Array(capacityBytes / 4)),
  check: ({ subsystem }, { data }) =>
    data === null ? 0 : (subsystem.qos?.policies.capacity.check(wordsOf(data)) ?? 0),
  apply: ({ subsystem }, { data }) =>
    subsystem.qos?.setCapacity(wordsOf(data ?? new Uint8Array(capacityBytes))),
};

function wordsOf(data: Uint8Array): Uint32Array {
  return new Uint32Array(data.slice().buffer);
}
