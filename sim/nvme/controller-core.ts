import { Sqe } from '../../sdk/spec/nvme/command.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Arbiter } from './arbiter.js';
import type { CompletionQueue } from './completion-queue.js';
import type { DoorbellListener, Doorbells } from './doorbells.js';
import type {
  Arbitration,
  CompletionQueueRequest,
  ControllerServices,
  InterruptCoalescing,
  SubmissionQueueRequest,
} from './executor.js';
import type { InterruptSource } from './interrupt-source.js';
import { Pipeline, type PipelineParts } from './pipeline.js';
import type { PostListener } from './poster.js';
import type { Queues } from './queues.js';
import type { ShadowDoorbells } from './shadow-doorbells.js';
import type { SubmissionQueue } from './submission-queue.js';

/** Asynchronous event type 0 (error status) and the log page that explains it [NVMe-2.0 §5.2.1]. */
const errorEvent = 0;
const errorLogPage = 0x01;

export interface CoreParts extends PipelineParts {
  readonly queues: Queues;
  readonly arbiter: Arbiter;
  readonly doorbells: Doorbells;
  readonly shadow: ShadowDoorbells;
  readonly interrupts: InterruptSource;
}

/**
 * The running part of a controller: commands, and the queues that they come from and go to. The
 * registers (`Controller`) start and stop it.
 */
export class ControllerCore
  extends Pipeline
  implements ControllerServices, PostListener, DoorbellListener
{
  private readonly queues: Queues;
  private readonly arbiter: Arbiter;
  private readonly doorbells: Doorbells;
  private readonly shadow: ShadowDoorbells;
  private readonly interrupts: InterruptSource;
  private readonly word = new Uint32Array(1);

  constructor(parts: CoreParts) {
    super(parts);
    this.queues = parts.queues;
    this.arbiter = parts.arbiter;
    this.doorbells = parts.doorbells;
    this.shadow = parts.shadow;
    this.interrupts = parts.interrupts;
    parts.doorbells.listener = this;
    parts.poster.listener = this;
    parts.fetcher.listener = this;
  }

  // Queues.

  get hasIoQueues(): boolean {
    return this.queues.hasIoQueues;
  }

  setQueueCounts(counts: { readonly submission: number; readonly completion: number }): void {
    this.queues.setCounts(counts);
  }

  createCompletionQueue(request: CompletionQueueRequest): number {
    return this.queues.createCompletion(request);
  }

  deleteCompletionQueue(queueId: number): number {
    const queue = queueId === 0 ? null : this.queues.completion[queueId];
    if (!queue) return Status.invalidQueueIdentifier;
    if (queue.users > 0) {
      this.checker.report('queueDeletedInUse', { queue: queueId });
      return Status.invalidQueueDeletion;
    }
    this.queues.removeCompletion(queueId);
    this.poster.drop(queue);
    return 0;
  }

  createSubmissionQueue(request: SubmissionQueueRequest): number {
    return this.queues.createSubmission(request);
  }

  deleteSubmissionQueue(queueId: number): number {
    const queue = this.queues.removeSubmission(queueId);
    if (queue === null) return Status.invalidQueueIdentifier;
    if (queue.inFlight > 0 || queue.available > 0) {
      this.checker.report('queueDeletedInUse', { queue: queueId });
    }
    for (const command of this.pool.commands) {
      if (this.pool.queues[command.slot] === queue) this.stop(command, Status.abortedSqDeletion);
    }
    return 0;
  }

  // Commands by name.

  abort(queueId: number, cid: number): boolean {
    const queue = this.queues.submission[queueId];
    if (!queue) return false;
    const slot = queue.slotOfCid[cid] ?? 0;
    if (slot !== 0) return this.stop(this.pool.commands[slot - 1]!, Status.abortRequested);
    return this.abortQueued(queue, cid);
  }

  /** An entry that is published and not yet fetched is marked, and refused when it arrives. */
  private abortQueued(queue: SubmissionQueue, cid: number): boolean {
    for (let i = queue.head; i !== queue.tail; i = i + 1 === queue.entries ? 0 : i + 1) {
      if (!this.dma.readWords(queue.memory.at(i), this.word, 0, 1)) return false;
      if (Sqe.cid.get(this.word, 0) !== cid || queue.isAbortedAt(i)) continue;
      queue.markAborted(i);
      return true;
    }
    return false;
  }

  // Features.

  setArbitration(arbitration: Arbitration): void {
    this.arbiter.set(arbitration);
  }

  setInterruptCoalescing(coalescing: InterruptCoalescing): void {
    this.interrupts.set(coalescing);
  }

  setVectorCoalescing(vector: number, isDisabled: boolean): number {
    const isUsed = this.queues.completion.some(
      (queue) => queue?.areInterruptsEnabled && queue.vector === vector,
    );
    if (!isUsed) return Status.invalidField;
    this.interrupts.setExempt(vector, isDisabled);
    return 0;
  }

  setShadowDoorbells(shadowAddress: number, eventIndexAddress: number): number {
    const page = this.memoryPageBytes;
    const isPlaced = shadowAddress > 0 && eventIndexAddress > 0;
    if (!isPlaced || shadowAddress % page !== 0 || eventIndexAddress % page !== 0) {
      this.checker.report('shadowDoorbell', { value: shadowAddress });
      return Status.invalidField;
    }
    this.shadow.set(shadowAddress, eventIndexAddress);
    for (const queue of this.queues.submission) {
      if (queue === null || queue.queueId === 0) continue;
      if (!this.shadow.askForTail(queue.queueId, queue.tail)) return Status.dataTransferError;
    }
    return 0;
  }

  failController(): void {
    this.onFatal();
  }

  // What the stages report.

  workArrived(): void {
    this.fetcher.kick();
  }

  roomMade(queue: CompletionQueue): void {
    this.poster.drain(queue);
  }

  backlogDrained(completionQueue: CompletionQueue): void {
    for (const queue of this.queues.submission) {
      if (queue === null || queue.completionQueue !== completionQueue) continue;
      if (queue.available > 0 || this.doorbells.pollTail(queue)) this.arbiter.enter(queue);
    }
    this.fetcher.kick();
  }

  slotFreed(): void {
    this.fetcher.slotFreed();
  }

  postFailed(): void {
    this.checker.report('queueMemoryInvalid');
    this.onFatal();
  }

  doorbellRefused(error: number, queueId: number): void {
    this.admin?.logError({ queueId, status: 0 });
    this.postEvent(errorEvent, error, errorLogPage);
  }
}
