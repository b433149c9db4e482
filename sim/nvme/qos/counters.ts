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
    if (reservation > 0 && this.hadCommands[client] === 1) {
      const due = (metPart * reservation * intervalMs) / 1000;
      const isMissed = this.wasWaiting[client] === 1 && this.units[client]! < due;
      this.guaranteed[client]!++;
      if (!isMissed) this.met[client]!++;
    }
    const isWaiting = this.waiting[client]! > 0;
    // Nothing at all was served in the intervals after that one.
    if (past > 1 && isWaiting && reservation > 0) this.guaranteed[client]! += past - 1;
    this.lastServed[client] = past === 1 ? this.units[client]! : 0;
    this.units[client] = 0;
    this.interval[client] = now;
    this.hadCommands[client] = isWaiting ? 1 : 0;
    this.wasWaiting[client] = isWaiting ? 1 : 0;
  }
}
