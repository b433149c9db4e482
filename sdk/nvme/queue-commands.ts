import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  DeleteCompletionQueue,
  DeleteSubmissionQueue,
} from '../spec/nvme/admin-command.js';
import { Sqe as Ring } from '../spec/nvme/command.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import {
  type AdminQueue,
  type CommandResult,
  command,
  type ExecuteOptions,
} from './admin-queue.js';
import type { Steps } from './procedure.js';

/** A ring as the controller is told of it. */
export interface RingPlace {
  readonly id: number;
  readonly entries: number;
  /** Device address of entry 0, on a page. */
  readonly iova: number;
}

const Sq = CreateSubmissionQueue;
const Cq = CreateCompletionQueue;

/** @param vector  interrupt vector, null for a queue that is polled */
export function* createCompletionQueue(
  admin: AdminQueue,
  ring: RingPlace,
  vector: number | null,
): Steps<void> {
  const words = command(AdminOpcode.createCompletionQueue);
  Cq.qid.set(words, 0, ring.id);
  Cq.qsize.set(words, 0, ring.entries);
  Cq.pc.set(words, 0, 1);
  Cq.ien.set(words, 0, vector === null ? 0 : 1);
  Cq.iv.set(words, 0, vector ?? 0);
  Ring.prp1.set(words, 0, ring.iova);
  yield* admin.execute(words);
}

export function* createSubmissionQueue(
  admin: AdminQueue,
  ring: RingPlace,
  how: { readonly completionId: number; readonly priority: number },
): Steps<void> {
  const words = command(AdminOpcode.createSubmissionQueue);
  Sq.qid.set(words, 0, ring.id);
  Sq.qsize.set(words, 0, ring.entries);
  Sq.pc.set(words, 0, 1);
  Sq.qprio.set(words, 0, how.priority);
  Sq.cqid.set(words, 0, how.completionId);
  Ring.prp1.set(words, 0, ring.iova);
  yield* admin.execute(words);
}

export function* deleteSubmissionQueue(
  admin: AdminQueue,
  id: number,
  options: ExecuteOptions = {},
): Steps<CommandResult> {
  const words = command(AdminOpcode.deleteSubmissionQueue);
  DeleteSubmissionQueue.qid.set(words, 0, id);
  return yield* admin.execute(words, options);
}

export function* deleteCompletionQueue(
  admin: AdminQueue,
  id: number,
  options: ExecuteOptions = {},
): Steps<CommandResult> {
  const words = command(AdminOpcode.deleteCompletionQueue);
  DeleteCompletionQueue.qid.set(words, 0, id);
  return yield* admin.execute(words, options);
}
