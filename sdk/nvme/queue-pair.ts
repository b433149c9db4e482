import type { Clock, Interrupts } from '../device.js';
import { usNs } from '../units.js';
import type { CompletionQueue } from './completion-queue.js';
import type { DataPointers } from './data-pointer.js';
import type { QueueObserver } from './observer.js';
import { type CompletionMode, checkIntervalNs } from './options.js';
import type { SubmissionQueue } from './submission-queue.js';

/** What a queue pair needs from its controller besides its rings. */
export interface QueueKeeper {
  /** Time-outs, controller status and recovery: called now and then by whoever polls. */
  tick(nowNs: number): void;
  /** Whether something goes on that polling must drive at every turn. */
  readonly isRecovering: boolean;
  /** The function is gone. */
  readonly isRemoved: boolean;
}

const idleTurnsPerCheck = 16;

/** Longest time that hybrid mode spins before it sleeps on the interrupt. */
const longestSpinNs = 50 * usNs;
/** When completions take longer than that, one wait of so many spins, to see if they still do. */
const waitsPerTrial = 16;

/**
 * A submission queue with the completion queue that serves it. One thread polls it. Commands are
 * handed over once per poll turn, with one doorbell.
 */
export class QueuePair {
  readonly id: number;
  readonly submission: SubmissionQueue;
  readonly completion: CompletionQueue;
  readonly data: DataPointers;
  readonly mode: CompletionMode;
  readonly clock: Clock;
  /** False when another queue pair made the completion queue that this one shares. */
  readonly ownsCompletion: boolean;
  readonly priority: number;
  /** Learnt time between going idle and the next completion, for hybrid mode. */
  private learntNs = 10 * usNs;
  /** Waits since the last one that spun. */
  private waitsAsleep = 0;
  private depth = 0;
  private idleTurns = 0;
  private checkAtNs = 0;
  /** The rings' memory is given back: there is nothing to poll any more. */
  private isFreed = false;
  private readonly keeper: QueueKeeper;
  private readonly interrupts: Interrupts;

  constructor(parts: QueuePairParts) {
    this.id = parts.submission.id;
    this.submission = parts.submission;
    this.completion = parts.completion;
    this.data = parts.data;
    this.mode = parts.mode;
    this.clock = parts.clock;
    this.ownsCompletion = parts.ownsCompletion;
    this.priority = parts.priority;
    this.keeper = parts.keeper;
    this.interrupts = parts.interrupts;
  }

  /** Entries of the submission queue. */
  get entries(): number {
    return this.submission.entries;
  }

  get isOpen(): boolean {
    return this.submission.isOpen;
  }

  /** The function is gone, and with it whatever was in flight. */
  get isRemoved(): boolean {
    return this.keeper.isRemoved;
  }

  /** Told of each stage of each command. */
  set observer(observer: QueueObserver | null) {
    this.submission.observer = observer;
  }

  /**
   * End what has completed, run its callbacks, hand over what was submitted.
   *
   * @returns completion entries taken
   */
  poll(): number {
    if (this.isFreed) return 0;
    const { completion } = this;
    let count = 0;
    this.depth++;
    try {
      count = completion.poll();
    } finally {
      this.depth--;
    }
    this.submission.ring();
    completion.isTimed = false;
    if (count === 0) this.nothingFound();
    else {
      this.idleTurns = 0;
      if (completion.nowNs >= this.checkAtNs) this.check(completion.nowNs);
    }
    return count;
  }

  private nothingFound(): void {
    if (++this.idleTurns >= idleTurnsPerCheck || this.keeper.isRecovering) this.checkClock();
  }

  /** Look at the clock, and at time-outs when it is time to; polling does so by itself. */
  checkClock(): void {
    this.idleTurns = 0;
    const nowNs = this.clock.nowNs();
    if (nowNs >= this.checkAtNs || this.keeper.isRecovering) this.check(nowNs);
  }

  /**
   * Nothing is there: wait for a completion in the way of this queue pair's mode, at most until
   * `untilNs`, and let other tasks run. Poll after it.
   */
  async idle(untilNs: number): Promise<void> {
    if (this.mode === 'polling' || !this.completion.hasInterrupt) return this.clock.turn(untilNs);
    const startNs = this.clock.nowNs();
    const vector = this.completion.vector;
    if (this.mode === 'hybrid') {
      const spinUntilNs = Math.min(untilNs, startNs + this.spinNs());
      while (!this.completion.hasEntry() && this.clock.nowNs() < spinUntilNs) {
        await this.clock.turn(spinUntilNs);
      }
    }
    const isFound = this.completion.hasEntry();
    // The interrupt of an entry that is found first is left: to take it would be a call into the
    // kernel each time, and to leave it costs one wait that ends at once.
    if (!isFound) await this.interrupts.wait(vector, untilNs);
    if (this.mode === 'hybrid') this.learn(this.clock.nowNs() - startNs, isFound);
  }

  /** Twice the time that completions take; nothing when they take longer than a spin may last. */
  private spinNs(): number {
    if (this.learntNs <= longestSpinNs) return Math.min(longestSpinNs, 2 * this.learntNs);
    if (++this.waitsAsleep < waitsPerTrial) return 0;
    this.waitsAsleep = 0;
    return longestSpinNs;
  }

  private learn(waitedNs: number, isFound: boolean): void {
    // A trial that found its completion proves that spinning pays again. Times of waits asleep have
    // the way through the kernel in them.
    if (isFound && this.learntNs > longestSpinNs) this.learntNs = Math.min(waitedNs, longestSpinNs);
    // An eighth of the new, seven eighths of the old: one stray wait does not change the habit.
    else this.learntNs += (waitedNs - this.learntNs) / 8;
  }

  /** The memory of the rings is about to go: never look at it again. */
  retire(): void {
    this.isFreed = true;
    this.submission.isOpen = false;
    this.submission.isDead = true;
  }

  private check(nowNs: number): void {
    if (this.depth > 0) return;
    this.checkAtNs = nowNs + checkIntervalNs;
    this.keeper.tick(nowNs);
  }
}

export interface QueuePairParts {
  readonly submission: SubmissionQueue;
  readonly completion: CompletionQueue;
  readonly data: DataPointers;
  readonly mode: CompletionMode;
  readonly clock: Clock;
  readonly ownsCompletion: boolean;
  readonly priority: number;
  readonly keeper: QueueKeeper;
  readonly interrupts: Interrupts;
}
