import { assert } from '../../sdk/assert.js';
import { pageDataBytes, Slab } from './slab.js';

export { pageDataBytes } from './slab.js';

/** A page of which no block is allocated. */
export const blankPage = 0;
/** A page whose blocks are all written, with zeroes. */
export const zeroPage = 1;
/** For a content that is read from a file and used at once. */
export const transientPage = 2;
const specialPages = 3;

const slabBits = 6;
const pagesPerSlab = 1 << slabBits;
const slabMask = pagesPerSlab - 1;
/** The first slab has the three above alone. */
const firstPooled = pagesPerSlab;

/**
 * Contents of pages: 4 KiB of data, the metadata of its blocks, and for each block whether it is
 * written and whether it was made uncorrectable. A content is a number; who keeps the number holds
 * a reference. Bytes are read through `dataOf` and `metadataOf`, and changed through `changeData`
 * and `changeMetadata` alone: what was restored may still lie in the bytes of a checkpoint.
 *
 * A block that is not written has zeroes as data and the blank metadata.
 */
export class PagePool {
  readonly blocksPerPage: number;
  readonly dataBytes: number;
  readonly metadataBytes: number;
  /** Mask of all blocks of a page. */
  readonly allBlocks: number;
  /** Bit per block: written since it was last deallocated. */
  written = new Uint8Array(pagesPerSlab);
  /** Bit per block: reading it is an unrecovered error. */
  bad = new Uint8Array(pagesPerSlab);
  /** Next in a chain of contents, for whoever holds them. */
  next = new Int32Array(pagesPerSlab);
  /** Contents in use. */
  inUse = 0;
  private references = new Int32Array(pagesPerSlab);
  private readonly slabs: Slab[] = [];
  private free = blankPage;

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
    const special = new Slab(specialPages, blankMetadata.length * this.blocksPerPage);
    for (const page of [blankPage, transientPage]) {
      special.metadataOf(page).set(repeated(blankMetadata, this.blocksPerPage));
    }
    this.slabs.push(special);
    this.written[zeroPage] = this.allBlocks;
  }

  /** Pages that there is memory for. */
  get heldPages(): number {
    return (this.slabs.length - 1) * pagesPerSlab;
  }

  dataOf(page: number): Uint8Array {
    return this.slabs[page >>> slabBits]!.dataOf(page & slabMask);
  }

  metadataOf(page: number): Uint8Array {
    return this.slabs[page >>> slabBits]!.metadataOf(page & slabMask);
  }

  /** To be used at once: the bytes may lie somewhere else when others were changed. */
  changeData(page: number): Uint8Array {
    return this.slabToChange(page).dataOf(page & slabMask);
  }

  changeMetadata(page: number): Uint8Array {
    return this.slabToChange(page).metadataOf(page & slabMask);
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

  /** Copy data, metadata and flags of the blocks in `mask`. */
  copyBlocks(from: number, to: number, mask: number): void {
    if (mask === this.allBlocks) {
      this.changeData(to).set(this.dataOf(from));
      if (this.metadataBytes > 0) this.changeMetadata(to).set(this.metadataOf(from));
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
    this.copyWords(from, fromBlock, to, toBlock);
    if (this.metadataBytes > 0) this.copyMetadata(from, fromBlock, to, toBlock);
    const bit = 1 << toBlock;
    const isWritten = (this.written[from]! >>> fromBlock) & 1;
    const isBad = (this.bad[from]! >>> fromBlock) & 1;
    this.written[to] = (this.written[to]! & ~bit) | (isWritten * bit);
    this.bad[to] = (this.bad[to]! & ~bit) | (isBad * bit);
  }

  /** Whether the data of a run of blocks is the same in two pages. */
  isEqualData(a: number, b: number, first: number, run: number): boolean {
    const left = this.slabs[a >>> slabBits]!.words;
    const right = this.slabs[b >>> slabBits]!.words;
    const leftAt = wordAt(a);
    const shift = wordAt(b) - leftAt;
    const blockWords = this.dataBytes >>> 2;
    const end = leftAt + (first + run) * blockWords;
    for (let i = leftAt + first * blockWords; i < end; i++) {
      if (left[i] !== right[i + shift]) return false;
    }
    return true;
  }

  private copySome(from: number, to: number, mask: number): void {
    for (let block = 0; block < this.blocksPerPage; block++) {
      if (((mask >>> block) & 1) === 0) continue;
      this.copyWords(from, block, to, block);
      if (this.metadataBytes > 0) this.copyMetadata(from, block, to, block);
    }
  }

  private copyWords(from: number, fromBlock: number, to: number, toBlock: number): void {
    const target = this.slabToChange(to).words;
    const source = this.slabs[from >>> slabBits]!.words;
    const blockWords = this.dataBytes >>> 2;
    const first = wordAt(from) + fromBlock * blockWords;
    const shift = wordAt(to) + toBlock * blockWords - first;
    const end = first + blockWords;
    for (let i = first; i < end; i++) target[i + shift] = source[i]!;
  }

  private copyMetadata(from: number, fromBlock: number, to: number, toBlock: number): void {
    const { metadataBytes } = this;
    const target = this.changeMetadata(to);
    const source = this.metadataOf(from);
    for (let i = 0; i < metadataBytes; i++) {
      target[toBlock * metadataBytes + i] = source[fromBlock * metadataBytes + i]!;
    }
  }

  private slabToChange(page: number): Slab {
    const slab = this.slabs[page >>> slabBits]!;
    if (slab.isLent) slab.own();
    return slab;
  }

  private addSlab(): void {
    const first = this.slabs.length * pagesPerSlab;
    const count = first + pagesPerSlab;
    this.reserve(count);
    this.slabs.push(new Slab(pagesPerSlab, this.blocksPerPage * this.metadataBytes));
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

/** Where the data of a page starts in the words of its slab. */
function wordAt(page: number): number {
  return (page & slabMask) * (pageDataBytes / 4);
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
