import { completionHeaderSaving } from '../../sdk/spec/pcie/express.js';
import type { LinkProfile } from '../profiles/profile.js';
import type { AddTracks } from '../spans.js';
import type { World } from '../world.js';
import { Credits } from './credits.js';
import { Direction } from './direction.js';
import type { RootPort } from './root-port.js';

/**
 * The link of a card: two directions at the line rate, the packets that a transfer is cut into, the
 * acknowledgements and credit updates that they cause in the other direction, and the two windows
 * that bound what is under way: posted credits of the root complex and tags of the card.
 *
 *   write  ──[data packets]──▶ up           ◀─[acks]── down
 *   read   ──[requests]──▶ up, between the packets that wait;  ◀─[completions]── down
 */
export class LinkTiming {
  readonly postedNs: number;
  readonly nonPostedNs: number;
  /** Bytes moved, with the overhead of packets and of the link layer. */
  upBytes = 0;
  downBytes = 0;
  private readonly world: World;
  private readonly payloadBytes: number;
  private readonly requestBytes: number;
  private readonly completionBytes: number;
  private readonly overheadBytes: number;
  private readonly ackBytes: number;
  private readonly up: Direction;
  private readonly down: Direction;
  private readonly posted: Credits;
  private readonly tags: Credits;
  private readonly reservedTags: Credits;
  private readonly hasReservedTags: boolean;
  /** What the others may have asked for comes down in this time. */
  private readonly mostAheadNs: number;
  private readonly port: RootPort | null;

  /** @param port  of the root complex, when other cards are behind it too */
  constructor(world: World, profile: LinkProfile, port: RootPort | null = null) {
    this.world = world;
    this.payloadBytes = profile.maxPayloadBytes;
    this.requestBytes = profile.maxReadBytes;
    this.completionBytes = Math.min(profile.completionBytes, profile.maxPayloadBytes);
    this.overheadBytes = profile.packetOverheadBytes;
    this.ackBytes = profile.ackBytes;
    this.postedNs = profile.propagationNs;
    this.nonPostedNs = 2 * profile.propagationNs + profile.completerNs;
    this.up = new Direction(profile);
    this.down = new Direction(profile);
    this.posted = new Credits(profile.postedCreditBytes, profile.creditReturnNs);
    const others = profile.readTags - profile.reservedReadTags;
    this.tags = new Credits(others, this.nonPostedNs);
    this.reservedTags = new Credits(Math.max(1, profile.reservedReadTags), this.nonPostedNs);
    this.hasReservedTags = profile.reservedReadTags > 0;
    this.mostAheadNs = Math.ceil(this.down.nsOf(this.readWire(others * this.requestBytes)));
    this.port = port;
  }

  /**
   * Packets of a DMA write go up.
   *
   * @param isReserved  between the packets of other writes that still wait in the device
   * @returns           ns until the last byte is in host memory
   */
  reserveWrite(bytes: number, isReserved = false): number {
    const { world, up } = this;
    const packets = Math.ceil(bytes / this.payloadBytes);
    const wire = bytes + packets * this.overheadBytes;
    this.upBytes += wire;
    const waitNs = up.busyNs(world);
    if (isReserved) {
      const ownNs = up.slipIn(world, wire);
      const portNs = this.port === null ? 0 : this.port.up.slipIn(world, wire);
      this.posted.take(world, waitNs, bytes);
      this.acknowledge(this.down, packets);
      return Math.max(ownNs, portNs) + this.postedNs;
    }
    up.reserve(world, 0, wire);
    if (this.port !== null) up.holdFor(world, this.port.up.reserve(world, waitNs, wire));
    up.holdFor(world, this.posted.take(world, waitNs, bytes));
    this.acknowledge(this.down, packets);
    return up.busyNs(world) + this.postedNs;
  }

  /**
   * Requests go up between the packets of writes that still wait in the device, completions come
   * down.
   *
   * @param isUrgent  by tags that are kept for that: behind what others have asked for, no more
   * @returns         ns until the last byte is there
   */
  reserveRead(bytes: number, isUrgent = false): number {
    const { world, down } = this;
    const requests = Math.ceil(bytes / this.requestBytes);
    const requestWire = requests * this.overheadBytes;
    const wire = this.readWire(bytes);
    this.upBytes += requestWire;
    this.downBytes += wire;
    const wayNs = this.up.slipIn(world, requestWire);
    if (this.port !== null) this.port.up.slipIn(world, requestWire);
    const goesFirst = isUrgent && this.hasReservedTags;
    const tags = goesFirst ? this.reservedTags : this.tags;
    const requestedNs = tags.take(world, wayNs, requests);
    this.acknowledge(this.up, Math.ceil(bytes / this.completionBytes));
    if (goesFirst) return this.slipInRead(requestedNs, wire) + this.nonPostedNs;
    const waitNs = Math.max(requestedNs, down.busyNs(world));
    down.reserve(world, requestedNs, wire);
    if (this.port !== null) down.holdFor(world, this.port.down.reserve(world, waitNs, wire));
    return down.busyNs(world) + this.nonPostedNs;
  }

  /** Completions that come down behind those that were asked for before. @returns ns until then */
  private slipInRead(requestedNs: number, wire: number): number {
    const { world, down, port, mostAheadNs } = this;
    const aheadNs = Math.min(down.busyNs(world), mostAheadNs);
    let ownNs = down.slipIn(world, wire);
    if (port !== null) ownNs = Math.max(ownNs, port.down.slipIn(world, wire));
    return Math.max(requestedNs, aheadNs) + ownNs;
  }

  private readWire(bytes: number): number {
    const packets = Math.ceil(bytes / this.completionBytes);
    return bytes + packets * (this.overheadBytes - completionHeaderSaving);
  }

  watch(addTracks: AddTracks): void {
    this.up.tracks = addTracks(['link to host']);
    this.down.tracks = addTracks(['link to card']);
  }

  /** What was under way is gone. */
  reset(): void {
    this.up.reset();
    this.down.reset();
    this.posted.reset();
    this.tags.reset();
    this.reservedTags.reset();
  }

  /** Ack and UpdateFC packets of the link layer go the other way, between other packets. */
  private acknowledge(direction: Direction, packets: number): void {
    if (this.ackBytes === 0) return;
    const wire = packets * this.ackBytes;
    if (direction === this.up) this.upBytes += wire;
    else this.downBytes += wire;
    direction.slipIn(this.world, wire);
  }
}
