import { BlockRequest } from '../block/request.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { ExtendedRequestHeader, RequestHeader, RequestOffset } from '../spec/nbd/transmission.js';
import { KiB } from '../units.js';
import type { NbdFault } from './faults.js';

// Looked up once: the tables lie behind imports.
const Header = RequestHeader;
const ExtendedHeader = ExtendedRequestHeader;
const Offset = RequestOffset;

/** The largest piece of a request that goes to the device at once. */
export const largestPart = 256 * KiB;
/** Extents of one context in one answer. A client asks again from where they end. */
export const mostExtents = 1024;
/** Sizes of the memory of a slot. */
const classes: readonly number[] = [4 * KiB, 64 * KiB, largestPart];

/** What happens when the device has carried out a part of a slot's request. */
export interface SlotOwner {
  ended(slot: Slot): void;
}

/** How far the answer to a read has come. */
export const Stage = { head: 0, data: 1, padding: 2, tail: 3 } as const;

export type Stage = (typeof Stage)[keyof typeof Stage];

/**
 * One request of a client, from its header to the last byte of its answer. Made once and used for
 * ever; its memory grows to what it was needed for.
 */
export class Slot {
  readonly request: BlockRequest;
  owner: SlotOwner | null = null;
  /** In a list of slots. */
  next: Slot | null = null;
  command = 0;
  flags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Bytes of the export; the offset also as it was sent. */
  offset = 0;
  offsetHigh = 0;
  offsetLow = 0;
  length = 0;
  /** Of a request for block status: the contexts that are asked for, bit by bit. */
  contexts = 0;
  /** Extents of one of them that have been found and not been told; -1 while there are none. */
  extentCount = -1;
  /** Bytes that are done with, the piece that is being worked on, and what is filled in of it. */
  cursor = 0;
  part = 0;
  filled = 0;
  /** In a part of a read: where the run of data, or of zeroes, ends that is being answered. */
  runEnd = 0;
  /** Data that the client has still to send. */
  remaining = 0;
  fault: NbdFault | null = null;
  /** With the device. */
  isBusy = false;
  needsFlush = false;
  stage: Stage = Stage.head;
  region: DmaRegion | null = null;
  private readonly memory: DmaSpace;
  private ownExtents: Float64Array | null = null;

  /** @param done  runs when the device is done with a part */
  constructor(memory: DmaSpace, done: (slot: Slot) => void) {
    this.memory = memory;
    this.request = new BlockRequest(() => done(this));
  }

  start(header: Uint8Array, isExtended: boolean): void {
    this.command = Header.command.get(header, 0);
    this.flags = Header.flags.get(header, 0);
    this.cookieHigh = Header.cookieHigh.get(header, 0);
    this.cookieLow = Header.cookieLow.get(header, 0);
    this.offset = Header.offset.get(header, 0);
    this.offsetHigh = Offset.high.get(header, 0);
    this.offsetLow = Offset.low.get(header, 0);
    const length = isExtended ? ExtendedHeader.length : Header.length;
    this.length = length.get(header, 0);
    this.contexts = 0;
    this.extentCount = -1;
    this.cursor = 0;
    this.part = 0;
    this.filled = 0;
    this.runEnd = 0;
    this.remaining = 0;
    this.fault = null;
    this.needsFlush = false;
    this.stage = Stage.head;
  }

  /** Pairs of length and flags. */
  get extents(): Float64Array {
    this.ownExtents ??= new Float64Array(2 * mostExtents);
    return this.ownExtents;
  }

  /** Memory for a part. @throws UltimaError DMA_EXHAUSTED, DMA_MAP_FAILED */
  grow(bytes: number): DmaRegion {
    const { region } = this;
    if (region !== null && region.length >= bytes) return region;
    const size = classes.find((each) => each >= bytes)!;
    this.region = null;
    if (region !== null) this.memory.free(region);
    this.region = this.memory.allocate(size);
    return this.region;
  }

  free(): void {
    if (this.region !== null) this.memory.free(this.region);
    this.region = null;
  }
}

/** Slots in a row, first in, first out. A slot is in one list at a time. */
export class SlotList {
  private head: Slot | null = null;
  private tail: Slot | null = null;

  get isEmpty(): boolean {
    return this.head === null;
  }

  push(slot: Slot): void {
    slot.next = null;
    if (this.tail === null) this.head = slot;
    else this.tail.next = slot;
    this.tail = slot;
  }

  shift(): Slot | null {
    const slot = this.head;
    if (slot === null) return null;
    this.head = slot.next;
    if (this.head === null) this.tail = null;
    slot.next = null;
    return slot;
  }
}
