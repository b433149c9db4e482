import type { Share } from '../../sdk/qos/scheduler.js';

/** A bucket that runs out at a rate: it never holds more than a burst and one request. */
export class Bucket {
  level = 0;
  private rate: number;
  private burst: number;
  private atNs: number;

  constructor(rate: number, burst: number, nowNs: number) {
    this.rate = rate;
    this.burst = burst;
    this.atNs = nowNs;
  }

  /** What was saved or is owed stays, in units; a rate that comes anew starts with none saved. */
  change(rate: number, burst: number, nowNs: number): void {
    const saved = isBound(this.rate) && isBound(rate) ? this.burst - this.levelAt(nowNs) : 0;
    this.rate = rate;
    this.burst = burst;
    this.level = Math.max(0, burst - saved);
    this.atNs = nowNs;
  }

  levelAt(nowNs: number): number {
    return Math.max(0, this.level - (this.rate * (nowNs - this.atNs)) / 1e9);
  }

  pour(units: number, nowNs: number): void {
    this.level = this.levelAt(nowNs) + units;
    this.atNs = nowNs;
  }
}

const isBound = (rate: number): boolean => rate > 0 && rate < Number.POSITIVE_INFINITY;

interface Audited {
  share: Required<Share>;
  readonly limit: Bucket;
  readonly reservation: Bucket;
  readonly waiting: number[];
  /** This window: units, and whether it was the same client all along with something to do. */
  units: number;
  isSteady: boolean;
  /** Windows in a row in which its reservation was sure: their time, units and what may be late. */
  sureNs: number;
  sureUnits: number;
  lateUnits: number;
}

/** Clocks are numbers of 53 bits: what rounding may be. */
const slack = 1e-4;

/**
 * What the header of the scheduler promises, kept as books of another kind: a leaky bucket per
 * bound, a plain list of what waits, and sums per window. Each call returns what is violated.
 */
export class QosAudit {
  /** Windows of clients in which a reservation was sure to be met, and was. */
  sureWindows = 0;
  waitingCount = 0;
  private readonly clients = new Map<number, Audited>();
  private readonly costs = new Map<number, number>();
  private readonly largest: number;
  /** Units beside those of the bursts that the device can be behind. */
  private readonly depthUnits: number;
  private windowNs = 0;
  private capacity = 0;
  private leastCapacity = 0;
  private mostReserved = 0;
  private granted = 0;

  constructor(options: { readonly largest: number; readonly depthUnits: number }) {
    this.largest = options.largest;
    this.depthUnits = options.depthUnits;
  }

  get members(): IterableIterator<number> {
    return this.clients.keys();
  }

  has(client: number): boolean {
    return this.clients.has(client);
  }

  waitingOf(client: number): number {
    return this.clients.get(client)!.waiting.length;
  }

  /** Units per second of the device from now on. */
  pace(capacity: number): void {
    this.capacity = capacity;
    this.leastCapacity = Math.min(this.leastCapacity, capacity);
  }

  join(client: number, share: Required<Share>, nowNs: number): void {
    this.clients.set(client, {
      share,
      limit: new Bucket(share.limit, share.limitBurst, nowNs),
      reservation: new Bucket(share.reservation, share.reservationBurst, nowNs),
      waiting: [],
      units: 0,
      isSteady: false,
      sureNs: 0,
      sureUnits: 0,
      lateUnits: 0,
    });
    this.grant(share);
  }

  change(client: number, share: Required<Share>, nowNs: number): void {
    const audited = this.clients.get(client)!;
    audited.share = share;
    audited.limit.change(share.limit, share.limitBurst, nowNs);
    audited.reservation.change(share.reservation, share.reservationBurst, nowNs);
    audited.isSteady = false;
    this.grant(share);
  }

  leave(client: number): void {
    this.clients.delete(client);
  }

  arrive(client: number, request: number, cost: number): void {
    this.costs.set(request, cost);
    this.clients.get(client)!.waiting.push(request);
    this.waitingCount++;
  }

