import type { Tracks } from '../spans.js';
import type { FlashProfile } from './flash-profile.js';

/**
 * The buses of the channels. Each serves one transfer at a time in the order of asking: a transfer
 * is reserved from `max(now, freeAt)` on.
 *
 * One transfer of a channel may be in pieces (`begin`). Whatever is reserved meanwhile goes between
 * two of them, and the rest of it comes later by as much:
 *
 *   pieces    ######            ######------
 *   reserved        ======------             (asked for in the middle of the second piece)
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
  /** Of the transfer in pieces: since when, or from when on, it has the bus, and its rest then. */
  private readonly piecesFromNs: Float64Array;
  private readonly piecesRestNs: Float64Array;
  private readonly pieceNs: number;
  private readonly bytesPerUs: number;
  private readonly quantum: number;
  private readonly busBytes: number;

  constructor(flash: FlashProfile) {
    this.freeAtNs = new Float64Array(flash.channels);
    this.busyNs = new Float64Array(flash.channels);
    this.carry = new Float64Array(flash.channels);
    this.piecesFromNs = new Float64Array(flash.channels);
    this.piecesRestNs = new Float64Array(flash.channels);
    this.busBytes = flash.busBytes;
    this.bytesPerUs = flash.busMegatransfers * flash.busBytes;
    // Two transfers per clock; a rate above 1000 MT/s costs no time at all when rounded like this.
    this.quantum = flash.isBusQuantised ? Math.floor(1000 / flash.busMegatransfers) * 2 : -1;
    this.pieceNs = Math.max(1, Math.floor((flash.busPieceBytes * 1000) / this.bytesPerUs));
  }

  /**
   * @param fixedNs  command, address and set-up phases
   * @param bytes    0 for a command alone
   * @returns        when it is over
   */
  reserve(channel: number, nowNs: number, fixedNs: number, bytes: number): number {
    const asked = Math.max(this.freeAtNs[channel]!, nowNs);
    const start = this.piecesRestNs[channel] === 0 ? asked : this.interrupt(channel, asked);
    const ns = fixedNs + this.dataNs(channel, bytes);
    this.busyNs[channel] = this.busyNs[channel]! + ns;
    this.freeAtNs[channel] = start + ns;
    if (this.piecesRestNs[channel]! > 0) this.piecesFromNs[channel] = start + ns;
    if (this.tracks !== null) this.tracks.span(channel, start, start + ns);
    return start + ns;
  }

  /** A transfer in pieces begins; the one before is over. @returns its end if nothing comes */
  begin(channel: number, nowNs: number, fixedNs: number, bytes: number): number {
    const ns = fixedNs + this.dataNs(channel, bytes);
    this.busyNs[channel] = this.busyNs[channel]! + ns;
    this.piecesFromNs[channel] = Math.max(this.freeAtNs[channel]!, nowNs);
    this.piecesRestNs[channel] = ns;
    return this.piecesEndNs(channel);
  }

  /** When the transfer in pieces is over, as far as is known now. */
  piecesEndNs(channel: number): number {
    return this.piecesFromNs[channel]! + this.piecesRestNs[channel]!;
  }

  /** It is over. */
  end(channel: number): void {
    const end = this.piecesEndNs(channel);
    const { tracks } = this;
    if (this.piecesRestNs[channel]! > 0) tracks?.span(channel, this.piecesFromNs[channel]!, end);
    this.piecesRestNs[channel] = 0;
    this.freeAtNs[channel] = Math.max(this.freeAtNs[channel]!, end);
  }

  /** The transfer in pieces goes no further than the piece that is on the bus. */
  abandon(channel: number, nowNs: number): void {
    const stopNs = this.interrupt(channel, Math.max(nowNs, this.freeAtNs[channel]!));
    this.busyNs[channel] = this.busyNs[channel]! - this.piecesRestNs[channel]!;
    this.piecesRestNs[channel] = 0;
    this.freeAtNs[channel] = Math.max(this.freeAtNs[channel]!, stopNs);
  }

  /** @returns when the piece ends that is on the bus at this time */
  private interrupt(channel: number, nowNs: number): number {
    const from = this.piecesFromNs[channel]!;
    const rest = this.piecesRestNs[channel]!;
    if (nowNs <= from) return nowNs;
    const done = Math.min(rest, Math.ceil((nowNs - from) / this.pieceNs) * this.pieceNs);
    if (this.tracks !== null) this.tracks.span(channel, from, from + done);
    this.piecesFromNs[channel] = from + done;
    this.piecesRestNs[channel] = rest - done;
    return from + done;
  }

  /** The power is gone; nothing is on its way any more. */
  clear(nowNs: number): void {
    for (let channel = 0; channel < this.freeAtNs.length; channel++) {
      // What was reserved for later did not happen.
      const rest = this.freeAtNs[channel]! - nowNs;
      if (rest > 0) this.busyNs[channel] = this.busyNs[channel]! - rest;
      const left = Math.min(this.piecesRestNs[channel]!, this.piecesEndNs(channel) - nowNs);
      this.busyNs[channel] = this.busyNs[channel]! - Math.max(0, left);
      this.piecesRestNs[channel] = 0;
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
