import { fillReport, type HostController } from '../../../sdk/reservations/report.js';
import { ReservationReport } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import { parametersOf } from './parameters.js';
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
    const { words, bytes } = parametersOf(command);
    const { controller, services } = this.work;
    const controllersOf = (host: string): readonly HostController[] =>
      controller.controllersOf(host, namespace);
    fillReport(words, namespace.reservations, { isExtended, controllersOf });
    const sent = Math.min(length, bytes.length);
    this.work.end(command, services.toHost(command, bytes, 0, 0, sent));
  }
}
