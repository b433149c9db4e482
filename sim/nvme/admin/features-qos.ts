import { QosAssignment, QosTierTable } from '../../../sdk/spec/ultima/qos.js';
import { builtInTable } from '../qos/policies.js';
import type { AdminContext } from './context.js';
import { type FeatureDefinition, perNamespace, plain, zero } from './feature-definition.js';

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
  readWord: ({ subsystem }, _, nsid) =>
    QosAssignment.tier.put(0, subsystem.qos?.policies.tier(nsid) ?? 0),
  check: ({ subsystem }, { nsid, word }) =>
    subsystem.qos?.policies.checkTier(nsid, QosAssignment.tier.of(word)) ?? 0,
  apply: ({ subsystem }, { nsid, word }) =>
    subsystem.qos?.assign(nsid, QosAssignment.tier.of(word)),
};

function wordsOf(data: Uint8Array): Uint32Array {
  return new Uint32Array(data.slice().buffer, 0, tableBytes / 4);
}
