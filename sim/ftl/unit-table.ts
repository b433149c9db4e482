const chunkBits = 18;
const chunkEntries = 1 << chunkBits;
const chunkMask = chunkEntries - 1;
/** What no entry was ever set in. Nobody writes to it. */
const untouched = new Int32Array(chunkEntries);

/**
 * A table of 32-bit integers that are 0 until they are set. Memory comes in chunks of 1 MiB with
 * the first entry that is set there: a big drive costs nothing before it is written.
 */
export class UnitTable {
  readonly length: number;
  /** Chunks that hold nothing are all the same one. */
  private readonly chunks: Int32Array[];

  constructor(length: number) {
    this.length = length;
    this.chunks = new Array<Int32Array>(Math.ceil(length / chunkEntries)).fill(untouched);
  }

  get(index: number): number {
    return this.chunks[index >>> chunkBits]![index & chunkMask]!;
  }

  set(index: number, value: number): void {
    let chunk = this.chunks[index >>> chunkBits]!;
    if (chunk === untouched) chunk = this.touch(index >>> chunkBits);
    chunk[index & chunkMask] = value;
  }

  /** The next index, from `index` on, in a chunk that was ever set; `length` when there is none. */
  skipUntouched(index: number): number {
    let at = index;
    while (at < this.length && this.chunks[at >>> chunkBits] === untouched) {
      at = ((at >>> chunkBits) + 1) * chunkEntries;
    }
    return Math.min(at, this.length);
  }

  clear(): void {
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
    return chunk;
  }
}
