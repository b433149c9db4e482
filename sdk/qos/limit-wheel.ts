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
 * of the turn and is looked at again there.
 *
 * Nothing is allocated after construction. Times are too large for a small integer and would be put
 * into objects on their way from function to function: they lie in fields and tables instead.
 */
export class LimitWheel {
  count = 0;
  /** What time it is, for `take`. */
  nowNs = 0;
  /**
   * When to call `take` again, after `findFirst`: the first time that somebody waits for, or, when
   * that is beyond the wheel's turn, earlier. Infinity for nobody.
   */
  firstNs = Number.POSITIVE_INFINITY;
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

  /** @param due  the owner's: when each client has waited enough, the same while it waits */
  constructor(due: Float64Array) {
    const clientCount = due.length;
    this.due = due;
    this.next = new Int32Array(clientCount).fill(nobody);
    this.previous = new Int32Array(clientCount).fill(nobody);
    this.slot = new Int32Array(clientCount).fill(nobody);
  }

  /** A client waits for its time, which is at or after that of the last `take`. */
  insert(client: number): void {
    assert(this.slot[client] === nobody, 'a client waits once');
    this.count++;
    this.link(client);
  }

  /** Take a client out, if it is in. */
  remove(client: number): void {
    if (this.slot[client] === nobody) return;
    this.count--;
    this.unlink(client);
  }

  /** Take out one whose time has come by `nowNs`. @returns the client, -1 when there is none */
  take(): number {
    const { nowNs } = this;
    const last = Math.floor(nowNs / slotNs);
    if (nowNs >= this.quietNs) {
      for (let ahead = this.ahead(); ahead !== nobody; ahead = this.ahead()) {
        const at = this.cursor + ahead;
        this.quietNs = at * slotNs;
        if (at > last) break;
        this.cursor = at;
        const found = this.findDue();
        if (found !== nobody) {
          this.remove(found);
          return found;
        }
        if (at === last) return nobody;
        this.cursor = at + 1;
      }
      if (this.count === 0) this.quietNs = Number.POSITIVE_INFINITY;
    }
    // Whoever comes waits for a time from now on: a turn of the wheel starts here.
    this.cursor = last;
    return nobody;
  }

  /** Tell `firstNs`. */
  findFirst(): void {
    this.firstNs = Number.POSITIVE_INFINITY;
    const ahead = this.count === 0 ? nobody : this.ahead();
    if (ahead === nobody) return;
    const slot = this.cursor + ahead;
    let least = (slot + 1) * slotNs;
    for (let at = this.first[slot & slotMask]!; at !== nobody; at = this.next[at]!) {
      least = Math.min(least, this.due[at]!);
    }
    this.firstNs = least;
  }

  /** Somebody of the slot at the cursor who is due; those who are due in a later turn move on. */
  private findDue(): number {
    const { nowNs, due, next } = this;
    const slot = this.cursor & slotMask;
    let at = this.first[slot]!;
    while (at !== nobody) {
      if (due[at]! <= nowNs) return at;
      const following = next[at]!;
      if (this.slotOf(at) !== slot) {
        this.unlink(at);
        this.link(at);
      }
      at = following;
    }
    return nobody;
  }

  /** The slot for a client within the turn that starts at the cursor. */
  private slotOf(client: number): number {
    const { cursor } = this;
    const wanted = Math.floor(this.due[client]! / slotNs);
    return Math.max(cursor, Math.min(wanted, cursor + slotMask)) & slotMask;
  }

  private link(client: number): void {
    const slot = this.slotOf(client);
    const first = this.first[slot]!;
    const { cursor } = this;
    const startNs = (cursor + ((slot - cursor) & slotMask)) * slotNs;
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

  /** How far ahead of the cursor the first slot is that holds somebody, -1 for none. */
  private ahead(): number {
    const from = this.cursor & slotMask;
    const inWord = from & (wordBits - 1);
    let word = from >> wordShift;
    let bits = this.bits[word]! & (-1 << inWord);
    // One look more than there are words: the first one is looked at again, below the cursor.
    for (let i = 0; i <= wordCount; i++) {
      if (bits !== 0) {
        const slot = (word << wordShift) + 31 - Math.clz32(bits & -bits);
        return (slot - from) & slotMask;
      }
      word = (word + 1) & wordMask;
      bits = this.bits[word]!;
    }
    return nobody;
  }
}
