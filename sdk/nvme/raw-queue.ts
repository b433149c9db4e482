import type { Bar, Clock, DmaRegion } from '../device.js';
import { commandDwords, Sqe } from '../spec/nvme/command.js';
import { Cqe, completionDwords } from '../spec/nvme/completion.js';
import type { RawCommand } from './raw-command.js';

/** Sees every command posted and every completion taken; for logs of a test rig. */
export interface RawObserver {
  posted(queueId: number, words: Uint32Array, atNs: number): void;
  completed(queueId: number, words: Uint32Array, atNs: number): void;
}

/** What a queue needs of its controller. */
export interface RawOwner {
  readonly bar: Bar;
  readonly fn: { readonly clock: Clock };
  readonly observer: RawObserver | undefined;
  takeCid(): number;
}

export interface RawQueuePlace {
  readonly id: number;
  readonly entries: number;
  readonly region: DmaRegion;
  /** Byte offset of the ring in `region`. */
  readonly offset?: number;
  /** Byte offset of the doorbell in BAR0. */
  readonly doorbell: number;
}

/** One completion entry, copied out of the ring. */
export interface RawCompletion {
  readonly dw0: number;
  readonly dw1: number;
  readonly sqhd: number;
  readonly sqid: number;
  readonly cid: number;
  readonly phase: number;
  /** See `Status`; 0 is success. */
  readonly status: number;
  /** Slot of the ring that held it. */
  readonly slot: number;
  readonly words: Uint32Array;
}

export class RawSubmissionQueue {
  readonly id: number;
  readonly entries: number;
  readonly region: DmaRegion;
  readonly offset: number;
  readonly doorbell: number;
  /** Slot that the next command goes to. Tests may set it. */
  tail = 0;
  private readonly owner: RawOwner;

  constructor(owner: RawOwner, place: RawQueuePlace) {
    this.owner = owner;
    this.id = place.id;
    this.entries = place.entries;
    this.region = place.region;
    this.offset = place.offset ?? 0;
    this.doorbell = place.doorbell;
  }

  get iova(): number {
    return this.region.iova + this.offset;
  }

  /** Dword index of a slot. */
  at(slot: number): number {
    return this.offset / 4 + slot * commandDwords;
  }

  /**
   * Copy a command into the next slot; the device does not know until `ring`. A command without an
   * identifier gets one.
   *
   * @returns the command identifier
   */
  post(command: RawCommand): number {
    if (!command.hasCid) Sqe.cid.set(command.words, 0, this.owner.takeCid());
    this.region.words.set(command.words, this.at(this.tail));
    this.tail = (this.tail + 1) % this.entries;
    this.owner.observer?.posted(this.id, command.words, this.owner.fn.clock.nowNs());
    return Sqe.cid.get(command.words, 0);
  }

  /** Tell the device about every command posted. */
  ring(): void {
    this.ringValue(this.tail);
  }

  /** Any value in the tail doorbell. */
  ringValue(value: number): void {
    this.owner.bar.write32(this.doorbell, value);
  }
}

export class RawCompletionQueue {
  readonly id: number;
  readonly entries: number;
  readonly region: DmaRegion;
  readonly offset: number;
  readonly doorbell: number;
  /** Slot that is looked at next, and the phase tag that a new entry has there. */
  head = 0;
  phase = 1;
  private readonly owner: RawOwner;
  /** Taken while somebody waited for another command. */
  private readonly kept: RawCompletion[] = [];

  constructor(owner: RawOwner, place: RawQueuePlace) {
    this.owner = owner;
    this.id = place.id;
    this.entries = place.entries;
    this.region = place.region;
    this.offset = place.offset ?? 0;
    this.doorbell = place.doorbell;
  }

  get iova(): number {
    return this.region.iova + this.offset;
  }

  at(slot: number): number {
    return this.offset / 4 + slot * completionDwords;
  }

  /** Whether a new entry lies at the head. */
  hasNew(): boolean {
    const { words } = this.region;
    const at = this.at(this.head);
    if (Cqe.p.get(words, at) !== this.phase) return false;
    // The phase is confirmed before the rest of the entry is read.
    return Cqe.p.of(Atomics.load(words, at + Cqe.p.dword)) === this.phase;
  }

  /** Take the entry at the head without telling the device. */
  take(): RawCompletion | undefined {
    if (!this.hasNew()) return undefined;
    const slot = this.head;
    const words = this.region.words.slice(this.at(slot), this.at(slot) + completionDwords);
    this.head = (slot + 1) % this.entries;
    if (this.head === 0) this.phase = 1 - this.phase;
    this.owner.observer?.completed(this.id, words, this.owner.fn.clock.nowNs());
    return {
      dw0: Cqe.dw0.get(words, 0),
      dw1: Cqe.dw1.get(words, 0),
      sqhd: Cqe.sqhd.get(words, 0),
      sqid: Cqe.sqid.get(words, 0),
      cid: Cqe.cid.get(words, 0),
      phase: Cqe.p.get(words, 0),
      status: Cqe.status.get(words, 0),
      slot,
      words,
    };
  }

  /** The next completion, kept ones first; the head doorbell is rung for a fresh one. */
  next(): RawCompletion | undefined {
    const kept = this.kept.shift();
    if (kept !== undefined) return kept;
    const taken = this.take();
    if (taken !== undefined) this.ring();
    return taken;
  }

  /** The completion of one command; others that are taken on the way are kept. */
  find(sqid: number, cid: number): RawCompletion | undefined {
    const isWanted = (entry: RawCompletion) => entry.sqid === sqid && entry.cid === cid;
    const index = this.kept.findIndex(isWanted);
    if (index >= 0) return this.kept.splice(index, 1)[0];
    let found: RawCompletion | undefined;
    let taken = this.take();
    if (taken === undefined) return undefined;
    while (taken !== undefined) {
      if (found === undefined && isWanted(taken)) found = taken;
      else this.kept.push(taken);
      taken = found === undefined ? this.take() : undefined;
    }
    this.ring();
    return found;
  }

  /** Give the slots of every entry taken back to the device. */
  ring(): void {
    this.ringValue(this.head);
  }

  /** Any value in the head doorbell. */
  ringValue(value: number): void {
    this.owner.bar.write32(this.doorbell, value);
  }
}
