import { assert } from '../assert.js';
import { msNs, secondNs } from '../units.js';
import { ClientHeap } from './client-heap.js';
import { LimitWheel } from './limit-wheel.js';

/**
 * What a client is promised, in cost units: one unit is what a 4 KiB read costs.
 *
 * What always holds, for every span of time d:
 *
 *   reserved service   ≤ reservation × d + reservationBurst + the largest cost
 *   all service        ≤ limit × d + limitBurst + the largest cost
 *   nothing waits for a device that is free, but for clients that are all over their limits
 *   what is left after the reservations is shared by weight, also just after a client came, went or
 *   was changed
 */
export interface Share {
  /** Units per second that the client gets whatever others do; 0 for none. */
  readonly reservation: number;
  /** Units per second that it never exceeds; Infinity for none. At least the reservation. */
  readonly limit: number;
  /** Its part of what is left over, above 0. */
  readonly weight: number;
  /** Units that it may be behind its reservation and catch up at once; at least 1. */
  readonly reservationBurst?: number;
  /** Units that it may save below its limit; at least 1. */
  readonly limitBurst?: number;
}

/** How long a reserved client may run ahead of its weight, as time at its reserved rate. */
const leadNs = 50 * msNs;
/** Time at the reserved rate that a client may be behind; what a burst of a steady client needs. */
const burstNs = 1.6 * msNs;
/** A device that is busy with a large request of somebody else cannot serve for so long. */
const leastBurst = 32;
const nothing = -1;

export interface SchedulerOptions {
  /** Clients are 0..clientCount - 1. */
  readonly clientCount: number;
  /** Requests are 0..requestCount - 1; each waits once at a time. */
  readonly requestCount: number;
}

/**
 * Who is served next: reservations first, by the clock of each; then by weight; nobody above its
 * limit. After mClock (Gulati and others, OSDI 2010), with differences that each mend a flaw:
 *
 * - a request's cost multiplies what it advances its client's clocks by;
 * - clocks advance when a request is served, by its own cost, not when it becomes the head;
 * - who runs above its limit leaves the reservations as well;
 * - virtual time moves in both phases, and a client that wakes starts there, not in its past; a
 *   reserved client runs ahead of it by 50 ms of its reservation at most;
 * - a client may be behind its reservation by some credit, and catches up at once.
 *
 * A client is over its limit as long as its limit clock is ahead of the time. A request costs
 * O(log clients).
 *
 * Nothing is allocated after construction. A number with a fraction, or a large one, may become an
 * object when it goes from one function to another, so that times and costs lie in fields and
 * tables. A data path puts them there itself and calls `enqueue`, `choose` and `pass`; `push`,
 * `pull` and `passes` are the same for everybody else.
 */
export class Scheduler {
  /** What `pull` took: the request, its client, and whether it is served by reservation. */
  request = nothing;
  client = nothing;
  isReserved = false;
  /** What `pull` took is the request's last piece, or all of it. */
  isLast = true;
  /** Requests that wait. */
  waitingCount = 0;
  /** Who has a reservation goes before who has none, also beyond it: the device is too slow. */
  reservedFirst = false;
  /** Of each client, what was served for it since the start. */
  readonly servedUnits: Float64Array;
  /** When to pull again after `pull` returned false; Infinity for not before the next `push`. */
  wakeNs = Number.POSITIVE_INFINITY;

  /** What time it is, and what the request costs that is served. */
  nowNs = 0;
  units = 0;
  /** Units of each request, or of each of its pieces. */
  readonly cost: Float64Array;

  private virtual = 0;
  private readonly clientCount: number;
  private readonly requestCount: number;
  /** Backlogged clients by virtual start; those of them with a reservation by its clock. */
  private readonly byStart: ClientHeap;
  private readonly byReservation: ClientHeap;
  /** Backlogged clients over their limit, until its clock. */
  private readonly forbidden: LimitWheel;

