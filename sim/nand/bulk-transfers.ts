import type { World } from '../world.js';
import type { Bus } from './bus.js';
import type { BusTiming } from './bus-timing.js';
import { type FlashOps, noOp } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';
import type { Geometry } from './geometry.js';

/**
 * Data of programs that waits for the bus of its channel. One program's goes at a time, in pieces,
 * and whatever else wants the bus goes between them.
 */
export class BulkTransfers {
  /** 1 while the die is not free for the data of its programs. */
  private readonly isHeld: Uint8Array;
  /** By channel: the operation whose data is on the bus, and those that wait for it, in order. */
  private readonly active: Int32Array;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly parts: BulkTransfersParts;
  /** When to look whether the active one is over; -1 when there is none. */
  private readonly dueAtNs: Float64Array;
  private readonly onDue: number;

  constructor(parts: BulkTransfersParts) {
    const { flash, geometry, world } = parts;
    this.parts = parts;
    this.isHeld = new Uint8Array(geometry.dies);
    this.active = new Int32Array(flash.channels).fill(noOp);
    this.heads = new Int32Array(flash.channels).fill(noOp);
    this.tails = new Int32Array(flash.channels).fill(noOp);
    this.dueAtNs = new Float64Array(flash.channels).fill(-1);
    this.onDue = world.register((channel) => this.due(channel));
  }

  push(op: number): void {
    const { following } = this.parts.ops;
    const channel = this.channelOf(op);
    const last = this.tails[channel]!;
    following[op] = noOp;
    this.tails[channel] = op;
    if (last === noOp) this.heads[channel] = op;
    else following[last] = op;
    this.beginNext(channel);
  }

  /** Its data is on the bus. */
  isActive(op: number): boolean {
    return this.active[this.channelOf(op)] === op;
  }

  /**
   * Reads want the die of this program. It is not sent before `release`; what of it is in the die
   * already is lost.
   */
  hold(op: number): void {
    const channel = this.channelOf(op);
    this.isHeld[this.parts.ops.die[op]!] = 1;
    if (this.active[channel] !== op) return;
    this.parts.bus.abandon(channel, this.parts.world.nowNs);
    this.active[channel] = noOp;
    this.dueAtNs[channel] = -1;
    // It comes first again when its die is free.
    this.parts.ops.following[op] = this.heads[channel]!;
    this.heads[channel] = op;
    if (this.tails[channel] === noOp) this.tails[channel] = op;
    this.beginNext(channel);
  }

  /** @returns whether the program of this die was held */
  release(die: number): boolean {
    if (this.isHeld[die] === 0) return false;
    this.isHeld[die] = 0;
    this.beginNext(this.parts.geometry.channelOf(die));
    return true;
  }

  /** The bus may be free: the first goes whose die is free for it. */
  private beginNext(channel: number): void {
    if (this.active[channel] !== noOp) return;
    const { ops, bus, world, timing } = this.parts;
    const { following } = ops;
    let before = noOp;
    let op = this.heads[channel]!;
    while (op !== noOp && this.isHeld[ops.die[op]!] === 1) {
      before = op;
      op = following[op]!;
    }
    if (op === noOp) return;
    const after = following[op]!;
    if (before === noOp) this.heads[channel] = after;
    else following[before] = after;
    if (after === noOp) this.tails[channel] = before;
    this.active[channel] = op;
    const commandNs = timing.programNs(ops.planes[op]!);
    this.lookAt(channel, bus.begin(channel, world.nowNs, commandNs, ops.bytes[op]!));
  }

  clear(): void {
    this.isHeld.fill(0);
    this.active.fill(noOp);
    this.heads.fill(noOp);
    this.tails.fill(noOp);
    this.dueAtNs.fill(-1);
  }

  private channelOf(op: number): number {
    return this.parts.geometry.channelOf(this.parts.ops.die[op]!);
  }

  private lookAt(channel: number, atNs: number): void {
    this.dueAtNs[channel] = atNs;
    this.parts.world.schedule(atNs - this.parts.world.nowNs, this.onDue, channel);
  }

  private due(channel: number): void {
    const { bus, world } = this.parts;
    if (this.dueAtNs[channel] !== world.nowNs) return;
    const endNs = bus.piecesEndNs(channel);
    if (endNs > world.nowNs) {
      // Others came in between.
      this.lookAt(channel, endNs);
      return;
    }
    bus.end(channel);
    const op = this.active[channel]!;
    this.active[channel] = noOp;
    this.dueAtNs[channel] = -1;
    this.beginNext(channel);
    this.parts.ended(op);
  }
}

export interface BulkTransfersParts {
  readonly flash: FlashProfile;
  readonly world: World;
  readonly geometry: Geometry;
  readonly ops: FlashOps;
  readonly bus: Bus;
  readonly timing: BusTiming;
  /** The data of a program is in its die; from inside an event. */
  readonly ended: (op: number) => void;
}
