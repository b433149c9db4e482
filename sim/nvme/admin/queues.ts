import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  DeleteCompletionQueue,
  DeleteSubmissionQueue,
  DoorbellBufferConfig,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { AdminContext } from './context.js';
import { hasQos } from './features-qos.js';

const Completion = CreateCompletionQueue;
const Submission = CreateSubmissionQueue;

/** [NVMe-2.0 §5.4 Create I/O Completion Queue] */
export function createCompletionQueue(context: AdminContext, command: Command): number {
  const { words } = command;
  if (Completion.iv.get(words, 0) >= context.vectorLimit) {
    return context.refuse(Status.invalidInterruptVector, Completion.iv);
  }
  const status = context.services.createCompletionQueue({
    queueId: Completion.qid.get(words, 0),
    entries: Completion.qsize.get(words, 0),
    address: Sqe.prp1.get(words, 0),
    isContiguous: Completion.pc.get(words, 0) === 1,
    areInterruptsEnabled: Completion.ien.get(words, 0) === 1,
    vector: Completion.iv.get(words, 0),
  });
  switch (status) {
    case 0:
      return 0;
    case Status.invalidQueueIdentifier:
      return context.refuse(status, Completion.qid);
    case Status.invalidQueueSize:
      return context.refuse(status, Completion.qsize);
    case Status.invalidInterruptVector:
      return context.refuse(status, Completion.iv);
    case Status.invalidField:
      return context.refuse(status, Completion.pc);
    default:
      return context.refuse(status, Sqe.prp1);
  }
}

/** [NVMe-2.0 §5.5 Create I/O Submission Queue] */
export function createSubmissionQueue(context: AdminContext, command: Command): number {
  const { words } = command;
  const queueId = Submission.qid.get(words, 0);
  const status = context.services.createSubmissionQueue({
    queueId,
    entries: Submission.qsize.get(words, 0),
    address: Sqe.prp1.get(words, 0),
    isContiguous: Submission.pc.get(words, 0) === 1,
    priority: Submission.qprio.get(words, 0),
    completionQueueId: Submission.cqid.get(words, 0),
  });
  switch (status) {
    case 0:
      return 0;
    case Status.invalidQueueIdentifier:
      return context.refuse(status, Submission.qid);
    case Status.completionQueueInvalid:
      return context.refuse(status, Submission.cqid);
    case Status.invalidQueueSize:
      return context.refuse(status, Submission.qsize);
    case Status.invalidField:
      return context.refuse(status, Submission.pc);
    default:
      return context.refuse(status, Sqe.prp1);
  }
}

/** [NVMe-2.0 §5.6 Delete I/O Completion Queue] */
export function deleteCompletionQueue(context: AdminContext, command: Command): number {
  const { qid } = DeleteCompletionQueue;
  const status = context.services.deleteCompletionQueue(qid.get(command.words, 0));
  return status === 0 ? 0 : context.refuse(status, qid);
}

/** [NVMe-2.0 §5.7 Delete I/O Submission Queue] */
export function deleteSubmissionQueue(context: AdminContext, command: Command): number {
  const { qid } = DeleteSubmissionQueue;
  const queueId = qid.get(command.words, 0);
  const status =
    queueId === 0 ? Status.invalidQueueIdentifier : context.services.deleteSubmissionQueue(queueId);
  if (status === 0 && hasQos(context)) context.subsystem.qos?.forgetQueue(queueId);
  return status === 0 ? 0 : context.refuse(status, qid);
}

/** [NVMe-2.0 §5.8 Doorbell Buffer Config] */
export function configureDoorbellBuffer(context: AdminContext, command: Command): number {
  const { words } = command;
  const { shadow, eventIndex } = DoorbellBufferConfig;
  const shadowAddress = shadow.get(words, 0);
  const status = context.services.setShadowDoorbells(shadowAddress, eventIndex.get(words, 0));
  if (status === 0) return 0;
  const isShadow = shadowAddress === 0 || shadowAddress % context.services.memoryPageBytes !== 0;
  return context.refuse(status, isShadow ? shadow : eventIndex);
}
