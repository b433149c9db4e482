import { isIPv6 } from 'node:net';
import { reservationPage } from '../reservations/notice-log.js';
import type { Place } from '../sockets/stream.js';
import { discoveryNqn } from '../spec/fabrics/command.js';
import {
  AddressFamily,
  DiscoveryEntry,
  DiscoveryLog,
  SecureChannel,
  SubsystemType,
  TcpSecurity,
  TransportType,
} from '../spec/fabrics/discovery.js';
import { anaGroupsOnly } from '../spec/fabrics/events.js';
import { Nsid } from '../spec/nvme/identify.js';
import {
  AnaGroup,
  AnaLog,
  ChangedNamespaceLog,
  FirmwareSlotLog,
  LogPage,
} from '../spec/nvme/logs.js';
import { ErrorEntry, HealthLog } from '../spec/nvme/logs-health.js';
import { type Association, errorLogEntries } from './association.js';
import type { FabricSubsystem } from './subsystem.js';

const mostQueueSize = 32;
const mostDiscoveryControllers = 0xffff;

/** What discovery tells of this target. */
export interface DiscoveryFacts {
  readonly subsystems: readonly FabricSubsystem[];
  readonly places: readonly Place[];
  readonly generation: number;
  readonly isSecure: boolean;
}

/** The whole of a log page; null for one that there is not. */
export function logPage(
  association: Association,
  lid: number,
  parts: { readonly lsp: number; readonly discovery: DiscoveryFacts },
): Uint8Array | null {
  const isDiscovery = association.subsystem.nqn === discoveryNqn;
  if (lid === LogPage.error) return errorPage(association);
  if (isDiscovery) return lid === LogPage.discovery ? discoveryPage(parts.discovery) : null;
  switch (lid) {
    case LogPage.health:
      return healthPage(association);
    case LogPage.firmwareSlot:
      return firmwarePage();
    case LogPage.changedNamespaces:
      return changedPage(association);
    case LogPage.reservation:
      if (!hasReservations(association.subsystem)) return null;
      return reservationPage(association.reservationLog);
    case LogPage.ana:
      return anaPage(association.subsystem, (parts.lsp & anaGroupsOnly) !== 0);
    default:
      return null;
  }
}

/** Whether any namespace can be reserved. */
export function hasReservations({ namespaces }: FabricSubsystem): boolean {
  return [...namespaces.values()].some(({ keeper }) => keeper !== null);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

function errorPage({ errors }: Association): Uint8Array {
  const size = ErrorEntry.layout.bytes;
  const page = new Uint8Array(errorLogEntries * size);
  const words = wordsOf(page);
  errors.forEach((each, i) => {
    const at = (i * size) / 4;
    ErrorEntry.count.set(words, at, each.count);
    ErrorEntry.sqid.set(words, at, each.qid);
    ErrorEntry.cid.set(words, at, each.cid);
    ErrorEntry.status.set(words, at, each.status);
    ErrorEntry.byte.set(words, at, each.byte);
    ErrorEntry.lba.set(words, at, each.lba);
    ErrorEntry.nsid.set(words, at, each.nsid);
    ErrorEntry.trtype.set(words, at, TransportType.tcp);
  });
  return page;
}

/** What is not measured reads as zero, which is how the standard says so for a temperature. */
function healthPage({ errorCount }: Association): Uint8Array {
  const page = new Uint8Array(HealthLog.layout.bytes);
  HealthLog.spare.set(wordsOf(page), 0, 100);
  HealthLog.errorEntries.setCount(wordsOf(page), 0, BigInt(errorCount));
  return page;
}

function firmwarePage(): Uint8Array {
  const page = new Uint8Array(FirmwareSlotLog.layout.bytes);
  FirmwareSlotLog.active.set(wordsOf(page), 0, 1);
  FirmwareSlotLog.frs1.setText(wordsOf(page), 0, '1');
  return page;
}

function changedPage({ changedNamespaces }: Association): Uint8Array {
  const page = new Uint8Array(ChangedNamespaceLog.layout.bytes);
  const words = wordsOf(page);
  const { entries } = ChangedNamespaceLog;
  const all = [...changedNamespaces].sort((a, b) => a - b);
  if (all.length > entries.count) all.splice(0, all.length, Nsid.broadcast);
  all.forEach((nsid, i) => {
    entries.item.nsid.set(words, entries.at(0, i), nsid);
  });
  return page;
}

function anaPage(subsystem: FabricSubsystem, isGroupsOnly: boolean): Uint8Array {
  const groups = new Map<number, number[]>();
  for (const { nsid, anaGroup } of subsystem.namespaces.values()) {
    const members = groups.get(anaGroup) ?? [];
    groups.set(anaGroup, members);
    members.push(nsid);
  }
  const listed = isGroupsOnly ? 0 : subsystem.namespaces.size;
  const bytes = AnaLog.layout.bytes + groups.size * AnaGroup.layout.bytes + 4 * listed;
  const words = new Uint32Array(bytes / 4);
  AnaLog.changeCount.set(words, 0, subsystem.anaChangeCount);
  AnaLog.groups.set(words, 0, groups.size);
  let at = AnaLog.layout.bytes / 4;
  for (const [id, members] of [...groups].sort(([a], [b]) => a - b)) {
    AnaGroup.id.set(words, at, id);
    AnaGroup.changeCount.set(words, at, subsystem.anaGroupCount(id));
    AnaGroup.state.set(words, at, subsystem.anaState(id));
    const shown = isGroupsOnly ? [] : members.sort((a, b) => a - b);
    AnaGroup.namespaces.set(words, at, shown.length);
    at += AnaGroup.layout.bytes / 4;
    for (const nsid of shown) words[at++] = nsid;
  }
  return new Uint8Array(words.buffer);
}

function discoveryPage(facts: DiscoveryFacts): Uint8Array {
  const size = DiscoveryEntry.layout.bytes;
  const count = facts.subsystems.length * facts.places.length;
  const page = new Uint8Array(DiscoveryLog.layout.bytes + count * size);
  const words = wordsOf(page);
  DiscoveryLog.generation.set(words, 0, facts.generation);
  DiscoveryLog.records.set(words, 0, count);
  let at = DiscoveryLog.layout.bytes / 4;
  for (const { nqn } of facts.subsystems) {
    facts.places.forEach(({ host, port }, index) => {
      const table = DiscoveryEntry;
      table.trtype.set(words, at, TransportType.tcp);
      table.adrfam.set(words, at, isIPv6(host) ? AddressFamily.ipv6 : AddressFamily.ipv4);
      table.subtype.set(words, at, SubsystemType.nvm);
      const { required, notRequired } = SecureChannel;
      table.secureChannel.set(words, at, facts.isSecure ? required : notRequired);
      table.noFlowControl.set(words, at, 1);
      table.portid.set(words, at, index);
      table.cntlid.set(words, at, mostDiscoveryControllers);
      table.asqsz.set(words, at, mostQueueSize);
      table.trsvcid.setText(words, at, `${port}`);
      table.traddr.setText(words, at, host);
      table.subnqn.bytes(words, at).set(Buffer.from(nqn));
      table.sectype.set(words, at, facts.isSecure ? TcpSecurity.tls13 : TcpSecurity.none);
      at += size / 4;
    });
  }
  return page;
}
