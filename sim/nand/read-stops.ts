import type { DieQueues } from './die-queues.js';
import { type FlashOps, Lane, noOp } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';

/**
 * A read cannot be suspended, but a Reset of its die ends it in a few microseconds, and what it
 * reads stays in the cells: it is read again later, first of its line. So a reserved read does not
 * wait for the cells of somebody else's. Each read is ended so `readStops` times at most, and then
 * goes on whoever comes.
 *
 * A Reset makes the registers of the die void as well. The caller does none while there is
 * something in them that is needed: data of a program, of an interrupted one, or of a cache read.
 */
export class ReadStops {
  /** Since the start. */
  count = 0;
  private readonly flash: FlashProfile;
  private readonly ops: FlashOps;
  private readonly queues: DieQueues;

  constructor(flash: FlashProfile, ops: FlashOps, queues: DieQueues) {
    this.flash = flash;
    this.ops = ops;
    this.queues = queues;
  }

  /**
   * @param op    the read that the die does, with its mates
   * @param lane  of the read that wants to go before it
   * @returns     ns until the die is free for that; -1 when it goes on
   */
  costNs(op: number, lane: number): number {
    const { ops, flash } = this;
    if (lane !== Lane.reserved) return -1;
    for (let mate = op; mate !== noOp; mate = ops.mate[mate]!) {
      if (ops.lane[mate] === Lane.reserved || ops.stops[mate]! >= flash.readStops) return -1;
    }
    return flash.readStopNs;
  }

  /** It and its mates are in line again, in their order. */
  stop(die: number, op: number): void {
    const { ops, queues } = this;
    const mate = ops.mate[op]!;
    if (mate !== noOp) this.stop(die, mate);
    this.count++;
    ops.stops[op] = ops.stops[op]! + 1;
    ops.mate[op] = noOp;
    ops.startedAtNs[op] = -1;
    queues.pushFront(die, op);
  }
}
