import { assert } from '../../sdk/assert.js';

/** Bytes of block data that one page holds, whatever the block size. */
export const pageDataBytes = 4096;

/** A page of which no block is allocated. */
export const blankPage = 0;
/** A page whose blocks are all written, with zeroes. */
export const zeroPage = 1;
/** For a content that is read from a file and used at once. */
export const transientPage = 2;
const firstPooled = 3;

const pagesPerSlab = 64;

/**
 * Contents of pages: 4 KiB of data, the metadata of its blocks, and for each block whether it is
 * written and whether it was made uncorrectable. A content is a number; who keeps the number holds
 * a
 * reference. `data[page]` and `metadata[page]` are views made once.
 *
 * A block that is not written has zeroes as data and the blank metadata.
 */
export class PagePool {
  readonly blocksPerPage: number;
  readonly dataBytes: number;
  readonly metadataBytes: number;
  /** Mask of all blocks of a page. */
  readonly allBlocks: number;
  readonly data: Uint8Array[] = [];
  readonly metadata: Uint8Array[] = [];
  /** Bit per block: written since it was last deallocated. */
  written = new Uint8Array(pagesPerSlab);
  /** Bit per block: reading it is an unrecovered error. */
  bad = new Uint8Array(pagesPerSlab);
  /** Next in a chain of contents, for whoever holds them. */
  next = new Int32Array(pagesPerSlab);
  /** Contents in use. */
  inUse = 0;
  private references = new Int32Array(pagesPerSlab);
  private readonly words: (Uint32Array | undefined)[] = [];
  private free = blankPage;
  private readonly blankMetadata: Uint8Array;
  private readonly noMetadata = new Uint8Array(0);

  /**
   * @param dataBytes      block size, 512..4096, a power of two
   * @param blankMetadata  metadata of one block that is not written
   */
  constructor(dataBytes: number, blankMetadata: Uint8Array) {
    assert(pageDataBytes % dataBytes === 0, 'a page holds whole blocks');
    assert(dataBytes >= 512, 'a block has at least 512 bytes');
    this.dataBytes = dataBytes;
    this.metadataBytes = blankMetadata.length;
    this.blocksPerPage = pageDataBytes / dataBytes;
    this.allBlocks = maskOf(0, this.blocksPerPage);
    this.blankMetadata = repeated(blankMetadata, this.blocksPerPage);
    for (let page = 0; page < firstPooled; page++) {
      this.data.push(new Uint8Array(pageDataBytes));
      this.metadata.push(this.blankMetadata.slice());
    }
    this.metadata[zeroPage]!.fill(0);
    this.written[zeroPage] = this.allBlocks;
  }

  /** A content with one reference; what it contains is undefined but for the flags, which are 0. */
  take(): number {
    if (this.free === blankPage) this.addSlab();
    const page = this.free;
    this.free = this.next[page]!;
    this.next[page] = blankPage;
    this.references[page] = 1;
    this.written[page] = 0;
    this.bad[page] = 0;
    this.inUse++;
    return page;
  }

  hold(page: number): void {
    if (page >= firstPooled) this.references[page]!++;
  }

  release(page: number): void {
    if (page < firstPooled) return;
    const left = this.references[page]! - 1;
    assert(left >= 0, 'a page content given back twice');
    this.references[page] = left;
    if (left > 0) return;
    this.next[page] = this.free;
    this.free = page;
    this.inUse--;
  }

  /** Whether nobody but the caller holds it, so that it may be changed in place. */
  isSole(page: number): boolean {
    return page >= firstPooled && this.references[page] === 1;
  }

  /** Copy data, metadata and flags of the blocks in `mask`. */
  copyBlocks(from: number, to: number, mask: number): void {
    if (mask === this.allBlocks) {
      this.data[to]!.set(this.data[from]!);
      if (this.metadataBytes > 0) this.metadata[to]!.set(this.metadata[from]!);
    } else {
      this.copySome(from, to, mask);
    }
    this.written[to] = (this.written[to]! & ~mask) | (this.written[from]! & mask);
    this.bad[to] = (this.bad[to]! & ~mask) | (this.bad[from]! & mask);
  }

  /** Make the blocks in `mask` not written. */
  blankBlocks(page: number, mask: number): void {
    this.copyBlocks(blankPage, page, mask);
  }

