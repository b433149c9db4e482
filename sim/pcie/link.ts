import { completionHeaderSaving, laneRates } from '../../sdk/spec/pcie/express.js';
import type { LinkProfile } from '../profiles/profile.js';
import type { World } from '../world.js';

/**
 * The link of a card: two directions, each a resource that is busy until a time. A transfer starts
 * when the direction is free and moves at the line rate; the part of a nanosecond that is left over
 * is carried to the next transfer, so no rate is rounded.
 */
export class LinkTiming {
  readonly postedNs: number;
  readonly nonPostedNs: number;
  /** Bytes of packets moved, with their overhead. */
  upBytes = 0;
  downBytes = 0;
  private readonly world: World;
  private readonly payloadBytes: number;
  private readonly requestBytes: number;
  private readonly overheadBytes: number;
  private readonly nsPerUnit: number;
  private readonly bytesPerUnit: number;
  private readonly up = new Direction();
  private readonly down = new Direction();

  constructor(world: World, profile: LinkProfile) {
    const rate = laneRates[profile.generation - 1]!;
    this.world = world;
    this.payloadBytes = profile.maxPayloadBytes;
    this.requestBytes = profile.maxReadBytes;
    this.overheadBytes = profile.packetOverheadBytes;
    this.nsPerUnit = rate.ns;
    this.bytesPerUnit = rate.bytes * profile.lanes;
    this.postedNs = profile.propagationNs;
    this.nonPostedNs = 2 * profile.propagationNs + profile.completerNs;
  }

  /** Packets of a DMA write go up. @returns ns until the last byte is in host memory */
  reserveWrite(bytes: number): number {
    const wire = bytes + Math.ceil(bytes / this.payloadBytes) * this.overheadBytes;
    this.upBytes += wire;
    return this.up.reserve(this.world.nowNs, wire, this) + this.postedNs;
  }

  /**
   * Requests go up between the packets of writes that still wait in the device, completions come
   * down. @returns ns until the last byte is there
   */
  reserveRead(bytes: number): number {
    const { nowNs } = this.world;
    const requests = Math.ceil(bytes / this.requestBytes) * this.overheadBytes;
    const packets = Math.ceil(bytes / this.payloadBytes);
    const wire = bytes + packets * (this.overheadBytes - completionHeaderSaving);
    this.upBytes += requests;
    this.downBytes += wire;
    const requestedNs = this.up.slipIn(nowNs, requests, this);
    return requestedNs + this.down.reserve(nowNs + requestedNs, wire, this) + this.nonPostedNs;
  }

  /** What was under way is gone. */
  reset(): void {
    this.up.freeAtNs = 0;
    this.down.freeAtNs = 0;
  }

  /** Whole nanoseconds of `wire` bytes plus `carry`; see Direction. */
  units(wire: number, carry: number): number {
    return wire * this.nsPerUnit + carry;
  }

  get unitsPerNs(): number {
    return this.bytesPerUnit;
  }
}

class Direction {
  freeAtNs = 0;
  private carry = 0;

  /** Take bandwidth from what waits, without waiting behind it. @returns ns of its own */
  slipIn(nowNs: number, wire: number, link: LinkTiming): number {
    const aheadNs = Math.max(0, this.freeAtNs - nowNs);
    return this.reserve(nowNs, wire, link) - aheadNs;
  }

  /** @returns ns from `startNs`, before which nothing moves, until all has moved */
  reserve(startNs: number, wire: number, link: LinkTiming): number {
    if (this.freeAtNs < startNs) {
      this.freeAtNs = startNs;
      this.carry = 0;
    }
    const units = link.units(wire, this.carry);
    const ns = Math.floor(units / link.unitsPerNs);
    this.carry = units - ns * link.unitsPerNs;
    this.freeAtNs += ns;
    return this.freeAtNs - startNs;
  }
}
