import { broadcastNsid } from '../../../sdk/spec/nvme/command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { Work } from './work.js';

/**
 * Flush: everything completed before it is durable when it completes. With the broadcast NSID it is
 * for every namespace that is attached to the controller [NVM-1.0 §? Flush].
 */
export class FlushOperation {
  private readonly work: Work;

  constructor(work: Work) {
    this.work = work;
  }

  begin(command: Command): void {
    const { work } = this;
    let dirtyPages = 0;
    for (const namespace of this.namespacesOf(command)) {
      if (!namespace.isReady) {
        work.fail(command, Status.formatInProgress);
        return;
      }
      if (!namespace.reservations.mayWrite(work.controller.host)) {
        work.fail(command, Status.reservationConflict);
        return;
      }
      dirtyPages += namespace.medium.dirtyPages;
    }
    work.media.flush(work.services, command, dirtyPages);
  }

  finish(command: Command): void {
    let status = 0;
    for (const namespace of this.namespacesOf(command)) {
      const own = namespace.medium.flush();
      if (own !== 0) status = own;
    }
    if (status === 0) this.work.succeed(command);
    else this.work.failMedia(command, status, 0);
  }

  private namespacesOf(command: Command): Iterable<Namespace> {
    const { controller } = this.work;
    if (command.nsid === broadcastNsid) return controller.attachedNamespaces();
    const one = controller.namespace(command.nsid);
    return one === null ? [] : [one];
  }
}
