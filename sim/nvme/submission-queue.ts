import type { Moment } from '../event-queue.js';
import type { Command } from './command.js';
import type { CompletionQueue } from './completion-queue.js';
import type { QueueMemory } from './queue-memory.js';

const commandIds = 65_536;

/** What the constructor needs to know. */
export interface SubmissionQueueShape {
  readonly queueId: number;
  readonly entries: number;
  readonly memory: QueueMemory;
  readonly priority: number;
  readonly completionQueue: CompletionQueue;
}

/**
 * A submission queue as the controller sees it. Entries from `head` up to `tail` are published and
 * not yet fetched; one slot stays empty, because head === tail means empty
 * [NVMe-2.0 §? full queue].
 */
export class SubmissionQueue {
  readonly queueId: number;
  readonly entries: number;
  readonly memory: QueueMemory;
  readonly completionQueue: CompletionQueue;
  /** QPRIO: 0 urgent .. 3 low. */
  readonly priority: number;
  head = 0;
  tail = 0;
  isDeleted = false;
  /** It stands in a ring of the arbiter. */
  isQueued = false;
  /** A reservation paid for the command of it that ended last. */
  isReserved = false;
  /** Commands of it that are in the controller. */
  inFlight = 0;
  /** First half of a fused pair whose second half has not been fetched. */
  fusedFirst: Command | null = null;
  /** Slot of the command in flight + 1, by command identifier; 0 when it is free. */
  readonly slotOfCid = new Uint16Array(commandIds);
  /** Virtual time at which each entry was published. */
  readonly publishedNs: Float64Array;
  /** Entries that an Abort command named before they were fetched. */
  private aborted: Uint8Array | null = null;

  constructor(shape: SubmissionQueueShape) {
    this.queueId = shape.queueId;
    this.entries = shape.entries;
    this.memory = shape.memory;
    this.priority = shape.priority;
    this.completionQueue = shape.completionQueue;
    this.publishedNs = new Float64Array(shape.entries);
  }

  /** Published entries not yet fetched. */
  get available(): number {
    const count = this.tail - this.head;
    return count < 0 ? count + this.entries : count;
  }

  /** Entries that this tail would add; more than fit means that the host overran the queue. */
  added(tail: number): number {
    const count = tail - this.tail;
    return count < 0 ? count + this.entries : count;
  }

  /** Entries that may still be added. */
  get room(): number {
    return this.entries - 1 - this.available;
  }

  /** The host has published everything before `tail` at a moment, such as the world's. */
  publish(tail: number, moment: Moment): void {
    const { nowNs } = moment;
    let i = this.tail;
    while (i !== tail) {
      this.publishedNs[i] = nowNs;
      i = i + 1 === this.entries ? 0 : i + 1;
    }
    this.tail = tail;
  }

  /** The entry at `head` was fetched. */
  advance(): void {
    const next = this.head + 1;
    this.head = next === this.entries ? 0 : next;
  }

  markAborted(index: number): void {
    this.aborted ??= new Uint8Array(this.entries);
    this.aborted[index] = 1;
  }

  isAbortedAt(index: number): boolean {
    return this.aborted !== null && this.aborted[index] === 1;
  }

  /** Whether the entry was named by an Abort command; asked once, when it is fetched. */
  takeAborted(index: number): boolean {
    if (this.aborted === null || this.aborted[index] === 0) return false;
    this.aborted[index] = 0;
    return true;
  }
}
