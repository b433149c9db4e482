import { assert } from '../assert.js';

const slotShift = 12;
const slotNs = 2 ** slotShift;
const slotCount = 4096;
const slotMask = slotCount - 1;
const wordShift = 5;
const wordBits = 1 << wordShift;
const wordCount = slotCount / wordBits;
const wordMask = wordCount - 1;
const nobody = -1;

/**
 * Clients that wait for a time each: a wheel of 4,096 slots of 4 µs. To put one in or take one out
 * costs the same however many wait. A time beyond the wheel's turn (16.8 ms) waits in the last slot
 * of the turn and is looked at again there. Nothing is allocated after construction.
 */
export class LimitWheel {
  count = 0;
  /** The first slot, counted from time 0, that may hold somebody. */
  private cursor = 0;
  /** Nobody is to be looked at before. */
  private quietNs = Number.POSITIVE_INFINITY;
  private readonly first = new Int32Array(slotCount).fill(nobody);
  /** A bit per slot that holds somebody. */
  private readonly bits = new Int32Array(wordCount);
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** The slot of the wheel that a client is in, -1 for none. */
  private readonly slot: Int32Array;
  private readonly due: Float64Array;

  /** @param clientCount  clients are 0..clientCount - 1 */
  constructor(clientCount: number) {
    this.next = new Int32Array(clientCount).fill(nobody);
    this.previous = new Int32Array(clientCount).fill(nobody);
    this.slot = new Int32Array(clientCount).fill(nobody);
    this.due = new Float64Array(clientCount);
  }

  /** @param dueNs  when the client has waited enough, at or after the last `take` */
  insert(client: number, dueNs: number): void {
    assert(this.slot[client] === nobody, 'a client waits once');
    this.count++;
    this.due[client] = dueNs;
    this.link(client);
  }

  /** Take a client out, if it is in. */
  remove(client: number): void {
    if (this.slot[client] === nobody) return;
    this.count--;
    this.unlink(client);
  }

  /** Take out one whose time has come. @returns the client, -1 when there is none */
  take(nowNs: number): number {
    const last = Math.floor(nowNs / slotNs);
    if (nowNs >= this.quietNs) {
      let at = this.nextFilled();
      while (at <= last) {
        this.cursor = at;
        const found = this.findDue(at, nowNs);
        if (found !== nobody) {
          this.remove(found);
          return found;
        }
        if (at === last) return nobody;
        this.cursor = at + 1;
        at = this.nextFilled();
      }
      this.quietNs = at * slotNs;
    }
    // Whoever comes waits for a time from now on: a turn of the wheel starts here.
    this.cursor = last;
    return nobody;
  }

  /**
   * When to call `take` again: the first time that somebody waits for, or, when that is beyond the
   * wheel's turn, earlier. Infinity for nobody.
   */
  get firstNs(): number {
    if (this.count === 0) return Number.POSITIVE_INFINITY;
    const slot = this.nextFilled();
    let least = (slot + 1) * slotNs;
    for (let at = this.first[slot & slotMask]!; at !== nobody; at = this.next[at]!) {
      least = Math.min(least, this.due[at]!);
    }
    return least;
  }

  /** Somebody of this slot who is due; those who are due in a later turn move on. */
  private findDue(slot: number, nowNs: number): number {
    let at = this.first[slot & slotMask]!;
    while (at !== nobody) {
      if (this.due[at]! <= nowNs) return at;
      const following = this.next[at]!;
      if (this.slotFor(this.due[at]!) !== slot) {
        this.unlink(at);
        this.link(at);
      }
      at = following;
    }
    return nobody;
  }

  /** Counted from time 0, within this turn of the wheel. */
  private slotFor(dueNs: number): number {
    const wanted = Math.floor(dueNs / slotNs);
    return Math.max(this.cursor, Math.min(wanted, this.cursor + slotMask));
  }

  private link(client: number): void {
    const at = this.slotFor(this.due[client]!);
    const slot = at & slotMask;
    const first = this.first[slot]!;
    const startNs = at * slotNs;
    if (startNs < this.quietNs) this.quietNs = startNs;
    this.slot[client] = slot;
    this.next[client] = first;
    this.previous[client] = nobody;
    this.first[slot] = client;
    if (first === nobody) this.bits[slot >> wordShift]! |= 1 << (slot & (wordBits - 1));
    else this.previous[first] = client;
  }

  private unlink(client: number): void {
    const slot = this.slot[client]!;
    const next = this.next[client]!;
    const previous = this.previous[client]!;
    this.slot[client] = nobody;
    if (next !== nobody) this.previous[next] = previous;
    if (previous !== nobody) this.next[previous] = next;
    else {
      this.first[slot] = next;
      if (next === nobody) this.bits[slot >> wordShift]! &= ~(1 << (slot & (wordBits - 1)));
    }
  }

  /** The first slot from `cursor` on that holds somebody, counted from time 0. */
  private nextFilled(): number {
    const from = this.cursor & slotMask;
    const inWord = from & (wordBits - 1);
    let word = from >> wordShift;
    let bits = this.bits[word]! & (-1 << inWord);
    // One look more than there are words: the first one is looked at again, below the cursor.
    for (let i = 0; i <= wordCount; i++) {
      if (bits !== 0) {
        const slot = (word << wordShift) + 31 - Math.clz32(bits & -bits);
        return this.cursor + ((slot - from) & slotMask);
      }
      word = (word + 1) & wordMask;
      bits = this.bits[word]!;
    }
    return Number.POSITIVE_INFINITY;
  }
}
