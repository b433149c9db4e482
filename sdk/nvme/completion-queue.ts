import { assert } from '../assert.js';
import type { Bar, Clock, DmaRegion } from '../device.js';
import { Cqe, completionDwords } from '../spec/nvme/completion.js';
import type { ShadowDoorbell } from './shadow-doorbell.js';
import type { SubmissionQueue } from './submission-queue.js';

const entryDwords = completionDwords;
const headDword = Cqe.sqhd.dword;
const phaseDword = Cqe.p.dword;
const phaseField = Cqe.p;
const cidField = Cqe.cid;
const statusField = Cqe.status;
const sqidField = Cqe.sqid;
const sqhdField = Cqe.sqhd;

/** What is wrong with a completion entry. */
export interface BadCompletion {
  readonly queueId: number;
  readonly what: 'queue identifier' | 'command identifier' | 'queue head';
  readonly value: number;
  readonly words: readonly number[];
}

/**
 * The completion side: finds entries by their phase tag and ends the commands that they name. One
 * completion queue may serve several submission queues.
 *
 * Nothing that the controller writes here is trusted: an entry that names no queue, no command in
 * flight or a head outside its queue ends no command and is reported.
 */
export class CompletionQueue {
  readonly id: number;
  readonly entries: number;
  readonly words: Uint32Array;
  readonly region: DmaRegion;
  readonly vector: number;
  readonly hasInterrupt: boolean;
  /** Doorbell stores so far. */
  doorbellCount = 0;
  /** The clock as last looked at. */
  nowNs = 0;
  /** Whether `nowNs` holds for what is going on now: one look serves all between two doorbells. */
  isTimed = false;

  shadow: ShadowDoorbell | null = null;

  /** The controller is disabled: entries are taken, no doorbell is written until `rewind`. */
  isMuted = false;
  private head = 0;
  private phase = 1;
  /** Entries taken since the head doorbell was last rung. */
  private kept = 0;
  private first: SubmissionQueue | null = null;
  private readonly others: SubmissionQueue[] = [];
  private readonly bar: Bar;
  private readonly doorbell: number;
  private readonly clock: Clock;
  private readonly misbehaved: (bad: BadCompletion) => void;

  constructor(parts: CompletionParts) {
    const { id, entries, region, bar, doorbell } = parts;
    assert(region.length >= entries * entryDwords * 4, 'a completion queue lies inside its region');
    this.id = id;
    this.entries = entries;
    this.region = region;
    this.words = region.words;
    this.vector = parts.vector;
    this.hasInterrupt = parts.hasInterrupt;
    this.bar = bar;
    this.doorbell = doorbell;
    this.clock = parts.clock;
    this.misbehaved = parts.misbehaved;
  }

  /** A submission queue whose completions arrive here. */
  attach(queue: SubmissionQueue): void {
    if (this.first === null) this.first = queue;
    else this.others.push(queue);
  }

  detach(queue: SubmissionQueue): void {
    if (this.first === queue) this.first = this.others.shift() ?? null;
    else {
      const at = this.others.indexOf(queue);
      if (at !== -1) this.others.splice(at, 1);
    }
  }

  get attachedCount(): number {
    return (this.first === null ? 0 : 1) + this.others.length;
  }

  /** Look at the clock. */
  look(): void {
    this.nowNs = this.clock.nowNs();
    this.isTimed = true;
  }

  /** What follows belongs to a later time. */
  forgetTime(): void {
    this.isTimed = false;
  }

  /**
   * End every command whose completion has arrived, then give entries back with one doorbell.
   *
   * @returns completion entries taken, fewer than the queue has
   */
  poll(): number {
    const words = this.words;
    let count = 0;
    // A doorbell of at most entries - 1 new entries cannot be read as a full turn of the ring.
    while (count < this.entries - 1) {
      const at = this.head * entryDwords;
      // Found by a plain load; the atomic load orders the reads of the entry after it.
      if (phaseField.of(words[at + phaseDword]!) !== this.phase) break;
      const word = Atomics.load(words, at + phaseDword);
      if (count++ === 0) this.look();
      if (++this.head === this.entries) this.wrap();
      const where = words[at + headDword]!;
      const sqid = sqidField.of(where);
      const first = this.first;
      const queue = first !== null && first.id === sqid ? first : this.other(sqid);
      if (queue === null) this.report('queue identifier', sqid, at);
      else if (sqhdField.of(where) >= queue.entries) {
        this.report('queue head', sqhdField.of(where), at);
      } else if (!queue.complete(cidField.of(word), statusField.of(word), at)) {
        this.report('command identifier', cidField.of(word), at);
      }
    }
    if (count > 0) this.release(count);
    return count;
  }

  /**
   * The same on a controller that is disabled: what it had posted counts, and nothing is written to
   * a doorbell.
   */
  drain(): void {
    const wasMuted = this.isMuted;
    this.isMuted = true;
    this.poll();
    this.isMuted = wasMuted;
  }

  /** Whether an entry is waiting. */
  hasEntry(): boolean {
    return phaseField.of(this.words[this.head * entryDwords + phaseDword]!) === this.phase;
  }

  /** Start again at entry 0 with all entries old, as a newly created queue must be. */
  rewind(): void {
    this.head = 0;
    this.phase = 1;
    this.kept = 0;
    this.isMuted = false;
    this.words.fill(0);
  }

  private wrap(): void {
    this.head = 0;
    this.phase = 1 - this.phase;
  }

  private other(sqid: number): SubmissionQueue | null {
    for (let i = 0; i < this.others.length; i++) {
      if (this.others[i]!.id === sqid) return this.others[i]!;
    }
    return null;
  }

  /**
   * Give entries back. A queue that is polled gives back a quarter at a time: the controller always
   * has room for more, and a store to the card is dear. With an interrupt it is done at once.
   */
  private release(count: number): void {
    this.kept += count;
    if (!this.hasInterrupt && this.kept * 4 < this.entries) return;
    this.kept = 0;
    this.ring();
  }

  private ring(): void {
    if (this.isMuted) return;
    this.doorbellCount++;
    if (this.shadow !== null && !this.shadow.mustRing(this.head)) return;
    this.bar.write32(this.doorbell, this.head);
  }

  private report(what: BadCompletion['what'], value: number, at: number): void {
    const entry = Array.from(this.words.subarray(at, at + entryDwords));
    this.misbehaved({ queueId: this.id, what, value, words: entry });
  }
}

export interface CompletionParts {
  readonly id: number;
  readonly entries: number;
  readonly region: DmaRegion;
  readonly bar: Bar;
  readonly doorbell: number;
  readonly clock: Clock;
  readonly vector: number;
  readonly hasInterrupt: boolean;
  readonly misbehaved: (bad: BadCompletion) => void;
}
