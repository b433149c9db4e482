import type { Tracks } from '../spans.js';
import type { FlashProfile } from './flash-profile.js';

/**
 * The buses of the channels. Each serves one transfer at a time in the order of asking: a transfer
 * is reserved from `max(now, freeAt)` on.
 */
export class Bus {
  /** Set while somebody watches: channels, and the dies behind them. */
  tracks: Tracks | null = null;
  dieTracks: Tracks | null = null;
  /** When the last reserved transfer of a channel is over. */
  readonly freeAtNs: Float64Array;
  /** Time that a channel was or will be held by what is reserved so far. */
  readonly busyNs: Float64Array;
  /** Thousandths of transfers that whole nanoseconds have left over, by channel. */
  private readonly carry: Float64Array;
  private readonly bytesPerUs: number;
  private readonly quantum: number;
  private readonly busBytes: number;

  constructor(flash: FlashProfile) {
    this.freeAtNs = new Float64Array(flash.channels);
    this.busyNs = new Float64Array(flash.channels);
    this.carry = new Float64Array(flash.channels);
    this.busBytes = flash.busBytes;
    this.bytesPerUs = flash.busMegatransfers * flash.busBytes;
    // Two transfers per clock; a rate above 1000 MT/s costs no time at all when rounded like this.
    this.quantum = flash.isBusQuantised ? Math.floor(1000 / flash.busMegatransfers) * 2 : -1;
  }

  /**
   * @param fixedNs  command, address and set-up phases
   * @param bytes    0 for a command alone
   * @returns        when it is over
   */
  reserve(channel: number, nowNs: number, fixedNs: number, bytes: number): number {
    const free = this.freeAtNs[channel]!;
    const start = Math.max(free, nowNs);
    const ns = fixedNs + this.dataNs(channel, bytes);
    this.busyNs[channel] = this.busyNs[channel]! + ns;
    this.freeAtNs[channel] = start + ns;
    if (this.tracks !== null) this.tracks.span(channel, start, start + ns);
    return start + ns;
  }

  /** The power is gone; nothing is on its way any more. */
  clear(nowNs: number): void {
    for (let channel = 0; channel < this.freeAtNs.length; channel++) {
      // What was reserved for later did not happen.
      const rest = this.freeAtNs[channel]! - nowNs;
      if (rest > 0) this.busyNs[channel] = this.busyNs[channel]! - rest;
      this.freeAtNs[channel] = 0;
      this.carry[channel] = 0;
    }
  }

  /** Exact over many transfers: what whole nanoseconds leave over is carried to the next one. */
  private dataNs(channel: number, bytes: number): number {
    if (bytes === 0) return 0;
    if (this.quantum >= 0) return (bytes / this.busBytes / 2) * this.quantum;
    const thousandths = bytes * 1000 + this.carry[channel]!;
    const ns = Math.floor(thousandths / this.bytesPerUs);
    this.carry[channel] = thousandths - ns * this.bytesPerUs;
    return ns;
  }
}
