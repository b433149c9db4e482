import { commandBytes, commandSizeExponent } from '../../sdk/spec/nvme/command.js';
import { completionBytes, completionSizeExponent } from '../../sdk/spec/nvme/completion.js';
import { PrpEntry, prpEntryBytes } from '../../sdk/spec/nvme/data-pointer.js';
import { Cc } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { CompletionQueue } from './completion-queue.js';
import type { Dma } from './dma.js';
import type { CompletionQueueRequest, SubmissionQueueRequest } from './executor.js';
import { QueueMemory } from './queue-memory.js';
import { SubmissionQueue } from './submission-queue.js';

export interface QueueLimits {
  /** I/O queue pairs that the controller can have at all. */
  readonly pairs: number;
  /** Entries of an I/O queue. */
  readonly entries: number;
  readonly mustBeContiguous: boolean;
  readonly vectors: number;
}

export interface AdminQueuePlace {
  readonly submissionAddress: number;
  readonly submissionEntries: number;
  readonly completionAddress: number;
  readonly completionEntries: number;
}

/** Follows which doorbells lead to a queue: number 2q is the tail of queue q, 2q + 1 its head. */
export interface QueueWatcher {
  /** @param value  what the doorbell holds: 0 but for a queue that came with a saved card */
  created(doorbell: number, value: number): void;
  /** Every queue is gone. */
  cleared(): void;
}

/** All queues of a controller by number; 0 is the admin queue. */
export class Queues {
  readonly submission: (SubmissionQueue | null)[];
  readonly completion: (CompletionQueue | null)[];
  private watcher: QueueWatcher | null = null;
  private readonly limits: QueueLimits;
  private readonly dma: Dma;
  private submissionCount: number;
  private completionCount: number;
  private pageBytes = 4096;
  /** CC, for the entry sizes: they may be set until the first queue is created. */
  private configuration = 0;

  constructor(limits: QueueLimits, dma: Dma) {
    this.limits = limits;
    this.dma = dma;
    this.submission = new Array<SubmissionQueue | null>(limits.pairs + 1).fill(null);
    this.completion = new Array<CompletionQueue | null>(limits.pairs + 1).fill(null);
    this.submissionCount = limits.pairs;
    this.completionCount = limits.pairs;
  }

  get hasIoQueues(): boolean {
    return this.submission.some(isIoQueue) || this.completion.some(isIoQueue);
  }

  /** Whether a queue with interrupts has entries that the host has not released. */
  get hasUnreleased(): boolean {
    return this.completion.some((queue) => queue?.areInterruptsEnabled && queue.posted > 0);
  }

  /** Submission queues for I/O. */
  get ioCount(): number {
    return this.submission.filter(isIoQueue).length;
  }

  setCounts(counts: { readonly submission: number; readonly completion: number }): void {
    this.submissionCount = Math.min(counts.submission, this.limits.pairs);
    this.completionCount = Math.min(counts.completion, this.limits.pairs);
  }

  configure(configuration: number, pageBytes: number): void {
    this.configuration = configuration;
    this.pageBytes = pageBytes;
  }

  /** Somebody watches from here on, or nobody: queues that there are already are told first. */
  watch(watcher: QueueWatcher | null): void {
    this.watcher = watcher;
    for (const queue of this.submission) {
      if (queue !== null) watcher?.created(2 * queue.queueId, queue.tail);
    }
    for (const queue of this.completion) {
      if (queue !== null) watcher?.created(2 * queue.queueId + 1, queue.head);
    }
  }

  /** Controller reset: every queue is gone. */
  clear(): void {
    for (const queue of this.submission) if (queue !== null) queue.isDeleted = true;
    for (const queue of this.completion) if (queue !== null) queue.isDeleted = true;
    this.submission.fill(null);
    this.completion.fill(null);
    this.submissionCount = this.limits.pairs;
    this.completionCount = this.limits.pairs;
    this.watcher?.cleared();
  }

  createAdmin(place: AdminQueuePlace): void {
    const pageBytes = this.pageBytes;
    const completionQueue = new CompletionQueue({
      queueId: 0,
      entries: place.completionEntries,
      memory: new QueueMemory({
        base: place.completionAddress,
        entryBytes: completionBytes,
        pageBytes,
      }),
      areInterruptsEnabled: true,
      vector: 0,
    });
    completionQueue.users = 1;
    this.completion[0] = completionQueue;
    this.submission[0] = new SubmissionQueue({
      queueId: 0,
      entries: place.submissionEntries,
      memory: new QueueMemory({
        base: place.submissionAddress,
        entryBytes: commandBytes,
        pageBytes,
      }),
      priority: 0,
      completionQueue,
    });
    this.watcher?.created(0, 0);
    this.watcher?.created(1, 0);
  }

