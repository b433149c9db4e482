import { assert } from '../../sdk/assert.js';
import type { Arbitration } from './executor.js';
import type { SubmissionQueue } from './submission-queue.js';

/**
 * Which submission queue is served next, and how many entries of it [NVMe-2.0 §3.4.4].
 *
 * Round robin: all queues with work, the admin queue among them, take turns of one burst each.
 *
 * Weighted round robin with urgent: the admin queue comes before all others, then the queues of
 * the urgent class in turn, then the high, medium and low classes, each with as many commands per
 * round as its weight; inside a class queues take turns of one burst each. A round ends when no
 * class that has work has credit left.
 *
 * Without weights, a queue whose last command a reservation paid for comes before those of others:
 * so its commands do not stand behind all that others want fetched. What it asks for beyond its
 * reservation makes it one of them again. The others have every ninth turn at least.
 *
 * A queue stands in at most one ring, once; it enters with its first entry and leaves when served.
 */
export class Arbiter {
  /** Entries to fetch from the queue that `next` gave. */
  count = 0;
  private isWeighted = false;
  private burst = 1;
  private passed = 0;
  private readonly weights = [1, 1, 1];
  private readonly credits = [1, 1, 1];
  private readonly rings: readonly QueueRing[];

  constructor(capacity: number) {
    this.rings = classes.map(() => new QueueRing(capacity));
  }

  /** CC.AMS, when the controller is enabled. Nothing waits then. */
  reset(isWeighted: boolean): void {
    this.isWeighted = isWeighted;
    for (const ring of this.rings) ring.clear();
    this.reload();
  }

  /** Feature 01h. */
  set(arbitration: Arbitration): void {
    assert(arbitration.burst >= 1, 'an arbitration burst serves at least one command');
    this.burst = arbitration.burst;
    this.weights[0] = arbitration.highWeight;
    this.weights[1] = arbitration.mediumWeight;
    this.weights[2] = arbitration.lowWeight;
    this.reload();
  }

  /** The queue has work. */
  enter(queue: SubmissionQueue): void {
    if (queue.isQueued) return;
    queue.isQueued = true;
    this.rings[this.classOf(queue)]!.push(queue);
  }

  /**
   * @param limit  commands that the controller can take now, at least 1
   * @returns      the queue to serve, taken out of its ring, or null when none has work
   */
  next(limit: number): SubmissionQueue | null {
    if (!this.isWeighted) return this.nextOfAll(limit);
    const strict = this.takeFrom(0, limit, this.burst) ?? this.takeFrom(1, limit, this.burst);
    if (strict !== null) return strict;
    return this.nextWeighted(limit) ?? (this.reload() ? this.nextWeighted(limit) : null);
  }

  /** The admin queue out of turn, when it has work. */
  nextAdmin(limit: number): SubmissionQueue | null {
    const queue = this.rings[0]!.takeNumber(0);
    if (queue !== null) this.count = Math.min(queue.available, this.burst, limit);
    return queue;
  }

  private nextOfAll(limit: number): SubmissionQueue | null {
    if (this.passed < turnsInARow) {
      const queue = this.takeFrom(reservedRing, limit, this.burst);
      if (queue !== null) {
        this.passed++;
        return queue;
      }
    }
    this.passed = 0;
    return this.takeFrom(0, limit, this.burst) ?? this.takeFrom(reservedRing, limit, this.burst);
  }

  private nextWeighted(limit: number): SubmissionQueue | null {
    for (let i = 0; i < this.credits.length; i++) {
      const credit = this.credits[i]!;
      if (credit === 0) continue;
      const queue = this.takeFrom(2 + i, limit, Math.min(this.burst, credit));
      if (queue === null) continue;
      this.credits[i] = credit - this.count;
      return queue;
    }
    return null;
  }

  private takeFrom(ring: number, limit: number, burst: number): SubmissionQueue | null {
    const queue = this.rings[ring]!.take();
    if (queue === null) return null;
    const available = queue.available;
    this.count = Math.min(available, burst);
    if (this.count > limit) this.count = limit;
    return queue;
  }

  private reload(): boolean {
    for (let i = 0; i < this.credits.length; i++) this.credits[i] = this.weights[i]!;
    return true;
  }

  private classOf(queue: SubmissionQueue): number {
    if (queue.queueId === 0) return 0;
    if (this.isWeighted) return 1 + queue.priority;
    return queue.isReserved ? reservedRing : 0;
  }
}

const classes = [
  'admin, or all without weights',
  'urgent',
  'high',
  'medium',
  'low',
  'reserved, without weights',
] as const;
const reservedRing = classes.length - 1;
/** Turns of reserved queues in a row while others wait. */
const turnsInARow = 8;

/** Queues in the order in which they came; deleted ones and those that were emptied drop out. */
class QueueRing {
  private readonly slots: (SubmissionQueue | null)[];
  private first = 0;
  private count = 0;

  constructor(capacity: number) {
    // Deleted queues stay until they are met, and a queue of the same number may come meanwhile.
    this.slots = new Array<SubmissionQueue | null>(2 * capacity).fill(null);
  }

  clear(): void {
    this.slots.fill(null);
    this.first = 0;
    this.count = 0;
  }

  push(queue: SubmissionQueue): void {
    if (this.count === this.slots.length) this.compact();
    let at = this.first + this.count++;
    if (at >= this.slots.length) at -= this.slots.length;
    this.slots[at] = queue;
  }

  take(): SubmissionQueue | null {
    while (this.count > 0) {
      const queue = this.slots[this.first]!;
      this.slots[this.first] = null;
      this.first = this.first + 1 === this.slots.length ? 0 : this.first + 1;
      this.count--;
      if (queue === null) continue;
      queue.isQueued = false;
      if (!queue.isDeleted && queue.available > 0) return queue;
    }
    return null;
  }

  /** Take one queue out of the middle; its place stays, empty. */
  takeNumber(queueId: number): SubmissionQueue | null {
    for (let i = 0; i < this.count; i++) {
      const at = (this.first + i) % this.slots.length;
      const queue = this.slots[at];
      if (!queue || queue.queueId !== queueId || queue.isDeleted) continue;
      this.slots[at] = null;
      queue.isQueued = false;
      return queue.available > 0 ? queue : null;
    }
    return null;
  }

  private compact(): void {
    const live: SubmissionQueue[] = [];
    for (let i = 0; i < this.count; i++) {
      const queue = this.slots[(this.first + i) % this.slots.length];
      if (queue && !queue.isDeleted) live.push(queue);
    }
    assert(live.length < this.slots.length, 'more submission queues than the arbiter was made for');
    this.clear();
    for (const queue of live) this.push(queue);
  }
}
