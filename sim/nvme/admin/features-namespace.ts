import * as spec from '../../../sdk/spec/nvme/features.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { QosFeature } from '../../../sdk/spec/ultima/qos.js';
import type { Namespace } from '../namespace.js';
import type { AdminContext } from './context.js';
import {
  type FeatureDefinition,
  perNamespace,
  perNamespaceVolatile,
  zero,
} from './feature-definition.js';
import { qosAssignment } from './features-qos.js';

const { Feature } = spec;

/** Get Features returns the whole list, however many entries are valid. */
const rangeListBytes = spec.lbaRangeMaximum * spec.LbaRange.layout.bytes;

const lbaRangeType: FeatureDefinition = {
  ...perNamespace,
  setBytes: (word) => spec.LbaRangeFeature.num.of(word) * spec.LbaRange.layout.bytes,
  getBytes: () => rangeListBytes,
  defaultWord: zero,
  defaultData: (context, nsid) => {
    const words = new Uint32Array(rangeListBytes / 4);
    const namespace = context.subsystem.namespace(nsid);
    if (namespace !== undefined) spec.LbaRange.nlb.set(words, 0, namespace.sizeBlocks - 1);
    return new Uint8Array(words.buffer);
  },
  check: (context, { nsid, word, data }) => {
    const namespace = context.subsystem.namespace(nsid);
    if (namespace === undefined || data === null) return 0;
    const words = new Uint32Array(data.slice().buffer);
    return checkRanges(words, spec.LbaRangeFeature.num.of(word), namespace.sizeBlocks);
  },
};

/** Ranges lie inside the namespace, do not overlap and have a type that exists. */
function checkRanges(words: Uint32Array, count: number, sizeBlocks: number): number {
  const taken: [first: number, end: number][] = [];
  for (let i = 0; i < count; i++) {
    const at = (i * spec.LbaRange.layout.bytes) / 4;
    const first = spec.LbaRange.slba.get(words, at);
    const end = first + spec.LbaRange.nlb.get(words, at) + 1;
    if (end > sizeBlocks) return Status.lbaOutOfRange;
    if (taken.some((range) => first < range[1] && range[0] < end)) return Status.overlappingRange;
    taken.push([first, end]);
  }
  return 0;
}

const errorRecovery: FeatureDefinition = {
  ...perNamespace,
  defaultWord: zero,
  apply: (context, { nsid, word }) => {
    const namespace = context.subsystem.namespace(nsid);
    if (namespace === undefined) return;
    const { tler, dulbe } = spec.ErrorRecoveryFeature;
    namespace.errorRecoveryLimit = tler.of(word);
    namespace.isDeallocatedErrorEnabled = dulbe.of(word) === 1;
  },
};

const reservationNotification: FeatureDefinition = {
  ...perNamespaceVolatile,
  isThere: ({ profile }) => profile.subsystem.hasReservations,
  defaultWord: zero,
};

const reservationPersistence: FeatureDefinition = {
  ...perNamespaceVolatile,
  isThere: ({ profile }) => profile.subsystem.hasReservations,
  defaultWord: zero,
  readWord: (context, _, nsid) => {
    const isOn = context.subsystem.namespace(nsid)?.reservations.persistsThroughPowerLoss;
    return spec.ReservationPersistFeature.ptpl.put(0, isOn === true ? 1 : 0);
  },
  apply: (context, { nsid, word }) => {
    const reservations = context.subsystem.namespace(nsid)?.reservations;
    if (reservations === undefined) return;
    reservations.persistsThroughPowerLoss = spec.ReservationPersistFeature.ptpl.of(word) === 1;
  },
};

const { none, protected: protectedUntilChanged, untilPowerCycle, permanent } = spec.WriteProtection;

const writeProtect: FeatureDefinition = {
  ...perNamespaceVolatile,
  defaultWord: zero,
  readWord: (context, _, nsid) =>
    context.subsystem.namespace(nsid)?.writeProtection ?? spec.WriteProtection.none,
  check: (context, { nsid, word }) => {
    const namespace = context.subsystem.namespace(nsid);
    const wanted = spec.WriteProtectFeature.wps.of(word);
    if (wanted > permanent) return Status.invalidField;
    return namespace === undefined || mayProtect(namespace, wanted)
      ? 0
      : Status.featureNotChangeable;
  },
  apply: (context, { nsid, word }) => {
    const namespace = context.subsystem.namespace(nsid);
    if (namespace === undefined) return;
    const before = namespace.writeProtection;
    const next = spec.WriteProtectFeature.wps.of(word);
    // All data of the namespace is made durable before it is protected [NVMe-2.0 §8.12].
    if (before === none && next !== none) namespace.medium.flush();
    namespace.writeProtection = next;
    if (before !== next) context.subsystem.changed(namespace);
  },
};

/** Two states end with the power or never; the other two follow the host. */
function mayProtect(namespace: Namespace, wanted: number): boolean {
  const state = namespace.writeProtection;
  if (state === wanted) return true;
  return state === none || state === protectedUntilChanged
    ? wanted <= permanent
    : state !== permanent && state !== untilPowerCycle;
}

/** Features that each namespace has for itself. */
export const namespaceFeatures: ReadonlyMap<number, FeatureDefinition> = new Map([
  [Feature.lbaRangeType, lbaRangeType],
  [Feature.errorRecovery, errorRecovery],
  [Feature.reservationNotification, reservationNotification],
  [Feature.reservationPersistence, reservationPersistence],
  [Feature.writeProtect, writeProtect],
  [QosFeature.assignment, qosAssignment],
]);

/** Which reservation notifications the host does not want to hear about a namespace. */
export function reservationMask(context: AdminContext, nsid: number): number {
  return context.features.current(`${Feature.reservationNotification}.0@${nsid}`) ?? 0;
}
