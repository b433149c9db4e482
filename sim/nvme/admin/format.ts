import { FormatNvm, SecureErase } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import { ProtectionType } from '../../../sdk/spec/nvme/identify-namespace.js';
import { SelfTestOutcome } from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { GiB } from '../../../sdk/units.js';
import type { Command } from '../command.js';
import type { Namespace, NamespaceFormat } from '../namespace.js';
import { type AdminContext, held, type PendingFormat } from './context.js';

/**
 * [NVMe-2.0 §5.14 Format NVM] The namespaces refuse commands while it runs; at its end all blocks
 * are gone, whatever the secure erase setting says, and the new format holds.
 */
export function formatNvm(context: AdminContext, command: Command): number {
  const { words } = command;
  const format: NamespaceFormat = {
    formatIndex: FormatNvm.lbafl.get(words, 0),
    isMetadataExtended: FormatNvm.mset.get(words, 0) === 1,
    protectionType: FormatNvm.pi.get(words, 0),
    isProtectionFirst: FormatNvm.pil.get(words, 0) === 1,
  };
  if (FormatNvm.ses.get(words, 0) > SecureErase.cryptographic) {
    return context.refuse(Status.invalidField, FormatNvm.ses);
  }
  if (format.protectionType > ProtectionType.type3) {
    return context.refuse(Status.invalidField, FormatNvm.pi);
  }
  // The host has not enabled extended formats: there are sixteen at most.
  if (FormatNvm.lbafu.get(words, 0) !== 0) {
    return context.refuse(Status.invalidFormat, FormatNvm.lbafu);
  }
  const namespaces = formatted(context, command.nsid);
  if (typeof namespaces === 'number') return context.refuse(namespaces, Sqe.nsid);
  if (!namespaces.every((namespace) => namespace.canFormat(format))) {
    return context.refuse(Status.invalidFormat, FormatNvm.lbafl);
  }
  if (namespaces.some((namespace) => namespace.isWriteProtected)) {
    return Status.namespaceWriteProtected;
  }
  if (namespaces.some((namespace) => !namespace.isReady)) return Status.formatInProgress;
  begin(context, { command, namespaces, format });
  return held;
}

/** The namespaces that a format is for, or the status of an NSID that names none. */
function formatted(context: AdminContext, nsid: number): readonly Namespace[] | number {
  const { subsystem, controllerId } = context;
  if (nsid === Nsid.broadcast) {
    return subsystem.namespaces.filter((namespace) => namespace.attached.has(controllerId));
  }
  if (!subsystem.isValidNsid(nsid)) return Status.invalidNamespaceOrFormat;
  const namespace = subsystem.active(nsid, controllerId);
  return namespace === undefined ? Status.invalidField : [namespace];
}

function begin(context: AdminContext, pending: PendingFormat): void {
  const { subsystem, profile, selfTest } = context;
  let bytes = 0;
  for (const namespace of pending.namespaces) {
    bytes += namespace.sizeBlocks * namespace.dataBytes;
    const isTested = selfTest.nsid === namespace.nsid || selfTest.nsid === Nsid.broadcast;
    if (isTested) selfTest.end(SelfTestOutcome.abortedByFormat);
  }
  const ns = Math.ceil((bytes / GiB) * profile.firmware.formatNsPerGiB);
  for (const namespace of pending.namespaces) subsystem.beginFormat(namespace, ns);
  context.formats.set(pending.command.slot, pending);
  context.services.delay(pending.command, ns);
}

/** The time is over: now the media is what was asked for. */
export function finishFormat(context: AdminContext, command: Command): number {
  const pending = context.formats.get(command.slot);
  if (pending === undefined) return Status.internalError;
  context.formats.delete(command.slot);
  for (const namespace of pending.namespaces) {
    if (context.subsystem.namespace(namespace.nsid) !== namespace) continue;
    context.subsystem.formatted(namespace, pending.format);
    context.subsystem.endFormat(namespace);
  }
  return 0;
}

/** The command is stopped before its end: the namespaces are as they were. */
export function cancelFormat(context: AdminContext, command: Command): number {
  const pending = context.formats.get(command.slot);
  context.formats.delete(command.slot);
  for (const namespace of pending?.namespaces ?? []) context.subsystem.endFormat(namespace);
  return 0;
}

export function abandonFormats(context: AdminContext): void {
  for (const pending of context.formats.values()) {
    for (const namespace of pending.namespaces) context.subsystem.endFormat(namespace);
  }
  context.formats.clear();
}
