import { Read } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { maskOf } from '../../store/page-pool.js';
import { unreadable } from '../../store/page-store.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { BlockTransfer } from './block-transfer.js';
import { isRetriedFirst } from './error-recovery.js';
import type { Protection } from './protection.js';
import { Access, type Operation, type Work } from './work.js';

const fields = Read;
const { unrecoveredReadError, deallocatedOrUnwrittenBlock } = Status;

/**
 * Read, and with `isVerify` Verify, which does the same without a transfer
 * [NVM-1.0 §3.2.4 Read], [NVM-1.0 §3.2.5 Verify].
 *
 * scratch0: first block, scratch1: blocks, scratch2: metadata mode.
 */
export class ReadOperation implements Operation {
  readonly access = Access.read;
  private readonly work: Work;
  private readonly transfer: BlockTransfer;
  private readonly protection: Protection;
  private readonly isVerify: boolean;

  constructor(parts: ReadParts, isVerify: boolean) {
    this.work = parts.work;
    this.transfer = parts.transfer;
    this.protection = parts.protection;
    this.isVerify = isVerify;
  }

  begin(command: Command, namespace: Namespace): void {
    const { work, transfer } = this;
    const words = command.words;
    const lba = fields.slba.get(words, 0);
    const count = fields.nlb.get(words, 0);
    let status = transfer.checkRange(namespace, lba, count);
    let mode = 0;
    if (status === 0 && namespace.metadataBytes > 0) {
      status = this.protection.load(namespace, words, lba);
      mode = transfer.modeOf(namespace, this.protection.isMade);
    }
    if (status === 0 && !this.isVerify) status = transfer.map(command, namespace, count, mode);
    if (status !== 0) {
      work.fail(command, status, lba);
      return;
    }
    command.scratch0 = lba;
    command.scratch1 = count;
    command.scratch2 = mode;
    work.media.read(work.services, command, namespace, lba, count);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work, transfer } = this;
    const lba = command.scratch0;
    const count = command.scratch1;
    const mode = command.scratch2;
    if (command.mediaStatus !== 0) {
      work.failMedia(command, command.mediaStatus, lba);
      return;
    }
    const { medium } = namespace;
    const { pool } = medium;
    const perPage = pool.blocksPerPage;
    let page = Math.floor(lba / perPage);
    let first = lba - page * perPage;
    if (namespace.protectionType !== 0) this.protection.load(namespace, command.words, lba);
    for (let index = 0; index < count; ) {
      const run = Math.min(count - index, perPage - first);
      const content = medium.find(page);
      let status = this.statusOf(namespace, content, first, run, index);
      if (status !== 0) {
        let good = 0;
        while (this.statusOf(namespace, content, first, good + 1, index) === 0) good++;
        this.failBlock(command, namespace, status, lba + index + good);
        return;
      }
      if (!this.isVerify) {
        status = transfer.send(command, namespace, content, first, run, index, mode);
        if (status !== 0) {
          work.fail(command, status, lba);
          return;
        }
      }
      index += run;
      page++;
      first = 0;
    }
    if (!this.isVerify) work.controller.health.countRead(count * namespace.dataBytes);
    work.succeed(command);
  }

  /** @returns 0 or why a run of blocks of one page cannot be given to the host */
  private statusOf(
    namespace: Namespace,
    content: number,
    first: number,
    run: number,
    index: number,
  ): number {
    const status = readableStatus(namespace, content, maskOf(first, run));
    if (status !== 0 || namespace.protectionType === 0) return status;
    return checkBlocks(this.protection, namespace, content, first, run, index);
  }

  /** The first time the medium fails it is tried again, as long as the host allows. */
  private failBlock(command: Command, namespace: Namespace, status: number, lba: number): void {
    if (isRetriedFirst(this.work, command, namespace, status)) return;
    if (status === deallocatedOrUnwrittenBlock) this.work.fail(command, status, lba);
    else this.work.failMedia(command, status, lba);
  }
}

export interface ReadParts {
  readonly work: Work;
  readonly transfer: BlockTransfer;
  readonly protection: Protection;
}

/** Whether the medium can give the blocks in `mask` of a page. */
export function readableStatus(namespace: Namespace, content: number, mask: number): number {
  if (content === unreadable) return unrecoveredReadError;
  const { pool } = namespace.medium;
  if ((pool.bad[content]! & mask) !== 0) return unrecoveredReadError;
  if (namespace.isDeallocatedErrorEnabled && (pool.written[content]! & mask) !== mask) {
    return deallocatedOrUnwrittenBlock;
  }
  return 0;
}

/** Check what the medium holds, block by block: `index` is that of the first in the transfer. */
export function checkBlocks(
  protection: Protection,
  namespace: Namespace,
  content: number,
  first: number,
  run: number,
  index: number,
): number {
  if (!protection.checksAnything) return 0;
  for (let i = 0; i < run; i++) {
    const status = protection.check(namespace, content, first + i, index + i);
    if (status !== 0) return status;
  }
  return 0;
}
