import { assert } from '../assert.js';
import { KiB } from '../units.js';

/** What takes bytes to a client and from it. */
export interface NbdTransport {
  /**
   * Hand bytes over. `sent` of the connection follows, once for each call and never from inside
   * it: the memory may be used again.
   */
  send(bytes: Uint8Array): void;
  /** Whether `receive` of the connection may be called; true at first. */
  setReading(isWanted: boolean): void;
  /** Everything from now on is encrypted; `secured` of the connection follows. */
  startTls(): void;
  /** Nothing more will be sent: close when the client has what is under way. */
  end(): void;
  /** Close at once. */
  destroy(): void;
}

export const chunkBytes = 256 * KiB;
/** Chunks of one connection that are filled or under way. */
const mostChunks = 8;
/** Chunks under way while more is collected: many small answers become one message. */
const mostSmallUnderWay = 2;

/** Buffers for what is sent, shared by all connections of a server. */
export class ChunkPool {
  private readonly free: Uint8Array[] = [];

  take(): Uint8Array {
    return this.free.pop() ?? new Uint8Array(chunkBytes);
  }

  give(chunk: Uint8Array): void {
    this.free.push(chunk);
  }
}

/**
 * What is to be sent to one client, in its order. Room is limited: a client that does not read its
 * answers gets no more of them, and its requests wait.
 */
export class Outbox {
  private readonly transport: NbdTransport;
  private readonly pool: ChunkPool;
  /** Under way, oldest first, in a ring. */
  private readonly underWay: (Uint8Array | null)[] = new Array(mostChunks).fill(null);
  private oldest = 0;
  private count = 0;
  private chunk: Uint8Array | null = null;
  private fill = 0;
  private isClosed = false;

  constructor(transport: NbdTransport, pool: ChunkPool) {
    this.transport = transport;
    this.pool = pool;
  }

  /** Nothing is collected and nothing is under way. */
  get isEmpty(): boolean {
    return this.count === 0 && this.fill === 0;
  }

  /** All that was collected is handed over. */
  get isFlushed(): boolean {
    return this.fill === 0;
  }

  /** Where `claim` has made room. */
  get bytes(): Uint8Array {
    assert(this.chunk !== null, 'nothing was claimed');
    return this.chunk;
  }

  /** Room for a message without a gap. @returns where it starts in `bytes`, -1 without room */
  claim(length: number): number {
    assert(length <= chunkBytes, 'a message larger than a chunk');
    if (this.chunk !== null && chunkBytes - this.fill < length) this.dispatch();
    if (!this.open()) return -1;
    const at = this.fill;
    this.fill += length;
    return at;
  }

  /** @returns how much of the data found room */
  write(data: Uint8Array, from: number, length: number): number {
    let done = 0;
    while (done < length && this.openForMore()) {
      const part = Math.min(length - done, chunkBytes - this.fill);
      copy(data, from + done, this.chunk!, this.fill, part);
      this.fill += part;
      done += part;
    }
    return done;
  }

  /** @returns how many zeroes found room */
  zeroes(length: number): number {
    let done = 0;
    while (done < length && this.openForMore()) {
      const part = Math.min(length - done, chunkBytes - this.fill);
      this.chunk!.fill(0, this.fill, this.fill + part);
      this.fill += part;
      done += part;
    }
    return done;
  }

  /** Hand over what is collected, unless enough is under way. */
  flush(): void {
    if (this.fill > 0 && this.count < mostSmallUnderWay) this.dispatch();
  }

  /** The oldest chunk has gone. */
  sent(): void {
    assert(this.count > 0, 'more was sent than was handed over');
    this.pool.give(this.underWay[this.oldest]!);
    this.underWay[this.oldest] = null;
    this.oldest = (this.oldest + 1) % mostChunks;
    this.count--;
  }

  /** The client is gone. What is under way stays ours to wait for only as garbage. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.chunk !== null) this.pool.give(this.chunk);
    this.chunk = null;
    this.fill = 0;
  }

  private openForMore(): boolean {
    if (this.chunk !== null && this.fill === chunkBytes) this.dispatch();
    return this.open();
  }

  private open(): boolean {
    if (this.chunk !== null) return true;
    if (this.count === mostChunks || this.isClosed) return false;
    this.chunk = this.pool.take();
    this.fill = 0;
    return true;
  }

  private dispatch(): void {
    const { chunk, fill } = this;
    assert(chunk !== null, 'nothing to hand over');
    this.underWay[(this.oldest + this.count) % mostChunks] = chunk;
    this.count++;
    this.chunk = null;
    this.fill = 0;
    this.transport.send(chunk.subarray(0, fill));
  }
}

/** Short pieces byte by byte: a view of them would cost more. */
const shortPiece = 64;

export function copy(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length <= shortPiece) for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
  else target.set(source.subarray(from, from + length), to);
}
