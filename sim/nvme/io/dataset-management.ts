import { DatasetManagement, DatasetRange } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import { parametersOf } from './parameters.js';
import type { ReadParts } from './read.js';
import { Access, type Operation } from './work.js';

const fields = DatasetManagement;
const range = DatasetRange;
const rangeDwords = range.layout.bytes / 4;

/**
 * Dataset Management: every range with AD is deallocated, the other attributes are hints and change
 * nothing here. No range takes effect when one is wrong [NVM-1.0 §3.2.3 Dataset Management].
 *
 * scratch0: ranges.
 */
export class DatasetManagementOperation implements Operation {
  readonly access = Access.none;
  private readonly parts: ReadParts;

  constructor(parts: ReadParts) {
    this.parts = parts;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    const status = this.fetch(command, namespace);
    if (status !== 0) work.fail(command, status);
    else work.media.manage(work.services, command, command.scratch0);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    const { words } = parametersOf(command);
    let status = 0;
    if (isDeallocating(command)) {
      for (let i = 0; i < command.scratch0 && status === 0; i++) {
        const lba = range.slba.get(words, i * rangeDwords);
        const count = range.length.get(words, i * rangeDwords);
        // A format may have made the namespace shorter since.
        if (count === 0 || lba > namespace.sizeBlocks - count) continue;
        status = namespace.medium.fill({ lba, count }, 'deallocated', false);
        work.media.deallocate(namespace, lba, count);
      }
    }
    if (status === 0) work.succeed(command);
    else work.failMedia(command, status, 0);
  }

  private fetch(command: Command, namespace: Namespace): number {
    const { work, transfer } = this.parts;
    const { services, controller } = work;
    // Only a deallocation changes anything.
    if (isDeallocating(command) && namespace.isWriteProtected) {
      return Status.namespaceWriteProtected;
    }
    if (!namespace.reservations.mayWrite(controller.host)) return Status.reservationConflict;
    const count = fields.nr.get(command.words, 0);
    const length = count * range.layout.bytes;
    command.scratch0 = count;
    const { words, bytes } = parametersOf(command);
    let status = services.mapData(command, length);
    if (status === 0) status = services.fromHost(command, bytes, 0, 0, length);
    for (let i = 0; i < count && status === 0; i++) {
      const blocks = range.length.get(words, i * rangeDwords);
      status = transfer.checkRange(namespace, range.slba.get(words, i * rangeDwords), blocks);
    }
    return status;
  }
}

function isDeallocating(command: Command): boolean {
  return fields.ad.get(command.words, 0) === 1;
}
