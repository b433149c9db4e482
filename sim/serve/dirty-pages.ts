import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { KiB, MiB } from '../../sdk/units.js';

/** The unit in which writes are noted. */
const unitBytes = 4 * KiB;
const chunkBytes = 128 * MiB;
const unitsPerChunk = chunkBytes / unitBytes;
/** Largest unit of a report: any larger one is a mistake. */
const largestReportUnit = 2 ** 30;
/** Bits of a report, so that its bitmap fits into one message. */
const mostReportBits = 2 ** 22;

/** Where writes are noted; nothing listed: everywhere. */
export interface LoggedRange {
  readonly address: number;
  readonly length: number;
}

/**
 * Pages of the peer's memory that the device has written since logging began, or since they were
 * last reported [vfio-user §VFIO_USER_DEVICE_FEATURE]. Only writes are noted, in units of 4 KiB;
 * units outside of the ranges that were asked for are not.
 */
export class DirtyPages {
  isOn = false;
  private ranges: readonly LoggedRange[] = [];
  /** One bit per unit, in chunks that come into being with their first write. */
  private readonly chunks = new Map<number, Uint32Array>();

  /** What is in use, whatever page size was wanted. */
  static readonly unitBytes = unitBytes;

  /** @returns 0 or a UNIX error number */
  start(ranges: readonly LoggedRange[]): number {
    if (this.isOn) return Errno.EINVAL;
    this.ranges = ranges;
    this.isOn = true;
    return 0;
  }

  stop(): void {
    this.isOn = false;
    this.ranges = [];
    this.chunks.clear();
  }

  /** The device has written here. */
  note(address: number, length: number): void {
    const last = Math.floor((address + length - 1) / unitBytes);
    for (let unit = Math.floor(address / unitBytes); unit <= last; unit++) {
      if (this.ranges.length > 0 && !this.isAsked(unit * unitBytes)) continue;
      const number = Math.floor(unit / unitsPerChunk);
      let chunk = this.chunks.get(number);
      if (chunk === undefined) {
        chunk = new Uint32Array(unitsPerChunk / 32);
        this.chunks.set(number, chunk);
      }
      const at = unit % unitsPerChunk;
      chunk[at >>> 5]! |= 1 << (at & 31);
    }
  }

  /** @returns bytes of the bitmap of a range, whole quadwords, or a UNIX error number below 0 */
  reportBytes(address: number, length: number, pageBytes: number): number {
    const isPower = Number.isInteger(Math.log2(pageBytes)) && pageBytes <= largestReportUnit;
    if (!this.isOn || !isPower || pageBytes < unitBytes) return -Errno.EINVAL;
    if (length === 0 || address % pageBytes !== 0 || length % pageBytes !== 0) {
      return -Errno.EINVAL;
    }
    const bits = length / pageBytes;
    return bits > mostReportBits ? -Errno.E2BIG : Math.ceil(bits / 64) * 8;
  }

  /** Set the bits of a range, for which `reportBytes` has room; they are forgotten then. */
  report(address: number, length: number, pageBytes: number, bitmap: Uint8Array): void {
    const first = address / unitBytes;
    const unitsPerBit = pageBytes / unitBytes;
    for (const [number, chunk] of this.chunks) {
      const start = number * unitsPerChunk;
      const to = Math.min(start + unitsPerChunk, first + length / unitBytes);
      for (let unit = Math.max(start, first); unit < to; unit++) {
        const at = unit - start;
        const mask = 1 << (at & 31);
        if ((chunk[at >>> 5]! & mask) === 0) continue;
        chunk[at >>> 5]! &= ~mask;
        const bit = Math.floor((unit - first) / unitsPerBit);
        bitmap[bit >>> 3]! |= 1 << (bit & 7);
      }
    }
  }

  private isAsked(address: number): boolean {
    return this.ranges.some(
      (range) => address + unitBytes > range.address && address < range.address + range.length,
    );
  }
}
