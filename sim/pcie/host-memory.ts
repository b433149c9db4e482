import { assert } from '../../sdk/assert.js';
import type { DmaAccess } from '../../sdk/device.js';
import { KiB, MiB } from '../../sdk/units.js';
import type { DeviceMemory, DmaFault, DmaFaultReport } from './device-memory.js';

/** The IOMMU's page, and the unit in which memory is made. */
export const pageBytes = 4 * KiB;
export const segmentBytes = 4 * MiB;
const wordBytes = 4;
const pagesPerSegment = segmentBytes / pageBytes;
const segmentPageShift = Math.log2(pagesPerSegment);

/** What the IOMMU lets the device do with a page. Bit 0: read, bit 1: write. */
const PageState = { unmapped: 0, readable: 1, writable: 2, both: 3, freed: 4 } as const;
const stateOf = {
  read: PageState.readable,
  write: PageState.writable,
  readWrite: PageState.both,
} as const satisfies Record<DmaAccess, number>;

export interface HostMemoryOptions {
  /** First device address, a multiple of 4 MiB and not 0: a small address stays a mistake. */
  readonly baseIova?: number;
  /** Memory that may be mapped at one time, bytes. */
  readonly limitBytes?: number;
}

/**
 * The host's memory as one function reaches it: through an IOMMU that knows for each page whether
 * the device may read it, write it, or neither. A refused access changes nothing, returns false and
 * is reported.
 *
 * Device addresses (IOVA) map to segments by arithmetic and each page has one state byte, so a
 * check is one load per page. Segments are untouched zero pages until they are written. A freed
 * range is not mapped again before all fresh addresses are used up: a device that still uses it is
 * caught. Between two regions lies an unmapped page.
 *
 * Lengths and addresses are in bytes; word accesses need addresses that are multiples of 4.
 */
export class HostMemory implements DeviceMemory {
  /** Where `locate` found the address: views of its segment and the position in them. */
  words: Uint32Array = new Uint32Array(0);
  bytes: Uint8Array = new Uint8Array(0);
  byteAt = 0;
  isReachable = true;
  queue = -1;
  cid = -1;
  /** Accesses refused so far. */
  faultCount = 0;

  readonly baseIova: number;
  readonly limitBytes: number;
  private readonly segments: Segment[] = [];
  private segment = new Segment(0, 0);
  private states = new Uint8Array(0);
  private report: DmaFaultReport = () => {};

  constructor(options: HostMemoryOptions = {}) {
    this.baseIova = options.baseIova ?? 0x1_0000_0000;
    this.limitBytes = options.limitBytes ?? 1024 * MiB;
    assert(this.baseIova > 0, 'device address 0 must stay unmapped');
    assert(this.baseIova % segmentBytes === 0, 'the device address space starts on a segment');
  }

  onFault(report: DmaFaultReport): void {
    this.report = report;
  }

  /** May the device read all of [iova, iova + length)? A refusal is reported. */
  canRead(iova: number, length: number): boolean {
    return this.check(iova, length, PageState.readable);
  }

  /** May the device write all of [iova, iova + length)? A refusal is reported. */
  canWrite(iova: number, length: number): boolean {
    return this.check(iova, length, PageState.writable);
  }

  /**
   * Find the memory behind an address without checking a state: `words`, `bytes` and `byteAt` are
   * set. Valid for a range that was checked and does not cross a page boundary.
   */
  locate(iova: number): void {
    const offset = iova - this.baseIova;
    this.place(offset, Math.floor(offset / pageBytes));
  }

  /** @returns the dword, or -1 when the access is refused */
  readWord(iova: number): number {
    if (!this.enter(iova, wordBytes, PageState.readable)) return -1;
    return this.words[this.byteAt >>> 2]!;
  }

  writeWord(iova: number, value: number): boolean {
    if (!this.enter(iova, wordBytes, PageState.writable)) return false;
    this.words[this.byteAt >>> 2] = value;
    return true;
  }

  /** Copy dwords from host memory into `target` from index `at`. */
  readWords(iova: number, target: Uint32Array, at: number, count: number): boolean {
    if (!this.enter(iova, count * wordBytes, PageState.readable)) return false;
    let to = at;
    for (let left = count; ; ) {
      const source = this.words;
      const start = this.byteAt >>> 2;
      const run = Math.min(left, this.leftInPage >>> 2);
      for (let i = 0; i < run; i++) target[to + i] = source[start + i]!;
      left -= run;
      if (left === 0) return true;
      to += run;
      this.skip(run * wordBytes);
    }
  }

