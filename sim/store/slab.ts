import { assert } from '../../sdk/assert.js';

/** Bytes of block data that one page holds, whatever the block size. */
export const pageDataBytes = 4096;

/**
 * Memory of some pages side by side: the data of all of them, then their metadata.
 *
 * A slab may lie in the bytes of a checkpoint, which it only reads: it moves into memory of its own
 * before anything of it is changed. So a card with gigabytes of content is made again at once, and
 * the same bytes serve any number of cards.
 */
export class Slab {
  readonly pages: number;
  /** Of one page. */
  readonly metadataBytes: number;
  bytes: Uint8Array;
  /** The bytes are somebody else's. */
  isLent: boolean;
  /** The data of all pages. */
  words: Uint32Array;
  /** Views of single pages, made when they are first needed. */
  private data: (Uint8Array | undefined)[];
  private metadata: (Uint8Array | undefined)[];

  /** @param lent  bytes to look at; null: zeroes of its own */
  constructor(pages: number, metadataBytes: number, lent: Uint8Array | null = null) {
    const length = pages * (pageDataBytes + metadataBytes);
    assert(lent === null || lent.length === length, 'bytes of a slab of another size');
    this.pages = pages;
    this.metadataBytes = metadataBytes;
    this.bytes = lent ?? new Uint8Array(length);
    this.isLent = lent !== null;
    this.words = this.allWords();
    this.data = new Array(pages);
    this.metadata = new Array(pages);
  }

  dataOf(page: number): Uint8Array {
    return this.data[page] ?? this.viewData(page);
  }

  metadataOf(page: number): Uint8Array {
    return this.metadata[page] ?? this.viewMetadata(page);
  }

  /**
   * Hold these bytes from now on, until something is changed.
   *
   * @param bytes  as many as the slab has, on a boundary of four
   */
  borrow(bytes: Uint8Array): void {
    assert(bytes.length === this.bytes.length, 'bytes of a slab of another size');
    this.hold(bytes, true);
  }

  /** Whoever changes a page does this first. */
  own(): void {
    if (this.isLent) this.hold(Uint8Array.from(this.bytes), false);
  }

  private hold(bytes: Uint8Array, isLent: boolean): void {
    this.bytes = bytes;
    this.isLent = isLent;
    this.words = this.allWords();
    this.data = new Array(this.pages);
    this.metadata = new Array(this.pages);
  }

  private allWords(): Uint32Array {
    const { buffer, byteOffset } = this.bytes;
    return new Uint32Array(buffer, byteOffset, (this.pages * pageDataBytes) / 4);
  }

  private viewData(page: number): Uint8Array {
    const view = this.bytes.subarray(page * pageDataBytes, (page + 1) * pageDataBytes);
    this.data[page] = view;
    return view;
  }

  private viewMetadata(page: number): Uint8Array {
    const first = this.pages * pageDataBytes + page * this.metadataBytes;
    const view = this.bytes.subarray(first, first + this.metadataBytes);
    this.metadata[page] = view;
    return view;
  }
}
