import { Compare } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage, maskOf } from '../../store/page-pool.js';
import type { Command } from '../command.js';
import { type Namespace, protectionInformationBytes } from '../namespace.js';
import { MetadataMode } from './block-transfer.js';
import { isRetriedFirst } from './error-recovery.js';
import { checkBlocks, type ReadParts, readableStatus } from './read.js';
import { Access, type Operation } from './work.js';

const fields = Compare;

/**
 * Compare: the host's blocks against the medium's, metadata too, but not the protection information
 * [NVM-1.0 §3.2.1 Compare].
 *
 * scratch0: first block, scratch1: blocks, scratch2: metadata mode.
 */
export class CompareOperation implements Operation {
  readonly access = Access.read;
  private readonly parts: ReadParts;

  constructor(parts: ReadParts) {
    this.parts = parts;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    const status = this.fetch(command, namespace);
    if (status !== 0) work.fail(command, status, command.scratch0);
    else work.media.read(work.services, command, namespace, command.scratch0, command.scratch1);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    if (command.mediaStatus !== 0) {
      work.failMedia(command, command.mediaStatus, command.scratch0);
      return;
    }
    const status = this.compare(command, namespace);
    if (status === 0) {
      work.controller.health.countRead(command.scratch1 * namespace.dataBytes);
      work.succeed(command);
    } else if (!isRetriedFirst(work, command, namespace, status)) {
      if (isOfMedium(status)) work.failMedia(command, status, command.scratch0);
      else work.fail(command, status, command.scratch0);
    }
  }

  /** All checks, and the host's blocks. @returns 0 or a status; the command is not ended */
  fetch(command: Command, namespace: Namespace): number {
    const { transfer, protection } = this.parts;
    const words = command.words;
    const lba = fields.slba.get(words, 0);
    const count = fields.nlb.get(words, 0);
    command.scratch0 = lba;
    command.scratch1 = count;
    let status = transfer.checkRange(namespace, lba, count);
    if (status === 0) status = protection.load(namespace, words, lba);
    if (status !== 0) return status;
    const mode = transfer.modeOf(namespace, protection.isMade);
    command.scratch2 = mode;
    status = transfer.map(command, namespace, count, mode);
    if (status !== 0) return status;
    return transfer.fetch(command, namespace, lba, count, mode, null);
  }

  /** @returns 0 when all blocks are equal; the command keeps its blocks and is not ended */
  compare(command: Command, namespace: Namespace): number {
    const { work, protection } = this.parts;
    const { medium } = namespace;
    const { pool } = medium;
    const perPage = pool.blocksPerPage;
    const lba = command.scratch0;
    const count = command.scratch1;
    const chain = work.takeChain(command, namespace);
    if (chain === blankPage) return Status.formatInProgress;
    work.holdChain(command, chain);
    protection.load(namespace, command.words, lba);
    let page = Math.floor(lba / perPage);
    let first = lba - page * perPage;
    let given = chain;
    for (let index = 0; index < count; ) {
      const run = Math.min(count - index, perPage - first);
      const content = medium.find(page);
      let status = readableStatus(namespace, content, maskOf(first, run));
      if (status === 0) {
        status = checkBlocks(protection, namespace, content, first, run, index);
      }
      if (status !== 0) return status;
      const isEqual =
        pool.isEqualData(content, given, first, run) &&
        (command.scratch2 === MetadataMode.none ||
          isEqualMetadata(namespace, content, given, first, run));
      if (!isEqual) return Status.compareFailure;
      given = pool.next[given]!;
      index += run;
      page++;
      first = 0;
    }
    return 0;
  }
}

function isOfMedium(status: number): boolean {
  return status !== Status.compareFailure && status !== Status.deallocatedOrUnwrittenBlock;
}

function isEqualMetadata(
  namespace: Namespace,
  a: number,
  b: number,
  first: number,
  run: number,
): boolean {
  const { pool } = namespace.medium;
  const { metadataBytes } = namespace;
  const left = pool.metadataOf(a);
  const right = pool.metadataOf(b);
  const skipped = namespace.protectionType === 0 ? 0 : protectionInformationBytes;
  const skipFrom = namespace.isProtectionFirst ? 0 : metadataBytes - skipped;
  for (let at = first * metadataBytes; at < (first + run) * metadataBytes; at++) {
    const inBlock = at % metadataBytes;
    if (inBlock >= skipFrom && inBlock < skipFrom + skipped) continue;
    if (left[at] !== right[at]) return false;
  }
  return true;
}
