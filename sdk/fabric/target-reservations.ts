import {
  carryOutReservation,
  checkReservation,
  reservationDataBytes,
} from '../reservations/commands.js';
import { fillReport, type HostController } from '../reservations/report.js';
import type { Reservations } from '../reservations/reservations.js';
import { encodeReservations } from '../reservations/saved.js';
import { Sqe } from '../spec/nvme/command.js';
import { ReservationReport } from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import type { Association } from './association.js';
import { largestTransfer, type ServedNamespace } from './served-namespace.js';
import { Direction, type TargetSlot, Work } from './target-slot.js';

/** Whether an opcode is one of Reservation Register, Acquire, Release and Report. */
export function isReservation(opcode: number): boolean {
  return opcode === NvmOpcode.reservationReport || reservationDataBytes(opcode) > 0;
}

/** Which way the data of a reservation command goes, and how much it is. @returns the status */
export function prepareReservation(slot: TargetSlot, namespace: ServedNamespace): number {
  if (namespace.keeper === null) return doNotRetry(Status.invalidOpcode);
  const { words } = slot;
  const opcode = Sqe.opc.get(words, 0);
  if (opcode === NvmOpcode.reservationReport) {
    slot.transfer = ReservationReport.numd.get(words, 0) * 4;
    slot.direction = Direction.toHost;
    if (slot.transfer > largestTransfer) return doNotRetry(Status.invalidField);
    // Hosts over fabrics have identifiers of 128 bits.
    const isExtended = ReservationReport.eds.get(words, 0) === 1;
    return isExtended ? 0 : doNotRetry(Status.hostIdentifierInconsistentFormat);
  }
  slot.transfer = reservationDataBytes(opcode);
  slot.direction = Direction.toController;
  const status = checkReservation(opcode, words, namespace.keeper.canPersist);
  return status === 0 ? 0 : doNotRetry(status);
}

/** Whether the host may do what a command is about to do. */
export function isAllowed(slot: TargetSlot, reservations: Reservations, host: string): boolean {
  const isReading = slot.work === Work.read || slot.work === Work.compare;
  return isReading ? reservations.mayRead(host) : reservations.mayWrite(host);
}

/**
 * Carry out a prepared command. It is answered when what it has changed is saved, where it is to
 * persist, and when nothing of a host that lost its registration is inside the device any more.
 */
export async function carryOut(
  association: Association,
  slot: TargetSlot,
  namespace: ServedNamespace,
): Promise<number> {
  const { words, memory } = slot;
  const { reservations } = namespace;
  const opcode = Sqe.opc.get(words, 0);
  const host = association.identity.hostId;
  // Over fabrics zero names nobody [NVMe-2.0 §5.27.1 Host Identifier].
  if (/^0*$/.test(host)) return doNotRetry(Status.invalidField);
  const data = new Uint32Array(memory.buffer, memory.byteOffset, memory.length / 4);
  if (opcode === NvmOpcode.reservationReport) {
    const controllersOf = (name: string): HostController[] => controllersFor(association, name);
    fillReport(data, reservations, { isExtended: true, controllersOf });
    return 0;
  }
  const lost: string[] = [];
  const status = carryOutReservation({ opcode, words, keys: data, host }, reservations, lost);
  if (status !== 0) return doNotRetry(status);
  await namespace.keeper!.save(encodeReservations(reservations));
  while (isInside(association, lost, namespace)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return 0;
}

function controllersFor({ subsystem }: Association, host: string): HostController[] {
  return [...subsystem.associations]
    .filter(({ identity }) => identity.hostId === host)
    .map(({ identity }) => ({
      controllerId: identity.controllerId,
      hostIdentifier: Uint8Array.from(Buffer.from(identity.hostId, 'hex')),
    }));
}

function isInside(
  { subsystem }: Association,
  hosts: readonly string[],
  namespace: ServedNamespace,
): boolean {
  for (const set of [subsystem.associations, subsystem.draining]) {
    for (const each of set) {
      if (hosts.includes(each.identity.hostId) && each.isInside(namespace)) return true;
    }
  }
  return false;
}
