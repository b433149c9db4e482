/** A queue that allocates only when it grows. */
export class Ring<T> {
  private items: (T | null)[];
  private head = 0;
  /** Items in the queue. */
  count = 0;

  constructor(capacity: number) {
    this.items = new Array<T | null>(capacity).fill(null);
  }

  push(item: T): void {
    const { items } = this;
    if (this.count === items.length) this.widen();
    this.items[(this.head + this.count) % this.items.length] = item;
    this.count++;
  }

  /** The oldest item; null when there is none. */
  shift(): T | null {
    if (this.count === 0) return null;
    const item = this.items[this.head]!;
    this.items[this.head] = null;
    this.head = this.head + 1 === this.items.length ? 0 : this.head + 1;
    this.count--;
    return item;
  }

  private widen(): void {
    const next = new Array<T | null>(this.items.length * 2).fill(null);
    for (let i = 0; i < this.count; i++) next[i] = this.items[(this.head + i) % this.items.length]!;
    this.items = next;
    this.head = 0;
  }
}
