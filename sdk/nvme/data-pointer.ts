import { assert } from '../assert.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { Psdt, Sqe, sgl1Dword } from '../spec/nvme/command.js';
import {
  prpEntryBytes,
  SglDescriptor,
  SglSubtype,
  SglType,
  sglDescriptorBytes,
} from '../spec/nvme/data-pointer.js';
import { dwordSpan, highDword, lowDword, smallInteger } from '../units.js';

/** Scattered memory: what a block request carries, and what every other command brings along. */
export interface Segments {
  readonly segmentCount: number;
  readonly regions: readonly (DmaRegion | null)[];
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
}

/** A place inside scattered memory. */
export interface SegmentCursor {
  segment: number;
  offset: number;
}

const prp1 = Sqe.prp1.dword;
const prp2 = Sqe.prp2.dword;
const psdt = Sqe.psdt;
const descriptor = SglDescriptor;
const entryDwords = prpEntryBytes / 4;
const descriptorDwords = sglDescriptorBytes / 4;

/** An address that no region has: what a controller must not use points here and faults. */
const unmapped = 0;

/**
 * Data pointers of the commands of one submission queue. Each slot has its list memory for ever,
 * one or more whole pages at a known device address: laying a list allocates nothing and a list
 * never crosses a page by accident.
 *
 * ```
 * PRP, more than two pages:  PRP1 → first page (any dword offset)
 *                            PRP2 → list: page 2, page 3, … ; when the list has more entries than a
 *                                   page holds, the last entry of a page is the address of the next
 * SGL, one segment:          the data block descriptor itself lies in the command, PSDT = 1
 * SGL, several segments:     a last-segment descriptor in the command → descriptors
 * ```
 *
 * [NVMe-2.0 §4.1.1 PRP], [NVMe-2.0 §4.1.2 SGL]
 */
export class DataPointers {
  readonly pageBytes: number;
  /** Bytes of list memory per slot. */
  readonly listBytes: number;
  /** Pages that PRPs of one command can cover whatever the offset of the first one is. */
  readonly maxPages: number;
  readonly maxDescriptors: number;
  /** What SGL addresses and lengths must be multiples of. */
  readonly sglAlignment: number;
  readonly region: DmaRegion;
  private readonly words: Uint32Array;
  private readonly pageMask: number;
  private readonly listDwords: number;
  private readonly entriesPerPage: number;
  /** Entries of each slot's list that may hold something other than `unmapped`. */
  private readonly used: Uint32Array;
  private readonly cursor: SegmentCursor = { segment: 0, offset: 0 };

  constructor(space: DmaSpace, parts: PointerParts) {
    const { pageBytes, slotCount, listPages } = parts;
    this.pageBytes = smallInteger(pageBytes);
    this.pageMask = this.pageBytes - 1;
    this.listBytes = smallInteger(listPages * pageBytes);
    this.listDwords = smallInteger(this.listBytes / 4);
    this.entriesPerPage = smallInteger(pageBytes / prpEntryBytes);
    // Each page of the chain but the last gives one entry to the chain; PRP1 adds one page.
    this.maxPages = listPages * this.entriesPerPage - (listPages - 1) + 1;
    this.maxDescriptors = Math.floor(this.listBytes / sglDescriptorBytes);
    this.sglAlignment = parts.sglAlignment;
    this.used = new Uint32Array(slotCount);
    this.region = space.allocate(slotCount * this.listBytes, {
      alignment: pageBytes,
      access: 'readWrite',
    });
    this.words = this.region.words;
  }

  /** Device address of a slot's list memory: also used for small data of the command itself. */
  listAddress(slot: number): number {
    return this.region.iova + slot * this.listBytes;
  }

  /** Dword index of a slot's list memory inside `region.words`. */
  listAt(slot: number): number {
    return slot * this.listDwords;
  }

  /** List memory of a slot was used for something else: all of it counts as written. */
  dirty(slot: number, bytes: number): void {
    const entries = Math.ceil(bytes / prpEntryBytes);
    if (this.used[slot]! < entries) this.used[slot] = entries;
  }

  /**
   * Describe memory without a gap by PRPs.
   *
   * @param sqe   the ring's words
   * @param at    dword index of the entry
   */
  layRange(
    sqe: Uint32Array,
    at: number,
    slot: number,
    region: DmaRegion,
    offset: number,
    length: number,
  ): void {
    const address = region.iova + offset;
    const low = lowDword(address);
    sqe[at + prp1] = low;
    sqe[at + prp1 + 1] = highDword(address);
    const inFirst = this.pageBytes - (low & this.pageMask);
    if (length <= inFirst) {
      sqe[at + prp2] = unmapped;
      sqe[at + prp2 + 1] = unmapped;
      return;
    }
    const second = address + inFirst;
    if (length <= inFirst + this.pageBytes) {
      sqe[at + prp2] = lowDword(second);
      sqe[at + prp2 + 1] = highDword(second);
      return;
    }
    this.layList(sqe, at, slot, second, length - inFirst);
  }