  private readonly reservationClock: Float64Array;
  private readonly limitClock: Float64Array;
  private readonly start: Float64Array;
  /** Nanoseconds per unit, 0 for no reservation or no limit. */
  private readonly reservationStep: Float64Array;
  private readonly limitStep: Float64Array;
  private readonly weightStep: Float64Array;
  /** Nanoseconds that a clock may be behind. */
  private readonly reservationCredit: Float64Array;
  private readonly limitCredit: Float64Array;
  /** Most that `start` may be ahead of virtual time, besides one request; Infinity for no end. */
  private readonly lead: Float64Array;
  private readonly isMember: Uint8Array;
  /** Since when requests of it wait without a break. */
  private readonly waitsSinceNs: Float64Array;
  /** Units of its reservation that came too late even for its credit, while it waited. */
  private readonly lost: Float64Array;

  private readonly head: Int32Array;
  private readonly tail: Int32Array;
  private readonly next: Int32Array;
  /** Pieces of each request that wait. */
  private readonly pieces: Uint32Array;

  constructor(options: SchedulerOptions) {
    const { clientCount, requestCount } = options;
    this.clientCount = clientCount;
    this.requestCount = requestCount;
    this.reservationClock = new Float64Array(clientCount);
    this.limitClock = new Float64Array(clientCount);
    this.start = new Float64Array(clientCount);
    this.byStart = new ClientHeap(this.start);
    this.byReservation = new ClientHeap(this.reservationClock);
    this.forbidden = new LimitWheel(this.limitClock);
    this.reservationStep = new Float64Array(clientCount);
    this.limitStep = new Float64Array(clientCount);
    this.weightStep = new Float64Array(clientCount);
    this.reservationCredit = new Float64Array(clientCount);
    this.limitCredit = new Float64Array(clientCount);
    this.lead = new Float64Array(clientCount);
    this.isMember = new Uint8Array(clientCount);
    this.servedUnits = new Float64Array(clientCount);
    this.waitsSinceNs = new Float64Array(clientCount);
    this.lost = new Float64Array(clientCount);
    this.head = new Int32Array(clientCount).fill(nothing);
    this.tail = new Int32Array(clientCount).fill(nothing);
    this.next = new Int32Array(requestCount).fill(nothing);
    this.cost = new Float64Array(requestCount);
    this.pieces = new Uint32Array(requestCount);
  }

  /**
   * Take a client in. It starts with its full credit.
   *
   * @throws RangeError for a client that is in, or a share that cannot be
   */
  add(client: number, share: Share, nowNs: number): void {
    this.checkClient(client, false);
    checkShare(share);
    this.isMember[client] = 1;
    this.setSteps(client, share);
    this.reservationClock[client] = nowNs - this.reservationCredit[client]!;
    this.limitClock[client] = nowNs - this.limitCredit[client]!;
    this.start[client] = this.virtual;
  }

  /**
   * Give a client another share, now. What waits goes on waiting; what it had in advance or in
   * arrears stays, in units.
   *
   * @throws RangeError, before anything changed
   */
  change(client: number, share: Share, nowNs: number): void {
    this.checkClient(client, true);
    checkShare(share);
    const old = {
      reservation: this.reservationStep[client]!,
      limit: this.limitStep[client]!,
      weight: this.weightStep[client]!,
    };
    this.lost[client] = this.lostUnits(client, nowNs);
    // Idle time beyond its bursts is nothing that it had.
    const reservationClock = Math.max(
      this.reservationClock[client]!,
      nowNs - this.reservationCredit[client]!,
    );
    const limitClock = Math.max(this.limitClock[client]!, nowNs - this.limitCredit[client]!);
    this.setSteps(client, share);
    const rescaled = (clock: number, oldStep: number, step: number): number =>
      oldStep === 0 || step === 0 ? nowNs : nowNs + (clock - nowNs) * (step / oldStep);
    const reservationStep = this.reservationStep[client]!;
    const limitStep = this.limitStep[client]!;
    this.reservationClock[client] = rescaled(reservationClock, old.reservation, reservationStep);
    this.limitClock[client] = rescaled(limitClock, old.limit, limitStep);
    // Reserved service put it ahead of its weight; without a reservation that is forgotten.
    const isFreed = old.reservation > 0 && reservationStep === 0;
    const ahead = isFreed ? 0 : Math.max(0, this.start[client]! - this.virtual);
    const scaledAhead = ahead * (this.weightStep[client]! / old.weight);
    this.start[client] = this.virtual + Math.min(scaledAhead, this.lead[client]!);
    if (this.head[client] === nothing) return;
    this.leaveAll(client);
    this.enter(client);
  }

