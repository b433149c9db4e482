import { WriteZeroes } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage, maskOf, zeroPage } from '../../store/page-pool.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { Protection } from './protection.js';
import type { ReadParts } from './read.js';
import { Access, type Operation } from './work.js';

const fields = WriteZeroes;

/**
 * Write Zeroes: blocks of zeroes, their metadata too; with DEAC the blocks are deallocated, which
 * reads the same. Protection information is made with PRACT [NVM-1.0 §3.2.8 Write Zeroes].
 *
 * scratch0: first block, scratch1: blocks.
 */
export class WriteZeroesOperation implements Operation {
  readonly access = Access.write;
  private readonly parts: ReadParts;

  constructor(parts: ReadParts) {
    this.parts = parts;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work, transfer, protection } = this.parts;
    const words = command.words;
    const lba = fields.slba.get(words, 0);
    const count = fields.nlb.get(words, 0);
    command.scratch0 = lba;
    command.scratch1 = count;
    let status = transfer.checkRange(namespace, lba, count);
    if (status === 0) status = protection.load(namespace, words, lba);
    // There is no information of the host's that could be checked.
    if (status === 0 && !protection.isMade && protection.checksAnything) {
      status = Status.invalidProtectionInformation;
    }
    if (status !== 0) work.fail(command, status, lba);
    else work.media.manage(work.services, command, 1);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work, protection } = this.parts;
    const words = command.words;
    const range = { lba: command.scratch0, count: command.scratch1 };
    const isForced = fields.fua.get(words, 0) === 1;
    const isDeallocating = fields.deac.get(words, 0) === 1;
    protection.load(namespace, words, range.lba);
    let status: number;
    if (protection.isMade && !isDeallocating) {
      const chain = zeroChain(namespace, range, protection);
      status = namespace.medium.commit(range.lba, range.count, chain, isForced);
    } else {
      status = namespace.medium.fill(range, isDeallocating ? 'deallocated' : 'zero', isForced);
    }
    if (status !== 0) {
      work.failMedia(command, status, range.lba);
      return;
    }
    // Zeroes are kept in the map, not on the medium.
    work.media.deallocate(namespace, range.lba, range.count);
    work.succeed(command);
  }
}

/** Blocks of zeroes that carry protection information. */
function zeroChain(
  namespace: Namespace,
  range: { readonly lba: number; readonly count: number },
  protection: Protection,
): number {
  const { pool } = namespace.medium;
  const perPage = pool.blocksPerPage;
  let first = range.lba % perPage;
  let head = blankPage;
  let last = blankPage;
  for (let index = 0; index < range.count; ) {
    const run = Math.min(range.count - index, perPage - first);
    const content = pool.take();
    pool.copyBlocks(zeroPage, content, maskOf(first, run));
    for (let i = 0; i < run; i++) protection.make(namespace, content, first + i, index + i);
    if (last === blankPage) head = content;
    else pool.next[last] = content;
    last = content;
    index += run;
    first = 0;
  }
  return head;
}
