import { assert } from '../assert.js';
import type { Bar, DmaRegion } from '../device.js';
import { commandDwords, Sqe } from '../spec/nvme/command.js';
import type { CompletionQueue } from './completion-queue.js';
import type { QueueObserver } from './observer.js';
import type { ShadowDoorbell } from './shadow-doorbell.js';

/** How a command left its slot. */
export const SlotEnd = {
  /** The controller posted a completion entry: `status`, `dw0` and `dw1` are its words. */
  completed: 0,
  /** Its entry was never handed over: nothing of it happened. */
  notExecuted: 1,
  /** Handed over, and then the controller was reset or lost. */
  unknown: 2,
} as const;

export type SlotEnd = (typeof SlotEnd)[keyof typeof SlotEnd];

/** Whoever put a command into a slot. */
export interface SlotOwner {
  /** Runs once per command. How it ended lies in the queue's `end`, `status`, `dw0` and `dw1`. */
  ended(queue: SubmissionQueue, slot: number): void;
}

const entryDwords = commandDwords;
const cidField = Sqe.cid;

const nobody: SlotOwner = {
  ended() {
    assert(false, 'a command ended in a slot that nobody owns');
  },
};

/**
 * The submission side of a queue pair: a ring of entries and the commands in flight.
 *
 * A command identifier is slot | sequence tag, and the tag moves on with each use of the slot, so
 * that a stale or doubled completion does not match and is never taken for a newer command. The
 * slot part is never all ones: FFFFh names no command [NVMe-2.0 §? Error Information].
 *
 * At most `entries - 1` commands are in flight, so the ring cannot overflow whatever the controller
 * says about its head. One slot stays empty: head === tail means empty [NVMe-2.0 §3.3.1.2].
 */
export class SubmissionQueue {
  readonly id: number;
  readonly entries: number;
  /** Commands that can be in flight. */
  readonly slotCount: number;
  readonly words: Uint32Array;
  readonly region: DmaRegion;
  readonly completion: CompletionQueue;
  /** How the command passed to `SlotOwner.ended` ended. */
  end: SlotEnd = SlotEnd.completed;
  status = 0;
  dw0 = 0;
  dw1 = 0;
  inFlight = 0;
  /** False while the controller is reset: no command is taken. */
  isOpen = true;
  /** The queue is deleted or its controller lost: it never opens again. */
  isDead = false;
  shadow: ShadowDoorbell | null = null;
  observer: QueueObserver | null = null;
  /** Clock when each slot's command was submitted. */
  readonly startedNs: Float64Array;
  readonly isBusy: Uint8Array;

  private tail = 0;
  private rungTail = 0;
  private readonly bar: Bar;
  private readonly doorbell: number;
  private readonly cids: Uint16Array;
  private readonly free: Uint16Array;
  private freeCount: number;
  private readonly owners: SlotOwner[];
  private readonly slotAt: Uint16Array;
  private readonly slotSpan: number;

  constructor(parts: SubmissionParts) {
    const { id, entries, region, completion, bar, doorbell } = parts;
    assert(region.length >= entries * entryDwords * 4, 'a submission queue lies inside its region');
    this.id = id;
    this.entries = entries;
    this.slotCount = entries - 1;
    this.region = region;
    this.words = region.words;
    this.completion = completion;
    this.bar = bar;
    this.doorbell = doorbell;
    this.slotSpan = 2 ** Math.ceil(Math.log2(entries));
    this.startedNs = new Float64Array(this.slotCount);
    this.isBusy = new Uint8Array(this.slotCount);
    this.cids = Uint16Array.from({ length: this.slotCount }, (_, slot) => slot);
    this.free = Uint16Array.from({ length: this.slotCount }, (_, i) => this.slotCount - 1 - i);
    this.freeCount = this.slotCount;
    this.owners = new Array<SlotOwner>(this.slotCount).fill(nobody);
    this.slotAt = new Uint16Array(entries);
  }

  /** Slots that a command could take now. */
  get room(): number {
    return this.isOpen ? this.freeCount : 0;
  }

  /** Dword index of the entry to be written next. Write all 16 dwords, then `post`. */
  get entryAt(): number {
    return this.tail * entryDwords;
  }

  cidOf(slot: number): number {
    return this.cids[slot]!;
  }

