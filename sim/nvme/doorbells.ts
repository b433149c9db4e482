import { Doorbell, doorbellBase } from '../../sdk/spec/nvme/registers.js';
import type { Checker, CheckerRule } from '../checker.js';
import type { World } from '../world.js';
import type { Arbiter } from './arbiter.js';
import type { CompletionQueue } from './completion-queue.js';
import type { Queues } from './queues.js';
import type { ShadowDoorbells } from './shadow-doorbells.js';
import type { SubmissionQueue } from './submission-queue.js';

const index = Doorbell.index;

/** What a refused doorbell write is reported as [NVMe-2.0 §5.2.1 error events]. */
export const DoorbellError = { invalidRegister: 0, invalidValue: 1 } as const;

export interface DoorbellListener {
  /** A submission queue stands in the arbiter. */
  workArrived(): void;
  /** A full completion queue has room again. */
  roomMade(queue: CompletionQueue): void;
  doorbellRefused(error: number, queueId: number): void;
}

export interface DoorbellParts {
  readonly world: World;
  readonly checker: Checker;
  readonly queues: Queues;
  readonly arbiter: Arbiter;
  readonly shadow: ShadowDoorbells;
  readonly strideBytes: number;
}

/**
 * Tails and heads as the host reports them, by register or by shadow. A value that cannot be right
 * changes nothing: the queue stays as it was and an event tells the host.
 */
export class Doorbells {
  listener: DoorbellListener | null = null;
  private readonly world: World;
  private readonly checker: Checker;
  private readonly queues: Queues;
  private readonly arbiter: Arbiter;
  private readonly shadow: ShadowDoorbells;
  private readonly strideBytes: number;

  constructor(parts: DoorbellParts) {
    this.world = parts.world;
    this.checker = parts.checker;
    this.queues = parts.queues;
    this.arbiter = parts.arbiter;
    this.shadow = parts.shadow;
    this.strideBytes = parts.strideBytes;
  }

  /** A write at `offset` of the register window, which is in the doorbell part of it. */
  ring(offset: number, value: number): void {
    const number = (offset - doorbellBase) / this.strideBytes;
    const queueId = Math.floor(number / 2);
    if (number === 2 * queueId) {
      const queue = this.queues.submission[queueId];
      if (queue) this.ringTail(queue, index.of(value));
      else this.refuse('doorbellQueue', DoorbellError.invalidRegister, queueId, value);
      return;
    }
    const queue = this.queues.completion[queueId];
    if (queue && number === 2 * queueId + 1) this.ringHead(queue, index.of(value));
    else this.refuse('doorbellQueue', DoorbellError.invalidRegister, queueId, value);
  }

  /** Look at the shadow tail of a queue that has run empty. @returns whether there is more */
  pollTail(queue: SubmissionQueue): boolean {
    if (!this.hasShadow(queue.queueId)) return false;
    // The event index goes out before the shadow is read: a tail stored in between is seen here,
    // one stored later rings.
    this.shadow.askForTail(queue.queueId, queue.tail);
    const tail = this.shadow.tail(queue.queueId);
    return tail >= 0 && tail !== queue.tail && this.takeTail(queue, tail);
  }

  /** Look at the shadow head of a queue that is full. @returns whether it made room */
  pollHead(queue: CompletionQueue): boolean {
    if (!this.hasShadow(queue.queueId)) return false;
    this.shadow.askForHead(queue.queueId, queue.head);
    const head = this.shadow.head(queue.queueId);
    return head >= 0 && head !== queue.head && this.takeHead(queue, head);
  }

  /**
   * Know all heads, and ask for a doorbell at the next move of each: what holds an interrupt line
   * low again, or pretends that registers do, has to hear of every one.
   */
  followHeads(): void {
    for (const queue of this.queues.completion) {
      // A host that moves its head without end is given up for now.
      for (let i = 0; queue && i < queue.entries && this.pollHead(queue); i++);
    }
  }

  private ringTail(queue: SubmissionQueue, tail: number): void {
    if (this.hasShadow(queue.queueId)) {
      // The register only says that the shadow is worth a look: a write that is on the way for
      // longer than a poll of the shadow carries an old value.
      if (tail >= queue.entries) this.takeTail(queue, tail);
      else this.pollTail(queue);
      this.listener?.workArrived();
    } else if (tail === queue.tail) {
      this.refuse('doorbellUnchanged', DoorbellError.invalidValue, queue.queueId, tail);
    } else if (this.takeTail(queue, tail)) {
      this.listener?.workArrived();
    }
  }

  private takeTail(queue: SubmissionQueue, tail: number): boolean {
    if (tail >= queue.entries) {
      this.refuse('doorbellValue', DoorbellError.invalidValue, queue.queueId, tail);
      return false;
    }
    if (queue.added(tail) > queue.room) {
      this.refuse('queueOverrun', DoorbellError.invalidValue, queue.queueId, tail);
      return false;
    }
    queue.publish(tail, this.world);
    this.arbiter.enter(queue);
    return true;
  }

  private ringHead(queue: CompletionQueue, head: number): void {
    if (this.hasShadow(queue.queueId)) {
      if (head >= queue.entries) this.takeHead(queue, head);
      else this.pollHead(queue);
    } else if (head === queue.head) {
      this.refuse('doorbellUnchanged', DoorbellError.invalidValue, queue.queueId, head);
      return;
    } else if (!this.takeHead(queue, head)) {
      return;
    }
    if (queue.backlogCount > 0) this.listener?.roomMade(queue);
  }

  private hasShadow(queueId: number): boolean {
    return this.shadow.isEnabled && queueId !== 0;
  }

  private takeHead(queue: CompletionQueue, head: number): boolean {
    if (head >= queue.entries) {
      this.refuse('doorbellValue', DoorbellError.invalidValue, queue.queueId, head);
      return false;
    }
    if (queue.released(head) > queue.posted) {
      this.refuse('phaseIgnored', DoorbellError.invalidValue, queue.queueId, head);
      return false;
    }
    queue.head = head;
    return true;
  }

  private refuse(rule: CheckerRule, error: number, queue: number, value: number): void {
    this.checker.report(rule, { queue, value });
    this.listener?.doorbellRefused(error, queue);
  }
}
