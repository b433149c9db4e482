import { msNs, secondNs } from '../units.js';
import type { Scheduler } from './scheduler.js';

/** Time in which a device is judged. */
export const judgedNs = 100 * msNs;
/** What a client may lose of its reservation in that time: a guarantee holds to 99 %. */
const lossPart = 0.01;
/** A reservation is never scaled to less: a device that is stuck is found to work again by it. */
const leastPart = 0.01;
/** What is kept is told anew when it has changed by more than this part of itself. */
const noticedPart = 0.02;

/**
 * Notices that a device has become slower than what it was taken for: garbage collection, heat, a
 * part that fails. Best effort gives way by itself then, as reservations go first. When they still
 * lose units, all that was served is what the device can do, and each reservation is to be scaled
 * to the same part of it: otherwise who has most credit would be kept whole and the others starve.
 * A device that only stood still does more than that a moment later: who has a reservation goes
 * before best effort then all the same, until the next judgement.
 *
 * Looks at the scheduler once in 100 ms at most, and only as long as somebody waits.
 */
export class ShortfallWatch {
  /** Part of each reservation that the device keeps, 1 for all of it. */
  keptPart = 1;
  /** When to call `judge` again. */
  dueNs = 0;
  private startNs = 0;
  private readonly scheduler: Scheduler;
  /** Units per second, as they were promised. */
  private readonly reservation: Float64Array;
  private readonly servedBefore: Float64Array;
  private readonly lostBefore: Float64Array;

  constructor(scheduler: Scheduler, clientCount: number) {
    this.scheduler = scheduler;
    this.reservation = new Float64Array(clientCount);
    this.servedBefore = new Float64Array(clientCount);
    this.lostBefore = new Float64Array(clientCount);
  }

  /** What a client is promised, 0 for nothing. @returns what of it is kept now */
  promise(client: number, unitsPerSecond: number): number {
    this.reservation[client] = unitsPerSecond;
    return unitsPerSecond * this.keptPart;
  }

  /**
   * The time since the last call is over.
   *
   * @returns whether `keptPart` is another: scale all reservations then
   */
  judge(nowNs: number): boolean {
    const part = this.partOf(nowNs);
    this.startNs = nowNs;
    this.dueNs = nowNs + judgedNs;
    const change = Math.abs(part - this.keptPart);
    const isBoth = part < 1 && this.keptPart < 1;
    if (change === 0 || (isBoth && change < noticedPart * this.keptPart)) return false;
    this.keptPart = part;
    this.scheduler.reservedFirst = part < 1;
    return true;
  }

  private partOf(nowNs: number): number {
    const { scheduler, startNs } = this;
    const seconds = (nowNs - startNs) / secondNs;
    let served = 0;
    let wanted = 0;
    let isShort = this.keptPart < 1;
    for (let client = 0; client < this.reservation.length; client++) {
      const units = scheduler.servedUnits[client]! - this.servedBefore[client]!;
      const lost = scheduler.lostUnits(client, nowNs);
      const due = this.reservation[client]! * seconds;
      if (due > 0) {
        wanted += scheduler.hasWaitedSince(client, startNs) ? due : Math.min(due, units);
        if (lost - this.lostBefore[client]! > lossPart * due) isShort = true;
      }
      served += units;
      this.servedBefore[client]! += units;
      this.lostBefore[client] = lost;
    }
    if (!isShort || served >= wanted) return 1;
    return Math.max(leastPart, served / wanted);
  }
}
