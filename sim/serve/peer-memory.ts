import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { GiB, KiB } from '../../sdk/units.js';
import type { DeviceMemory, DmaFault, DmaFaultReport } from '../pcie/device-memory.js';
import { DirtyPages } from './dirty-pages.js';
import type { ServeSystem } from './peer.js';
import { PeerSpan, Permission } from './peer-span.js';

/** Memory is mapped in whole pages of this size. */
export const dmaPageBytes = 4 * KiB;
/** Regions that may be mapped at one time. */
export const maxDmaRegions = 65_535;
/** Larger regions are several mappings: a view of more is slow to index. */
const largestSpanBytes = GiB;
/** Device addresses end here: a number above is not exact. */
const addressLimit = 2 ** 53;

/** Access to memory that only messages reach. Each is a round trip. */
export interface MessageDma {
  /** @returns false when the peer refused, or does not answer in time */
  read(iova: number, target: Uint8Array, at: number, length: number): boolean;
  write(iova: number, source: Uint8Array, at: number, length: number): boolean;
}

/** What a peer says of a region; addresses and lengths in bytes. */
export interface RegionClaim {
  readonly address: number;
  readonly length: number;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
  /** Descriptor to map, or -1; it stays the caller's. */
  readonly fd: number;
  readonly offset: number;
}

interface Region {
  readonly address: number;
  readonly length: number;
  readonly spans: readonly PeerSpan[];
}

/**
 * The memory of a peer, region by region as it maps and unmaps them. What lies outside, or is
 * mapped for the other direction, is refused and reported; after `unmap` has returned nothing of
 * the region is touched any more.
 *
 * Spans are disjoint and sorted by address. An access may run over the border of two.
 */
export class PeerMemory implements DeviceMemory {
  isReachable = true;
  queue = -1;
  cid = -1;
  /** Accesses refused so far. */
  faultCount = 0;
  /** Pages that were written, while somebody wants to know. */
  readonly dirty = new DirtyPages();
  /** Serves regions without a descriptor; null while nobody is connected. */
  messages: MessageDma | null = null;

  private readonly system: ServeSystem;
  private readonly regions = new Map<number, Region>();
  private readonly spans: PeerSpan[] = [];
  private span: PeerSpan = nowhere;
  private report: DmaFaultReport = () => {};

  constructor(system: ServeSystem) {
    this.system = system;
  }

  get regionCount(): number {
    return this.regions.size;
  }

  onFault(report: DmaFaultReport): void {
    this.report = report;
  }

  /** @returns 0 or a UNIX error number; then nothing has changed */
  map(claim: RegionClaim): number {
    const fault = faultOf(claim);
    if (fault !== 0) return fault;
    const { address, length } = claim;
    const at = this.indexAfter(address);
    const before = this.spans[at - 1];
    const after = this.spans[at];
    if (before !== undefined && before.end > address) return Errno.EEXIST;
    if (after !== undefined && after.start < address + length) return Errno.EEXIST;
    if (this.regions.size >= maxDmaRegions) return Errno.ENOSPC;
    const spans = this.makeSpans(claim);
    if (typeof spans === 'number') return spans;
    this.spans.splice(at, 0, ...spans);
    this.regions.set(address, { address, length, spans });
    return 0;
  }

  /**
   * Give up a region; address and length are those of its mapping.
   *
   * @returns 0 or a UNIX error number
   */
  unmap(address: number, length: number): number {
    const region = this.regions.get(address);
    if (region === undefined || region.length !== length) return Errno.ENOENT;
    this.regions.delete(address);
    this.spans.splice(this.indexAfter(address) - 1, region.spans.length);
    this.release(region.spans);
    return 0;
  }

  unmapAll(): void {
    const spans = this.spans.splice(0);
    this.regions.clear();
    this.release(spans);
  }

  readWords(iova: number, target: Uint32Array, at: number, count: number): boolean {
    const span = this.spanAt(iova);
    const offset = iova - span.start;
    if (span.words === null || offset + count * 4 > span.length || !this.may(span, readable)) {
      return this.moveBytes(iova, bytesOf(target), at * 4, count * 4, false);
    }
    const { words } = span;
    const from = offset >>> 2;
    for (let i = 0; i < count; i++) target[at + i] = words[from + i]!;
    return true;
  }

  writeWords(iova: number, source: Uint32Array, at: number, count: number): boolean {
    const span = this.spanAt(iova);
    const offset = iova - span.start;
    if (span.words === null || offset + count * 4 > span.length || !this.may(span, writable)) {
      return this.moveBytes(iova, bytesOf(source), at * 4, count * 4, true);
    }
    if (this.dirty.isOn) this.dirty.note(iova, count * 4);
    const { words } = span;
    const to = offset >>> 2;
    for (let i = 0; i < count; i++) words[to + i] = source[at + i]!;
    return true;
  }