  /** Reserve a slot for a command, whose entry is at `entryAt`. @returns -1 when none is free */
  take(owner: SlotOwner): number {
    if (this.freeCount === 0 || !this.isOpen) return -1;
    const slot = this.free[--this.freeCount]!;
    // The slot part stays, the sequence tag above it moves on and wraps at 16 bits.
    this.cids[slot] = this.cids[slot]! + this.slotSpan;
    this.isBusy[slot] = 1;
    this.owners[slot] = owner;
    // One look at the clock serves all commands between two doorbells.
    this.startedNs[slot] = this.completion.time();
    this.inFlight++;
    return slot;
  }

  isOwnedBy(slot: number, owner: SlotOwner): boolean {
    return this.owners[slot] === owner;
  }

  /** The entry is complete: the next doorbell hands it over. */
  post(slot: number): void {
    this.slotAt[this.tail] = slot;
    const next = this.tail + 1;
    this.tail = next === this.entries ? 0 : next;
    if (this.observer !== null) this.observer.submitted(this, slot);
  }

  /** Entries written and not yet handed over. */
  get unrung(): number {
    return (this.tail - this.rungTail + this.entries) % this.entries;
  }

  /** Hand over everything posted, with one doorbell. The façade orders entries before the store. */
  ring(): void {
    if (this.tail === this.rungTail) return;
    if (this.observer !== null) this.observeRing();
    this.rungTail = this.tail;
    if (this.shadow !== null && !this.shadow.mustRing(this.tail)) return;
    this.bar.write32(this.doorbell, this.tail);
  }

  /**
   * Take a completion for a command identifier.
   *
   * @returns the slot, or -1 when no command in flight has this identifier
   */
  slotOfCid(cid: number): number {
    const slot = cid & (this.slotSpan - 1);
    if (slot >= this.slotCount || this.cids[slot] !== cid || this.isBusy[slot] === 0) return -1;
    return slot;
  }

  /** Give the slot back and tell its owner; `end`, `status`, `dw0` and `dw1` are set. */
  finish(slot: number): void {
    if (this.observer !== null) this.observer.seen(this, slot);
    const owner = this.owners[slot]!;
    this.isBusy[slot] = 0;
    this.free[this.freeCount++] = slot;
    this.inFlight--;
    owner.ended(this, slot);
    if (this.observer !== null) this.observer.calledBack(this, slot);
  }

  /** The slot that has been in flight longest, or -1. */
  oldestSlot(): number {
    let oldest = -1;
    for (let slot = 0; slot < this.slotCount; slot++) {
      if (this.isBusy[slot] === 0) continue;
      if (oldest === -1 || this.startedNs[slot]! < this.startedNs[oldest]!) oldest = slot;
    }
    return oldest;
  }

  /**
   * The controller can touch no memory any more: end what is in flight, oldest first. Commands
   * whose entry was never handed over were not executed, all others are unknown.
   */
  endAll(): void {
    const isUnrung = new Uint8Array(this.slotCount);
    for (let at = this.rungTail; at !== this.tail; at = (at + 1) % this.entries) {
      isUnrung[this.slotAt[at]!] = 1;
    }
    const slots: number[] = [];
    for (let slot = 0; slot < this.slotCount; slot++) if (this.isBusy[slot] === 1) slots.push(slot);
    slots.sort((a, b) => this.startedNs[a]! - this.startedNs[b]!);
    this.tail = 0;
    this.rungTail = 0;
    for (const slot of slots) {
      this.end = isUnrung[slot] === 1 ? SlotEnd.notExecuted : SlotEnd.unknown;
      this.status = 0;
      this.dw0 = 0;
      this.dw1 = 0;
      this.finish(slot);
    }
  }

  /** Start again at entry 0, as a newly created queue does. Sequence tags go on. */
  rewind(): void {
    assert(this.inFlight === 0, 'a queue with commands in flight is not rewound');
    this.tail = 0;
    this.rungTail = 0;
    this.words.fill(0);
  }

  private observeRing(): void {
    for (let at = this.rungTail; at !== this.tail; at = (at + 1) % this.entries) {
      this.observer?.rang(this, this.slotAt[at]!);
    }
  }
}

export interface SubmissionParts {
  readonly id: number;
  readonly entries: number;
  readonly region: DmaRegion;
  readonly completion: CompletionQueue;
  readonly bar: Bar;
  readonly doorbell: number;
}

/** DW0 of an entry: the given opcode and flags with the command identifier. */
export function withCid(dword0: number, cid: number): number {
  return cidField.put(dword0, cid);
}
