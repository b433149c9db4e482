import * as spec from '../../../sdk/spec/nvme/features.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { QosFeature } from '../../../sdk/spec/ultima/qos.js';
import { usNs } from '../../../sdk/units.js';
import type { AdminContext } from './context.js';
import { type FeatureDefinition, plain, volatileValue, zero } from './feature-definition.js';
import { qosCapacity, qosQueueAssignment, qosTiers } from './features-qos.js';
import { defaultThreshold, managedKelvin, thresholdSelectors } from './health-watch.js';
import { keepAliveGranularityMs } from './keep-alive-timer.js';
import { powerStates } from './power-states.js';

const { Feature } = spec;

const arbitration: FeatureDefinition = {
  ...plain,
  defaultWord: () => spec.ArbitrationFeature.ab.put(0, spec.burstUnlimited),
  apply: ({ services }, { word }) => {
    const { ab, lpw, mpw, hpw } = spec.ArbitrationFeature;
    const burst = ab.of(word);
    services.setArbitration({
      burst: burst === spec.burstUnlimited ? Number.POSITIVE_INFINITY : 2 ** burst,
      lowWeight: lpw.of(word),
      mediumWeight: mpw.of(word),
      highWeight: hpw.of(word),
    });
  },
};

const powerManagement: FeatureDefinition = {
  ...plain,
  defaultWord: zero,
  check: (_, { word }) =>
    spec.PowerManagementFeature.ps.of(word) < powerStates.length ? 0 : Status.invalidField,
  readWord: (context) => {
    const set = context.features.current(`${Feature.powerManagement}.0@0`) ?? 0;
    return spec.PowerManagementFeature.ps.put(set, context.power.stateNow());
  },
  apply: (context, { word }) => context.power.set(spec.PowerManagementFeature.ps.of(word)),
};

const temperatureThreshold: FeatureDefinition = {
  ...plain,
  selectorOf: (_, word) => {
    const sensor = spec.TemperatureFeature.tmpsel.of(word);
    const type = spec.TemperatureFeature.thsel.of(word);
    return sensor < thresholdSelectors && type <= 1 ? sensor * 2 + type : -1;
  },
  selectorsOf: (word) => {
    const sensor = spec.TemperatureFeature.tmpsel.of(word);
    const type = spec.TemperatureFeature.thsel.of(word);
    if (sensor !== spec.ThresholdSelect.all || type > 1) return [];
    return Array.from({ length: thresholdSelectors }, (_, i) => i * 2 + type);
  },
  defaultWord: (_, selector) => {
    const { sensor, type } = thresholdOf(selector);
    return thresholdWord(sensor, type, defaultThreshold(sensor, type));
  },
  apply: ({ watch }, { selector, word }) => {
    const { sensor, type } = thresholdOf(selector);
    watch.setThreshold(sensor, type, spec.TemperatureFeature.tmpth.of(word));
  },
};

function thresholdOf(selector: number): { readonly sensor: number; readonly type: number } {
  return { sensor: Math.floor(selector / 2), type: selector % 2 };
}

function thresholdWord(sensor: number, type: number, kelvin: number): number {
  const { tmpth, tmpsel, thsel } = spec.TemperatureFeature;
  return thsel.put(tmpsel.put(tmpth.put(0, kelvin), sensor), type);
}

const volatileWriteCache: FeatureDefinition = {
  ...plain,
  isThere: ({ profile }) => profile.cache.isVolatile,
  defaultWord: () => 1,
  apply: ({ subsystem }, { word }) => {
    const isEnabled = spec.WriteCacheFeature.wce.of(word) === 1;
    for (const namespace of subsystem.namespaces) namespace.medium.setCacheEnabled(isEnabled);
  },
};

const numberOfQueues: FeatureDefinition = {
  ...volatileValue,
  defaultWord: (context) => {
    const most = context.queueLimit;
    return queueWord(most, most);
  },
  check: ({ services }, { word }) => {
    const { nsq, ncq } = spec.QueueCountFeature;
    const forbidden = spec.queueCountForbidden;
    if (nsq.of(word) === forbidden || ncq.of(word) === forbidden) return Status.invalidField;
    return services.hasIoQueues ? Status.commandSequenceError : 0;
  },
  apply: (context, { word }) => {
    const most = context.queueLimit;
    context.allocatedQueues = {
      submission: Math.min(most, spec.QueueCountFeature.nsq.of(word)),
      completion: Math.min(most, spec.QueueCountFeature.ncq.of(word)),
    };
    context.services.setQueueCounts(context.allocatedQueues);
  },
  readWord: (context) =>
    queueWord(context.allocatedQueues.submission, context.allocatedQueues.completion),
  result: (context) =>
    queueWord(context.allocatedQueues.submission, context.allocatedQueues.completion),
};

