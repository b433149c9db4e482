import {
  FeatureCapabilities,
  FeatureSelect,
  GetFeatures,
  SetFeatures,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { AdminContext } from './context.js';
import type { FeatureDefinition, FeatureValue } from './feature-definition.js';
import { featureKey } from './feature-store.js';
import { controllerFeatures } from './features-controller.js';
import { namespaceFeatures } from './features-namespace.js';

/** @returns undefined for a feature that this card does not have */
export function featureOf(context: AdminContext, fid: number): FeatureDefinition | undefined {
  const feature = controllerFeatures.get(fid) ?? namespaceFeatures.get(fid);
  return feature?.isThere?.(context) === false ? undefined : feature;
}

/** Identifiers of all features of this card, ascending. */
export function featureIds(context: AdminContext): number[] {
  const ids = [...controllerFeatures.keys(), ...namespaceFeatures.keys()];
  return ids.filter((fid) => featureOf(context, fid) !== undefined).sort((a, b) => a - b);
}

/** [NVMe-2.0 §5.27 Set Features] */
export function setFeatures(context: AdminContext, command: Command): number {
  const { words, nsid } = command;
  const fid = SetFeatures.fid.get(words, 0);
  const isSaved = SetFeatures.sv.get(words, 0) === 1;
  const word = SetFeatures.value.get(words, 0);
  const feature = featureOf(context, fid);
  if (feature === undefined) return context.refuse(Status.invalidField, SetFeatures.fid);
  if (isSaved && !feature.isSaveable) {
    return context.refuse(Status.featureNotSaveable, SetFeatures.sv);
  }
  const scope = scopeOf(context, feature, nsid);
  if (typeof scope === 'number') return context.refuse(scope, Sqe.nsid);
  if (!feature.isChangeable) return context.refuse(Status.featureNotChangeable, SetFeatures.fid);
  const selectors = selectorsOf(context, feature, word);
  if (selectors.length === 0) return context.refuse(Status.invalidField, SetFeatures.value);
  const bytes = feature.setBytes?.(word) ?? 0;
  const data = bytes === 0 ? null : new Uint8Array(bytes);
  if (data !== null) {
    const status = context.receive(command, data, bytes);
    if (status !== 0) return status;
  }
  const cdw12 = SetFeatures.cdw12.get(words, 0);
  const values = scope.nsids.flatMap((id) =>
    selectors.map((selector) => ({ selector, nsid: id, word, data, cdw12 })),
  );
  for (const value of values) {
    const status = feature.check?.(context, value) ?? 0;
    if (status !== 0) return context.refuse(status, SetFeatures.value);
  }
  for (const value of values) {
    context.features.set(featureKey({ fid, ...value }), word, padded(feature, value), isSaved);
    feature.apply?.(context, value);
  }
  command.dw0 = feature.result?.(context) ?? 0;
  return 0;
}

/** [NVMe-2.0 §5.15 Get Features] */
export function getFeatures(context: AdminContext, command: Command): number {
  const { words } = command;
  const fid = GetFeatures.fid.get(words, 0);
  const select = GetFeatures.sel.get(words, 0);
  const word = GetFeatures.cdw11.get(words, 0);
  const feature = featureOf(context, fid);
  if (feature === undefined) return context.refuse(Status.invalidField, GetFeatures.fid);
  if (select > FeatureSelect.capabilities) {
    return context.refuse(Status.invalidField, GetFeatures.sel);
  }
  if (select === FeatureSelect.capabilities) {
    command.dw0 = capabilitiesOf(feature);
    return 0;
  }
  const nsid = feature.isPerNamespace ? command.nsid : 0;
  if (feature.isPerNamespace) {
    const status = namespaceStatus(context, nsid);
    if (status !== 0) return context.refuse(status, Sqe.nsid);
  }
  const selector = feature.selectorOf?.(context, word) ?? 0;
  if (selector < 0) return context.refuse(Status.invalidField, GetFeatures.cdw11);
  const key = featureKey({ fid, selector, nsid });
  const fallback = feature.defaultWord(context, selector, nsid);
  command.dw0 = wordOf(context, feature, { select, key, fallback, selector, nsid });
  const bytes = feature.getBytes?.(word) ?? 0;
  if (bytes === 0) return 0;
  const data = new Uint8Array(bytes);
  data.set(dataOf(context, feature, { select, key, nsid }).subarray(0, bytes));
  return context.sendBytes(command, data, 0, bytes);
}

/**
 * A reset: saved values, and defaults where nothing was saved, are in force, and the controller and
 * the namespaces are told of all of them.
 */
export function restoreFeatures(context: AdminContext): void {
  context.features.reset();
  for (const [fid, feature] of controllerFeatures) {
    if (feature.isThere?.(context) === false) continue;
    for (const selector of restoredSelectors(feature)) restore(context, fid, { selector, nsid: 0 });
  }
  for (const namespace of context.subsystem.namespaces) {
    if (!namespace.attached.has(context.controllerId)) continue;
    for (const [fid, feature] of namespaceFeatures) {
      // What cannot be saved here lives in the namespace, not in the controller.
      if (feature.isSaveable) restore(context, fid, { selector: 0, nsid: namespace.nsid });
    }
  }
}

function restore(
  context: AdminContext,
  fid: number,
  which: { readonly selector: number; readonly nsid: number },
): void {
  const feature = featureOf(context, fid);
  const { selector, nsid } = which;
  const key = featureKey({ fid, selector, nsid });
  const word = context.features.current(key) ?? feature?.defaultWord(context, selector, nsid) ?? 0;
  const data = context.features.currentData(key);
  feature?.apply?.(context, { selector, nsid, word, data, cdw12: 0 });
}

function restoredSelectors(feature: FeatureDefinition): readonly number[] {
  return feature.selectorsOf === undefined ? [0] : allThresholds;
}

/** Composite and one sensor, over and under. */
const allThresholds = [0, 1, 2, 3];

function selectorsOf(context: AdminContext, feature: FeatureDefinition, word: number): number[] {
  if (feature.selectorOf === undefined) return [0];
  const selector = feature.selectorOf(context, word);
  if (selector >= 0) return [selector];
  return [...(feature.selectorsOf?.(word) ?? [])];
}

/** Which namespaces a Set concerns, [0] for the controller; or the status of a wrong NSID. */
function scopeOf(
  context: AdminContext,
  feature: FeatureDefinition,
  nsid: number,
): { readonly nsids: readonly number[] } | number {
  if (!feature.isPerNamespace) {
    const isWhole = nsid === Nsid.none || nsid === Nsid.broadcast;
    return isWhole ? { nsids: [0] } : Status.featureNotNamespaceSpecific;
  }
  if (nsid === Nsid.broadcast) {
    const attached = context.subsystem.namespaces.filter((namespace) =>
      namespace.attached.has(context.controllerId),
    );
    return { nsids: attached.map((namespace) => namespace.nsid) };
  }
  const status = namespaceStatus(context, nsid);
  return status === 0 ? { nsids: [nsid] } : status;
}

function namespaceStatus(context: AdminContext, nsid: number): number {
  if (!context.subsystem.isValidNsid(nsid)) return Status.invalidNamespaceOrFormat;
  const namespace = context.subsystem.active(nsid, context.controllerId);
  return namespace === undefined ? Status.invalidField : 0;
}

function capabilitiesOf(feature: FeatureDefinition): number {
  const { saveable, perNamespace, changeable } = FeatureCapabilities;
  let word = saveable.put(0, feature.isSaveable ? 1 : 0);
  word = perNamespace.put(word, feature.isPerNamespace ? 1 : 0);
  return changeable.put(word, feature.isChangeable ? 1 : 0);
}

interface Asked {
  readonly select: number;
  readonly key: string;
  readonly nsid: number;
}

function wordOf(
  context: AdminContext,
  feature: FeatureDefinition,
  asked: Asked & { readonly fallback: number; readonly selector: number },
): number {
  const { select, key, fallback, selector, nsid } = asked;
  if (select === FeatureSelect.default) return fallback;
  if (select === FeatureSelect.saved) return context.features.saved(key) ?? fallback;
  const read = feature.readWord?.(context, selector, nsid);
  return read ?? context.features.current(key) ?? fallback;
}

function dataOf(context: AdminContext, feature: FeatureDefinition, asked: Asked): Uint8Array {
  const { select, key, nsid } = asked;
  const fallback = feature.defaultData?.(context, nsid) ?? new Uint8Array(0);
  if (select === FeatureSelect.default) return fallback;
  if (select === FeatureSelect.saved) return context.features.savedData(key) ?? fallback;
  const read = feature.readData?.(context, nsid);
  return read ?? context.features.currentData(key) ?? fallback;
}

/** Data that Set brought, in the length that Get returns. */
function padded(feature: FeatureDefinition, value: FeatureValue): Uint8Array | null {
  if (value.data === null) return null;
  const bytes = feature.getBytes?.(value.word) ?? value.data.length;
  const data = new Uint8Array(Math.max(bytes, value.data.length));
  data.set(value.data);
  return data;
}