  /**
   * Let a client go.
   *
   * @throws RangeError while requests of it wait
   */
  remove(client: number): void {
    this.checkClient(client, true);
    if (this.head[client] !== nothing) {
      throw new RangeError(`client ${client} has requests that wait; pull or cancel them first`);
    }
    this.isMember[client] = 0;
  }

  /**
   * A request of a client waits from now on, behind its earlier ones.
   *
   * @param request  0..requestCount - 1, one that does not wait
   * @param cost     units, above 0; of each piece
   * @param pieces   what is pulled one by one, others in between as is their turn
   */
  push(client: number, request: number, cost: number, nowNs: number, pieces = 1): void {
    this.nowNs = nowNs;
    this.cost[request] = cost;
    this.enqueue(client, request, pieces);
  }

  /** The same as `push`, at `nowNs` and with the cost in its place. */
  enqueue(client: number, request: number, pieces: number): void {
    assert(this.isMember[client] === 1, 'a request of a client that is not there');
    assert(request >= 0 && request < this.requestCount, 'a request beyond the table');
    assert(this.cost[request]! > 0, 'a request costs something');
    assert(pieces >= 1, 'a request has a piece');
    this.pieces[request] = pieces;
    this.next[request] = nothing;
    this.waitingCount++;
    const last = this.tail[client]!;
    this.tail[client] = request;
    if (last !== nothing) {
      this.next[last] = request;
      return;
    }
    const { nowNs, reservationClock } = this;
    this.head[client] = request;
    this.waitsSinceNs[client] = nowNs;
    if (this.reservationStep[client]! > 0) {
      const earliest = nowNs - this.reservationCredit[client]!;
      if (reservationClock[client]! < earliest) reservationClock[client] = earliest;
    }
    this.enter(client);
  }

  /**
   * Choose what is served next and take it out into `request`, `client`, `isReserved` and `isLast`.
   *
   * @param onlyReserved  take nothing but what goes by reservation
   * @returns false when nothing waits, or nothing that waits may go until `wakeNs`
   */
  pull(nowNs: number, onlyReserved = false): boolean {
    this.nowNs = nowNs;
    return this.choose(onlyReserved);
  }

  /** The same as `pull`, at `nowNs`. */
  choose(onlyReserved: boolean): boolean {
    const { byStart, byReservation, forbidden, limitClock, nowNs } = this;
    forbidden.nowNs = nowNs;
    for (let at = forbidden.take(); at !== nothing; at = forbidden.take()) this.enter(at);
    let client = byStart.first;
    while (client !== nothing && limitClock[client]! > nowNs) {
      this.forbid(client);
      client = byStart.first;
    }
    if (client === nothing) {
      forbidden.findFirst();
      this.wakeNs = forbidden.firstNs;
      return false;
    }
    if (byStart.firstKey > this.virtual) this.virtual = byStart.firstKey;
    let isReserved = false;
    while (byReservation.firstKey <= nowNs || (this.reservedFirst && byReservation.first >= 0)) {
      const reserved = byReservation.first;
      if (limitClock[reserved]! <= nowNs) {
        client = reserved;
        isReserved = byReservation.firstKey <= nowNs;
        break;
      }
      byReservation.remove(reserved);
      if (byStart.has(reserved)) this.forbid(reserved);
    }
    if (onlyReserved && !isReserved) {
      forbidden.findFirst();
      this.wakeNs = Math.min(byReservation.firstKey, forbidden.firstNs);
      return false;
    }
    this.client = client;
    this.isReserved = isReserved;
    this.serve(client);
    return true;
  }