function queueWord(submission: number, completion: number): number {
  const { nsq, ncq } = spec.QueueCountFeature;
  return ncq.put(nsq.put(0, submission), completion);
}

const interruptCoalescing: FeatureDefinition = {
  ...plain,
  defaultWord: zero,
  apply: ({ services }, { word }) => {
    const { thr, time } = spec.CoalescingFeature;
    services.setInterruptCoalescing({
      threshold: thr.of(word),
      timeNs: time.of(word) * coalescingUnitNs,
    });
  },
};

const coalescingUnitNs = 100 * usNs;

const interruptVector: FeatureDefinition = {
  ...volatileValue,
  selectorOf: ({ profile }, word) => {
    const vector = spec.VectorFeature.iv.of(word);
    return vector < profile.controller.vectors ? vector : -1;
  },
  defaultWord: (_, selector) => spec.VectorFeature.iv.put(0, selector),
  // Setting is the check: the controller knows which vectors are in use.
  check: ({ services }, { selector, word }) =>
    services.setVectorCoalescing(selector, spec.VectorFeature.cd.of(word) === 1),
};

const asynchronousEvents: FeatureDefinition = {
  ...plain,
  defaultWord: zero,
  check: (_, { word }) => {
    let rest = word;
    const { smart, namespace, firmware, telemetry, ana, shutdown } = spec.EventFeature;
    for (const field of [smart, namespace, firmware, telemetry, ana, shutdown]) {
      rest = field.put(rest, 0);
    }
    return rest === 0 ? 0 : Status.invalidField;
  },
  apply: ({ watch }, { word }) => watch.enableWarnings(spec.EventFeature.smart.of(word)),
};

const autonomousPowerState: FeatureDefinition = {
  ...plain,
  setBytes: () => spec.AutonomousTable.layout.bytes,
  getBytes: () => spec.AutonomousTable.layout.bytes,
  defaultWord: zero,
  defaultData: () => new Uint8Array(spec.AutonomousTable.layout.bytes),
  check: (_, { data }) => {
    if (data === null) return 0;
    const words = new Uint32Array(data.slice().buffer);
    return powerStates.every((_state, i) => isTransition(words, i)) ? 0 : Status.invalidField;
  },
  apply: (context, { word, data }) => {
    const isOn = spec.AutonomousFeature.apste.of(word) === 1;
    const words = isOn && data !== null ? new Uint32Array(data.slice().buffer) : null;
    context.power.setTransitions(words);
  },
};

/** A transition goes from a state to a less powerful one that does no I/O. */
function isTransition(words: Uint32Array, from: number): boolean {
  const at = spec.AutonomousTable.entries.at(0, from);
  if (spec.AutonomousEntry.itpt.get(words, at) === 0) return true;
  const target = spec.AutonomousEntry.itps.get(words, at);
  const state = powerStates[target];
  return state !== undefined && !state.isOperational && target > from;
}

const timestamp: FeatureDefinition = {
  ...volatileValue,
  setBytes: () => spec.TimestampData.layout.bytes,
  getBytes: () => spec.TimestampData.layout.bytes,
  defaultWord: zero,
  defaultData: () => new Uint8Array(spec.TimestampData.layout.bytes),
  readData: (context) => context.timestamp.read(),
  apply: (context, { data }) => {
    if (data !== null) context.timestamp.set(data);
  },
};

const keepAlive: FeatureDefinition = {
  ...volatileValue,
  defaultWord: zero,
  readWord: (context) => roundKeepAlive(context.features.current(`${Feature.keepAlive}.0@0`) ?? 0),
  apply: (context, { word }) => context.keepAlive.set(roundKeepAlive(word)),
};

function roundKeepAlive(ms: number): number {
  return Math.ceil(ms / keepAliveGranularityMs) * keepAliveGranularityMs;
}

const hostThermal: FeatureDefinition = {
  ...plain,
  defaultWord: zero,
  check: (_, { word }) => {
    const tmt1 = spec.HostThermalFeature.tmt1.of(word);
    const tmt2 = spec.HostThermalFeature.tmt2.of(word);
    const isOrdered = tmt1 === 0 || tmt2 === 0 || tmt1 < tmt2;
    return isOrdered && isManaged(tmt1) && isManaged(tmt2) ? 0 : Status.invalidField;
  },
  apply: ({ watch }, { word }) =>
    watch.setThermalLevels(
      spec.HostThermalFeature.tmt1.of(word),
      spec.HostThermalFeature.tmt2.of(word),
    ),
};

