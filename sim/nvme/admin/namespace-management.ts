import {
  NamespaceAttachment,
  NamespaceAttachmentSelect,
  NamespaceManagement,
  NamespaceManagementSelect,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Feature, WriteCacheFeature } from '../../../sdk/spec/nvme/features.js';
import {
  CommandSet,
  ControllerList,
  controllerListMaximum,
  identifyBytes,
  Nsid,
} from '../../../sdk/spec/nvme/identify.js';
import { IdentifyNamespace, ProtectionType } from '../../../sdk/spec/nvme/identify-namespace.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import { type Namespace, protectionInformationBytes } from '../namespace.js';
import { type NamespaceRequest, onlyGroup } from '../subsystem.js';
import type { AdminContext } from './context.js';

const N = IdentifyNamespace;

/** [NVMe-2.0 §5.23 Namespace Management] */
export function manageNamespace(context: AdminContext, command: Command): number {
  const { words } = command;
  switch (NamespaceManagement.sel.get(words, 0)) {
    case NamespaceManagementSelect.create:
      return createNamespace(context, command);
    case NamespaceManagementSelect.delete:
      return deleteNamespaces(context, command);
    default:
      return context.refuse(Status.invalidField, NamespaceManagement.sel);
  }
}

function createNamespace(context: AdminContext, command: Command): number {
  const { subsystem } = context;
  if (NamespaceManagement.csi.get(command.words, 0) !== CommandSet.nvm) {
    return context.refuse(Status.commandSetNotSupported, NamespaceManagement.csi);
  }
  const words = context.blankPage();
  const received = context.receive(command, context.bytes, identifyBytes);
  if (received !== 0) return received;
  const request = requestOf(words);
  const status = checkRequest(context, words, request);
  if (status !== 0) return status;
  const dataBytes = subsystem.profile.lbaFormats[request.format.formatIndex]?.dataBytes ?? 0;
  const bytes = subsystem.roundUp(request.sizeBlocks * dataBytes);
  if (bytes > subsystem.unallocatedBytes) {
    context.explain(bytes);
    return Status.namespaceInsufficientCapacity;
  }
  const nsid = subsystem.freeNsid();
  if (nsid === 0) return Status.namespaceIdentifierUnavailable;
  const namespace = subsystem.create(nsid, request);
  const cache = context.features.current(`${Feature.volatileWriteCache}.0@0`);
  if (cache !== undefined) {
    namespace.medium.setCacheEnabled(WriteCacheFeature.wce.of(cache) === 1);
  }
  command.dw0 = nsid;
  return 0;
}

function requestOf(words: Uint32Array): NamespaceRequest {
  return {
    sizeBlocks: N.nsze.get(words, 0),
    capacityBlocks: N.ncap.get(words, 0),
    format: {
      formatIndex: N.flbasIndexHigh.get(words, 0) * 16 + N.flbasIndex.get(words, 0),
      isMetadataExtended: N.flbasExtended.get(words, 0) === 1,
      protectionType: N.dpsType.get(words, 0),
      isProtectionFirst: N.dpsFirst.get(words, 0) === 1,
    },
    isShared: N.nmicShared.get(words, 0) === 1,
  };
}

function checkRequest(
  context: AdminContext,
  words: Uint32Array,
  request: NamespaceRequest,
): number {
  const { format, sizeBlocks, capacityBlocks } = request;
  const entry = context.profile.lbaFormats[format.formatIndex];
  if (entry === undefined) return Status.invalidFormat;
  if (format.protectionType > ProtectionType.type3) return Status.invalidField;
  const needsRoom = format.protectionType !== ProtectionType.none;
  if (needsRoom && entry.metadataBytes < protectionInformationBytes) return Status.invalidFormat;
  if (sizeBlocks === 0 || capacityBlocks > sizeBlocks) return Status.invalidField;
  if (capacityBlocks < sizeBlocks) return Status.thinProvisioningNotSupported;
  // The card chooses the ANA group [NVMe-2.0 §5.23 ANAGRPID].
  if (N.anagrpid.get(words, 0) !== 0) return Status.invalidField;
  const isHere = N.nvmsetid.get(words, 0) <= onlyGroup && N.endgid.get(words, 0) <= onlyGroup;
  return isHere ? 0 : Status.invalidField;
}

function deleteNamespaces(context: AdminContext, command: Command): number {
  const { subsystem } = context;
  const { nsid } = command;
  const doomed = nsid === Nsid.broadcast ? subsystem.namespaces : allocated(context, nsid);
  if (typeof doomed === 'number') return context.refuse(doomed, Sqe.nsid);
  if (doomed.some((namespace) => namespace.isWriteProtected)) {
    return Status.namespaceWriteProtected;
  }
  if (doomed.some((namespace) => !namespace.isReady)) return Status.formatInProgress;
  for (const namespace of doomed) subsystem.delete(namespace);
  return 0;
}

function allocated(context: AdminContext, nsid: number): Namespace[] | number {
  if (!context.subsystem.isValidNsid(nsid)) return Status.invalidNamespaceOrFormat;
  const namespace = context.subsystem.namespace(nsid);
  return namespace === undefined ? Status.invalidField : [namespace];
}

/** [NVMe-2.0 §5.22 Namespace Attachment] */
export function attachNamespace(context: AdminContext, command: Command): number {
  const { subsystem } = context;
  const select = NamespaceAttachment.sel.get(command.words, 0);
  if (select > NamespaceAttachmentSelect.detach) {
    return context.refuse(Status.invalidField, NamespaceAttachment.sel);
  }
  if (command.nsid === Nsid.broadcast) return context.refuse(Status.invalidField, Sqe.nsid);
  const found = allocated(context, command.nsid);
  if (typeof found === 'number') return context.refuse(found, Sqe.nsid);
  const words = context.blankPage();
  const received = context.receive(command, context.bytes, identifyBytes);
  if (received !== 0) return received;
  const ids = controllersIn(words);
  if (ids === null || !ids.every((id) => subsystem.hasController(id))) {
    return Status.controllerListInvalid;
  }
  const [namespace] = found;
  if (namespace === undefined) return Status.internalError;
  const isAttach = select === NamespaceAttachmentSelect.attach;
  return isAttach ? attachTo(context, namespace, ids) : detachFrom(context, namespace, ids);
}

function attachTo(context: AdminContext, namespace: Namespace, ids: readonly number[]): number {
  if (ids.some((id) => namespace.attached.has(id))) return Status.namespaceAlreadyAttached;
  if (!namespace.isShared && namespace.attached.size + ids.length > 1) {
    return Status.namespaceIsPrivate;
  }
  for (const id of ids) context.subsystem.attach(namespace, id);
  return 0;
}

function detachFrom(context: AdminContext, namespace: Namespace, ids: readonly number[]): number {
  if (!ids.every((id) => namespace.attached.has(id))) return Status.namespaceNotAttached;
  for (const id of ids) context.subsystem.detach(namespace, id);
  return 0;
}

/** The identifiers of a controller list, or null for a list that breaks its rules. */
function controllersIn(words: Uint32Array): number[] | null {
  const count = ControllerList.count.get(words, 0);
  if (count === 0 || count > controllerListMaximum) return null;
  const bytes = ControllerList.identifiers.bytes(words, 0);
  const ids = [...new Uint16Array(bytes.slice(0, 2 * count).buffer)];
  const isAscending = ids.every((id, i) => i === 0 || id > ids[i - 1]!);
  return isAscending ? ids : null;
}