  /**
   * The same as a push and the pull that takes it out at once, for the usual case of the data path:
   * nobody waits and the client is within its limit.
   *
   * @returns false when that is not so; nothing has changed then
   */
  passes(client: number, cost: number, nowNs: number): boolean {
    this.nowNs = nowNs;
    this.units = cost;
    return this.pass(client);
  }

  /** The same as `passes`, at `nowNs` and for `units`. */
  pass(client: number): boolean {
    const { nowNs } = this;
    if (this.waitingCount > 0 || this.limitClock[client]! > nowNs) return false;
    const from = this.start[client]!;
    if (from > this.virtual) this.virtual = from;
    // Time in which it did not wait is nothing that it lost.
    const credited = nowNs - this.reservationCredit[client]!;
    const clock = Math.max(this.reservationClock[client]!, credited);
    this.reservationClock[client] = clock;
    this.isReserved = this.reservationStep[client]! > 0 && clock <= nowNs;
    this.advance(client);
    return true;
  }

  /** A client takes what nobody may keep from it: it pays by its weight, and within its limit. */
  charge(client: number, cost: number, nowNs: number): void {
    assert(this.isMember[client] === 1, 'a charge to a client that is not there');
    const isWaiting = this.head[client] !== nothing;
    if (isWaiting) this.leaveAll(client);
    this.isReserved = false;
    this.nowNs = nowNs;
    this.units = cost;
    this.advance(client);
    if (isWaiting) this.enter(client);
  }

  /**
   * A request that waits is not wanted any more. It costs nothing. Takes as long as there are
   * requests of the client before it.
   *
   * @returns false when it does not wait
   */
  cancel(client: number, request: number): boolean {
    let before = nothing;
    let at = this.head[client]!;
    while (at !== nothing && at !== request) {
      before = at;
      at = this.next[at]!;
    }
    if (at === nothing) return false;
    const after = this.next[at]!;
    if (before === nothing) this.head[client] = after;
    else this.next[before] = after;
    if (after === nothing) this.tail[client] = before;
    this.waitingCount--;
    if (this.head[client] === nothing) this.leaveAll(client);
    return true;
  }

  /** Requests of a client that wait. */
  waitingOf(client: number): number {
    let count = 0;
    for (let at = this.head[client]!; at !== nothing; at = this.next[at]!) count++;
    return count;
  }

  /** Whether requests of a client have waited ever since a time, one or another. */
  hasWaitedSince(client: number, sinceNs: number): boolean {
    return this.head[client] !== nothing && this.waitsSinceNs[client]! <= sinceNs;
  }

  /** Units that the reservation of a client owed it since the start, and that are lost to it. */
  lostUnits(client: number, nowNs: number): number {
    const lost = this.lost[client]!;
    const step = this.reservationStep[client]!;
    if (step === 0 || this.head[client] === nothing) return lost;
    const earliest = nowNs - this.reservationCredit[client]!;
    return lost + Math.max(0, earliest - this.reservationClock[client]!) / step;
  }

  /** `units` of a client are served: its clocks advance by them. */
  private advance(client: number): void {
    const { start, limitClock, reservationClock, nowNs, units } = this;
    this.servedUnits[client]! += units;
    const weighted = units * this.weightStep[client]!;
    const from = Math.max(start[client]!, this.virtual) + weighted;
    start[client] = Math.min(from, this.virtual + weighted + this.lead[client]!);
    const limitStep = this.limitStep[client]!;
    if (limitStep > 0) {
      const earliest = nowNs - this.limitCredit[client]!;
      limitClock[client] = Math.max(limitClock[client]!, earliest) + units * limitStep;
    }
    if (!this.isReserved) return;
    const step = this.reservationStep[client]!;
    const clock = reservationClock[client]!;
    const earliest = nowNs - this.reservationCredit[client]!;
    if (clock < earliest) this.lost[client]! += (earliest - clock) / step;
    reservationClock[client] = Math.max(clock, earliest) + units * step;
  }