  private layList(
    sqe: Uint32Array,
    at: number,
    slot: number,
    address: number,
    length: number,
  ): void {
    const pages = Math.ceil(length / this.pageBytes);
    this.pointAtList(sqe, at, slot);
    let low = lowDword(address);
    let high = highDword(address);
    let entry = 0;
    for (let left = pages; left > 0; left--) {
      entry = this.chain(slot, entry, left);
      this.put(slot, entry++, low, high);
      low += this.pageBytes;
      if (low >= dwordSpan) {
        low -= dwordSpan;
        high++;
      }
    }
    this.close(slot, entry);
  }

  /**
   * How far PRPs can describe scattered memory from a place on: every piece but the first starts on
   * a page, every piece but the last ends on one, and the first starts on a dword.
   *
   * @returns bytes, at most `wanted`
   */
  reach(segments: Segments, from: SegmentCursor, wanted: number): number {
    let bytes = 0;
    let pages = 0;
    let segment = from.segment;
    let offset = from.offset;
    while (bytes < wanted && segment < segments.segmentCount) {
      const address = segments.regions[segment]!.iova + segments.offsets[segment]! + offset;
      const inPage = lowDword(address) & this.pageMask;
      if (bytes === 0 ? inPage % 4 !== 0 : inPage !== 0) break;
      const room = (this.maxPages - pages) * this.pageBytes - inPage;
      const length = Math.min(segments.lengths[segment]! - offset, wanted - bytes, room);
      if (length <= 0) break;
      bytes += length;
      pages += Math.ceil((inPage + length) / this.pageBytes);
      if ((inPage + length) % this.pageBytes !== 0) break;
      if (offset + length < segments.lengths[segment]!) break;
      segment++;
      offset = 0;
    }
    return bytes;
  }

  /** Describe scattered memory that `reach` covers by PRPs; the cursor moves behind it. */
  layPages(
    sqe: Uint32Array,
    at: number,
    slot: number,
    segments: Segments,
    from: SegmentCursor,
    length: number,
  ): void {
    const first = segments.regions[from.segment]!.iova + segments.offsets[from.segment]!;
    const address = first + from.offset;
    const inFirst = this.pageBytes - (lowDword(address) & this.pageMask);
    sqe[at + prp1] = lowDword(address);
    sqe[at + prp1 + 1] = highDword(address);
    sqe[at + prp2] = unmapped;
    sqe[at + prp2 + 1] = unmapped;
    advance(segments, from, Math.min(length, inFirst));
    const rest = length - inFirst;
    if (rest <= 0) return;
    const pages = Math.ceil(rest / this.pageBytes);
    let entry = 0;
    for (let left = pages; left > 0; left--) {
      const page = addressOf(segments, from);
      if (pages === 1) {
        sqe[at + prp2] = lowDword(page);
        sqe[at + prp2 + 1] = highDword(page);
      } else {
        entry = this.chain(slot, entry, left);
        this.put(slot, entry++, lowDword(page), highDword(page));
      }
      advance(segments, from, Math.min(this.pageBytes, rest - (pages - left) * this.pageBytes));
    }
    if (pages === 1) return;
    this.pointAtList(sqe, at, slot);
    this.close(slot, entry);
  }

  /**
   * How far one SGL of this slot can describe scattered memory from a place on.
   *
   * @returns bytes, at most `wanted`; 0 when the first piece is not aligned as the controller wants
   */
  reachSgl(segments: Segments, from: SegmentCursor, wanted: number): number {
    const alignment = this.sglAlignment;
    let bytes = 0;
    let segment = from.segment;
    let offset = from.offset;
    for (let count = 0; count < this.maxDescriptors && bytes < wanted; count++) {
      if (segment >= segments.segmentCount) break;
      const start = segments.offsets[segment]! + offset;
      const length = segments.lengths[segment]! - offset;
      // Regions start on pages: the offset alone says how an address is aligned.
      if (start % alignment !== 0 || length % alignment !== 0) break;
      bytes += length;
      segment++;
      offset = 0;
    }
    return Math.min(bytes, wanted);
  }