function isManaged(kelvin: number): boolean {
  return kelvin === 0 || (kelvin >= managedKelvin.least && kelvin <= managedKelvin.most);
}

const hostBehavior: FeatureDefinition = {
  ...volatileValue,
  setBytes: () => spec.HostBehavior.layout.bytes,
  getBytes: () => spec.HostBehavior.layout.bytes,
  defaultWord: zero,
  defaultData: () => new Uint8Array(spec.HostBehavior.layout.bytes),
  check: (_, { data }) => {
    if (data === null) return 0;
    const words = new Uint32Array(data.slice().buffer);
    const { acre, etdas, lbafee } = spec.HostBehavior;
    if (acre.get(words, 0) > 1 || etdas.get(words, 0) > 1) return Status.invalidField;
    // No format of this card needs the extension.
    return lbafee.get(words, 0) === 0 ? 0 : Status.invalidField;
  },
};

const enduranceEvents: FeatureDefinition = {
  ...plain,
  selectorOf: (_, word) => (spec.EnduranceEventFeature.endgid.of(word) === 1 ? 1 : -1),
  defaultWord: (_, selector) => spec.EnduranceEventFeature.endgid.put(0, selector),
};

const commandSetProfile: FeatureDefinition = {
  ...plain,
  defaultWord: zero,
  check: (_, { word }) =>
    spec.CommandSetProfileFeature.iocsci.of(word) === 0 ? 0 : Status.commandSetCombinationRejected,
};

const hostIdentifier: FeatureDefinition = {
  ...volatileValue,
  setBytes: hostIdBytesOf,
  getBytes: hostIdBytesOf,
  defaultWord: zero,
  defaultData: () => new Uint8Array(spec.hostIdBytes.extended),
  // All controllers of a subsystem speak of hosts in one format [NVMe-2.0 §5.27.1.? EXHID].
  check: ({ subsystem, record }, { data }) => {
    const digits = 2 * (data?.length ?? 0);
    const isOther = subsystem.controllerIds
      .filter((id) => id !== record.id)
      .map((id) => subsystem.controller(id).hostId)
      .some((hostId) => hostId !== '' && hostId.length !== digits);
    return isOther ? Status.hostIdentifierInconsistentFormat : 0;
  },
  apply: ({ record }, { data }) => {
    const isZero = data === null || data.every((byte) => byte === 0);
    record.hostId = isZero ? '' : Buffer.from(data).toString('hex');
  },
};

function hostIdBytesOf(word: number): number {
  const isExtended = spec.HostIdentifierFeature.exhid.of(word) === 1;
  return isExtended ? spec.hostIdBytes.extended : spec.hostIdBytes.short;
}

const simple: FeatureDefinition = { ...plain, defaultWord: zero };

/** Features of the controller that this card has. */
export const controllerFeatures: ReadonlyMap<number, FeatureDefinition> = new Map([
  [Feature.arbitration, arbitration],
  [Feature.powerManagement, powerManagement],
  [Feature.temperatureThreshold, temperatureThreshold],
  [Feature.volatileWriteCache, volatileWriteCache],
  [Feature.numberOfQueues, numberOfQueues],
  [Feature.interruptCoalescing, interruptCoalescing],
  [Feature.interruptVector, interruptVector],
  [Feature.writeAtomicity, simple],
  [Feature.asynchronousEvents, asynchronousEvents],
  [Feature.autonomousPowerState, autonomousPowerState],
  [Feature.timestamp, timestamp],
  [Feature.keepAlive, keepAlive],
  [Feature.hostThermal, hostThermal],
  [Feature.nonOperationalPower, simple],
  [Feature.hostBehavior, hostBehavior],
  [Feature.sanitizeConfig, simple],
  [Feature.enduranceEvents, enduranceEvents],
  [Feature.commandSetProfile, commandSetProfile],
  [Feature.softwareProgress, simple],
  [Feature.hostIdentifier, hostIdentifier],
  [QosFeature.tiers, qosTiers],
  [QosFeature.capacity, qosCapacity],
  [QosFeature.queueAssignment, qosQueueAssignment],
]);

/** Whether an event that the host can mask is wanted. */
export function wantsEvents(context: AdminContext): number {
  return context.features.current(`${Feature.asynchronousEvents}.0@0`) ?? 0;
}