  /** [NVMe-2.0 §5.3 Create I/O Completion Queue] */
  createCompletion(request: CompletionQueueRequest): number {
    const { queueId, entries, vector } = request;
    if (queueId === 0 || queueId > this.completionCount) return Status.invalidQueueIdentifier;
    if (this.completion[queueId] !== null) return Status.invalidQueueIdentifier;
    const exponent = Cc.iocqes.of(this.configuration);
    if (exponent !== completionSizeExponent) return Status.invalidQueueSize;
    if (entries < 2 || entries > this.limits.entries) return Status.invalidQueueSize;
    if (vector >= this.limits.vectors) return Status.invalidInterruptVector;
    const memory = this.place(request, completionBytes);
    if (typeof memory === 'number') return memory;
    this.completion[queueId] = new CompletionQueue({ ...request, memory });
    this.watcher?.created(2 * queueId + 1, 0);
    return 0;
  }

  /** [NVMe-2.0 §5.4 Create I/O Submission Queue] */
  createSubmission(request: SubmissionQueueRequest): number {
    const { queueId, entries, completionQueueId } = request;
    if (queueId === 0 || queueId > this.submissionCount) return Status.invalidQueueIdentifier;
    if (this.submission[queueId] !== null) return Status.invalidQueueIdentifier;
    if (completionQueueId === 0 || completionQueueId > this.completionCount) {
      return Status.invalidQueueIdentifier;
    }
    const completionQueue = this.completion[completionQueueId];
    if (!completionQueue) return Status.completionQueueInvalid;
    if (Cc.iosqes.of(this.configuration) !== commandSizeExponent) return Status.invalidQueueSize;
    if (entries < 2 || entries > this.limits.entries) return Status.invalidQueueSize;
    const memory = this.place(request, commandBytes);
    if (typeof memory === 'number') return memory;
    this.submission[queueId] = new SubmissionQueue({ ...request, memory, completionQueue });
    completionQueue.users++;
    this.watcher?.created(2 * queueId, 0);
    return 0;
  }

  /** @returns the queue, gone from the table, or null when there is none of that number */
  removeSubmission(queueId: number): SubmissionQueue | null {
    const queue = queueId === 0 ? null : (this.submission[queueId] ?? null);
    if (queue === null) return null;
    queue.isDeleted = true;
    queue.completionQueue.users--;
    this.submission[queueId] = null;
    return queue;
  }

  removeCompletion(queueId: number): CompletionQueue | null {
    const queue = queueId === 0 ? null : (this.completion[queueId] ?? null);
    if (queue === null) return null;
    queue.isDeleted = true;
    this.completion[queueId] = null;
    return queue;
  }

  /** Where the entries lie: in one piece, or in the pages that a PRP list names. */
  private place(request: QueueAddress, entryBytes: number): QueueMemory | number {
    const { address, isContiguous, entries } = request;
    const pageBytes = this.pageBytes;
    if (!isContiguous && this.limits.mustBeContiguous) return Status.invalidField;
    if (address === 0 || address % pageBytes !== 0) return Status.prpOffsetInvalid;
    if (isContiguous) return new QueueMemory({ base: address, entryBytes, pageBytes });
    const pages = new Float64Array(Math.ceil((entries * entryBytes) / pageBytes));
    const status = this.readPages(address, pages);
    return status === 0 ? new QueueMemory({ base: 0, entryBytes, pageBytes, pages }) : status;
  }

  /** A list like that of data: the last entry of a full page leads to the next page. */
  private readPages(address: number, pages: Float64Array): number {
    const words = new Uint32Array(prpEntryBytes / 4);
    const slots = this.pageBytes / prpEntryBytes;
    let list = address;
    let slot = 0;
    for (let i = 0; i < pages.length; ) {
      const at = list + slot * prpEntryBytes;
      if (!this.dma.readWords(at, words, 0, words.length)) return Status.dataTransferError;
      const entry = PrpEntry.pbao.get(words, 0);
      if (entry % this.pageBytes !== 0) return Status.prpOffsetInvalid;
      if (slot === slots - 1 && i < pages.length - 1) {
        list = entry;
        slot = 0;
        continue;
      }
      pages[i++] = entry;
      slot++;
    }
    return 0;
  }
}

interface QueueAddress {
  readonly address: number;
  readonly isContiguous: boolean;
  readonly entries: number;
}

function isIoQueue(queue: { readonly queueId: number } | null): boolean {
  return queue !== null && queue.queueId !== 0;
}