  /** Copy dwords from `source` at index `at` into host memory, the last one last. */
  writeWords(iova: number, source: Uint32Array, at: number, count: number): boolean {
    if (!this.enter(iova, count * wordBytes, PageState.writable)) return false;
    let from = at;
    for (let left = count; ; ) {
      const target = this.words;
      const start = this.byteAt >>> 2;
      const run = Math.min(left, this.leftInPage >>> 2);
      for (let i = 0; i < run; i++) target[start + i] = source[from + i]!;
      left -= run;
      if (left === 0) return true;
      from += run;
      this.skip(run * wordBytes);
    }
  }

  /**
   * Copy bytes from host memory into `target` from byte `at`. A whole aligned page is one copy
   * without a new view.
   */
  readBytes(iova: number, target: Uint8Array, at: number, length: number): boolean {
    if (!this.enter(iova, length, PageState.readable)) return false;
    let to = at;
    for (let left = length; ; ) {
      const run = Math.min(left, this.leftInPage);
      if (run === pageBytes) target.set(this.pageView(), to);
      else copyBytes(this.bytes, this.byteAt, target, to, run);
      left -= run;
      if (left === 0) return true;
      to += run;
      this.skip(run);
    }
  }

  /**
   * Copy bytes from `source` at byte `at` into host memory. A whole source that stays inside one
   * page (a cached page of the store, say) is one copy without a new view.
   */
  writeBytes(iova: number, source: Uint8Array, at: number, length: number): boolean {
    if (!this.enter(iova, length, PageState.writable)) return false;
    if (at === 0 && length === source.length && length <= this.leftInPage) {
      this.bytes.set(source, this.byteAt);
      return true;
    }
    let from = at;
    for (let left = length; ; ) {
      const run = Math.min(left, this.leftInPage);
      copyBytes(source, from, this.bytes, this.byteAt, run);
      left -= run;
      if (left === 0) return true;
      from += run;
      this.skip(run);
    }
  }

  /** Fill host memory with one byte value. */
  fillBytes(iova: number, length: number, value: number): boolean {
    if (!this.enter(iova, length, PageState.writable)) return false;
    for (let left = length; ; ) {
      const run = Math.min(left, this.leftInPage);
      this.bytes.fill(value, this.byteAt, this.byteAt + run);
      left -= run;
      if (left === 0) return true;
      this.skip(run);
    }
  }

  /** The view of the whole page at the cursor; made once per page. */
  private pageView(): Uint8Array {
    const { pages, bytes } = this.segment;
    const page = this.byteAt / pageBytes;
    let view = pages[page];
    if (view === undefined) {
      view = bytes.subarray(this.byteAt, this.byteAt + pageBytes);
      pages[page] = view;
    }
    return view;
  }

  /** Bytes from the cursor to the end of its page. */
  private get leftInPage(): number {
    return pageBytes - (this.byteAt & (pageBytes - 1));
  }

  /** Check a range and put the cursor on its first byte. */
  private enter(iova: number, length: number, need: number): boolean {
    const offset = iova - this.baseIova;
    const page = Math.floor(offset / pageBytes);
    const isInTable = page >= 0 && page < this.states.length;
    if (!isInTable || !this.isReachable || (this.states[page]! & need) === 0) {
      return this.refuse(iova, need);
    }
    this.place(offset, page);
    const beyond = (this.byteAt & (pageBytes - 1)) + length - pageBytes;
    return beyond <= 0 || this.check(iova + length - beyond, beyond, need);
  }

  /** Move the cursor on, to the start of the next page. */
  private skip(bytes: number): void {
    const offset = this.segment.start + this.byteAt + bytes;
    this.place(offset, offset / pageBytes);
  }

  private place(offset: number, page: number): void {
    const segment = this.segments[page >>> segmentPageShift]!;
    this.segment = segment;
    this.words = segment.words;
    this.bytes = segment.bytes;
    this.byteAt = offset - segment.start;
  }

