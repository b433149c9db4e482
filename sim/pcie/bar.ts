import type { Bar } from '../../sdk/device.js';
import type { World } from '../world.js';

/** What a window leads to: the device's side, called in virtual time. */
export interface BarTarget {
  /** 0xffffffff when nothing answers. */
  readDword(bar: number, offset: number): number;
  /** Dropped when nothing listens. */
  writeDword(bar: number, offset: number, value: number): void;
}

const firstCapacity = 256;
/** Instead of a BAR: the write was lost on its way. */
const dropped = 0xffff_ffff;

/**
 * Register writes on their way to the device, first in first out. They take the time of one posted
 * packet; the host does not wait for them.
 */
export class PostedWrites {
  private readonly world: World;
  private readonly target: BarTarget;
  private readonly delayNs: number;
  private readonly arrive: number;
  private ring = new Uint32Array(firstCapacity * 3);
  private head = 0;
  private tail = 0;

  constructor(world: World, target: BarTarget, delayNs: number) {
    this.world = world;
    this.target = target;
    this.delayNs = delayNs;
    this.arrive = world.register(() => this.deliver());
  }

  send(bar: number, offset: number, value: number): void {
    const ring = this.ring;
    const at = this.tail;
    ring[at] = bar;
    ring[at + 1] = offset;
    ring[at + 2] = value;
    this.tail = at + 3 === ring.length ? 0 : at + 3;
    if (this.tail === this.head) this.grow();
    this.world.schedule(this.delayNs, this.arrive, 0);
  }

  /** What is under way gets lost: the link went down. */
  dropAll(): void {
    for (let at = this.head; at !== this.tail; at = at + 3 === this.ring.length ? 0 : at + 3) {
      this.ring[at] = dropped;
    }
  }

  private deliver(): void {
    const at = this.head;
    const ring = this.ring;
    this.head = at + 3 === ring.length ? 0 : at + 3;
    if (ring[at] !== dropped) this.target.writeDword(ring[at]!, ring[at + 1]!, ring[at + 2]!);
  }

  /** The ring is full: lay it out from its head in a larger one. */
  private grow(): void {
    const old = this.ring;
    this.ring = new Uint32Array(old.length * 2);
    this.ring.set(old.subarray(this.head));
    this.ring.set(old.subarray(0, this.head), old.length - this.head);
    this.head = 0;
    this.tail = old.length;
  }
}

/** A memory window as the host's loads and stores reach it. */
export class SimBar implements Bar {
  readonly index: number;
  readonly length: number;
  private readonly world: World;
  private readonly target: BarTarget;
  private readonly writes: PostedWrites;
  private readonly there: number;
  private readonly back: number;
  private readonly storeNs: number;

  constructor(options: {
    readonly index: number;
    readonly length: number;
    readonly world: World;
    readonly target: BarTarget;
    readonly writes: PostedWrites;
    readonly postedNs: number;
    readonly nonPostedNs: number;
    /** What a store costs the host. */
    readonly storeNs: number;
  }) {
    this.index = options.index;
    this.length = options.length;
    this.world = options.world;
    this.target = options.target;
    this.writes = options.writes;
    this.there = options.postedNs;
    this.back = options.nonPostedNs - options.postedNs;
    this.storeNs = options.storeNs;
  }

  /** Waits for the answer: earlier writes arrive first, the world moves on by the round trip. */
  read32(offset: number): number {
    this.check(offset);
    this.world.advance(this.there);
    const value = this.target.readDword(this.index, offset);
    this.world.advance(this.back);
    return value;
  }

  write32(offset: number, value: number): void {
    this.check(offset);
    if (this.storeNs > 0) this.world.advance(this.storeNs);
    this.writes.send(this.index, offset, value);
  }

  private check(offset: number): void {
    if ((offset & 3) === 0 && offset >= 0 && offset < this.length) return;
    throw new RangeError(
      `BAR ${this.index} offset ${offset}: a multiple of 4 below ${this.length}`,
    );
  }
}
