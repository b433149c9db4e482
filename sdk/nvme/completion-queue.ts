import { assert } from '../assert.js';
import type { Bar, Clock, DmaRegion } from '../device.js';
import { Cqe, completionDwords } from '../spec/nvme/completion.js';
import type { ShadowDoorbell } from './shadow-doorbell.js';
import { SlotEnd, type SubmissionQueue, slotShift } from './submission-queue.js';

/**
 * A poll that has taken so many entries looks for no more: it would chase a device that posts as
 * fast as it takes until the queue is empty, and no new command would be handed over meanwhile.
 */
const longestChase = 16;
const entryDwords = completionDwords;
/** log2 of the dwords of an entry. */
const entryShift = 2;
assert(1 << entryShift === completionDwords, 'an entry has 4 dwords');
const completedEnd = SlotEnd.completed;
const phaseOn = Cqe.p.put(0, 1);
const headDword = Cqe.sqhd.dword;
const phaseDword = Cqe.p.dword;
const cidField = Cqe.cid;
const statusField = Cqe.status;
const sqidField = Cqe.sqid;
const sqhdField = Cqe.sqhd;
const shift = slotShift;
assert(sqhdField.low === 0 && sqhdField.width === 16 && sqidField.low === 16, 'head below queue');

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
  /** Requests whose last command ended here, of every namespace and queue pair that shares it. */
  requestsEnded = 0;
  /** The clock as last looked at. */
  nowNs = 0;
  /** Whether `nowNs` holds for what is going on now: one look serves all between two doorbells. */
  isTimed = false;

  shadow: ShadowDoorbell | null = null;

  /** The controller is disabled: entries are taken, no doorbell is written until `rewind`. */
  isMuted = false;
  private head = 0;
  /** Entries before this one are known to be new; equal to `head` when none is. */
  private confirmed = 0;
  /** The phase tag of a new entry, in place. */
  private phase = phaseOn;
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

  /**
   * End commands whose completions have arrived, then give entries back with one doorbell.
   *
   * Written in a row, because this is the data path, and long enough to be compiled by itself: cut
   * into smaller functions it is inlined here and there, in part, and costs up to a fifth more.
   *
   * @returns completion entries taken, fewer than the queue has
   */
  poll(): number {
    const { words, entries } = this;
    let count = 0;
    for (;;) {
      const { head } = this;
      if (head === this.confirmed) {
        if (count >= longestChase) break;
        // New entries are found by plain loads of their phase, up to the end of the ring, and one
        // turn of the ring at most: a doorbell of that many could not be told from none. They are
        // posted in order, so one atomic load, of the last, orders all reads of all of them.
        const { phase } = this;
        const most = head + entries - 1 - count;
        const end = Math.min(most, entries) << entryShift;
        let last = (head << entryShift) | phaseDword;
        if (last >= end || (words[last]! & phaseOn) !== phase) break;
        let next = last + entryDwords;
        while (next < end && (words[next]! & phaseOn) === phase) next += entryDwords;
        last = next - entryDwords;
        if ((Atomics.load(words, last) & phaseOn) !== phase) break;
        this.confirmed = next >>> entryShift;
        this.look();
      }
      count++;
      if (head + 1 === entries) {
        this.head = 0;
        this.confirmed = 0;
        this.phase ^= phaseOn;
      } else this.head = head + 1;
      const at = head << entryShift;
      const where = words[at | headDword]!;
      const word = words[at | phaseDword]!;
      let queue = this.first;
      // The queue is named in the high half and its head in the low one, so that one comparison
      // tells both: less than the number of entries is left when the first is taken away.
      if (queue === null || (where ^ queue.firstHead) >>> 0 >= queue.entries) {
        queue = this.other(where);
      }
      const cid = cidField.of(word);
      if (queue === null || queue.slots[(cid & queue.slotMask) << shift] !== cid) {
        this.report(at);
        continue;
      }
      queue.end = completedEnd;
      queue.status = statusField.of(word);
      queue.completedAt = at;
      queue.finish(cid & queue.slotMask);
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
    while (this.poll() > 0);
    this.isMuted = wasMuted;
  }

  /** Whether an entry is waiting. */
  hasEntry(): boolean {
    const word = this.words[this.head * entryDwords + phaseDword]!;
    return (word & phaseOn) === this.phase;
  }

  /** Start again at entry 0 with all entries old, as a newly created queue must be. */
  rewind(): void {
    this.head = 0;
    this.confirmed = 0;
    this.phase = phaseOn;
    this.kept = 0;
    this.isMuted = false;
    this.words.fill(0);
  }

  private other(where: number): SubmissionQueue | null {
    for (let i = 0; i < this.others.length; i++) {
      const queue = this.others[i]!;
      if ((where ^ queue.firstHead) >>> 0 < queue.entries) return queue;
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

  /** An entry that ended no command: say what is wrong with it. */
  private report(at: number): void {
    const entry = Array.from(this.words.subarray(at, at + entryDwords));
    const sqid = sqidField.of(entry[headDword]!);
    const head = sqhdField.of(entry[headDword]!);
    const cid = cidField.of(entry[phaseDword]!);
    const bad = { queueId: this.id, words: entry };
    const queue = [this.first, ...this.others].find((one) => one?.id === sqid);
    if (queue == null) this.misbehaved({ ...bad, what: 'queue identifier', value: sqid });
    else if (head >= queue.entries) this.misbehaved({ ...bad, what: 'queue head', value: head });
    else this.misbehaved({ ...bad, what: 'command identifier', value: cid });
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
