import {
  noRegisteredController,
  RegisteredController,
  RegisteredControllerExtended,
  ReservationStatus,
  reservationStatusExtendedBytes,
} from '../spec/nvme/nvm-command.js';
import type { Registrant, Reservations } from './reservations.js';

/** A controller that belongs to a host, as Reservation Report lists it. */
export interface HostController {
  readonly controllerId: number;
  /** 8 bytes, or 16 when the host gave an extended identifier. */
  readonly hostIdentifier: Uint8Array;
}

export interface ReportOptions {
  readonly isExtended: boolean;
  readonly controllersOf: (host: string) => readonly HostController[];
}

/**
 * Fill in the structure of Reservation Report: one entry per controller of each registrant, as many
 * as there is room for [NVMe-2.0 §7.5 Reservation Report].
 */
export function fillReport(
  words: Uint32Array,
  reservations: Reservations,
  { isExtended, controllersOf }: ReportOptions,
): void {
  words.fill(0);
  const table = isExtended ? RegisteredControllerExtended : RegisteredController;
  const entryBytes = table.layout.bytes;
  let at = isExtended ? reservationStatusExtendedBytes : ReservationStatus.layout.bytes;
  let count = 0;
  for (const registrant of reservations.registrants) {
    for (const controller of controllersOrNone(registrant, controllersOf)) {
      if (at + entryBytes > words.length * 4) break;
      const holds = reservations.isHolder(registrant.host);
      putEntry(words, at / 4, { registrant, controller, holds, isExtended });
      at += entryBytes;
      count++;
    }
  }
  ReservationStatus.gen.set(words, 0, reservations.generation);
  ReservationStatus.rtype.set(words, 0, reservations.type);
  ReservationStatus.regctl.set(words, 0, count);
  ReservationStatus.ptpls.set(words, 0, reservations.persistsThroughPowerLoss ? 1 : 0);
}

/** A registrant that is not connected is still to be seen: it may hold the reservation. */
function controllersOrNone(
  { host }: Registrant,
  controllersOf: ReportOptions['controllersOf'],
): readonly HostController[] {
  const found = controllersOf(host);
  if (found.length > 0) return found;
  const digits = host.match(/[0-9a-f]{2}/g) ?? [];
  const hostIdentifier = Uint8Array.from(digits, (pair) => Number.parseInt(pair, 16));
  return [{ controllerId: noRegisteredController, hostIdentifier }];
}

interface Entry {
  readonly registrant: Registrant;
  readonly controller: HostController;
  readonly holds: boolean;
  readonly isExtended: boolean;
}

function putEntry(words: Uint32Array, at: number, entry: Entry): void {
  const table = entry.isExtended ? RegisteredControllerExtended : RegisteredController;
  table.cntlid.set(words, at, entry.controller.controllerId);
  table.holds.set(words, at, entry.holds ? 1 : 0);
  const keyAt = at + table.rkey.offset / 4;
  words[keyAt] = entry.registrant.key.low;
  words[keyAt + 1] = entry.registrant.key.high;
  const identifier = table.hostid.bytes(words, at);
  identifier.set(entry.controller.hostIdentifier.subarray(0, identifier.length));
}
