import { WriteUncorrectable } from '../../../sdk/spec/nvme/nvm-command.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { ReadParts } from './read.js';
import { Access, type Operation } from './work.js';

const fields = WriteUncorrectable;

/**
 * Write Uncorrectable: reading these blocks fails until they are written
 * [NVM-1.0 §3.2.7 Write Uncorrectable].
 *
 * scratch0: first block, scratch1: blocks.
 */
export class WriteUncorrectableOperation implements Operation {
  readonly access = Access.write;
  private readonly parts: ReadParts;

  constructor(parts: ReadParts) {
    this.parts = parts;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work, transfer } = this.parts;
    const lba = fields.slba.get(command.words, 0);
    const count = fields.nlb.get(command.words, 0);
    command.scratch0 = lba;
    command.scratch1 = count;
    const status = transfer.checkRange(namespace, lba, count);
    if (status !== 0) work.fail(command, status, lba);
    else work.media.manage(work.services, command, 1);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    const range = { lba: command.scratch0, count: command.scratch1 };
    const status = namespace.medium.fill(range, 'bad', false);
    if (status === 0) work.succeed(command);
    else work.failMedia(command, status, range.lba);
  }
}
