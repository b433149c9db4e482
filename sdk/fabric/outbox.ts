import { assert } from '../assert.js';
import { KiB, MiB } from '../units.js';
import type { FabricStream } from './stream.js';

/** The largest command's data in one PDU, with its header. */
export const chunkBytes = MiB + 4 * KiB;
/** Chunks of one connection that are filled or under way. */
const mostChunks = 4;
/** Chunks under way while more is collected: many small PDUs become one message. */
const mostSmallUnderWay = 2;

/** A piece of memory that PDUs are written into, as bytes and as dwords. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** Chunks for what is sent, shared by all connections of a target or an initiator. */
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
  private readonly stream: FabricStream;
  private readonly pool: ChunkPool;
  /** Under way, oldest first, in a ring. */
  private readonly underWay: (Chunk | null)[] = new Array(mostChunks).fill(null);
  private oldest = 0;
  private count = 0;
  private current: Chunk | null = null;
  private fill = 0;
  private isClosed = false;

  constructor(stream: FabricStream, pool: ChunkPool) {
    this.stream = stream;
    this.pool = pool;
  }

  /** Nothing is collected and nothing is under way. */
  get isEmpty(): boolean {
    return this.count === 0 && this.fill === 0;
  }

  /** Where `claim` has made room. */
  get chunk(): Chunk {
    assert(this.current !== null, 'nothing was claimed');
    return this.current;
  }

  /** Room for a PDU without a gap, at a dword. @returns the byte it starts at, -1 without room */
  claim(length: number): number {
    assert(length <= chunkBytes, 'a PDU larger than a chunk');
    // After a PDU of odd length the next one would not start at a dword.
    const isFull = chunkBytes - this.fill < length || (this.fill & 3) !== 0;
    if (this.current !== null && isFull) this.dispatch();
    if (!this.open()) return -1;
    const at = this.fill;
    this.fill += length;
    return at;
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

/** Short pieces byte by byte: a view of them would cost more. */
const shortPiece = 64;

/** Bytes from..from + length - 1 of `source` to `to` of `target`. */
export function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length <= shortPiece) for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
  else if (from === 0 && length === source.length) target.set(source, to);
  else target.set(source.subarray(from, from + length), to);
}
