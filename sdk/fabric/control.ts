import { encodeReservations } from '../reservations/saved.js';
import {
  AuthenticationReceive,
  AuthenticationSend,
  ConnectData,
  discoveryNqn,
  FabricsCommand,
  FabricsType,
  fabricsOpcode,
} from '../spec/fabrics/command.js';
import {
  Abort,
  GetFeatures,
  GetLogPage,
  Identify,
  logDwords,
  SetFeatures,
} from '../spec/nvme/admin-command.js';
import { Sqe, sgl1Dword } from '../spec/nvme/command.js';
import { SglDescriptor } from '../spec/nvme/data-pointer.js';
import {
  Feature,
  KeepAliveFeature,
  QueueCountFeature,
  ReservationPersistFeature,
  WriteCacheFeature,
} from '../spec/nvme/features.js';
import { identifyBytes, Nsid } from '../spec/nvme/identify.js';
import { AdminOpcode, directionOf } from '../spec/nvme/opcodes.js';
import { Cc } from '../spec/nvme/registers.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import { MiB } from '../units.js';
import type { Association } from './association.js';
import { identify, mostIoQueues } from './identify-pages.js';
import { type DiscoveryFacts, logPage } from './log-pages.js';
import type { ServedNamespace } from './served-namespace.js';
import { Direction, type TargetSlot } from './target-slot.js';

const firstVendorOpcode = 0xc0;
const mostControlBytes = MiB;
/** The command goes on by itself, or never ends: no answer now. */
export const later = -1;

/** Which way the data of a control command goes, and how much it is. @returns the status */
export function prepareControl(slot: TargetSlot): number {
  const { words } = slot;
  const opcode = Sqe.opc.get(words, 0);
  const given = SglDescriptor.length.get(words, sgl1Dword);
  if (opcode === fabricsOpcode) prepareFabrics(slot);
  else if (opcode === AdminOpcode.identify) setData(slot, Direction.toHost, identifyBytes);
  else if (opcode === AdminOpcode.getLogPage) {
    setData(slot, Direction.toHost, logDwords(words, 0) * 4);
  } else if (opcode >= firstVendorOpcode && given > 0) {
    const direction = directionOf(opcode);
    if (direction === 'to controller') setData(slot, Direction.toController, given);
    if (direction === 'to host') setData(slot, Direction.toHost, given);
  }
  return slot.transfer > mostControlBytes ? doNotRetry(Status.invalidField) : 0;
}

function prepareFabrics(slot: TargetSlot): void {
  const { words } = slot;
  const type = FabricsCommand.fctype.get(words, 0);
  if (type === FabricsType.connect) {
    setData(slot, Direction.toController, ConnectData.layout.bytes);
  } else if (type === FabricsType.authenticationSend) {
    setData(slot, Direction.toController, AuthenticationSend.tl.get(words, 0));
  } else if (type === FabricsType.authenticationReceive) {
    setData(slot, Direction.toHost, AuthenticationReceive.al.get(words, 0));
  }
}

function setData(slot: TargetSlot, direction: Direction, bytes: number): void {
  slot.direction = direction;
  slot.transfer = bytes;
}

/**
 * Carry out an admin command of a controller.
 *
 * @returns the status, or `later`
 */
export function carryOut(
  association: Association,
  slot: TargetSlot,
  discovery: () => DiscoveryFacts,
): number | Promise<number> {
  const { words } = slot;
  const opcode = Sqe.opc.get(words, 0);
  if (Cc.en.of(association.cc) === 0) return doNotRetry(Status.commandSequenceError);
  switch (opcode) {
    case AdminOpcode.identify:
      return identify(
        association,
        {
          cns: Identify.cns.get(words, 0),
          nsid: Sqe.nsid.get(words, 0),
          csi: Identify.csi.get(words, 0),
        },
        slot.memory,
      );
    case AdminOpcode.getLogPage:
      return getLog(association, slot, discovery());
    case AdminOpcode.setFeatures:
      return setFeatures(association, slot);
    case AdminOpcode.getFeatures:
      return getFeatures(association, slot);
    case AdminOpcode.keepAlive:
      association.keepAlive();
      return 0;
    case AdminOpcode.asynchronousEventRequest:
      slot.isBusy = true;
      if (association.awaitEvent(slot)) return later;
      slot.isBusy = false;
      return doNotRetry(Status.asynchronousEventLimitExceeded);
    case AdminOpcode.abort:
      return abort(association, slot);
    default:
      return opcode >= firstVendorOpcode
        ? vendorCommand(association, slot)
        : doNotRetry(Status.invalidOpcode);
  }
}

function getLog(association: Association, slot: TargetSlot, discovery: DiscoveryFacts): number {
  const { words } = slot;
  const lid = GetLogPage.lid.get(words, 0);
  const page = logPage(association, lid, { lsp: GetLogPage.lsp.get(words, 0), discovery });
  if (page === null) return doNotRetry(Status.invalidLogPage);
  const offset = GetLogPage.lpo.get(words, 0);
  if (offset > page.length) return doNotRetry(Status.invalidField);
  slot.memory.set(page.subarray(offset, offset + slot.memory.length));
  if (GetLogPage.rae.get(words, 0) === 0) association.logRead(lid);
  return 0;
}

