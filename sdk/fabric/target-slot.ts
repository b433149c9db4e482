import { BlockRequest } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { commandDwords } from '../spec/nvme/command.js';
import type { ServedNamespace } from './served-namespace.js';
import type { TargetQueue } from './target-queue.js';

/** Which way the data of a command goes. */
export const Direction = { none: 0, toController: 1, toHost: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** What is done with the device for a command, in parts that the device takes. */
export const Work = {
  none: 0,
  read: 1,
  write: 2,
  flush: 3,
  writeZeroes: 4,
  discardRanges: 5,
  compare: 6,
} as const;
export type Work = (typeof Work)[keyof typeof Work];

const nothing = new Uint8Array(0);

/**
 * One command of a host, from its capsule to the last byte of its answer. Made when its queue is
 * connected and used for ever.
 */
export class TargetSlot {
  /** R2Ts carry it; the place in the queue's table. */
  readonly tag: number;
  readonly queue: TargetQueue;
  readonly request: BlockRequest;
  /** The submission queue entry. */
  readonly words = new Uint32Array(commandDwords);
  /** In a list of slots. */
  next: TargetSlot | null = null;
  isUsed = false;
  /** With the device, or in front of it. */
  isBusy = false;
  /** Part of the association's count of what may still reach the device. */
  isCounted = false;
  namespace: ServedNamespace | null = null;
  work: Work = Work.none;
  direction: Direction = Direction.none;
  /** Data bytes of the whole command, and how many of them have come or gone. */
  transfer = 0;
  received = 0;
  sent = 0;
  /** A request for the rest of the data is out. */
  isAsking = false;
  isDataSpoiled = false;
  isAnswering = false;
  /** Blocks of the command, done with and in the part at hand. */
  lba = 0;
  blockCount = 0;
  cursor = 0;
  part = 0;
  range = 0;
  flags = 0;
  status = 0;
  result = 0;
  resultHigh = 0;
  /** Where data lies: the front of a region for I/O, an array of its own for control. */
  memory: Uint8Array = nothing;
  region: DmaRegion | null = null;
  /** For compare: what the device has. */
  second: DmaRegion | null = null;

  constructor(queue: TargetQueue, tag: number) {
    this.queue = queue;
    this.tag = tag;
    this.request = new BlockRequest(() => this.namespace!.finished.push(this));
  }

  /** For the next command. */
  reset(): void {
    this.isUsed = true;
    this.isBusy = false;
    this.namespace = null;
    this.work = Work.none;
    this.direction = Direction.none;
    this.transfer = 0;
    this.received = 0;
    this.sent = 0;
    this.isAsking = false;
    this.isDataSpoiled = false;
    this.isAnswering = false;
    this.lba = 0;
    this.blockCount = 0;
    this.cursor = 0;
    this.part = 0;
    this.range = 0;
    this.flags = 0;
    this.status = 0;
    this.result = 0;
    this.resultHigh = 0;
  }

  /** The function that its memory belongs to was closed. */
  get hasLostMemory(): boolean {
    return this.region?.isLost === true;
  }

  forgetMemory(): void {
    this.memory = nothing;
  }
}

/** Slots in a row, first in, first out. A slot is in one list at a time. */
export class TargetSlotList {
  private head: TargetSlot | null = null;
  private tail: TargetSlot | null = null;

  get first(): TargetSlot | null {
    return this.head;
  }

  push(slot: TargetSlot): void {
    slot.next = null;
    if (this.tail === null) this.head = slot;
    else this.tail.next = slot;
    this.tail = slot;
  }

  shift(): TargetSlot | null {
    const slot = this.head;
    if (slot === null) return null;
    this.head = slot.next;
    if (this.head === null) this.tail = null;
    slot.next = null;
    return slot;
  }

  /** Take out those of a queue. */
  removeOf(queue: TargetQueue, each: (slot: TargetSlot) => void): void {
    let slot = this.head;
    this.head = null;
    this.tail = null;
    while (slot !== null) {
      const { next } = slot;
      if (slot.queue === queue) {
        slot.next = null;
        each(slot);
      } else this.push(slot);
      slot = next;
    }
  }
}