  /** Copy one block to any place of another page, flags included. */
  copyBlock(from: number, fromBlock: number, to: number, toBlock: number): void {
    const source = this.wordsOf(from);
    const target = this.wordsOf(to);
    const blockWords = this.dataBytes >>> 2;
    const shift = (toBlock - fromBlock) * blockWords;
    const end = (fromBlock + 1) * blockWords;
    for (let i = fromBlock * blockWords; i < end; i++) target[i + shift] = source[i]!;
    const { metadataBytes } = this;
    for (let i = 0; i < metadataBytes; i++) {
      const byte = this.metadata[from]![fromBlock * metadataBytes + i]!;
      this.metadata[to]![toBlock * metadataBytes + i] = byte;
    }
    const bit = 1 << toBlock;
    const isWritten = (this.written[from]! >>> fromBlock) & 1;
    const isBad = (this.bad[from]! >>> fromBlock) & 1;
    this.written[to] = (this.written[to]! & ~bit) | (isWritten * bit);
    this.bad[to] = (this.bad[to]! & ~bit) | (isBad * bit);
  }

  /** Whether the data of a run of blocks is the same in two pages. */
  isEqualData(a: number, b: number, first: number, run: number): boolean {
    const left = this.wordsOf(a);
    const right = this.wordsOf(b);
    const blockWords = this.dataBytes >>> 2;
    const end = (first + run) * blockWords;
    for (let i = first * blockWords; i < end; i++) if (left[i] !== right[i]) return false;
    return true;
  }

  private copySome(from: number, to: number, mask: number): void {
    const source = this.wordsOf(from);
    const target = this.wordsOf(to);
    const blockWords = this.dataBytes >>> 2;
    for (let block = 0; block < this.blocksPerPage; block++) {
      if (((mask >>> block) & 1) === 0) continue;
      const end = (block + 1) * blockWords;
      for (let i = block * blockWords; i < end; i++) target[i] = source[i]!;
      if (this.metadataBytes > 0) this.copyMetadata(from, to, block);
    }
  }

  private copyMetadata(from: number, to: number, block: number): void {
    const source = this.metadata[from]!;
    const target = this.metadata[to]!;
    const end = (block + 1) * this.metadataBytes;
    for (let i = block * this.metadataBytes; i < end; i++) target[i] = source[i]!;
  }

  private wordsOf(page: number): Uint32Array {
    let words = this.words[page];
    if (words === undefined) {
      const { buffer, byteOffset } = this.data[page]!;
      words = new Uint32Array(buffer, byteOffset, pageDataBytes / 4);
      this.words[page] = words;
    }
    return words;
  }

  private addSlab(): void {
    const first = this.data.length;
    const count = first + pagesPerSlab;
    this.reserve(count);
    const data = new ArrayBuffer(pagesPerSlab * pageDataBytes);
    const metadataBytes = this.blocksPerPage * this.metadataBytes;
    const metadata = new ArrayBuffer(pagesPerSlab * metadataBytes);
    for (let i = 0; i < pagesPerSlab; i++) {
      this.data.push(new Uint8Array(data, i * pageDataBytes, pageDataBytes));
      const own = new Uint8Array(metadata, i * metadataBytes, metadataBytes);
      this.metadata.push(metadataBytes === 0 ? this.noMetadata : own);
    }
    for (let page = count - 1; page >= first; page--) {
      this.next[page] = this.free;
      this.free = page;
    }
  }

  private reserve(count: number): void {
    if (count <= this.next.length) return;
    const length = Math.max(count, 2 * this.next.length);
    this.written = grown(this.written, new Uint8Array(length));
    this.bad = grown(this.bad, new Uint8Array(length));
    this.next = grown(this.next, new Int32Array(length));
    this.references = grown(this.references, new Int32Array(length));
  }
}

/** Bits `first` to `first + count - 1`. */
export function maskOf(first: number, count: number): number {
  return ((1 << count) - 1) << first;
}

/** Number of blocks in a mask of at most eight. */
export function blocksIn(mask: number): number {
  return bitCounts[mask]!;
}

const bitCounts = Uint8Array.from({ length: 256 }, (_, mask) => {
  let count = 0;
  for (let rest = mask; rest > 0; rest >>>= 1) count += rest & 1;
  return count;
});

function grown<A extends Uint8Array | Int32Array>(old: A, fresh: A): A {
  fresh.set(old);
  return fresh;
}

function repeated(bytes: Uint8Array, times: number): Uint8Array {
  const all = new Uint8Array(bytes.length * times);
  for (let i = 0; i < times; i++) all.set(bytes, i * bytes.length);
  return all;
}
