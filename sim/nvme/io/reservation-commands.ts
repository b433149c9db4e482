import {
  carryOutReservation,
  checkReservation,
  isAborting,
  reservationDataBytes,
} from '../../../sdk/reservations/commands.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import { parametersOf } from './parameters.js';
import { Access, type Operation, type Work } from './work.js';

/**
 * Reservation Register, Acquire and Release: a key structure comes in, the state machine decides.
 */
export class ReservationOperation implements Operation {
  readonly access = Access.none;
  private readonly work: Work;
  private readonly opcode: number;

  constructor(work: Work, opcode: number) {
    this.work = work;
    this.opcode = opcode;
  }

  begin(command: Command, _namespace: Namespace): void {
    const { work, opcode } = this;
    const { services } = work;
    const length = reservationDataBytes(opcode);
    let status = checkReservation(opcode, command.words, true);
    if (status === 0) status = services.mapData(command, length);
    if (status === 0) {
      status = services.fromHost(command, parametersOf(command).bytes, 0, 0, length);
    }
    if (status !== 0) work.fail(command, status);
    else work.media.manage(work.services, command, 1);
  }

  finish(command: Command, namespace: Namespace): void {
    const { opcode, work } = this;
    const { words } = command;
    const { controller } = work;
    const lost: string[] = [];
    const keys = parametersOf(command).words;
    const wanted = { opcode, words, keys, host: controller.host };
    const status = carryOutReservation(wanted, namespace.reservations, lost);
    if (lost.length > 0 && isAborting(words)) controller.abortCommandsOf(lost, namespace);
    work.end(command, status);
  }
}