  readBytes(iova: number, target: Uint8Array, at: number, length: number): boolean {
    const span = this.spanAt(iova);
    const offset = iova - span.start;
    if (span.words !== null && offset + length <= span.length && this.may(span, readable)) {
      span.read(offset, target, at, length);
      return true;
    }
    return this.moveBytes(iova, target, at, length, false);
  }

  writeBytes(iova: number, source: Uint8Array, at: number, length: number): boolean {
    const span = this.spanAt(iova);
    const offset = iova - span.start;
    if (span.words !== null && offset + length <= span.length && this.may(span, writable)) {
      if (this.dirty.isOn) this.dirty.note(iova, length);
      span.write(offset, source, at, length);
      return true;
    }
    return this.moveBytes(iova, source, at, length, true);
  }

  /** What does not lie in one mapped span: check all of it, then move it, span by span. */
  private moveBytes(
    iova: number,
    ours: Uint8Array,
    at: number,
    length: number,
    isWrite: boolean,
  ): boolean {
    const need = isWrite ? writable : readable;
    for (let to = iova; to < iova + length; to = this.span.end) {
      const span = this.spanAt(to);
      if (!this.may(span, need)) return this.refuse(to, need);
    }
    for (let done = 0; done < length; ) {
      const span = this.spanAt(iova + done);
      const run = Math.min(length - done, span.end - iova - done);
      if (!this.moveRun(span, iova + done, ours, at + done, run, isWrite)) {
        return this.refuse(iova + done, need);
      }
      done += run;
    }
    if (isWrite && this.dirty.isOn) this.dirty.note(iova, length);
    return true;
  }

  private moveRun(
    span: PeerSpan,
    iova: number,
    ours: Uint8Array,
    at: number,
    length: number,
    isWrite: boolean,
  ): boolean {
    if (span.words !== null) {
      if (isWrite) span.write(iova - span.start, ours, at, length);
      else span.read(iova - span.start, ours, at, length);
      return true;
    }
    const { messages } = this;
    if (messages === null) return false;
    return isWrite ? messages.write(iova, ours, at, length) : messages.read(iova, ours, at, length);
  }

  private may(span: PeerSpan, need: number): boolean {
    return (span.permission & need) !== 0 && this.isReachable;
  }

  /** The span that holds an address; one without any permission when there is none. */
  private spanAt(iova: number): PeerSpan {
    const last = this.span;
    if (iova >= last.start && iova < last.end) return last;
    const found = this.spans[this.indexAfter(iova) - 1];
    if (found === undefined || iova >= found.end) return nowhere;
    this.span = found;
    return found;
  }

  /** How many spans start at or before an address. */
  private indexAfter(address: number): number {
    const { spans } = this;
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (spans[middle]!.start <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private makeSpans(claim: RegionClaim): PeerSpan[] | number {
    const permission = (claim.isReadable ? readable : 0) | (claim.isWritable ? writable : 0);
    const { address, length, fd } = claim;
    if (fd < 0) return [new PeerSpan({ start: address, length, permission, bytes: null })];
    const spans: PeerSpan[] = [];
    for (let done = 0; done < length; done += largestSpanBytes) {
      const size = Math.min(length - done, largestSpanBytes);
      const bytes = this.system.map(fd, claim.offset + done, size, claim.isWritable);
      if (typeof bytes === 'number') {
        this.release(spans);
        return bytes;
      }
      spans.push(new PeerSpan({ start: address + done, length: size, permission, bytes }));
    }
    return spans;
  }

  private release(spans: readonly PeerSpan[]): void {
    this.span = nowhere;
    for (const span of spans) {
      const bytes = span.drop();
      if (bytes !== null) this.system.unmap(bytes);
    }
  }

  private refuse(iova: number, need: number): false {
    this.faultCount++;
    this.report(this.explain(iova, need), iova, need === writable);
    return false;
  }

  private explain(iova: number, need: number): DmaFault {
    if (!this.isReachable) return 'notBusMaster';
    const { permission } = this.spanAt(iova);
    if (permission === 0) return 'unmapped';
    if ((permission & need) !== 0) return 'unmapped';
    return need === writable ? 'readOnly' : 'writeOnly';
  }
}

const { readable, writable } = Permission;
const nowhere = new PeerSpan({ start: 0, length: 0, permission: 0, bytes: null });

function faultOf({ address, length, isReadable, isWritable, fd, offset }: RegionClaim): number {
  const isWhole = address % dmaPageBytes === 0 && length % dmaPageBytes === 0;
  if (!isWhole || length === 0 || address + length > addressLimit) return Errno.EINVAL;
  if (!isReadable && !isWritable) return Errno.EINVAL;
  if (fd < 0) return 0;
  return offset % dmaPageBytes === 0 && offset + length <= addressLimit ? 0 : Errno.EINVAL;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
