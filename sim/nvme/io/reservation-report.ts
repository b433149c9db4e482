import {
  noRegisteredController,
  RegisteredController,
  RegisteredControllerExtended,
  ReservationReport,
  ReservationStatus,
  reservationStatusExtendedBytes,
} from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { Registrant } from '../reservations.js';
import type { HostController } from './controller.js';
import { type Parameters, parametersOf } from './parameters.js';
import { Access, type Operation, type Work } from './work.js';

/**
 * Reservation Report: one entry per controller of each registrant [NVMe-2.0 §7.5 Reservation
 * Report]. The structure follows the size of the host's identifier, and EDS must ask for it.
 */
export class ReservationReportOperation implements Operation {
  readonly access = Access.none;
  private readonly work: Work;

  constructor(work: Work) {
    this.work = work;
  }

  begin(command: Command, _namespace: Namespace): void {
    const { work } = this;
    const { controller } = work;
    const isExtended = ReservationReport.eds.get(command.words, 0) === 1;
    const length = ReservationReport.numd.get(command.words, 0) * 4;
    let status = 0;
    if (isExtended !== controller.hasExtendedHostIdentifier) {
      status = Status.hostIdentifierInconsistentFormat;
    } else if (length > controller.maxTransferBytes) {
      status = Status.invalidField;
    } else {
      status = work.services.mapData(command, length);
    }
    if (status !== 0) work.fail(command, status);
    else work.media.manage(work.services, command, 1);
  }

  finish(command: Command, namespace: Namespace): void {
    const isExtended = ReservationReport.eds.get(command.words, 0) === 1;
    const length = ReservationReport.numd.get(command.words, 0) * 4;
    const parameters = parametersOf(command);
    this.fill(parameters, namespace, isExtended);
    const sent = Math.min(length, parameters.bytes.length);
    const { services } = this.work;
    this.work.end(command, services.toHost(command, parameters.bytes, 0, 0, sent));
  }

  private fill(parameters: Parameters, namespace: Namespace, isExtended: boolean): void {
    const { words, bytes } = parameters;
    const { reservations } = namespace;
    words.fill(0);
    const entryBytes = (isExtended ? RegisteredControllerExtended : RegisteredController).layout
      .bytes;
    let at = isExtended ? reservationStatusExtendedBytes : ReservationStatus.layout.bytes;
    let count = 0;
    for (const registrant of reservations.registrants) {
      for (const controller of this.controllersOf(registrant, namespace)) {
        if (at + entryBytes > bytes.length) break;
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
  private controllersOf({ host }: Registrant, namespace: Namespace): readonly HostController[] {
    const found = this.work.controller.controllersOf(host, namespace);
    if (found.length > 0) return found;
    const hostIdentifier = Uint8Array.from(Buffer.from(host, 'hex'));
    return [{ controllerId: noRegisteredController, hostIdentifier }];
  }
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
