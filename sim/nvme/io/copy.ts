import { Copy, CopyRange0, Prinfo } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage, maskOf } from '../../store/page-pool.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import { parametersOf } from './parameters.js';
import { Protection } from './protection.js';
import { type ReadParts, readableStatus } from './read.js';
import { Access, type Operation } from './work.js';

const fields = Copy;

/**
 * Copy: source ranges of the namespace, one after the other, to one destination. A range is read
 * wholly before it is written. When one fails, DW0 names it and those before it are done
 * [NVM-1.0 §3.2.2 Copy].
 *
 * scratch0: first destination block, scratch1: ranges, scratch2: blocks of all ranges.
 */
export class CopyOperation implements Operation {
  readonly access = Access.write;
  private readonly parts: ReadParts;
  private readonly reading = new Protection();
  private readonly writing = new Protection();

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
    // The ranges are read as if they followed the first: their number is what costs.
    const from = command.scratch1 === 0 ? 0 : rangeOf(command, 0).lba;
    const { scratch0: lba, scratch2: count } = command;
    work.media.update(work.services, command, namespace, from, lba, count);
  }

  finish(command: Command, namespace: Namespace): void {
    const { work } = this.parts;
    if (command.mediaStatus !== 0) {
      work.failMedia(command, command.mediaStatus, command.scratch0);
      return;
    }
    const isForced = fields.fua.get(command.words, 0) === 1;
    let done = 0;
    for (let i = 0; i < command.scratch1; i++) {
      const source = rangeOf(command, i);
      const status = this.copyRange(command, namespace, { source, done, isForced });
      if (status !== 0) {
        if (status !== Status.deallocatedOrUnwrittenBlock) work.controller.health.countMediaError();
        work.fail(command, status, source.lba, i);
        return;
      }
      done += source.count;
    }
    work.controller.health.countRead(done * namespace.dataBytes);
    work.controller.health.countWrite(done * namespace.dataBytes);
    work.succeed(command);
  }

  private fetch(command: Command, namespace: Namespace): number {
    const { work, transfer } = this.parts;
    const { words } = command;
    const { copyLimits } = namespace;
    const format = fields.df.get(words, 0);
    const count = fields.nr.get(words, 0);
    command.scratch0 = fields.sdlba.get(words, 0);
    command.scratch1 = count;
    // The format that CDFS announces; the other carries the tags of 32- and 64-bit guards.
    if (format !== 0) return Status.invalidField;
    if (count > copyLimits.maxRanges) return Status.commandSizeLimitExceeded;
    const length = count * CopyRange0.layout.bytes;
    let status = work.services.mapData(command, length);
    if (status === 0) {
      status = work.services.fromHost(command, parametersOf(command).bytes, 0, 0, length);
    }
    let blocks = 0;
    for (let i = 0; i < count && status === 0; i++) {
      const source = rangeOf(command, i);
      if (source.count > copyLimits.maxRangeBlocks) return Status.commandSizeLimitExceeded;
      blocks += source.count;
      status = transfer.checkRange(namespace, source.lba, source.count);
    }
    if (status !== 0) return status;
    if (blocks > copyLimits.maxBlocks) return Status.commandSizeLimitExceeded;
    command.scratch2 = blocks;
    if (!namespace.reservations.mayRead(work.controller.host)) return Status.reservationConflict;
    status = transfer.checkRange(namespace, command.scratch0, blocks);
    return status === 0 ? this.loadProtection(command, namespace, rangeOf(command, 0)) : status;
  }

  private loadProtection(command: Command, namespace: Namespace, source: CopySource): number {
    if (namespace.protectionType === 0) {
      this.reading.clear();
      this.writing.clear();
      return 0;
    }
    const { words } = command;
    const reads = fields.prinfor.get(words, 0);
    const writes = fields.prinfow.get(words, 0);
    if (Prinfo.pract.of(reads) !== Prinfo.pract.of(writes)) return Status.invalidField;
    const status = this.reading.set(namespace, reads, source);
    if (status !== 0) return status;
    return this.writing.set(namespace, writes, {
      lba: command.scratch0,
      app: fields.lbat.get(words, 0),
      appMask: fields.lbatm.get(words, 0),
      ref: fields.ilbrt.get(words, 0),
    });
  }

  private copyRange(command: Command, namespace: Namespace, part: CopyPart): number {
    const { medium } = namespace;
    const { source, done } = part;
    const target = command.scratch0 + done;
    const isInside =
      source.lba <= namespace.sizeBlocks - source.count &&
      target <= namespace.sizeBlocks - source.count;
    if (!isInside) return Status.lbaOutOfRange;
    const status = this.loadProtection(command, namespace, source);
    if (status !== 0) return status;
    const gathered = this.gather(namespace, part, target);
    if (gathered < 0) return -gathered;
    return medium.commit(target, source.count, gathered, part.isForced);
  }

  /** @returns a chain of the source's blocks at the places of the target, or minus a status */
  private gather(namespace: Namespace, part: CopyPart, target: number): number {
    const { medium } = namespace;
    const { pool } = medium;
    const perPage = pool.blocksPerPage;
    let head = blankPage;
    let last = blankPage;
    for (let i = 0; i < part.source.count; i++) {
      const block = (target + i) % perPage;
      if (last === blankPage || block === 0) {
        const content = pool.take();
        if (last === blankPage) head = content;
        else pool.next[last] = content;
        last = content;
      }
      const status = this.copyBlock(namespace, part, { content: last, block, index: i });
      if (status === 0) continue;
      while (head !== blankPage) {
        const next = pool.next[head]!;
        pool.release(head);
        head = next;
      }
      return -status;
    }
    return head;
  }

  private copyBlock(namespace: Namespace, part: CopyPart, to: BlockPlace): number {
    const { medium } = namespace;
    const { pool } = medium;
    const { content, block, index } = to;
    const lba = part.source.lba + index;
    const from = lba % pool.blocksPerPage;
    const stored = medium.find((lba - from) / pool.blocksPerPage);
    let status = readableStatus(namespace, stored, maskOf(from, 1));
    if (status === 0 && this.reading.checksAnything) {
      status = this.reading.check(namespace, stored, from, index);
    }
    if (status !== 0) return status;
    pool.copyBlock(stored, from, content, block);
    pool.written[content]! |= maskOf(block, 1);
    if (this.writing.isMade) this.writing.make(namespace, content, block, part.done + index);
    else if (this.writing.checksAnything) {
      return this.writing.check(namespace, content, block, part.done + index);
    }
    return 0;
  }
}

interface CopySource {
  readonly lba: number;
  readonly count: number;
  readonly app: number;
  readonly appMask: number;
  readonly ref: number;
}

interface CopyPart {
  readonly source: CopySource;
  /** Blocks copied before this range. */
  readonly done: number;
  readonly isForced: boolean;
}

interface BlockPlace {
  readonly content: number;
  readonly block: number;
  /** Of the block in its range. */
  readonly index: number;
}

function rangeOf(command: Command, index: number): CopySource {
  const { words } = parametersOf(command);
  const table = CopyRange0;
  const at = (index * table.layout.bytes) / 4;
  return {
    lba: table.slba.get(words, at),
    count: table.nlb.get(words, at),
    app: table.elbat.get(words, at),
    appMask: table.elbatm.get(words, at),
    ref: table.eilbrt.get(words, at),
  };
}
