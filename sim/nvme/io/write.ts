import { Write } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage } from '../../store/page-pool.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { ReadParts } from './read.js';
import { Access, type Operation } from './work.js';

const fields = Write;

/**
 * Write: data is fetched first, and nothing has changed before the medium's time is over
 * [NVM-1.0 §3.2.6 Write].
 *
 * scratch0: first block, scratch1: blocks.
 */
export class WriteOperation implements Operation {
  readonly access = Access.write;
  private readonly parts: ReadParts;

  constructor(parts: ReadParts) {
    this.parts = parts;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    const status = this.fetch(command, namespace);
    if (status !== 0) {
      work.fail(command, status, command.scratch0);
      return;
    }
    const isForced = fields.fua.get(command.words, 0) === 1;
    const { scratch0: lba, scratch1: count } = command;
    work.media.write(work.services, command, namespace, lba, count, isForced);
  }

  finish(command: Command, namespace: Namespace): void {
    this.parts.work.end(command, this.commit(command, namespace), command.scratch0);
  }

  /** All checks, and the data. @returns 0 or a status; the command is not ended */
  fetch(command: Command, namespace: Namespace): number {
    const { transfer, protection } = this.parts;
    const words = command.words;
    const lba = fields.slba.get(words, 0);
    const count = fields.nlb.get(words, 0);
    command.scratch0 = lba;
    command.scratch1 = count;
    let status = transfer.checkRange(namespace, lba, count);
    const directive = fields.dtype.get(words, 0);
    if (status === 0 && directive !== 0) {
      const specific = fields.dspec.get(words, 0);
      status = this.parts.work.controller.useDirective(directive, specific, namespace);
    }
    let mode = 0;
    const isProtected = namespace.protectionType !== 0;
    if (status === 0 && namespace.metadataBytes > 0) {
      status = protection.load(namespace, words, lba);
      mode = transfer.modeOf(namespace, protection.isMade);
    }
    if (status === 0) status = transfer.map(command, namespace, count, mode);
    if (status !== 0) return status;
    const checked = isProtected ? protection : null;
    return transfer.fetch(command, namespace, lba, count, mode, checked);
  }

  /** Make the fetched blocks the newest. @returns 0 or a status; the command is not ended */
  commit(command: Command, namespace: Namespace): number {
    const { work } = this.parts;
    const chain = work.takeChain(command, namespace);
    if (chain === blankPage) return Status.formatInProgress;
    const isForced = fields.fua.get(command.words, 0) === 1;
    const count = command.scratch1;
    const status = namespace.medium.commit(command.scratch0, count, chain, isForced);
    if (status === 0) work.controller.health.countWrite(count * namespace.dataBytes);
    else work.controller.health.countMediaError();
    return status;
  }
}