function setFeatures(association: Association, slot: TargetSlot): number | Promise<number> {
  const { words } = slot;
  const value = SetFeatures.value.get(words, 0);
  const isDiscovery = association.subsystem.nqn === discoveryNqn;
  switch (SetFeatures.fid.get(words, 0)) {
    case Feature.numberOfQueues: {
      if (isDiscovery) return doNotRetry(Status.invalidField);
      const asked = Math.max(QueueCountFeature.nsq.of(value), QueueCountFeature.ncq.of(value));
      slot.result = queueCount(Math.min(asked, mostIoQueues));
      return 0;
    }
    case Feature.asynchronousEvents:
      association.setEventMask(value);
      return 0;
    case Feature.keepAlive:
      association.keepAliveMs = KeepAliveFeature.kato.of(value);
      association.keepAlive();
      return 0;
    case Feature.volatileWriteCache:
      // It is the device's: it can be flushed, not switched off.
      if (WriteCacheFeature.wce.of(value) === 1) return 0;
      return doNotRetry(Status.featureNotChangeable);
    case Feature.reservationNotification:
    case Feature.reservationPersistence:
      return setReservationFeature(association, slot);
    default:
      return doNotRetry(Status.invalidField);
  }
}

function queueCount(count: number): number {
  return QueueCountFeature.nsq.put(QueueCountFeature.ncq.put(0, count), count);
}

function getFeatures(association: Association, slot: TargetSlot): number {
  switch (GetFeatures.fid.get(slot.words, 0)) {
    case Feature.numberOfQueues:
      slot.result = queueCount(mostIoQueues);
      return 0;
    case Feature.asynchronousEvents:
      slot.result = association.eventMask;
      return 0;
    case Feature.keepAlive:
      slot.result = association.keepAliveMs;
      return 0;
    case Feature.volatileWriteCache:
      slot.result = WriteCacheFeature.wce.put(0, 1);
      return 0;
    case Feature.reservationNotification:
    case Feature.reservationPersistence:
      return getReservationFeature(association, slot);
    default:
      return doNotRetry(Status.invalidField);
  }
}

/** The namespaces that a feature of reservations is about: all that have any, for the broadcast. */
function reservable({ subsystem }: Association, { words }: TargetSlot): ServedNamespace[] {
  const nsid = Sqe.nsid.get(words, 0);
  const all = [...subsystem.namespaces.values()].filter(({ keeper }) => keeper !== null);
  return nsid === Nsid.broadcast ? all : all.filter((namespace) => namespace.nsid === nsid);
}

function setReservationFeature(
  association: Association,
  slot: TargetSlot,
): number | Promise<number> {
  const { words } = slot;
  const value = SetFeatures.value.get(words, 0);
  const namespaces = reservable(association, slot);
  if (SetFeatures.fid.get(words, 0) === Feature.reservationNotification) {
    for (const { nsid } of namespaces) association.reservationMasks.set(nsid, value);
    return namespaces.length === 0 ? doNotRetry(Status.invalidField) : 0;
  }
  const persists = ReservationPersistFeature.ptpl.of(value) === 1;
  const concerned = namespaces.filter(({ keeper }) => !persists || keeper!.canPersist);
  if (concerned.length === 0) return doNotRetry(Status.invalidField);
  const saving = concerned.map(({ reservations, keeper }) => {
    reservations.persistsThroughPowerLoss = persists;
    return keeper!.save(encodeReservations(reservations));
  });
  return Promise.all(saving).then(() => 0);
}

function getReservationFeature(association: Association, slot: TargetSlot): number {
  const [namespace] = reservable(association, slot);
  const isOne = namespace?.nsid === Sqe.nsid.get(slot.words, 0);
  if (namespace === undefined || !isOne) return doNotRetry(Status.invalidField);
  const { persistsThroughPowerLoss } = namespace.reservations;
  const isMask = GetFeatures.fid.get(slot.words, 0) === Feature.reservationNotification;
  slot.result = isMask
    ? (association.reservationMasks.get(namespace.nsid) ?? 0)
    : ReservationPersistFeature.ptpl.put(0, persistsThroughPowerLoss ? 1 : 0);
  return 0;
}

function abort(association: Association, slot: TargetSlot): number {
  const queueId = Abort.sqid.get(slot.words, 0);
  const isAborted = queueId === 0 && association.abortEvent(Abort.cid.get(slot.words, 0));
  // Everything else is with a device or about to be: it ends by itself.
  slot.result = isAborted ? 0 : 1;
  return 0;
}

async function vendorCommand(association: Association, slot: TargetSlot): Promise<number> {
  const { onVendorCommand } = association.subsystem.options;
  const opcode = Sqe.opc.get(slot.words, 0);
  if (onVendorCommand === undefined) return doNotRetry(Status.invalidOpcode);
  const isToHost = slot.direction === Direction.toHost;
  const { data, result, status } = await onVendorCommand({
    opcode,
    nsid: Sqe.nsid.get(slot.words, 0),
    dwords: [...slot.words.subarray(Sqe.cdw10.dword, Sqe.cdw15.dword + 1)],
    data: isToHost ? new Uint8Array(0) : slot.memory.subarray(0, slot.transfer),
    mostAnswerBytes: isToHost ? slot.transfer : 0,
    host: association.identity,
    association,
  });
  slot.result = result ?? 0;
  if (data !== undefined && isToHost) slot.memory.set(data.subarray(0, slot.transfer));
  return status;
}
