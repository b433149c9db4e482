import type { World } from '../world.js';
import type { BulkTransfers } from './bulk-transfers.js';
import type { Bus } from './bus.js';
import type { BusTiming } from './bus-timing.js';
import type { DieQueues } from './die-queues.js';
import { FlashKind, type FlashOps, Lane, noOp } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';
import type { Geometry } from './geometry.js';

/** The data is not in yet, and nobody knows when it will be: reads may come in between. */
export const comingNs = Number.POSITIVE_INFINITY;

/**
 * Data of programs on its way to the dies: of the one that begins, or of the next one while one
 * runs. Either as a whole, reserved on the bus when it is asked for, or in pieces.
 */
export class ProgramLoads {
  /** The program whose data is in the cache register of a die, or on its way there. */
  private readonly loaded: Int32Array;
  private readonly parts: ProgramLoadsParts;

  constructor(parts: ProgramLoadsParts) {
    this.parts = parts;
    this.loaded = new Int32Array(parts.geometry.dies).fill(noOp);
  }

  /** The program begins. @returns when its data is in the die, or `comingNs` */
  begin(die: number, op: number): number {
    const { ops, flash, world } = this.parts;
    if (this.loaded[die] !== op) return this.load(die, op);
    this.loaded[die] = noOp;
    return Math.max(ops.loadedAtNs[op]!, world.nowNs + flash.cacheBusyNs);
  }

  /** While a program runs, the data of the next one can come in. @param current  what runs */
  loadNext(die: number, current: number): void {
    const { ops, queues } = this.parts;
    if (this.loaded[die] !== noOp || ops.kind[current] !== FlashKind.program) return;
    const next = queues.head(die, Lane.program);
    if (next === noOp || ops.kind[next] !== FlashKind.program) return;
    this.loaded[die] = next;
    ops.loadedAtNs[next] = this.load(die, next);
  }

  /** The data of a program that was `comingNs` is in. */
  ended(op: number): void {
    this.parts.ops.loadedAtNs[op] = this.parts.world.nowNs;
  }

  /** The data of a program that has not begun is in the die, or on its way there. */
  isInDie(die: number): boolean {
    return this.loaded[die] !== noOp;
  }

  clear(): void {
    this.loaded.fill(noOp);
  }

  private load(die: number, op: number): number {
    const { ops, bus, world, geometry, timing, flash, bulk } = this.parts;
    if (flash.busPieceBytes > 0) {
      bulk.push(op);
      return comingNs;
    }
    const channel = geometry.channelOf(die);
    return bus.reserve(channel, world.nowNs, timing.programNs(ops.planes[op]!), ops.bytes[op]!);
  }
}

export interface ProgramLoadsParts {
  readonly flash: FlashProfile;
  readonly world: World;
  readonly geometry: Geometry;
  readonly ops: FlashOps;
  readonly bus: Bus;
  readonly timing: BusTiming;
  readonly queues: DieQueues;
  readonly bulk: BulkTransfers;
}