  /** Describe scattered memory by an SGL and say so in PSDT; the cursor moves behind it. */
  laySgl(
    sqe: Uint32Array,
    at: number,
    slot: number,
    segments: Segments,
    from: SegmentCursor,
    length: number,
  ): void {
    psdt.set(sqe, at, Psdt.sgl);
    const inFirst = segments.lengths[from.segment]! - from.offset;
    if (length <= inFirst) {
      putDescriptor(sqe, at + sgl1Dword, addressOf(segments, from), length);
      advance(segments, from, length);
      return;
    }
    let count = 0;
    let left = length;
    while (left > 0) {
      const piece = Math.min(left, segments.lengths[from.segment]! - from.offset);
      const where = this.listAt(slot) + count++ * descriptorDwords;
      putDescriptor(this.words, where, addressOf(segments, from), piece);
      advance(segments, from, piece);
      left -= piece;
    }
    assert(count <= this.maxDescriptors, 'an SGL fits in the list memory of its slot');
    putDescriptor(sqe, at + sgl1Dword, this.listAddress(slot), count * sglDescriptorBytes);
    descriptor.type.set(sqe, at + sgl1Dword, SglType.lastSegment);
    this.dirty(slot, count * sglDescriptorBytes);
  }

  /** Convenience for commands whose data lies in one piece of a segment list. */
  layAll(
    sqe: Uint32Array,
    at: number,
    slot: number,
    segments: Segments,
    length: number,
    useSgl: boolean,
  ): void {
    this.cursor.segment = 0;
    this.cursor.offset = 0;
    if (useSgl) this.laySgl(sqe, at, slot, segments, this.cursor, length);
    else this.layPages(sqe, at, slot, segments, this.cursor, length);
  }

  private pointAtList(sqe: Uint32Array, at: number, slot: number): void {
    const address = this.listAddress(slot);
    sqe[at + prp2] = lowDword(address);
    sqe[at + prp2 + 1] = highDword(address);
  }

  /**
   * The last entry of a list page is a pointer to the next page when more than one page of data is
   * left, and an entry like any other when exactly one is.
   *
   * @returns the index at which the next entry goes
   */
  private chain(slot: number, entry: number, left: number): number {
    const isLastOfPage = entry % this.entriesPerPage === this.entriesPerPage - 1;
    if (!isLastOfPage || left === 1) return entry;
    const next = this.listAddress(slot) + (entry + 1) * prpEntryBytes;
    this.put(slot, entry, lowDword(next), highDword(next));
    return entry + 1;
  }

  private put(slot: number, entry: number, low: number, high: number): void {
    const where = this.listAt(slot) + entry * entryDwords;
    assert(entry * prpEntryBytes < this.listBytes, 'a PRP list fits in the memory of its slot');
    this.words[where] = low;
    this.words[where + 1] = high;
  }

  /** What earlier, longer lists left behind the end is made to fault. */
  private close(slot: number, entries: number): void {
    for (let entry = entries; entry < this.used[slot]!; entry++) {
      this.put(slot, entry, unmapped, unmapped);
    }
    this.used[slot] = entries;
  }
}

export interface PointerParts {
  readonly pageBytes: number;
  readonly slotCount: number;
  /** Pages of list memory per slot. */
  readonly listPages: number;
  /** 4 when the controller wants dword granularity in SGLs, else 1. */
  readonly sglAlignment: number;
}

/** Pages of list memory that a transfer of this many bytes needs at the worst offset. */
export function listPagesFor(transferBytes: number, pageBytes: number): number {
  const entriesPerPage = pageBytes / prpEntryBytes;
  const entries = Math.ceil(transferBytes / pageBytes);
  // n pages hold n × entriesPerPage - (n - 1) data entries.
  return Math.max(1, Math.ceil((entries - 1) / (entriesPerPage - 1)));
}

function addressOf(segments: Segments, at: SegmentCursor): number {
  return segments.regions[at.segment]!.iova + segments.offsets[at.segment]! + at.offset;
}

function advance(segments: Segments, at: SegmentCursor, bytes: number): void {
  at.offset += bytes;
  if (at.offset === segments.lengths[at.segment]!) {
    at.segment++;
    at.offset = 0;
  }
}

function putDescriptor(words: Uint32Array, at: number, address: number, length: number): void {
  descriptor.address.set(words, at, address);
  descriptor.length.set(words, at, length);
  words[at + descriptor.type.dword] = 0;
  descriptor.subtype.set(words, at, SglSubtype.address);
  descriptor.type.set(words, at, SglType.dataBlock);
}
