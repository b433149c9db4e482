import { NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { type Command, FuseRole } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { CompareOperation } from './compare.js';
import type { Work } from './work.js';
import type { WriteOperation } from './write.js';

const { abortedFailedFused } = Status;

/**
 * Fused compare and write: nothing comes between the two, and the write happens only if the compare
 * succeeds [NVM-1.0 §? Fused Operation]. Both wait for the second's time; the first is always
 * completed before it.
 *
 * scratch3: of the first, its verdict so far; of the second, 1 when its first has been taken away.
 */
export class FusedCompareAndWrite {
  private readonly work: Work;
  private readonly compare: CompareOperation;
  private readonly write: WriteOperation;

  constructor(work: Work, compare: CompareOperation, write: WriteOperation) {
    this.work = work;
    this.compare = compare;
    this.write = write;
  }

  /** @param gate 0, or why the command cannot run on its namespace at all */
  begin(command: Command, namespace: Namespace | null, gate: number): void {
    if (command.fuse === FuseRole.first) {
      command.scratch3 = this.prepareFirst(command, namespace, gate);
      return;
    }
    const first = command.partner;
    if (first === null || !this.work.isIn(first)) {
      this.work.fail(command, Status.abortedMissingFused);
      return;
    }
    const status = gate !== 0 || namespace === null ? gate : this.prepareSecond(command, namespace);
    if (first.scratch3 !== 0) {
      this.endBoth(first, command, first.scratch3, abortedFailedFused);
    } else if (status !== 0 || namespace === null) {
      this.endBoth(first, command, abortedFailedFused, status);
    } else if (!this.work.holds(command, namespace)) {
      this.update(command, namespace);
    }
  }

  /** The second may go to the media, for both. */
  update(command: Command, namespace: Namespace): void {
    const first = command.partner;
    if (command.scratch3 !== 0 || first === null || !this.work.isIn(first)) {
      this.work.fail(command, abortedFailedFused);
      return;
    }
    const { media, services } = this.work;
    const { scratch0: lba, scratch1: count } = command;
    media.update(services, command, namespace, lba, lba, count);
  }

  /** The time of the second is over. */
  finish(command: Command, namespace: Namespace): void {
    const first = command.partner;
    if (command.scratch3 !== 0 || first === null || !this.work.isIn(first)) {
      this.work.fail(command, abortedFailedFused);
      return;
    }
    const verdict = command.mediaStatus || this.compare.compare(first, namespace);
    if (verdict !== 0) {
      this.endBoth(first, command, verdict, abortedFailedFused);
      return;
    }
    this.work.controller.health.countRead(first.scratch1 * namespace.dataBytes);
    this.endBoth(first, command, 0, this.write.commit(command, namespace));
  }

  /** One half is ended by the controller: the other one does not happen. */
  cancel(command: Command): void {
    const partner = command.partner;
    if (partner === null || !this.work.isIn(partner)) return;
    // The second may be waiting for its time: it ends when that is over.
    if (command.fuse === FuseRole.first) partner.scratch3 = 1;
    else this.work.fail(partner, abortedFailedFused);
  }

  private prepareFirst(command: Command, namespace: Namespace | null, gate: number): number {
    if (gate !== 0) return gate;
    if (command.opcode !== NvmOpcode.compare || namespace === null) return Status.invalidField;
    const status = this.compare.fetch(command, namespace);
    if (status !== 0) return status;
    const isTooLong = command.scratch1 > namespace.atomicity.compareWriteBlocks;
    return isTooLong ? Status.atomicWriteUnitExceeded : 0;
  }

  private prepareSecond(command: Command, namespace: Namespace): number {
    const first = command.partner;
    if (command.opcode !== NvmOpcode.write || first === null) return Status.invalidField;
    const status = this.write.fetch(command, namespace);
    if (status !== 0 || first.scratch3 !== 0) return status;
    const isSame =
      first.nsid === command.nsid &&
      first.scratch0 === command.scratch0 &&
      first.scratch1 === command.scratch1;
    return isSame ? 0 : Status.invalidField;
  }

  private endBoth(first: Command, second: Command, one: number, two: number): void {
    this.work.end(first, one, first.scratch0);
    this.work.end(second, two, second.scratch0);
  }
}
