import { assert } from '../assert.js';
import type { Bar, DmaRegion } from '../device.js';
import { commandDwords, Sqe } from '../spec/nvme/command.js';
import { Cqe } from '../spec/nvme/completion.js';
import { smallInteger } from '../units.js';
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
  /** What `SubmissionQueue.takeOwnerId` gave: tells owners apart faster than their references. */
  readonly ownerId: number;
  /** Runs once per command. How it ended lies in the queue's `end`, `status`, `dw0` and `dw1`. */
  ended(queue: SubmissionQueue, slot: number): void;
}

const entryDwords = commandDwords;
const dw0Dword = Cqe.dw0.dword;
const dw1Dword = Cqe.dw1.dword;
const completedEnd = SlotEnd.completed;

/**
 * What is known of a slot lies in one array, because looking an array up costs as much as what is
 * done to it then. Four numbers each, from `slot << slotShift`:
 *
 *   0  the identifier: of the command in flight as it is, else of the last one, complemented
 *   1  in flight: how many commands had been taken when it was taken, which tells the older of two
 *      free: the next free slot, -1 behind the last
 *   2  the `ownerId` of its owner
 *   3  what lies in the ring entry of the same index, see `takeLaid`
 */
export const slotShift = 2;
/** An exported constant is looked up at each use, a local one is part of the code. */
const shift = slotShift;
const orderWord = 1;
const nextWord = 1;
const ownerWord = 2;
const laidWord = 3;
const slotWords = 1 << shift;
/** log2 of the dwords of an entry. */
const entryShift = 4;
assert(1 << entryShift === commandDwords, 'an entry has 16 dwords');
/** From the dword index of an entry to the number of the same index in `slots`. */
const entryToSlot = entryShift - shift;

