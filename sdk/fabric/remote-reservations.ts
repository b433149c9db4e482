import { outcomeOf } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { HostReservations, type How } from '../reservations/host.js';
import { statusKind, statusText } from '../spec/nvme/status.js';
import { tryControl } from './host-control.js';
import type { HostQueue } from './host-queue.js';
import { blockStatusOf } from './remote-status.js';

/** Reservations of a namespace of another machine. */
export class RemoteReservations extends HostReservations<undefined> {
  private readonly queue: () => HostQueue | null;

  /** @param queue  for I/O, with room for one more command; null when there is none */
  constructor(nsid: number, page: Uint32Array, queue: () => HostQueue | null) {
    super(nsid, page);
    this.queue = queue;
  }

  protected async send(
    words: Uint32Array,
    data: Uint32Array,
    { isToHost }: How<undefined>,
  ): Promise<number> {
    const queue = this.queue();
    if (queue === null) {
      throw new UltimaError(ErrorCode.deviceRemoved, 'a reservation command: no queue is free');
    }
    const bytes = new Uint8Array(data.buffer);
    const { status } = await tryControl(queue, {
      what: 'a reservation command',
      fill: (entry) => entry.set(words),
      ...(isToHost ? { receive: bytes } : { send: bytes }),
    });
    return status;
  }

  protected errorOf(detail: number): Error {
    const blockStatus = blockStatusOf(statusKind(detail));
    const outcome = outcomeOf(blockStatus);
    const message = `a reservation command: ${statusText(detail)}; outcome: ${outcome}`;
    return new UltimaError(ErrorCode.commandFailed, message, {
      status: detail,
      outcome,
      blockStatus,
    });
  }
}