  private check(iova: number, length: number, need: number): boolean {
    const offset = iova - this.baseIova;
    const first = Math.floor(offset / pageBytes);
    const last = Math.floor((offset + length - 1) / pageBytes);
    if (!this.isReachable || first < 0) return this.refuse(iova, need);
    for (let page = first; page <= last; page++) {
      const isInTable = page < this.states.length;
      if (!isInTable || (this.states[page]! & need) === 0) {
        return this.refuse(Math.max(iova, this.baseIova + page * pageBytes), need);
      }
    }
    return true;
  }

  private refuse(iova: number, need: number): false {
    this.faultCount++;
    this.report(this.explain(iova, need), iova, need === PageState.writable);
    return false;
  }

  private explain(iova: number, need: number): DmaFault {
    if (!this.isReachable) return 'notBusMaster';
    const state = this.states[Math.floor((iova - this.baseIova) / pageBytes)] ?? 0;
    if (state === PageState.freed) return 'freed';
    if (state === PageState.unmapped) return 'unmapped';
    return need === PageState.writable ? 'readOnly' : 'writeOnly';
  }

  // The IOMMU's side, for SimDmaSpace.

  /** Set the state of whole pages; [iova, iova + length) lies inside a made segment. */
  setAccess(iova: number, length: number, access: DmaAccess | 'freed'): void {
    const first = (iova - this.baseIova) / pageBytes;
    const state = access === 'freed' ? PageState.freed : stateOf[access];
    this.states.fill(state, first, first + Math.ceil(length / pageBytes));
  }

  /** Make memory behind the next addresses. @returns the first address */
  addSegment(length: number): number {
    const count = Math.ceil(length / segmentBytes);
    const start = this.segments.length * segmentBytes;
    const segment = new Segment(start, count * segmentBytes);
    for (let i = 0; i < count; i++) this.segments.push(segment);
    const states = new Uint8Array(this.segments.length * pagesPerSegment);
    states.set(this.states);
    this.states = states;
    return this.baseIova + start;
  }

  /**
   * What lay in freed pages is nobody's any more: a checkpoint does not carry it, nor segments of
   * which no page is mapped.
   */
  clearFreed(): void {
    for (const segment of new Set(this.segments)) {
      const first = segment.start / pageBytes;
      const states = this.states.subarray(first, first + segment.length / pageBytes);
      const isMapped = states.some((state) => (state & PageState.both) !== 0);
      if (isMapped) clearFreedPages(segment.words, states);
      else segment.letGo();
    }
    this.words = noWords;
    this.bytes = noBytes;
  }

  segmentAt(iova: number): Segment {
    const segment = this.segments[Math.floor((iova - this.baseIova) / segmentBytes)];
    assert(segment !== undefined, 'no memory behind that device address');
    segment.renew();
    return segment;
  }
}

const noBytes = new Uint8Array(0);
const noWords = new Uint32Array(0);

/** Memory behind a run of device addresses. */
export class Segment {
  /** Bytes from the first device address of the space. */
  readonly start: number;
  readonly length: number;
  bytes = noBytes;
  words = noWords;
  /** Views of whole pages, made when they are needed. */
  pages: (Uint8Array | undefined)[] = [];

  constructor(start: number, length: number) {
    this.start = start;
    this.length = length;
    this.renew();
  }

  /** Have memory, zeroes when it was let go. */
  renew(): void {
    if (this.bytes.length === this.length) return;
    const memory = new ArrayBuffer(this.length);
    this.bytes = new Uint8Array(memory);
    this.words = new Uint32Array(memory);
    this.pages = new Array(this.length / pageBytes);
  }

  letGo(): void {
    this.bytes = noBytes;
    this.words = noWords;
    this.pages = [];
  }
}

function clearFreedPages(words: Uint32Array, states: Uint8Array): void {
  for (const [page, state] of states.entries()) {
    if (state !== PageState.freed) continue;
    const own = words.subarray((page * pageBytes) / 4, ((page + 1) * pageBytes) / 4);
    if (own.some((word) => word !== 0)) own.fill(0);
  }
}

/** Below this a loop is cheaper than a view: about 1.5 ns a byte against 60 ns. */
const shortCopyBytes = 48;

function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length >= shortCopyBytes) {
    target.set(source.subarray(from, from + length), to);
    return;
  }
  for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
}