/** Whose no command is. */
export const nobody: SlotOwner = {
  ownerId: 0,
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
  /** Commands that can be in flight; the index of the last entry, too. */
  readonly slotCount: number;
  readonly words: Uint32Array;
  readonly region: DmaRegion;
  readonly completion: CompletionQueue;
  /** The dword of a completion entry that names this queue and its entry 0. */
  readonly firstHead: number;
  /** How the command passed to `SlotOwner.ended` ended. */
  end: SlotEnd = SlotEnd.completed;
  status = 0;
  /** False while the controller is reset: no command is taken. */
  isOpen = true;
  /** The queue is deleted or its controller lost: it never opens again. */
  isDead = false;
  /** The controller is disabled: nothing is handed over until `rewind`. */
  isMuted = false;
  shadow: ShadowDoorbell | null = null;
  observer: QueueObserver | null = null;

  /** Dword index of the entry of the command that `take` took last. */
  entryAt = 0;
  /** Its identifier. */
  takenCid = 0;
  /** Dword index of the completion entry of the command that ended last. */
  completedAt = 0;
  private tail = 0;
  private rungTail = 0;
  private readonly bar: Bar;
  private readonly doorbell: number;
  /** See `slotShift`. */
  readonly slots: Int32Array;
  private freeHead = 0;
  private ownerCount = 0;
  // Filled by push: an array made at its length is searched for holes at every read.
  private readonly owners: SlotOwner[] = [];
  private readonly slotSpan: number;
  readonly slotMask: number;
  /** Commands taken so far, wrapping at 32 bits. */
  private taken = 0;
  /** What `lateSlot` saw last in each slot, and when it saw it first. */
  private readonly seenOrder: Int32Array;
  private readonly seenNs: Float64Array;

  constructor(parts: SubmissionParts) {
    const { id, entries, region, completion, bar, doorbell } = parts;
    assert(region.length >= entries * entryDwords * 4, 'a submission queue lies inside its region');
    this.id = id;
    this.entries = entries;
    this.slotCount = entries - 1;
    this.region = region;
    this.words = region.words;
    this.completion = completion;
    this.firstHead = smallInteger(Cqe.sqid.put(0, id));
    this.bar = bar;
    this.doorbell = doorbell;
    this.slotSpan = smallInteger(2 ** Math.ceil(Math.log2(entries)));
    this.slotMask = this.slotSpan - 1;
    this.slots = new Int32Array(this.slotSpan * slotWords);
    for (let slot = 0; slot < this.slotSpan; slot++) {
      this.slots[slot << shift] = ~slot;
      this.slots[(slot << shift) | nextWord] = slot + 1 < this.slotCount ? slot + 1 : -1;
    }
    this.seenOrder = new Int32Array(this.slotCount).fill(-1);
    this.seenNs = new Float64Array(this.slotCount);
    for (let slot = 0; slot < this.slotCount; slot++) this.owners.push(nobody);
  }

  /** Whether so many commands could be taken now. */
  hasRoom(count: number): boolean {
    let slot = this.freeHead;
    for (let found = 1; found < count && slot >= 0; found++) {
      slot = this.slots[(slot << shift) | nextWord]!;
    }
    return slot >= 0 && this.isOpen;
  }

  cidOf(slot: number): number {
    const cid = this.slots[slot << shift]!;
    return cid >= 0 ? cid : ~cid;
  }

  /** Commands in flight, counted one by one. */
  get inFlight(): number {
    let count = 0;
    for (let slot = 0; slot < this.slotCount; slot++) if (this.isBusy(slot)) count++;
    return count;
  }

  isBusy(slot: number): boolean {
    return this.slots[slot << shift]! >= 0;
  }

  /** Whether a command can be taken now. */
  get canTake(): boolean {
    return this.freeHead >= 0 && this.isOpen === true;
  }

  /**
   * Take a slot and the next entry for a command. The caller writes all 16 dwords of the entry at
   * `entryAt`, with the identifier `takenCid`, before it returns to whoever polls.
   *
   * @returns the slot, or -1 when none is free or the queue is closed
   */
  take(owner: SlotOwner): number {
    if (!this.canTake) return -1;
    this.slots[(this.tail << shift) | laidWord] = 0;
    const slot = this.takeLaid(owner);
    if (this.observer !== null) this.observer.submitted(this, slot);
    return slot;
  }

  /**
   * The same when it `canTake`, for an owner whose commands are much alike: when the entry then
   * `isLaidBy` it, it writes what differs; else all 16 dwords, and may say `leaveLaid`. It tells
   * the observer itself.
   */
  takeLaid(owner: SlotOwner): number {
    const { slots, tail, freeHead: slot } = this;
    const known = slot << shift;
    // The slot part stays, the sequence tag above it moves on and wraps at 16 bits.
    const cid = (~slots[known]! + this.slotSpan) & 0xffff;
    slots[known] = cid;
    this.takenCid = cid;
    this.freeHead = slots[known | nextWord]!;
    const taken = (this.taken + 1) | 0;
    this.taken = taken;
    slots[known | orderWord] = taken;
    if (slots[known | ownerWord] !== owner.ownerId) {
      slots[known | ownerWord] = owner.ownerId;
      this.owners[slot] = owner;
    }
    this.entryAt = tail << entryShift;
    this.tail = tail === this.slotCount ? 0 : tail + 1;
    return slot;
  }

  /** Whether `leaveLaid` said of the entry taken last that it holds what this owner lays there. */
  isLaidBy(owner: SlotOwner): boolean {
    return this.slots[(this.entryAt >> entryToSlot) | laidWord] === owner.ownerId;
  }

  /** The entry taken last holds what this owner lays into all of its entries. */
  leaveLaid(owner: SlotOwner): void {
    this.slots[(this.entryAt >> entryToSlot) | laidWord] = owner.ownerId;
  }

  /** A number for a new owner. */
  takeOwnerId(): number {
    return ++this.ownerCount;
  }

  isOwnedBy(slot: number, owner: SlotOwner): boolean {
    return this.owners[slot] === owner;
  }

  /** Entries written and not yet handed over. */
  get unrung(): number {
    return (this.tail - this.rungTail + this.entries) % this.entries;
  }

  /** Hand over everything posted, with one doorbell. The façade orders entries before the store. */
  ring(): void {
    if (this.tail === this.rungTail || this.isMuted) return;
    if (this.observer !== null) this.observeRing();
    this.rungTail = this.tail;
    if (this.shadow !== null && !this.shadow.mustRing(this.tail)) return;
    this.bar.write32(this.doorbell, this.tail);
  }

  /** Dword 0 of the completion of the command that just ended. */
  get dw0(): number {
    return this.end === completedEnd ? this.completion.words[this.completedAt + dw0Dword]! : 0;
  }

  /** Dword 1 of the completion of the command that just ended. */
  get dw1(): number {
    return this.end === completedEnd ? this.completion.words[this.completedAt + dw1Dword]! : 0;
  }

  /** Give the slot back and tell its owner; `end` and `status` are set. */
  finish(slot: number): void {
    const { slots } = this;
    const known = slot << shift;
    slots[known] = ~slots[known]!;
    slots[known | nextWord] = this.freeHead;
    this.freeHead = slot;
    if (this.observer === null) this.owners[slot]!.ended(this, slot);
    else this.finishObserved(slot, this.observer);
  }

  private finishObserved(slot: number, observer: QueueObserver): void {
    observer.seen(this, slot);
    this.owners[slot]!.ended(this, slot);
    observer.calledBack(this, slot);
  }

  /**
   * The command in flight longest, if that is too long. Time counts from the first call that sees a
   * command, so that the data path looks at no clock for it; called every few milliseconds.
   *
   * @returns the slot, or -1
   */
  lateSlot(nowNs: number, timeoutNs: number): number {
    let late = -1;
    for (let slot = 0; slot < this.slotCount; slot++) {
      if (!this.isBusy(slot)) continue;
      if (this.seenOrder[slot] !== this.orderOf(slot)) {
        this.seenOrder[slot] = this.orderOf(slot);
        this.seenNs[slot] = nowNs;
      } else if (nowNs - this.seenNs[slot]! >= timeoutNs) {
        if (late === -1 || this.isOlder(slot, late)) late = slot;
      }
    }
    return late;
  }

  private orderOf(slot: number): number {
    return this.slots[(slot << shift) | orderWord]!;
  }

  /** Whether the command in one slot was taken before that in another; the count may wrap. */
  private isOlder(slot: number, other: number): boolean {
    return ((this.orderOf(slot) - this.orderOf(other)) | 0) < 0;
  }

  /**
   * The controller can touch no memory any more: end what is in flight, oldest first. Commands
   * whose entry was never handed over were not executed, all others are unknown.
   */
  endAll(): void {
    const isUnrung = new Uint8Array(this.slotCount);
    for (let at = this.rungTail; at !== this.tail; at = (at + 1) % this.entries) {
      isUnrung[this.slotOfEntry(at)] = 1;
    }
    const slots: number[] = [];
    for (let slot = 0; slot < this.slotCount; slot++) if (this.isBusy(slot)) slots.push(slot);
    slots.sort((a, b) => (this.orderOf(a) - this.orderOf(b)) | 0);
    this.tail = 0;
    this.rungTail = 0;
    for (const slot of slots) {
      this.end = isUnrung[slot] === 1 ? SlotEnd.notExecuted : SlotEnd.unknown;
      this.status = 0;
      this.finish(slot);
    }
  }

  /** Start again at entry 0, as a newly created queue does. Sequence tags go on. */
  rewind(): void {
    assert(this.inFlight === 0, 'a queue with commands in flight is not rewound');
    this.tail = 0;
    this.rungTail = 0;
    this.isMuted = false;
    this.words.fill(0);
    for (let at = laidWord; at < this.slots.length; at += slotWords) this.slots[at] = 0;
  }

  private slotOfEntry(index: number): number {
    return Sqe.cid.get(this.words, index * entryDwords) & this.slotMask;
  }

  private observeRing(): void {
    for (let at = this.rungTail; at !== this.tail; at = (at + 1) % this.entries) {
      this.observer?.rang(this, this.slotOfEntry(at));
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
