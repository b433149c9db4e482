import { assert } from '../../sdk/assert.js';

const chunkBits = 14;
const chunkEntries = 1 << chunkBits;
const chunkMask = chunkEntries - 1;
/** What no entry was ever set in. Nobody writes to it. */
const untouched = new Int32Array(chunkEntries);

/** What a table holds before anything is set in it. */
export interface TableOrigin {
  entryOf(index: number): number;
}

/**
 * A table of 32-bit integers that are 0 until they are set. Memory comes in chunks of 64 KiB with
 * the first entry that is set there: a big drive costs nothing before it is written.
 */
export class UnitTable {
  readonly length: number;
  /** What an entry is before it is set; null: 0. */
  private origin: TableOrigin | null = null;
  /** Chunks that hold nothing are all the same one. */
  private readonly chunks: Int32Array[];

  constructor(length: number) {
    this.length = length;
    this.chunks = new Array<Int32Array>(Math.ceil(length / chunkEntries)).fill(untouched);
  }

  get(index: number): number {
    const chunk = this.chunks[index >>> chunkBits]!;
    if (chunk === untouched && this.origin !== null) return this.origin.entryOf(index);
    return chunk[index & chunkMask]!;
  }

  /** Entries that are not set are what `origin` says. Nothing may be set yet. */
  fillWith(origin: TableOrigin): void {
    assert(this.bytes === 0, 'a table that is used is not filled');
    this.origin = origin;
  }

  set(index: number, value: number): void {
    let chunk = this.chunks[index >>> chunkBits]!;
    if (chunk === untouched) chunk = this.touch(index >>> chunkBits);
    chunk[index & chunkMask] = value;
  }

  /** The next index, from `index` on, in a chunk that was ever set; `length` when there is none. */
  skipUntouched(index: number): number {
    if (this.origin !== null) return Math.min(index, this.length);
    let at = index;
    while (at < this.length && this.chunks[at >>> chunkBits] === untouched) {
      at = ((at >>> chunkBits) + 1) * chunkEntries;
    }
    return Math.min(at, this.length);
  }

  clear(): void {
    this.origin = null;
    this.chunks.fill(untouched);
  }

  /** Bytes that are really held. */
  get bytes(): number {
    let count = 0;
    for (const chunk of this.chunks) if (chunk !== untouched) count++;
    return count * chunkEntries * Int32Array.BYTES_PER_ELEMENT;
  }

  private touch(number: number): Int32Array {
    const chunk = new Int32Array(chunkEntries);
    this.chunks[number] = chunk;
    const { origin } = this;
    if (origin === null) return chunk;
    const first = number * chunkEntries;
    const count = Math.min(chunkEntries, this.length - first);
    for (let i = 0; i < count; i++) chunk[i] = origin.entryOf(first + i);
    return chunk;
  }
}
