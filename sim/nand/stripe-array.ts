import type { Prng } from '../prng.js';
import type { Tracks } from '../spans.js';
import type { World } from '../world.js';
import { widen, widenTimes } from './flash-ops.js';
import type { InPlaceProfile } from './in-place-profile.js';

const unitBytes = 4096;
const firstParts = 64;
const nothing = -1;

export interface StripeListener {
  /** A read or write of one unit is over. @param owner  what it was given */
  stripeDone(owner: number, queueNs: number, arrayNs: number, transferNs: number): void;
}

/**
 * Dies of a medium that is written in place, in stripes: the dies of a stripe lie on neighbouring
 * channels and work in step on one unit.
 *
 *   read   cells of the stripe, then its part of the unit on each channel
 *   write  its part on each channel, then the cells
 *
 * Cells and channels are reserved from `max(now, freeAt)` on, channels when the data is there.
 */
export class StripeArray {
  /** Stripes. */
  readonly count: number;
  readonly channelBusyNs: Float64Array;
  private readonly profile: InPlaceProfile;
  private readonly world: World;
  private readonly chance: Prng;
  private readonly listener: StripeListener;
  private readonly freeAtNs: Float64Array;
  private readonly channelFreeNs: Float64Array;
  /** Thousandths of transfers that whole nanoseconds leave over. */
  private readonly carry: Float64Array;
  private readonly bytesPerDie: number;
  private readonly faults: Int32Array;
  // Units in flight, one table per field.
  private owners = new Int32Array(firstParts);
  private stripes = new Int32Array(firstParts);
  private next = new Int32Array(firstParts);
  private askedNs = new Float64Array(firstParts);
  private startedNs = new Float64Array(firstParts);
  private arrayEndNs = new Float64Array(firstParts);
  private dueNs = new Float64Array(firstParts);
  private firstFree = nothing;
  private made = 0;
  /** Set while somebody watches: the stripes. */
  tracks: Tracks | null = null;
  private readonly cellEvent: number;
  private readonly endEvent: number;

  constructor(parts: StripeArrayParts) {
    const { profile, world } = parts;
    this.profile = profile;
    this.world = world;
    this.chance = parts.chance;
    this.listener = parts.listener;
    const dies = profile.channels * profile.diesPerChannel;
    this.count = Math.max(1, Math.floor(dies / profile.stripeDies));
    this.bytesPerDie = unitBytes / profile.stripeDies;
    this.freeAtNs = new Float64Array(this.count);
    this.channelFreeNs = new Float64Array(profile.channels);
    this.channelBusyNs = new Float64Array(profile.channels);
    this.carry = new Float64Array(profile.channels);
    this.faults = new Int32Array(this.count);
    this.cellEvent = world.register((part) => this.cellsDone(part));
    this.endEvent = world.register((part) => this.end(part));
  }

  read(place: number, owner: number): void {
    const part = this.take(place, owner);
    const ns = this.cellNs(this.profile.readNs) + this.busyNs();
    const end = this.reserveCells(part, this.world.nowNs, ns);
    this.arrayEndNs[part] = end;
    this.dueNs[part] = end;
    this.world.schedule(end - this.world.nowNs, this.cellEvent, part);
  }

  /** @returns when it is over */
  write(place: number, owner: number): number {
    const part = this.take(place, owner);
    const arrived = this.reserveChannels(this.stripes[part]!);
    const end = this.reserveCells(part, arrived, this.cellNs(this.profile.writeNs));
    this.arrayEndNs[part] = end;
    this.dueNs[part] = end;
    this.world.schedule(end - this.world.nowNs, this.endEvent, part);
    return end;
  }

  /** The next writes to the stripe of a die fail. */
  failNext(die: number, count: number): void {
    const stripe = this.stripeOfDie(die);
    this.faults[stripe] = this.faults[stripe]! + count;
  }

  /** Whether the write to this place is to fail; counts it. */
  takeFault(place: number): boolean {
    const stripe = place % this.count;
    if (this.faults[stripe] === 0) return false;
    this.faults[stripe] = this.faults[stripe]! - 1;
    return true;
  }

