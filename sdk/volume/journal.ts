import { crc32cOfWords } from '../crc32c.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import {
  Batch,
  batchMagic,
  cellBytes,
  cellsPerUnit,
  JournalRecord,
  RecordKind,
  recordBytes,
  sumsRecords,
} from './format.js';

const Header = Batch;
const Row = JournalRecord;
const headerWords = Header.layout.bytes / 4;
const recordWords = recordBytes / 4;
const largestBuffer = 1024 * 1024;

/** Records of one batch. Two buffers take turns: one fills while the other is written. */
class RecordBuffer {
  readonly region: DmaRegion;
  usedWords = headerWords;

  constructor(memory: DmaSpace, byteLength: number) {
    this.region = memory.allocate(byteLength);
  }

  get isEmpty(): boolean {
    return this.usedWords === headerWords;
  }
}

/**
 * The journal: a ring of 4 KiB blocks on device 0, filled with batches of records. One batch is
 * under way at a time and the next one is written only after it, so a power cut tears at most the
 * last batch; a bad batch with a later good one behind it is damage, not the end.
 *
 * A batch does not wrap: what does not fit before the end of the ring starts at block 0.
 */
export class Journal {
  readonly ringBlocks: number;
  /** Number of the batch that fills. */
  seq: number;
  /** Next block to write, and first block that recovery needs. */
  head: number;
  tail: number;
  private readonly bufferBytes: number;
  private filling: RecordBuffer;
  private other: RecordBuffer;
  /** Records that writes under way are going to append. */
  private promised = 0;
  private readonly poolId: Uint8Array;
  private readonly session: number;

  constructor(options: JournalOptions) {
    this.ringBlocks = options.journalUnits * cellsPerUnit;
    this.seq = options.seq;
    this.head = options.block;
    this.tail = options.block;
    this.poolId = options.poolId;
    this.session = options.session;
    this.bufferBytes = options.isClosed === true ? cellBytes : bufferBytesOf(this.ringBlocks);
    this.filling = new RecordBuffer(options.memory, this.bufferBytes);
    this.other = new RecordBuffer(options.memory, this.bufferBytes);
  }

  /** Give the buffers back. Nothing may be under way. */
  close(): void {
    for (const { region } of [this.filling, this.other]) region.space.free(region);
  }

  get hasRecords(): boolean {
    return !this.filling.isEmpty;
  }

  /** Share of the buffer in use, promises included, 0..1. */
  get fullness(): number {
    const words = this.filling.usedWords + this.promised * recordWords;
    return (words * 4) / this.bufferBytes;
  }

  /** Most bytes of JSON that one catalog record can have. */
  get mostCatalogBytes(): number {
    return this.bufferBytes - cellBytes;
  }

  /** Keep room for records that are to come. @returns false when there is none before a commit */
  promise(records: number): boolean {
    const words = this.filling.usedWords + (this.promised + records) * recordWords;
    if (words * 4 > this.bufferBytes) return false;
    this.promised += records;
    return true;
  }

  breakPromise(records: number): void {
    this.promised -= records;
  }

  hasRoom(bytes: number): boolean {
    const words = this.filling.usedWords + this.promised * recordWords;
    return words * 4 + recordBytes + bytes + recordBytes <= this.bufferBytes;
  }

  append(kind: number, cells: number, object: number, extent: number, value: number): void {
    const buffer = this.filling;
    const { words } = buffer.region;
    const at = buffer.usedWords;
    // One store for both fields; the other bits of the dword are reserved.
    words[at] = Row.cells.fill(Row.kind.fill(0, kind), cells);
    words[at + 1] = object;
    words[at + 2] = extent;
    words[at + 3] = value;
    buffer.usedWords = at + recordWords;
  }

  /** The CRCs behind an `assignChecked` record. */
  appendSums(sums: Uint32Array, count: number): void {
    const buffer = this.filling;
    const { words } = buffer.region;
    const end = buffer.usedWords + sumsRecords(count) * recordWords;
    for (let at = buffer.usedWords, i = 0; at < end; at++, i++)
      words[at] = i < count ? sums[i]! : 0;
    buffer.usedWords = end;
  }

  /** A change of the catalog; `hasRoom` has said that it fits. */
  appendCatalog(json: Uint8Array): void {
    this.append(RecordKind.catalog, 0, 0, 0, json.length);
    const buffer = this.filling;
    const padded = Math.ceil(json.length / recordBytes) * recordBytes;
    const from = buffer.usedWords * 4;
    buffer.region.bytes.fill(0, from, from + padded);
    buffer.region.bytes.set(json, from);
    buffer.usedWords += padded / 4;
  }

  /** Blocks that the filling batch is going to take. */
  get batchBlocks(): number {
    return Math.ceil((this.filling.usedWords * 4) / cellBytes);
  }

  /** Whether the filling batch fits into the ring now. */
  get fitsRing(): boolean {
    const { ringBlocks, head, tail, batchBlocks } = this;
    const used = (head - tail + ringBlocks) % ringBlocks;
    const skipped = head + batchBlocks > ringBlocks ? ringBlocks - head : 0;
    return used + skipped + batchBlocks < ringBlocks;
  }

  /** Blocks of the ring that recovery would have to read, 0..1 of all. */
  get ringUse(): number {
    const { ringBlocks, head, tail } = this;
    return ((head - tail + ringBlocks) % ringBlocks) / ringBlocks;
  }

  /** Drop the filling batch: a checkpoint holds what it says. @returns its number */
  absorb(): number {
    this.filling.usedWords = headerWords;
    return this.seq++;
  }

  /** Close the filling batch, place it in the ring and start the next one. */
  seal(): SealedBatch {
    const { filling, session, batchBlocks } = this;
    const { words, bytes } = filling.region;
    const length = filling.usedWords * 4;
    const byteLength = batchBlocks * cellBytes;
    bytes.fill(0, length, byteLength);
    words.fill(0, 0, headerWords);
    Header.magic.set(words, 0, batchMagic);
    Header.session.set(words, 0, session);
    Header.length.set(words, 0, length);
    Header.seq.set(words, 0, this.seq);
    Header.poolId.bytes(words, 0).set(this.poolId);
    Header.check.set(words, 0, crc32cOfWords(words, 2, filling.usedWords));
    if (this.head + batchBlocks > this.ringBlocks) this.head = 0;
    const block = this.head;
    const seq = this.seq++;
    this.head = (block + batchBlocks) % this.ringBlocks;
    this.filling = this.other;
    this.filling.usedWords = headerWords;
    this.other = filling;
    return { region: filling.region, byteLength, block, seq };
  }
}

export interface JournalOptions {
  readonly journalUnits: number;
  readonly seq: number;
  readonly block: number;
  readonly session: number;
  readonly poolId: Uint8Array;
  readonly memory: DmaSpace;
  /** Nothing is going to be written to it. */
  readonly isClosed?: boolean;
}

export interface SealedBatch {
  readonly region: DmaRegion;
  readonly byteLength: number;
  readonly block: number;
  readonly seq: number;
}

/** At most a quarter of the ring: two batches and the place lost at its end must fit. */
export function bufferBytesOf(ringBlocks: number): number {
  return Math.min(largestBuffer, Math.floor(ringBlocks / 4) * cellBytes);
}