  /** A request was handed to the device. */
  serve(client: number, request: number, isReserved: boolean, nowNs: number): string | null {
    const audited = this.clients.get(client);
    if (audited === undefined) return `client ${client} is served, which is not there`;
    const head = audited.waiting.shift();
    if (head !== request) return `request ${request} is served where ${head} is next`;
    this.waitingCount--;
    const cost = this.costs.get(request)!;
    const { share, limit, reservation } = audited;
    audited.units += cost;
    if (audited.waiting.length === 0) audited.isSteady = false;
    if (share.limit < Number.POSITIVE_INFINITY) {
      const level = limit.levelAt(nowNs);
      if (level > share.limitBurst + slack) {
        return `client ${client} is served ${level} above its limit; ${share.limitBurst} may be`;
      }
      limit.pour(cost, nowNs);
    }
    if (!isReserved) return null;
    if (share.reservation === 0) return `client ${client} has no reservation and is served by it`;
    const level = reservation.levelAt(nowNs);
    if (level > share.reservationBurst + slack) {
      return `client ${client} is served ${level} above its reservation`;
    }
    reservation.pour(cost, nowNs);
    return null;
  }

  /** Nothing was served although the device has room. @param wakeNs  when it says to ask again */
  idle(nowNs: number, wakeNs: number): string | null {
    let firstNs = Number.POSITIVE_INFINITY;
    for (const [client, { share, limit, waiting }] of this.clients) {
      if (waiting.length === 0) continue;
      const over = limit.levelAt(nowNs) - share.limitBurst;
      if (share.limit === Number.POSITIVE_INFINITY || over < -slack) {
        return `client ${client} waits within its limit for a device that is free`;
      }
      firstNs = Math.min(firstNs, nowNs + (Math.max(0, over) / share.limit) * 1e9);
    }
    if (firstNs === Number.POSITIVE_INFINITY) return null;
    const isRight = wakeNs > nowNs && wakeNs <= firstNs + (slack / 100) * 1e9;
    return isRight ? null : `asked to come back at ${wakeNs}, now is ${nowNs}, due ${firstNs}`;
  }

  /** The books of the window that ends now, and a new window. */
  window(nowNs: number): string | null {
    const violation = this.checkWeights() ?? this.checkReservations(nowNs);
    this.windowNs = nowNs;
    this.leastCapacity = this.capacity;
    this.mostReserved = this.reserved();
    this.granted = 0;
    for (const audited of this.clients.values()) {
      audited.units = 0;
      audited.isSteady = audited.waiting.length > 0;
      this.granted += audited.share.reservation > 0 ? audited.share.reservationBurst : 0;
    }
    return violation;
  }

  /** Two clients that have nothing but weights, and always something to do, stay together. */
  private checkWeights(): string | null {
    let least = Number.POSITIVE_INFINITY;
    let most = 0;
    for (const { share, units, isSteady } of this.clients.values()) {
      const isPlain = share.reservation === 0 && share.limit === Number.POSITIVE_INFINITY;
      if (!isPlain || !isSteady) continue;
      const own = this.largest / share.weight;
      least = Math.min(least, units / share.weight + own);
      most = Math.max(most, units / share.weight - own);
    }
    if (most <= least + slack) return null;
    return `by weight one client got ${most} at least, another ${least} at most`;
  }

  /**
   * Reservations whose sum the device can keep are kept: what comes by right is at most what the
   * bursts and the requests under way make of it late, and nothing is lost as long as the client's
   * own burst covers that.
   */
  private checkReservations(nowNs: number): string | null {
    const isRoomy = this.mostReserved <= 0.8 * this.leastCapacity;
    const spanNs = nowNs - this.windowNs;
    const underWay = this.clients.size * this.largest + this.depthUnits;
    for (const [client, audited] of this.clients) {
      const { share, units, isSteady } = audited;
      const lateNs = ((this.granted + underWay) / this.leastCapacity) * 1e9;
      const isCovered = (share.reservation * lateNs) / 1e9 <= share.reservationBurst;
      if (!isRoomy || !isSteady || share.reservation === 0 || !isCovered) {
        audited.sureNs = 0;
        audited.sureUnits = 0;
        audited.lateUnits = 0;
        continue;
      }
      audited.sureNs += spanNs;
      audited.sureUnits += units;
      audited.lateUnits = Math.max(audited.lateUnits, (share.reservation * lateNs) / 1e9);
      const due = (share.reservation * audited.sureNs) / 1e9 - audited.lateUnits - this.largest;
      this.sureWindows++;
      if (audited.sureUnits >= due - slack) continue;
      return (
        `client ${client} reserved ${share.reservation} units per second and got ` +
        `${audited.sureUnits} in ${audited.sureNs / 1e6} ms; ${due} were due`
      );
    }
    return null;
  }

  private grant(share: Share): void {
    if (share.reservation === 0) return;
    this.granted += share.reservationBurst ?? 0;
    this.mostReserved = Math.max(this.mostReserved, this.reserved());
  }

  private reserved(): number {
    let sum = 0;
    for (const { share } of this.clients.values()) sum += share.reservation;
    return sum;
  }
}
