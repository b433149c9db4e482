import { discoveryNqn } from '../spec/fabrics/command.js';
import { commandBytes, commandSizeExponent } from '../spec/nvme/command.js';
import { completionBytes, completionSizeExponent } from '../spec/nvme/completion.js';
import { Cns, CommandSet, identifyBytes, NamespaceList, Nsid } from '../spec/nvme/identify.js';
import {
  ControllerType,
  FlushBroadcast,
  IdentifyController,
} from '../spec/nvme/identify-controller.js';
import {
  DeallocatedReads,
  IdentifyNamespace,
  NamespaceDescriptor,
  NamespaceIdentifierType,
} from '../spec/nvme/identify-namespace.js';
import { Cap, Vs } from '../spec/nvme/registers.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import { type Association, errorLogEntries, mostEventRequests } from './association.js';
import { hasReservations } from './log-pages.js';
import {
  largestTransfer,
  mostAnaGroups,
  mostNamespaceId,
  type ServedNamespace,
} from './served-namespace.js';
import { inCapsuleBytes } from './target-queue.js';

/** Entries that a queue may have. */
export const mostQueueEntries = 1024;
export const mostIoQueues = 64;
/** Keep alive timeouts count in this many milliseconds [NVMe-2.0 §5.17.2.1 KAS]. */
const keepAliveStepMs = 1000;
const hundredMs = 100;
const pageBytes = 4096;
const capsuleUnitBytes = 16;
/** Until a controller is ready, in units of 500 ms. */
const readyTimeout = 30;
const anaTransitionSeconds = 10;
const model = 'Ultima NVMe/TCP';

/** CAP, low and high dword. */
export function capabilities(): readonly [low: number, high: number] {
  const words = new Uint32Array(2);
  Cap.mqes.set(words, 0, mostQueueEntries);
  Cap.cqr.set(words, 0, 1);
  Cap.to.set(words, 0, readyTimeout);
  Cap.cssNvm.set(words, 0, 1);
  return [words[0]!, words[1]!];
}

/** VS: 1.4, the last revision that needs nothing of what we do not have. */
export const version = Vs.mjr.put(Vs.mnr.put(0, 4), 1);

export interface IdentifyRequest {
  readonly cns: number;
  readonly nsid: number;
  readonly csi: number;
}

/** Fill in a structure of Identify. @returns the status */
export function identify(
  association: Association,
  { cns, nsid, csi }: IdentifyRequest,
  page: Uint8Array,
): number {
  const words = new Uint32Array(page.buffer, page.byteOffset, identifyBytes / 4);
  if (cns === Cns.controller) {
    fillController(association, words);
    return 0;
  }
  const isDiscovery = association.subsystem.nqn === discoveryNqn;
  if (isDiscovery) return doNotRetry(Status.invalidField);
  const namespace = association.subsystem.namespaces.get(nsid);
  switch (cns) {
    case Cns.namespace:
      return fillNamespace(namespace, nsid, words);
    case Cns.activeNamespaces:
      return fillList(association, nsid, words);
    case Cns.activeNamespacesOfCommandSet:
      if (csi !== CommandSet.nvm) return doNotRetry(Status.invalidField);
      return fillList(association, nsid, words);
    case Cns.namespaceDescriptors:
      return fillDescriptors(namespace, page);
    default:
      return doNotRetry(Status.invalidField);
  }
}

function fillController(association: Association, words: Uint32Array): void {
  const { subsystem, identity } = association;
  const isDiscovery = subsystem.nqn === discoveryNqn;
  const table = IdentifyController;
  // [NVMe-2.0 §? CTRATT] Hosts over fabrics have identifiers of 128 bits.
  table.ctrattHostId128.set(words, 0, isDiscovery ? 0 : 1);
  table.sn.setText(words, 0, subsystem.serial);
  table.mn.setText(words, 0, model);
  table.fr.setText(words, 0, '1');
  table.mdts.set(words, 0, Math.log2(largestTransfer / pageBytes));
  table.cntlid.set(words, 0, identity.controllerId);
  table.ver.set(words, 0, version);
  table.cntrltype.set(words, 0, isDiscovery ? ControllerType.discovery : ControllerType.io);
  table.aerl.set(words, 0, mostEventRequests);
  table.elpe.set(words, 0, errorLogEntries);
  table.npss.set(words, 0, 1);
  table.acl.set(words, 0, mostEventRequests);
  table.lpaExtended.set(words, 0, 1);
  table.kas.set(words, 0, keepAliveStepMs / hundredMs);
  table.maxcmd.set(words, 0, mostQueueEntries);
  table.sqesRequired.set(words, 0, commandSizeExponent);
  table.sqesMaximum.set(words, 0, commandSizeExponent);
  table.cqesRequired.set(words, 0, completionSizeExponent);
  table.cqesMaximum.set(words, 0, completionSizeExponent);
  table.sglsSupport.set(words, 0, 1);
  table.sglsOffset.set(words, 0, 1);
  table.sglsTransport.set(words, 0, 1);
  table.subnqn.bytes(words, 0).set(Buffer.from(subsystem.nqn));
  if (isDiscovery) {
    table.oaesDiscovery.set(words, 0, 1);
    return;
  }
  table.ioccsz.set(words, 0, (commandBytes + inCapsuleBytes) / capsuleUnitBytes);
  table.iorcsz.set(words, 0, completionBytes / capsuleUnitBytes);
  table.msdbd.set(words, 0, 1);
  fillIoAttributes(association, words);
}

