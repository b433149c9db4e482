import { qosHistoryIntervals } from '../../../sdk/spec/ultima/qos.js';
import { msNs } from '../../../sdk/units.js';

/** Length of an interval in which reservations are looked at. */
export const intervalMs = 100;
const intervalNs = intervalMs * msNs;

/** Part of a reservation that must have been served in an interval. */
const metPart = 0.99;

/** What was done for each namespace, by client. */
export class QosCounters {
  readonly served: Float64Array;
  readonly reserved: Float64Array;
  readonly throttled: Float64Array;
  readonly guaranteed: Uint32Array;
  readonly met: Uint32Array;
  readonly lastServed: Float64Array;
  readonly waiting: Uint32Array;
  /** Of the interval under way: its number, units, and what came. */
  private readonly interval: Float64Array;
  private readonly units: Float64Array;
  private readonly hadCommands: Uint8Array;
  /** The last complete intervals, in a ring per client, and how many there were. */
  private readonly history: QosIntervals;
  private readonly recorded: Uint32Array;
  private readonly throttledBefore: Float64Array;
  /** There was a command of it waiting since the interval began. */
  private readonly wasWaiting: Uint8Array;
  private readonly reservation: Float64Array;

  constructor(clientCount: number) {
    this.served = new Float64Array(clientCount);
    this.reserved = new Float64Array(clientCount);
    this.throttled = new Float64Array(clientCount);
    this.guaranteed = new Uint32Array(clientCount);
    this.met = new Uint32Array(clientCount);
    this.lastServed = new Float64Array(clientCount);
    this.waiting = new Uint32Array(clientCount);
    this.interval = new Float64Array(clientCount);
    this.units = new Float64Array(clientCount);
    this.hadCommands = new Uint8Array(clientCount);
    this.wasWaiting = new Uint8Array(clientCount);
    this.reservation = new Float64Array(clientCount);
    this.history = new QosIntervals(clientCount * qosHistoryIntervals);
    this.recorded = new Uint32Array(clientCount);
    this.throttledBefore = new Float64Array(clientCount);
  }

  /** Complete intervals since time 0. */
  intervalsAt(nowNs: number): number {
    return Math.floor(nowNs / intervalNs);
  }

  /** The interval under way is no fair one for the new reservation: it counts as without. */
  setReservation(client: number, unitsPerSecond: number, nowNs: number): void {
    this.roll(client, nowNs);
    this.reservation[client] = unitsPerSecond;
    this.wasWaiting[client] = 0;
  }

  came(client: number, nowNs: number): void {
    this.roll(client, nowNs);
    this.hadCommands[client] = 1;
  }

  waits(client: number): void {
    this.waiting[client]!++;
    this.throttled[client]!++;
  }

  /** It waits no longer: served, or gone. */
  waitEnds(client: number, nowNs: number): void {
    this.roll(client, nowNs);
    if (--this.waiting[client]! === 0) this.wasWaiting[client] = 0;
  }

  serve(client: number, units: number, isReserved: boolean): void {
    this.served[client]! += units;
    this.units[client]! += units;
    if (isReserved) this.reserved[client]! += units;
  }

  /** Close the intervals that are over. */
  roll(client: number, nowNs: number): void {
    const now = this.intervalsAt(nowNs);
    const past = now - this.interval[client]!;
    if (past === 0) return;
    const reservation = this.reservation[client]!;
    const isGuaranteed = reservation > 0 && this.hadCommands[client] === 1;
    const due = (metPart * reservation * intervalMs) / 1000;
    const isMet = isGuaranteed && !(this.wasWaiting[client] === 1 && this.units[client]! < due);
    if (isGuaranteed) this.guaranteed[client]!++;
    if (isMet) this.met[client]!++;
    this.record(client, this.interval[client]!, this.units[client]!, isGuaranteed, isMet);
    const isWaiting = this.waiting[client]! > 0;
    // Nothing at all was served in the intervals after that one.
    const isStarved = isWaiting && reservation > 0;
    if (past > 1 && isStarved) this.guaranteed[client]! += past - 1;
    for (let empty = Math.max(1, past - qosHistoryIntervals); empty < past; empty++) {
      this.record(client, this.interval[client]! + empty, 0, isStarved, false);
    }
    this.lastServed[client] = past === 1 ? this.units[client]! : 0;
    this.units[client] = 0;
    this.interval[client] = now;
    this.hadCommands[client] = isWaiting ? 1 : 0;
    this.wasWaiting[client] = isWaiting ? 1 : 0;
  }

  /** @param visit  called for the last intervals, the oldest first */
  eachInterval(client: number, visit: (intervals: QosIntervals, at: number) => void): number {
    const recorded = this.recorded[client]!;
    const count = Math.min(recorded, qosHistoryIntervals);
    for (let i = recorded - count; i < recorded; i++) {
      visit(this.history, client * qosHistoryIntervals + (i % qosHistoryIntervals));
    }
    return count;
  }

  private record(
    client: number,
    interval: number,
    units: number,
    isGuaranteed: boolean,
    isMet: boolean,
  ): void {
    const { history } = this;
    const at = client * qosHistoryIntervals + (this.recorded[client]! % qosHistoryIntervals);
    this.recorded[client]!++;
    history.interval[at] = interval;
    history.served[at] = units;
    history.due[at] = (this.reservation[client]! * intervalMs) / 1000;
    history.throttled[at] = this.throttled[client]! - this.throttledBefore[client]!;
    history.isGuaranteed[at] = isGuaranteed ? 1 : 0;
    history.isMet[at] = isMet ? 1 : 0;
    this.throttledBefore[client] = this.throttled[client]!;
  }
}

/** What happened in intervals, by place in a ring. */
export class QosIntervals {
  readonly interval: Float64Array;
  readonly served: Float64Array;
  readonly due: Float64Array;
  readonly throttled: Float64Array;
  readonly isGuaranteed: Uint8Array;
  readonly isMet: Uint8Array;

  constructor(count: number) {
    this.interval = new Float64Array(count);
    this.served = new Float64Array(count);
    this.due = new Float64Array(count);
    this.throttled = new Float64Array(count);
    this.isGuaranteed = new Uint8Array(count);
    this.isMet = new Uint8Array(count);
  }
}
