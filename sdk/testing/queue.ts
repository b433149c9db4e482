import type {
  RawCommand,
  RawCompletion,
  RawCompletionQueue,
  RawSubmissionQueue,
} from '../nvme/raw.js';
import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  DeleteSubmissionQueue,
} from '../spec/nvme/admin-command.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import type { Rig } from './rig.js';

export interface QueueOptions {
  readonly id: number;
  readonly entries: number;
  /** MSI-X vector; without one the completion queue has its interrupts disabled. */
  readonly vector?: number;
  /** QPRIO, for weighted round robin. */
  readonly priority?: number;
}

/** Fixture: an I/O queue pair of its own, one submission queue to one completion queue. */
export class QueueFixture {
  readonly rig: Rig;
  readonly sq: RawSubmissionQueue;
  readonly cq: RawCompletionQueue;

  constructor(rig: Rig, sq: RawSubmissionQueue, cq: RawCompletionQueue) {
    this.rig = rig;
    this.sq = sq;
    this.cq = cq;
  }

  /** Create both queues on the device. */
  static async create(rig: Rig, options: QueueOptions): Promise<QueueFixture> {
    const { controller } = rig;
    const cq = controller.completionQueue(options.id, { entries: options.entries });
    const sq = controller.submissionQueue(options.id, { entries: options.entries });
    await rig.adminOk(createCq(rig, cq, options.vector));
    await rig.adminOk(createSq(rig, sq, { cqid: cq.id, priority: options.priority ?? 0 }));
    return new QueueFixture(rig, sq, cq);
  }

  /** Run one command to its completion. */
  run(command: RawCommand, limitNs?: number): Promise<RawCompletion> {
    const limit = limitNs === undefined ? {} : { limitNs };
    return this.rig.controller.execute(this.sq, this.cq, { command, ...limit });
  }

  async runOk(command: RawCommand): Promise<RawCompletion> {
    return this.rig.succeeded(await this.run(command));
  }

  /** Post without waiting. @returns the command identifier */
  post(command: RawCommand): number {
    return this.sq.post(command);
  }

  ring(): void {
    this.sq.ring();
  }

  wait(cid: number): Promise<RawCompletion> {
    return this.rig.controller.waitFor(this.cq, { sqid: this.sq.id, cid });
  }

  /** Delete the submission queue, then the completion queue. */
  async delete(): Promise<void> {
    await this.rig.adminOk(deleteQueue(this.rig, AdminOpcode.deleteSubmissionQueue, this.sq.id));
    await this.rig.adminOk(deleteQueue(this.rig, AdminOpcode.deleteCompletionQueue, this.cq.id));
  }
}

/** Create I/O Completion Queue as a good driver sends it. */
export function createCq(rig: Rig, cq: RawCompletionQueue, vector?: number): RawCommand {
  return rig
    .command(AdminOpcode.createCompletionQueue)
    .prps(cq.iova)
    .set(CreateCompletionQueue.qid, cq.id)
    .set(CreateCompletionQueue.qsize, cq.entries)
    .set(CreateCompletionQueue.pc, 1)
    .set(CreateCompletionQueue.ien, vector === undefined ? 0 : 1)
    .set(CreateCompletionQueue.iv, vector ?? 0);
}

/** Create I/O Submission Queue as a good driver sends it. */
export function createSq(
  rig: Rig,
  sq: RawSubmissionQueue,
  options: { readonly cqid: number; readonly priority?: number },
): RawCommand {
  return rig
    .command(AdminOpcode.createSubmissionQueue)
    .prps(sq.iova)
    .set(CreateSubmissionQueue.qid, sq.id)
    .set(CreateSubmissionQueue.qsize, sq.entries)
    .set(CreateSubmissionQueue.pc, 1)
    .set(CreateSubmissionQueue.qprio, options.priority ?? 0)
    .set(CreateSubmissionQueue.cqid, options.cqid);
}

/** Delete I/O Submission Queue or Delete I/O Completion Queue: QID lies at the same place. */
export function deleteQueue(rig: Rig, opcode: number, id: number): RawCommand {
  return rig.command(opcode).set(DeleteSubmissionQueue.qid, id);
}