  /** Take the head of a client, or a piece of it. */
  private serve(client: number): void {
    const request = this.head[client]!;
    this.request = request;
    this.units = this.cost[request]!;
    this.advance(client);
    let next = request;
    this.isLast = --this.pieces[request]! === 0;
    if (this.isLast) {
      this.waitingCount--;
      next = this.next[request]!;
      this.head[client] = next;
    }
    if (next === nothing) {
      this.tail[client] = nothing;
      this.byStart.remove(client);
      this.byReservation.remove(client);
      return;
    }
    if (this.limitClock[client]! > this.nowNs) this.forbid(client);
    else this.byStart.move(client);
    if (this.isReserved) this.byReservation.grow(client);
  }

  /** A client has something to be served: it takes part. */
  private enter(client: number): void {
    if (this.start[client]! < this.virtual) this.start[client] = this.virtual;
    this.byStart.insert(client);
    if (this.reservationStep[client]! > 0 && !this.byReservation.has(client)) {
      this.byReservation.insert(client);
    }
  }

  private leaveAll(client: number): void {
    this.byStart.remove(client);
    this.byReservation.remove(client);
    this.forbidden.remove(client);
  }

  /**
   * It is over its limit: it waits for its limit clock. It leaves the reservations only when it
   * comes first there, which it mostly does not before its limit allows it again.
   */
  private forbid(client: number): void {
    this.byStart.remove(client);
    this.forbidden.insert(client);
  }

  private setSteps(client: number, share: Share): void {
    const { reservation, limit, weight } = share;
    const burst =
      share.reservationBurst ?? Math.max(leastBurst, (reservation * burstNs) / secondNs);
    const limitBurst = share.limitBurst ?? Math.max(burst, leastBurst);
    const reservationStep = reservation > 0 ? secondNs / reservation : 0;
    const limitStep = limit < Number.POSITIVE_INFINITY ? secondNs / limit : 0;
    this.reservationStep[client] = reservationStep;
    this.limitStep[client] = limitStep;
    this.weightStep[client] = 1 / weight;
    this.reservationCredit[client] = burst * reservationStep;
    this.limitCredit[client] = limitBurst * limitStep;
    this.lead[client] =
      reservation > 0 ? (reservation * leadNs) / secondNs / weight : Number.POSITIVE_INFINITY;
  }

  private checkClient(client: number, isMember: boolean): void {
    const isClient = Number.isInteger(client) && client >= 0 && client < this.clientCount;
    if (!isClient) {
      throw new RangeError(`client ${client} of a scheduler of 0..${this.clientCount - 1}`);
    }
    if ((this.isMember[client] === 1) === isMember) return;
    throw new RangeError(`client ${client} is ${isMember ? 'not there' : 'already there'}`);
  }
}

/** @throws RangeError that names the value and the limit */
export function checkShare(share: Share): void {
  const { reservation, limit, weight } = share;
  const isRate = (rate: number): boolean => rate > 0 && rate <= 1e9;
  if (!(reservation === 0 || isRate(reservation))) {
    throw new RangeError(`a reservation of ${reservation} units per second: 0, or up to 1e9`);
  }
  if (!(limit === Number.POSITIVE_INFINITY || isRate(limit))) {
    throw new RangeError(`a limit of ${limit} units per second: above 0 up to 1e9, or Infinity`);
  }
  if (reservation > limit) {
    throw new RangeError(`a reservation of ${reservation} above the limit of ${limit}`);
  }
  if (!(weight >= 1e-3 && weight <= 1e6)) {
    throw new RangeError(`a weight of ${weight}: 0.001..1,000,000`);
  }
  for (const burst of [share.reservationBurst, share.limitBurst]) {
    if (burst === undefined || (burst >= 1 && burst <= 1e9)) continue;
    throw new RangeError(`a burst of ${burst} units: 1..1e9`);
  }
}
