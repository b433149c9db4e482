import { assert } from '../assert.js';
import { KiB, MiB } from '../units.js';
import { copyBytes } from './copy.js';
import type { Stream } from './stream.js';

/** What the largest message of a protocol needs, an NVMe/TCP command's data with its header. */
export const chunkBytes = MiB + 4 * KiB;
/** Chunks of one connection that are filled or under way. */
const mostChunks = 4;
/** Chunks under way while more is collected: many small messages become one. */
const mostSmallUnderWay = 2;

/** A piece of memory that messages are written into, as bytes and as dwords. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** Chunks for what is sent, shared by all connections of a server or a client. */
export class ChunkPool {
  private readonly free: Chunk[] = [];

  take(): Chunk {
    return this.free.pop() ?? newChunk();
  }

  give(chunk: Chunk): void {
    this.free.push(chunk);
  }
}

function newChunk(): Chunk {
  const buffer = new ArrayBuffer(chunkBytes);
  return { bytes: new Uint8Array(buffer), words: new Uint32Array(buffer) };
}

/**
 * What is to be sent over one connection, in its order. Room is limited: a peer that does not read
 * gets no more, and what would be sent to it waits where it is.
 */
export class Outbox {
  private readonly stream: Stream;
  private readonly pool: ChunkPool;
  /** Under way, oldest first, in a ring. */
  private readonly underWay: (Chunk | null)[] = new Array(mostChunks).fill(null);
  private oldest = 0;
  private count = 0;
  private current: Chunk | null = null;
  private fill = 0;
  private isClosed = false;

  constructor(stream: Stream, pool: ChunkPool) {
    this.stream = stream;
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
  get chunk(): Chunk {
    assert(this.current !== null, 'nothing was claimed');
    return this.current;
  }

  get bytes(): Uint8Array {
    return this.chunk.bytes;
  }

  /** Room for a message without a gap. @returns the byte it starts at, -1 without room */
  claim(length: number): number {
    assert(length <= chunkBytes, 'a message larger than a chunk');
    if (this.current !== null && chunkBytes - this.fill < length) this.dispatch();
    if (!this.open()) return -1;
    const at = this.fill;
    this.fill += length;
    return at;
  }

  /** The same at a dword. */
  claimWords(length: number): number {
    // After a message of odd length the next one would not start at a dword.
    if (this.current !== null && (this.fill & 3) !== 0) this.dispatch();
    return this.claim(length);
  }

  /** @returns how much of the data found room */
  write(data: Uint8Array, from: number, length: number): number {
    let done = 0;
    while (done < length && this.openForMore()) {
      const part = Math.min(length - done, chunkBytes - this.fill);
      copyBytes(data, from + done, this.current!.bytes, this.fill, part);
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
      this.current!.bytes.fill(0, this.fill, this.fill + part);
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

  /** The peer is gone. What is under way is left to whoever carries it. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.current !== null) this.pool.give(this.current);
    this.current = null;
    this.fill = 0;
  }

  private openForMore(): boolean {
    if (this.current !== null && this.fill === chunkBytes) this.dispatch();
    return this.open();
  }

  private open(): boolean {
    if (this.isClosed || this.count === mostChunks) return false;
    if (this.current === null) {
      this.current = this.pool.take();
      this.fill = 0;
    }
    return true;
  }

  private dispatch(): void {
    const { current, fill } = this;
    assert(current !== null && this.count < mostChunks, 'nothing to hand over, or no place');
    this.fill = 0;
    if (this.stream.send(current.bytes, fill)) {
      assert(this.count === 0, 'a chunk has overtaken another one');
      return;
    }
    this.underWay[(this.oldest + this.count) % mostChunks] = current;
    this.count++;
    this.current = null;
  }
}
