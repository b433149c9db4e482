import type { Struct } from '../layout.js';
import { FeatureTables } from './features.js';
import * as identify from './identify.js';
import * as controller from './identify-controller.js';
import * as namespace from './identify-namespace.js';
import * as logs from './logs.js';

const { Cns } = identify;

const identifyTables: ReadonlyMap<number, Struct> = new Map<number, Struct>([
  [Cns.namespace, namespace.IdentifyNamespace],
  [Cns.controller, controller.IdentifyController],
  [Cns.activeNamespaces, identify.NamespaceList],
  [Cns.nvmSets, identify.NvmSetList],
  [Cns.namespaceOfCommandSet, namespace.IdentifyNamespaceNvm],
  [Cns.controllerOfCommandSet, controller.IdentifyControllerNvm],
  [Cns.activeNamespacesOfCommandSet, identify.NamespaceList],
  [Cns.namespaceIndependent, namespace.IdentifyNamespaceIndependent],
  [Cns.namespaceOfFormat, namespace.IdentifyNamespace],
  [Cns.namespaceOfFormatAndSet, namespace.IdentifyNamespaceNvm],
  [Cns.allocatedNamespaces, identify.NamespaceList],
  [Cns.allocatedNamespace, namespace.IdentifyNamespace],
  [Cns.controllersOfNamespace, identify.ControllerList],
  [Cns.controllers, identify.ControllerList],
  [Cns.primaryCapabilities, controller.PrimaryCapabilities],
  [Cns.secondaryControllers, controller.SecondaryList],
  [Cns.namespaceGranularity, identify.GranularityList],
  [Cns.uuids, identify.UuidList],
  [Cns.domains, identify.DomainList],
  [Cns.enduranceGroups, identify.EnduranceGroupList],
  [Cns.allocatedNamespacesOfCommandSet, identify.NamespaceList],
  [Cns.allocatedNamespaceOfCommandSet, namespace.IdentifyNamespaceNvm],
  [Cns.commandSets, identify.CommandSets],
]);

const { LogPage } = logs;

const logTables: ReadonlyMap<number, Struct> = new Map<number, Struct>([
  [LogPage.supportedPages, logs.SupportedPagesLog],
  [LogPage.error, logs.ErrorEntry],
  [LogPage.health, logs.HealthLog],
  [LogPage.firmwareSlot, logs.FirmwareSlotLog],
  [LogPage.changedNamespaces, logs.ChangedNamespaceLog],
  [LogPage.effects, logs.EffectsLog],
  [LogPage.selfTest, logs.SelfTestLog],
  [LogPage.telemetryHost, logs.TelemetryLog],
  [LogPage.telemetryController, logs.TelemetryLog],
  [LogPage.enduranceGroup, logs.EnduranceGroupLog],
  [LogPage.predictableLatency, logs.PredictableLatencyLog],
  [LogPage.predictableLatencyAggregate, logs.AggregateLog],
  [LogPage.ana, logs.AnaLog],
  [LogPage.persistentEvent, logs.PersistentEventLog],
  [LogPage.lbaStatus, logs.LbaStatusLog],
  [LogPage.enduranceAggregate, logs.AggregateLog],
  [LogPage.featureEffects, logs.FeatureEffectsLog],
  [LogPage.miEffects, logs.MiEffectsLog],
  [LogPage.reservation, logs.ReservationLog],
  [LogPage.sanitize, logs.SanitizeLog],
]);

const featureTables: ReadonlyMap<number, Struct> = new Map<number, Struct>(
  Object.entries(FeatureTables).map(([fid, table]) => [Number(fid), table]),
);

/** The structure that Identify returns for a CNS value. */
export function identifyTable(cns: number): Struct | undefined {
  return identifyTables.get(cns);
}

/** The structure that a log page begins with; the error log repeats it. */
export function logTable(lid: number): Struct | undefined {
  return logTables.get(lid);
}

/** The shape of a feature's value: dword 11 of Set Features, dword 0 of its completion. */
export function featureTable(fid: number): Struct | undefined {
  return featureTables.get(fid);
}
