import {
  AcquireAction,
  PersistThroughPowerLoss,
  RegisterAction,
  ReleaseAction,
  ReservationAcquire,
  ReservationAcquireData,
  ReservationRegister,
  ReservationRegisterData,
  ReservationRelease,
  ReservationReleaseData,
} from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { Status } from '../spec/nvme/status.js';
import { type ReservationKey, ReservationOutcome, type Reservations } from './reservations.js';

/** Bytes that come with Reservation Register, Acquire or Release; 0 for every other opcode. */
export function reservationDataBytes(opcode: number): number {
  switch (opcode) {
    case NvmOpcode.reservationRegister:
      return ReservationRegisterData.layout.bytes;
    case NvmOpcode.reservationAcquire:
      return ReservationAcquireData.layout.bytes;
    case NvmOpcode.reservationRelease:
      return ReservationReleaseData.layout.bytes;
    default:
      return 0;
  }
}

/** @returns 0, or the status for a field that is wrong by itself */
export function checkReservation(opcode: number, words: Uint32Array, canPersist: boolean): number {
  switch (opcode) {
    case NvmOpcode.reservationRegister: {
      const wantsPower = ReservationRegister.cptpl.get(words, 0) === PersistThroughPowerLoss.on;
      if (wantsPower && !canPersist) return Status.invalidField;
      const action = ReservationRegister.rrega.get(words, 0);
      return action > RegisterAction.replace ? Status.invalidField : 0;
    }
    case NvmOpcode.reservationAcquire: {
      if (ReservationAcquire.iekey.get(words, 0) === 1) return Status.invalidField;
      const action = ReservationAcquire.racqa.get(words, 0);
      return action > AcquireAction.preemptAndAbort ? Status.invalidField : 0;
    }
    default: {
      if (ReservationRelease.iekey.get(words, 0) === 1) return Status.invalidField;
      const action = ReservationRelease.rrela.get(words, 0);
      return action > ReleaseAction.clear ? Status.invalidField : 0;
    }
  }
}

/** A command of a host that `checkReservation` has let through. */
export interface ReservationCommand {
  readonly opcode: number;
  readonly words: Uint32Array;
  /** The key structure that came with it. */
  readonly keys: Uint32Array;
  readonly host: string;
}

/**
 * @param lost  receives the other hosts whose registration was taken away
 * @returns the status of the command
 */
export function carryOutReservation(
  command: ReservationCommand,
  reservations: Reservations,
  lost: string[],
): number {
  const { opcode } = command;
  if (opcode === NvmOpcode.reservationRegister) return register(command, reservations);
  if (opcode === NvmOpcode.reservationAcquire) return acquire(command, reservations, lost);
  return release(command, reservations);
}

/** Whether the commands of hosts that lose their registration are to be aborted. */
export function isAborting(words: Uint32Array): boolean {
  return ReservationAcquire.racqa.get(words, 0) === AcquireAction.preemptAndAbort;
}

/** [NVMe-2.0 §7.3 Reservation Register] */
function register({ words, keys, host }: ReservationCommand, reservations: Reservations): number {
  const ignoresKey = ReservationRegister.iekey.get(words, 0) === 1;
  const current = ignoresKey ? null : keyAt(keys, ReservationRegisterData.crkey.offset);
  const key = keyAt(keys, ReservationRegisterData.nrkey.offset);
  const action = ReservationRegister.rrega.get(words, 0);
  let outcome: number;
  if (action === RegisterAction.register) outcome = reservations.register(host, key);
  else if (action === RegisterAction.unregister) outcome = reservations.unregister(host, current);
  else outcome = reservations.replaceKey(host, current, key);
  if (outcome !== ReservationOutcome.done) return statusOf(outcome);
  const change = ReservationRegister.cptpl.get(words, 0);
  if (change === PersistThroughPowerLoss.off) reservations.persistsThroughPowerLoss = false;
  if (change === PersistThroughPowerLoss.on) reservations.persistsThroughPowerLoss = true;
  return 0;
}

/** [NVMe-2.0 §7.2 Reservation Acquire] */
function acquire(
  { words, keys, host }: ReservationCommand,
  reservations: Reservations,
  lost: string[],
): number {
  const current = keyAt(keys, ReservationAcquireData.crkey.offset);
  const type = ReservationAcquire.rtype.get(words, 0);
  if (ReservationAcquire.racqa.get(words, 0) === AcquireAction.acquire) {
    return statusOf(reservations.acquire(host, current, type));
  }
  const preempted = keyAt(keys, ReservationAcquireData.prkey.offset);
  const found: string[] = [];
  const outcome = reservations.preempt({ host, current, preempted, type }, found);
  for (const name of found) if (name !== host) lost.push(name);
  return statusOf(outcome);
}

/** [NVMe-2.0 §7.4 Reservation Release] */
function release({ words, keys, host }: ReservationCommand, reservations: Reservations): number {
  const current = keyAt(keys, ReservationReleaseData.crkey.offset);
  const isClear = ReservationRelease.rrela.get(words, 0) === ReleaseAction.clear;
  if (isClear) return statusOf(reservations.clear(host, current));
  const type = ReservationRelease.rtype.get(words, 0);
  return statusOf(reservations.releaseBy(host, current, type));
}

function keyAt(words: Uint32Array, offset: number): ReservationKey {
  return { low: words[offset / 4]!, high: words[offset / 4 + 1]! };
}

function statusOf(outcome: number): number {
  if (outcome === ReservationOutcome.done) return 0;
  const isConflict = outcome === ReservationOutcome.conflict;
  return isConflict ? Status.reservationConflict : Status.invalidField;
}