function fillIoAttributes({ subsystem }: Association, words: Uint32Array): void {
  const table = IdentifyController;
  const devices = [...subsystem.namespaces.values()].map(({ device }) => device);
  table.cmicMultiplePorts.set(words, 0, 1);
  table.cmicMultipleControllers.set(words, 0, 1);
  table.cmicAna.set(words, 0, 1);
  table.oaesNamespace.set(words, 0, 1);
  table.oaesAna.set(words, 0, 1);
  table.nn.set(words, 0, mostNamespaceId);
  table.mnan.set(words, 0, mostNamespaceId);
  table.oncsCompare.set(words, 0, 1);
  table.oncsWriteZeroes.set(words, 0, 1);
  table.oncsDatasetManagement.set(words, 0, 1);
  table.oncsReservations.set(words, 0, hasReservations(subsystem) ? 1 : 0);
  // A namespace may appear later whose device has a cache: hosts look at this once.
  table.vwcPresent.set(words, 0, 1);
  table.vwcFlush.set(words, 0, FlushBroadcast.supported);
  const atomic = Math.min(0x1_0000, ...devices.map(({ limits }) => limits.atomicWriteBlocks));
  table.awun.set(words, 0, devices.length === 0 ? 1 : atomic);
  table.awupf.set(words, 0, devices.length === 0 ? 1 : atomic);
  table.anatt.set(words, 0, anaTransitionSeconds);
  table.anacapOptimized.set(words, 0, 1);
  table.anacapNonOptimized.set(words, 0, 1);
  table.anacapInaccessible.set(words, 0, 1);
  table.anacapPersistentLoss.set(words, 0, 1);
  table.anacapChange.set(words, 0, 1);
  table.anagrpmax.set(words, 0, mostAnaGroups);
  table.nanagrpid.set(words, 0, mostAnaGroups);
}

function fillNamespace(
  namespace: ServedNamespace | undefined,
  nsid: number,
  words: Uint32Array,
): number {
  const table = IdentifyNamespace;
  if (namespace === undefined) {
    const isPossible = nsid >= 1 && nsid <= mostNamespaceId;
    // One that is not active reads as zeroes.
    return isPossible ? 0 : doNotRetry(Status.invalidNamespaceOrFormat);
  }
  const { device, anaGroup, nguid, isReadOnly, blockShift } = namespace;
  namespace.knownBlocks = device.blockCount;
  table.nsze.set(words, 0, device.blockCount);
  table.ncap.set(words, 0, device.blockCount);
  table.nuse.set(words, 0, device.blockCount);
  table.nlbaf.set(words, 0, 1);
  table.nmicShared.set(words, 0, 1);
  table.nsattrWriteProtected.set(words, 0, isReadOnly ? 1 : 0);
  table.dlfeatReads.set(words, 0, DeallocatedReads.notReported);
  table.anagrpid.set(words, 0, anaGroup);
  table.nguid.bytes(words, 0).set(nguid);
  const { atomicWriteBlocks } = device.limits;
  table.nsfeatAtomic.set(words, 0, 1);
  table.nawun.set(words, 0, Math.min(atomicWriteBlocks, 0x1_0000));
  table.nawupf.set(words, 0, Math.min(atomicWriteBlocks, 0x1_0000));
  table.nacwu.set(words, 0, 1);
  if (namespace.keeper !== null) fillReservations(words, namespace.keeper.canPersist);
  const lbads = table.lbaf.item.lbads;
  lbads.set(words, table.lbaf.at(0, 0), blockShift);
  return 0;
}

function fillReservations(words: Uint32Array, canPersist: boolean): void {
  const table = IdentifyNamespace;
  table.rescapPersist.set(words, 0, canPersist ? 1 : 0);
  for (const field of [
    table.rescapWriteExclusive,
    table.rescapExclusiveAccess,
    table.rescapWriteExclusiveRegistrants,
    table.rescapExclusiveAccessRegistrants,
    table.rescapWriteExclusiveAll,
    table.rescapExclusiveAccessAll,
    table.rescapIekey13,
  ]) {
    field.set(words, 0, 1);
  }
}

function fillList({ subsystem }: Association, after: number, words: Uint32Array): number {
  if (after >= Nsid.lastUsable) return doNotRetry(Status.invalidNamespaceOrFormat);
  const active = [...subsystem.namespaces.keys()].filter((nsid) => nsid > after);
  const { entries } = NamespaceList;
  active
    .sort((a, b) => a - b)
    .slice(0, entries.count)
    .forEach((nsid, i) => {
      entries.item.nsid.set(words, entries.at(0, i), nsid);
    });
  return 0;
}

function fillDescriptors(namespace: ServedNamespace | undefined, page: Uint8Array): number {
  if (namespace === undefined) return doNotRetry(Status.invalidNamespaceOrFormat);
  const words = new Uint32Array(page.buffer, page.byteOffset, identifyBytes / 4);
  const { nguid } = namespace;
  NamespaceDescriptor.nidt.set(words, 0, NamespaceIdentifierType.nguid);
  NamespaceDescriptor.nidl.set(words, 0, nguid.length);
  page.set(nguid, NamespaceDescriptor.layout.bytes);
  return 0;
}
