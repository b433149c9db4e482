import { assert } from '../assert.js';

/** A queue that allocates only when it grows. */
export class Ring<T> {
  private items: (T | null)[];
  private head = 0;
  /** Items in the queue. */
  count = 0;

  /** @param capacity  to start with, a power of two */
  constructor(capacity: number) {
    assert((capacity & (capacity - 1)) === 0, 'the capacity of a ring is a power of two');
    this.items = new Array<T | null>(capacity).fill(null);
  }

  push(item: T): void {
    if (this.count === this.items.length) this.widen();
    const { items } = this;
    items[(this.head + this.count) & (items.length - 1)] = item;
    this.count++;
  }

  /** The oldest item; null when there is none. */
  shift(): T | null {
    if (this.count === 0) return null;
    const { items, head } = this;
    const item = items[head]!;
    items[head] = null;
    this.head = (head + 1) & (items.length - 1);
    this.count--;
    return item;
  }

  /** @param index  0 for the oldest item, below `count` */
  at(index: number): T {
    assert(index < this.count, 'an item is looked at that is not in the ring');
    return this.items[(this.head + index) & (this.items.length - 1)]!;
  }

  private widen(): void {
    const next = new Array<T | null>(this.items.length * 2).fill(null);
    for (let i = 0; i < this.count; i++) next[i] = this.at(i);
    this.items = next;
    this.head = 0;
  }
}
