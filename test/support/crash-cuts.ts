import type { CrashEvent, LoggedWrite } from './crash-device.js';

/** A write that was under way or in the cache when the supply went, and may be there or not. */
export interface OpenWrite {
  readonly write: LoggedWrite;
  /** Number of the write, in the order of submission. */
  readonly order: number;
  /** Offsets in `write.data` of the blocks that no later durable write covers. */
  readonly blocks: readonly number[];
}

/**
 * The cuts of a log, one after the other: the image that every one of them is sure to leave, and
 * the writes that it leaves open. What is durable is put into the image once, not once for each
 * image that is tried.
 */
export class CrashCuts {
  readonly image: Uint8Array;
  /** The last mark. */
  mark = 0;
  private readonly log: readonly CrashEvent[];
  private readonly blockBytes: number;
  private readonly orders = new Map<LoggedWrite, number>();
  private readonly undecided = new Set<LoggedWrite>();
  /** For each block the last durable write of it, from 1. */
  private readonly durable: Int32Array;
  private at = 0;

  /** @param image  as it was before the log; belongs to this from now on */
  constructor(log: readonly CrashEvent[], image: Uint8Array, blockBytes: number) {
    this.log = log;
    this.image = image;
    this.blockBytes = blockBytes;
    this.durable = new Int32Array(image.length / blockBytes);
  }

  /** Go on to the cut behind the first `count` events. */
  advanceTo(count: number): void {
    for (; this.at < count; this.at++) {
      const event = this.log[this.at]!;
      if (event.kind === 'submit') {
        this.orders.set(event.write, this.orders.size + 1);
        this.undecided.add(event.write);
      } else if (event.kind === 'end' && event.write.isFua) this.settle(event.write);
      else if (event.kind === 'flushed') for (const write of event.covers) this.settle(write);
      else if (event.kind === 'mark') this.mark = event.mark;
    }
  }

  /** In the order of submission. What a later durable write hides wholly is not among them. */
  open(): OpenWrite[] {
    const open: OpenWrite[] = [];
    for (const write of this.undecided) {
      const order = this.orders.get(write)!;
      const blocks: number[] = [];
      for (let i = 0; i < write.data.length; i += this.blockBytes) {
        if (order > this.durable[(write.at + i) / this.blockBytes]!) blocks.push(i);
      }
      if (blocks.length > 0) open.push({ write, order, blocks });
    }
    return open;
  }

  private settle(write: LoggedWrite): void {
    if (!this.undecided.delete(write)) return;
    const order = this.orders.get(write)!;
    const { blockBytes, durable } = this;
    for (let i = 0; i < write.data.length; i += blockBytes) {
      const block = (write.at + i) / blockBytes;
      if (order < durable[block]!) continue;
      durable[block] = order;
      this.image.set(write.data.subarray(i, i + blockBytes), write.at + i);
    }
  }
}

/** Changes of an image that are taken back. Its memory grows to what was needed once. */
export class Undo {
  private readonly image: Uint8Array;
  private saved = new Uint8Array(64 * 1024);
  private fill = 0;
  private readonly ats: number[] = [];
  private readonly lengths: number[] = [];

  constructor(image: Uint8Array) {
    this.image = image;
  }

  /** Before so many bytes change. */
  save(at: number, length: number): void {
    if (this.fill + length > this.saved.length) {
      const larger = new Uint8Array(2 * (this.fill + length));
      larger.set(this.saved);
      this.saved = larger;
    }
    this.saved.set(this.image.subarray(at, at + length), this.fill);
    this.fill += length;
    this.ats.push(at);
    this.lengths.push(length);
  }

  takeBack(): void {
    while (this.ats.length > 0) {
      const at = this.ats.pop()!;
      const length = this.lengths.pop()!;
      this.fill -= length;
      this.image.set(this.saved.subarray(this.fill, this.fill + length), at);
    }
  }
}