  stall(die: number, ns: number): void {
    const stripe = this.stripeOfDie(die);
    this.freeAtNs[stripe] = Math.max(this.freeAtNs[stripe]!, this.world.nowNs) + ns;
  }

  /** The power is gone. */
  clear(): void {
    this.freeAtNs.fill(0);
    this.channelFreeNs.fill(0);
    this.carry.fill(0);
    this.dueNs.fill(-1);
    this.firstFree = nothing;
    this.made = 0;
  }

  private stripeOfDie(die: number): number {
    return Math.floor(die / this.profile.stripeDies) % this.count;
  }

  private cellNs(ns: number): number {
    const { spreadPermille } = this.profile;
    if (spreadPermille === 0) return ns;
    return ns + Math.round((ns * spreadPermille * (2 * this.chance.unit() - 1)) / 1000);
  }

  /** Some reads meet cells that are being refreshed. */
  private busyNs(): number {
    const { busyReadsPpm, busyNs } = this.profile;
    return busyReadsPpm > 0 && this.chance.unit() * 1e6 < busyReadsPpm ? busyNs : 0;
  }

  private reserveCells(part: number, fromNs: number, ns: number): number {
    const stripe = this.stripes[part]!;
    const start = Math.max(fromNs, this.freeAtNs[stripe]!);
    this.startedNs[part] = start;
    this.freeAtNs[stripe] = start + ns;
    if (this.tracks !== null) this.tracks.span(stripe, start, start + ns);
    return start + ns;
  }

  /** A part of the unit on each channel of the stripe. @returns when the last one is over */
  private reserveChannels(stripe: number): number {
    const { channels, stripeDies, commandNs, channelMBPerS } = this.profile;
    const { nowNs } = this.world;
    let last = nowNs;
    for (let die = 0; die < stripeDies; die++) {
      const channel = (stripe * stripeDies + die) % channels;
      const thousandths = this.bytesPerDie * 1000 + this.carry[channel]!;
      const ns = Math.floor(thousandths / channelMBPerS);
      this.carry[channel] = thousandths - ns * channelMBPerS;
      const end = Math.max(nowNs, this.channelFreeNs[channel]!) + commandNs + ns;
      this.channelBusyNs[channel] = this.channelBusyNs[channel]! + commandNs + ns;
      this.channelFreeNs[channel] = end;
      last = Math.max(last, end);
    }
    return last;
  }

  private cellsDone(part: number): void {
    if (this.dueNs[part] !== this.world.nowNs) return;
    const end = this.reserveChannels(this.stripes[part]!);
    this.dueNs[part] = end;
    this.world.schedule(end - this.world.nowNs, this.endEvent, part);
  }

  private end(part: number): void {
    const { nowNs } = this.world;
    if (this.dueNs[part] !== nowNs) return;
    this.dueNs[part] = -1;
    const asked = this.askedNs[part]!;
    const started = this.startedNs[part]!;
    const arrayEnd = this.arrayEndNs[part]!;
    const owner = this.owners[part]!;
    this.next[part] = this.firstFree;
    this.firstFree = part;
    // Of a write, the way to the cells counts as waiting for them.
    this.listener.stripeDone(owner, started - asked, arrayEnd - started, nowNs - arrayEnd);
  }

  private take(place: number, owner: number): number {
    let part = this.firstFree;
    if (part !== nothing) {
      this.firstFree = this.next[part]!;
    } else {
      if (this.made === this.owners.length) this.grow();
      part = this.made++;
    }
    this.owners[part] = owner;
    this.stripes[part] = place % this.count;
    this.askedNs[part] = this.world.nowNs;
    return part;
  }

  private grow(): void {
    const size = this.owners.length * 2;
    this.owners = widen(this.owners, size);
    this.stripes = widen(this.stripes, size);
    this.next = widen(this.next, size);
    this.askedNs = widenTimes(this.askedNs, size);
    this.startedNs = widenTimes(this.startedNs, size);
    this.arrayEndNs = widenTimes(this.arrayEndNs, size);
    this.dueNs = widenTimes(this.dueNs, size);
  }
}

export interface StripeArrayParts {
  readonly profile: InPlaceProfile;
  readonly world: World;
  readonly chance: Prng;
  readonly listener: StripeListener;
}
