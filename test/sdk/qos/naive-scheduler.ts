import type { Share } from '../../../sdk/qos/scheduler.js';

interface Client {
  share: Required<Share>;
  reservationClock: number;
  limitClock: number;
  start: number;
  readonly waiting: { readonly request: number; readonly cost: number }[];
}

export interface Choice {
  readonly isReserved: boolean;
  /** Clients that the rules allow to be served now: more than one when they stand equal. */
  readonly clients: readonly number[];
}

/** Times that differ by rounding alone are equal. */
const slackNs = 1e-3;

/**
 * The rules of the scheduler as they are written, over a plain list and by linear search. Shares
 * are per second, times in nanoseconds.
 */
export class NaiveScheduler {
  readonly clients = new Map<number, Client>();
  private virtual = 0;

  add(id: number, share: Required<Share>, nowNs: number): void {
    this.clients.set(id, {
      share,
      reservationClock: nowNs - (share.reservationBurst * 1e9) / share.reservation,
      limitClock: nowNs - (share.limitBurst * 1e9) / share.limit,
      start: this.virtual,
      waiting: [],
    });
  }

  change(id: number, share: Required<Share>, nowNs: number): void {
    const client = this.of(id);
    const old = client.share;
    const rescaled = (clock: number, from: number, to: number): number => {
      const isRate = (rate: number) => rate > 0 && rate < Number.POSITIVE_INFINITY;
      return isRate(from) && isRate(to) ? nowNs + ((clock - nowNs) * from) / to : nowNs;
    };
    const kept = (clock: number, burst: number, rate: number): number =>
      Math.max(clock, nowNs - (burst * 1e9) / rate);
    const reserved = kept(client.reservationClock, old.reservationBurst, old.reservation);
    client.reservationClock = rescaled(reserved, old.reservation, share.reservation);
    const limited = kept(client.limitClock, old.limitBurst, old.limit);
    client.limitClock = rescaled(limited, old.limit, share.limit);
    const isFreed = old.reservation > 0 && share.reservation === 0;
    const lead = isFreed ? 0 : Math.max(0, client.start - this.virtual);
    const ahead = (lead * old.weight) / share.weight;
    client.start = this.virtual + Math.min(ahead, leadOf(share));
    client.share = share;
  }

  push(id: number, request: number, cost: number, nowNs: number): void {
    const client = this.of(id);
    client.waiting.push({ request, cost });
    if (client.waiting.length > 1) return;
    const { reservation, reservationBurst } = client.share;
    if (reservation > 0) {
      const credit = (reservationBurst * 1e9) / reservation;
      client.reservationClock = Math.max(client.reservationClock, nowNs - credit);
    }
    client.start = Math.max(client.start, this.virtual);
  }

  /** What may be served now, null for nothing. Moves virtual time, takes nothing out. */
  choose(nowNs: number): Choice | null {
    const allowed = [...this.clients].filter(
      ([, client]) => client.waiting.length > 0 && client.limitClock <= nowNs,
    );
    if (allowed.length === 0) return null;
    for (const [, client] of allowed) client.start = Math.max(client.start, this.virtual);
    const least = Math.min(...allowed.map(([, client]) => client.start));
    this.virtual = Math.max(this.virtual, least);
    const reserved = allowed.filter(
      ([, { share, reservationClock }]) => share.reservation > 0 && reservationClock <= nowNs,
    );
    if (reserved.length === 0) {
      return {
        isReserved: false,
        clients: allowed.filter(([, one]) => one.start <= least + slackNs).map(([id]) => id),
      };
    }
    const oldest = Math.min(...reserved.map(([, client]) => client.reservationClock));
    const first = reserved.filter(([, one]) => one.reservationClock <= oldest + slackNs);
    return { isReserved: true, clients: first.map(([id]) => id) };
  }

  /** Serve the head of a client. @returns its request */
  serve(id: number, isReserved: boolean, nowNs: number): number {
    const client = this.of(id);
    const { request, cost } = client.waiting.shift()!;
    const { share } = client;
    const weighted = cost / share.weight;
    client.start = Math.max(client.start, this.virtual) + weighted;
    client.start = Math.min(client.start, this.virtual + weighted + leadOf(share));
    if (share.limit < Number.POSITIVE_INFINITY) {
      const earliest = nowNs - (share.limitBurst * 1e9) / share.limit;
      client.limitClock = Math.max(client.limitClock, earliest) + (cost * 1e9) / share.limit;
    }
    if (isReserved) {
      const earliest = nowNs - (share.reservationBurst * 1e9) / share.reservation;
      const clock = Math.max(client.reservationClock, earliest);
      client.reservationClock = clock + (cost * 1e9) / share.reservation;
    }
    return request;
  }

  /** When the first client that is over its limit may be served. */
  wakeNs(): number {
    const waiting = [...this.clients.values()].filter((client) => client.waiting.length > 0);
    return Math.min(Number.POSITIVE_INFINITY, ...waiting.map((client) => client.limitClock));
  }

  private of(id: number): Client {
    const client = this.clients.get(id);
    if (client === undefined) throw new Error(`no client ${id}`);
    return client;
  }
}

function leadOf(share: Required<Share>): number {
  return share.reservation > 0
    ? (share.reservation * 0.05) / share.weight
    : Number.POSITIVE_INFINITY;
}
