import { doorbellBase } from '../../sdk/spec/nvme/registers.js';
import type { QueueWatcher } from './queues.js';

/** A doorbell of the register window holds another value now. */
export type DoorbellRing = (offset: number, value: number) => void;

/**
 * Doorbells in memory that the host writes without telling: each is compared with what was seen
 * last, and a change counts as a register write. A write of the value that a doorbell already has
 * cannot be seen; hosts have no reason for it.
 *
 * Doorbells of queues that exist are looked at by `poll`, all others by `scan`, for the misuse
 * alone. A doorbell is 0 again when its queue is created and when the controller is reset, so that
 * the first value of a new queue is a change whatever an older one has left. The doorbell of a
 * queue that came with a saved card holds what it held there.
 */
export class PolledDoorbells implements QueueWatcher {
  /** All doorbells as the host leaves them, and as they were seen last. */
  readonly words: Uint32Array;
  readonly seen: Uint32Array;
  private readonly ring: DoorbellRing;
  private readonly strideDwords: number;
  /** Dwords that lead to queues, ascending. */
  private readonly used: Int32Array;
  private usedCount = 0;

  /**
   * @param words  the doorbells of all queues, the first of them first
   * @param ring   called with the offset in the register window
   */
  constructor(words: Uint32Array, strideBytes: number, ring: DoorbellRing) {
    this.words = words;
    this.seen = new Uint32Array(words.length);
    this.ring = ring;
    this.strideDwords = strideBytes / 4;
    this.used = new Int32Array(words.length);
  }

  /** @returns whether a doorbell of a queue has changed since the last look */
  poll(): boolean {
    const { used, usedCount, words, seen } = this;
    let hasChanged = false;
    for (let i = 0; i < usedCount; i++) {
      const at = used[i]!;
      if (words[at] === seen[at]) continue;
      this.take(at);
      hasChanged = true;
    }
    return hasChanged;
  }

  /** Look at every doorbell. @returns whether one has changed */
  scan(): boolean {
    const { words, seen } = this;
    let hasChanged = false;
    for (let at = 0; at < words.length; at++) {
      if (words[at] === seen[at]) continue;
      this.take(at);
      hasChanged = true;
    }
    return hasChanged;
  }

  /** A register write that came by another way: the memory shows it, and it counts once. */
  wrote(offset: number, value: number): void {
    const at = (offset - doorbellBase) / 4;
    this.words[at] = value;
    this.seen[at] = value;
  }

  created(doorbell: number, value: number): void {
    const at = doorbell * this.strideDwords;
    this.words[at] = value;
    this.seen[at] = value;
    const { used } = this;
    let to = this.usedCount;
    while (to > 0 && used[to - 1]! > at) to--;
    if (to > 0 && used[to - 1] === at) return;
    used.copyWithin(to + 1, to, this.usedCount);
    used[to] = at;
    this.usedCount++;
  }

  cleared(): void {
    this.words.fill(0);
    this.seen.fill(0);
    this.usedCount = 0;
  }

  private take(at: number): void {
    // What the host stored before the doorbell is read after it.
    const value = Atomics.load(this.words, at);
    this.seen[at] = value;
    this.ring(doorbellBase + at * 4, value);
  }
}
