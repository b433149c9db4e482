import { assert } from '../assert.js';

const fanOutShift = 2;
const fanOut = 1 << fanOutShift;
const absent = -1;
const none = Number.POSITIVE_INFINITY;

/**
 * Clients ordered by a number of theirs, least first: a heap with four children per node, whose
 * members can be found, moved and taken out. Keys lie in the order of the heap, so that the four
 * children of a node lie together, and are Infinity where there is nobody.
 *
 * Nothing is allocated after construction, also not for a number with a fraction that goes from one
 * function to another: keys are read from where their owner keeps them.
 */
export class ClientHeap {
  count = 0;
  /** The owner's, by client. */
  private readonly source: Float64Array;
  private readonly keys: Float64Array;
  private readonly clients: Int32Array;
  /** Place of each client, -1 for one that is not in. */
  private readonly places: Int32Array;

  /** @param source  key of each client, below Infinity; the same as long as the client is in */
  constructor(source: Float64Array) {
    const clientCount = source.length;
    this.source = source;
    this.keys = new Float64Array(clientCount + fanOut).fill(none);
    this.clients = new Int32Array(clientCount);
    this.places = new Int32Array(clientCount).fill(absent);
  }

  /** The client with the least key, -1 when the heap is empty. */
  get first(): number {
    return this.count === 0 ? absent : this.clients[0]!;
  }

  /** Its key, Infinity when the heap is empty. */
  get firstKey(): number {
    return this.keys[0]!;
  }

  has(client: number): boolean {
    return this.places[client]! !== absent;
  }

  insert(client: number): void {
    assert(this.places[client] === absent, 'a client is in a heap once');
    this.rise(this.count++, client);
  }

  /** Take a client out, if it is in. */
  remove(client: number): void {
    const place = this.places[client]!;
    if (place === absent) return;
    this.places[client] = absent;
    const { keys } = this;
    const end = --this.count;
    const key = keys[end]!;
    keys[end] = none;
    if (place === end) return;
    const last = this.clients[end]!;
    if (place > 0 && key < keys[(place - 1) >> fanOutShift]!) this.rise(place, last);
    else this.sink(place, last);
  }

  /** A member's key has grown, or stayed. */
  grow(client: number): void {
    this.sink(this.places[client]!, client);
  }

  /** A member's key is another. */
  move(client: number): void {
    const place = this.places[client]!;
    if (this.source[client]! < this.keys[place]!) this.rise(place, client);
    else this.sink(place, client);
  }

  /** From a place up: parents that come later move down, the client takes the hole. */
  private rise(from: number, client: number): void {
    const { keys, clients, places } = this;
    const key = this.source[client]!;
    let hole = from;
    while (hole > 0) {
      const parent = (hole - 1) >> fanOutShift;
      const parentKey = keys[parent]!;
      if (parentKey <= key) break;
      const moved = clients[parent]!;
      keys[hole] = parentKey;
      clients[hole] = moved;
      places[moved] = hole;
      hole = parent;
    }
    keys[hole] = key;
    clients[hole] = client;
    places[client] = hole;
  }

  /**
   * From a place down: the least child moves up as long as it comes earlier. Which one that is is
   * computed and not branched on: a processor would guess such branches wrong as often as not.
   */
  private sink(from: number, client: number): void {
    const { keys, clients, places, count } = this;
    const key = this.source[client]!;
    let hole = from;
    for (let child = (hole << fanOutShift) + 1; child < count; child = (hole << fanOutShift) + 1) {
      const left = child + Number(keys[child + 1]! < keys[child]!);
      const right = child + 2 + Number(keys[child + 3]! < keys[child + 2]!);
      const least = left + (right - left) * Number(keys[right]! < keys[left]!);
      const leastKey = keys[least]!;
      if (leastKey >= key) break;
      const moved = clients[least]!;
      keys[hole] = leastKey;
      clients[hole] = moved;
      places[moved] = hole;
      hole = least;
    }
    keys[hole] = key;
    clients[hole] = client;
    places[client] = hole;
  }
}
