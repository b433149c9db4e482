import type { Command } from './command.js';
import type { QueueMemory } from './queue-memory.js';

export interface CompletionQueueShape {
  readonly queueId: number;
  readonly entries: number;
  readonly memory: QueueMemory;
  readonly areInterruptsEnabled: boolean;
  readonly vector: number;
}

/**
 * A completion queue as the controller sees it. The controller writes at `tail` with the current
 * phase and never into an entry that the host has not released: what does not fit waits in the
 * backlog, in the order in which it completed.
 */
export class CompletionQueue {
  readonly queueId: number;
  readonly entries: number;
  readonly memory: QueueMemory;
  readonly areInterruptsEnabled: boolean;
  readonly vector: number;
  /** Where the host reads next, as far as it has said. */
  head = 0;
  /** Where the controller writes next. */
  tail = 0;
  /** 1 on the first pass, inverted at each wrap [NVMe-2.0 §? phase tag]. */
  phase = 1;
  isDeleted = false;
  /** Submission queues that complete into it. */
  users = 0;
  backlogCount = 0;
  private backlogFirst: Command | null = null;
  private backlogLast: Command | null = null;

  constructor(shape: CompletionQueueShape) {
    this.queueId = shape.queueId;
    this.entries = shape.entries;
    this.memory = shape.memory;
    this.areInterruptsEnabled = shape.areInterruptsEnabled;
    this.vector = shape.vector;
  }

  /** Entries written and not released by the host. */
  get posted(): number {
    const count = this.tail - this.head;
    return count < 0 ? count + this.entries : count;
  }

  /** Entries that this head would release. */
  released(head: number): number {
    const count = head - this.head;
    return count < 0 ? count + this.entries : count;
  }

  get isFull(): boolean {
    return this.posted === this.entries - 1;
  }

  /** The entry at `tail` was written. */
  advance(): void {
    const next = this.tail + 1;
    if (next === this.entries) {
      this.tail = 0;
      this.phase ^= 1;
    } else {
      this.tail = next;
    }
  }

  pushBacklog(command: Command): void {
    command.next = null;
    if (this.backlogLast === null) this.backlogFirst = command;
    else this.backlogLast.next = command;
    this.backlogLast = command;
    this.backlogCount++;
  }

  /** The command that has waited longest, or null. */
  takeBacklog(): Command | null {
    const command = this.backlogFirst;
    if (command === null) return null;
    this.backlogFirst = command.next;
    if (this.backlogFirst === null) this.backlogLast = null;
    command.next = null;
    this.backlogCount--;
    return command;
  }
}
