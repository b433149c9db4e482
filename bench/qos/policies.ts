import { Scheduler, type Share } from '../../sdk/qos/scheduler.js';
import type { Policy } from './model.js';

const never = Number.POSITIVE_INFINITY;

/** The scheduler of the package. */
export class OurPolicy implements Policy {
  readonly scheduler: Scheduler;
  readonly pieceUnits: number;

  constructor(shares: readonly Share[], pieceUnits = never) {
    this.pieceUnits = pieceUnits;
    this.scheduler = new Scheduler({ clientCount: shares.length, requestCount: 1 << 18 });
    for (const [client, share] of shares.entries()) this.scheduler.add(client, share, 0);
  }

  get wakeNs(): number {
    return this.scheduler.wakeNs;
  }

  push(client: number, request: number, cost: number, nowNs: number, pieces: number): void {
    this.scheduler.push(client, request, cost, nowNs, pieces);
  }

  pull(nowNs: number): number {
    return this.scheduler.pull(nowNs) ? this.scheduler.request : -1;
  }
}

/** In order of arrival: what a device without a scheduler does. */
export class FifoPolicy implements Policy {
  readonly wakeNs = never;
  private readonly waiting = new Fifo();

  push(_client: number, request: number): void {
    this.waiting.push(request);
  }

  pull(): number {
    return this.waiting.shift();
  }
}

/**
 * NVMe's weighted round robin: a queue per client in a class of a weight; the classes take turns by
 * weight, the queues of a class one by one, and queues of the urgent class come before all of them
 * [NVMe-2.0 §3.4.4 AMS].
 */
export class WeightedRoundRobinPolicy implements Policy {
  readonly wakeNs = never;
  private readonly queues: Fifo[];
  private readonly classes: { readonly weight: number; readonly members: number[]; next: number }[];
  private at = 0;
  private left = 0;
  private readonly urgent: readonly number[];

  /**
   * @param weights  the class of each client, by its weight
   * @param urgent   clients of the urgent class, whatever their weight; the first one goes first
   */
  constructor(weights: readonly number[], urgent: readonly number[] = []) {
    this.urgent = urgent;
    this.queues = weights.map(() => new Fifo());
    const distinct = [...new Set(weights)].sort((a, b) => b - a);
    this.classes = distinct.map((weight) => ({
      weight,
      members: weights.flatMap((own, client) => (own === weight ? [client] : [])),
      next: 0,
    }));
  }

  push(client: number, request: number): void {
    this.queues[client]!.push(request);
  }

  pull(): number {
    for (const client of this.urgent) {
      const request = this.queues[client]!.shift();
      if (request !== -1) return request;
    }
    for (let turn = 0; turn <= this.classes.length; turn++) {
      const found = this.left > 0 ? this.fromClass() : -1;
      if (found !== -1) {
        this.left--;
        return found;
      }
      this.at = (this.at + 1) % this.classes.length;
      this.left = this.classes[this.at]!.weight;
    }
    return -1;
  }

  private fromClass(): number {
    const own = this.classes[this.at]!;
    for (let i = 0; i < own.members.length; i++) {
      const request = this.queues[own.members[own.next]!]!.shift();
      own.next = (own.next + 1) % own.members.length;
      if (request !== -1) return request;
    }
    return -1;
  }
}

/**
 * A token bucket per client, filled every millisecond, an overrun paid back from the next slice; in
 * order of arrival among those who have tokens: a limiter, without minimum or weights.
 */
export class TokenBucketPolicy implements Policy {
  wakeNs = never;
  private sliceNs = 0;
  private readonly limits: readonly number[];
  private readonly tokens: number[];
  private readonly queues: Fifo[];
  private readonly costs = new Map<number, number>();
  private next = 0;

  /** @param limits  units per second of each client, Infinity for none */
  constructor(limits: readonly number[]) {
    this.limits = limits;
    this.tokens = limits.map((limit) => limit / 1000);
    this.queues = limits.map(() => new Fifo());
  }

  push(client: number, request: number, cost: number): void {
    this.queues[client]!.push(request);
    this.costs.set(request, cost);
  }

  pull(nowNs: number): number {
    for (; nowNs >= this.sliceNs + 1e6; this.sliceNs += 1e6) this.refill();
    for (let i = 0; i < this.queues.length; i++) {
      const client = this.next;
      this.next = (this.next + 1) % this.queues.length;
      if (this.tokens[client]! <= 0) continue;
      const request = this.queues[client]!.shift();
      if (request === -1) continue;
      this.tokens[client]! -= this.costs.get(request)!;
      return request;
    }
    this.wakeNs = this.sliceNs + 1e6;
    return -1;
  }

  private refill(): void {
    for (const [client, limit] of this.limits.entries()) {
      this.tokens[client] = Math.min(this.tokens[client]!, 0) + limit / 1000;
    }
  }
}

/**
 * mClock as it is printed: three tags per request, set when it becomes its client's head and not
 * below now; every request costs the same; no credit (Gulati and others, OSDI 2010).
 */
export class TextbookPolicy implements Policy {
  wakeNs = never;
  private readonly shares: readonly Share[];
  private readonly queues: Fifo[];
  private readonly tags: { r: number; p: number; l: number }[];

  constructor(shares: readonly Share[]) {
    this.shares = shares;
    this.queues = shares.map(() => new Fifo());
    this.tags = shares.map(() => ({ r: 0, p: 0, l: 0 }));
  }

  push(client: number, request: number, _cost: number, nowNs: number): void {
    const queue = this.queues[client]!;
    queue.push(request);
    if (queue.length > 1) return;
    // A client that wakes starts where the least of the others is.
    const others = this.tags.filter(
      (_, other) => other !== client && this.queues[other]!.length > 0,
    );
    const least = others.length === 0 ? nowNs : Math.min(...others.map((tag) => tag.p));
    this.tags[client]!.p = Math.max(this.tags[client]!.p, least);
    this.tagHead(client, nowNs);
  }

  pull(nowNs: number): number {
    let best = -1;
    let isReserved = false;
    for (const [client, tag] of this.tags.entries()) {
      if (this.queues[client]!.length === 0) continue;
      if (tag.r <= nowNs) {
        if (!isReserved || tag.r < this.tags[best]!.r) best = client;
        isReserved = true;
      } else if (!isReserved && tag.l <= nowNs) {
        if (best === -1 || tag.p < this.tags[best]!.p) best = client;
      }
    }
    if (best === -1) {
      const waiting = this.tags.filter((_, client) => this.queues[client]!.length > 0);
      this.wakeNs = Math.min(never, ...waiting.map((tag) => Math.min(tag.r, tag.l)));
      return -1;
    }
    const request = this.queues[best]!.shift();
    // What is served by weight does not count against the reservation.
    if (!isReserved) this.tags[best]!.r -= 1e9 / this.shares[best]!.reservation;
    if (this.queues[best]!.length > 0) this.tagHead(best, nowNs);
    return request;
  }

  private tagHead(client: number, nowNs: number): void {
    const { reservation, limit, weight } = this.shares[client]!;
    const tag = this.tags[client]!;
    tag.r = reservation === 0 ? never : Math.max(tag.r + 1e9 / reservation, nowNs);
    tag.l = limit === never ? nowNs : Math.max(tag.l + 1e9 / limit, nowNs);
    tag.p += 1e9 / weight;
  }
}

/** Request numbers, first in first out. */
class Fifo {
  private items: number[] = [];
  private first = 0;

  get length(): number {
    return this.items.length - this.first;
  }

  push(item: number): void {
    this.items.push(item);
  }

  /** @returns -1 when empty */
  shift(): number {
    if (this.length === 0) return -1;
    const item = this.items[this.first++]!;
    if (this.first > 1024 && this.first * 2 > this.items.length) {
      this.items = this.items.slice(this.first);
      this.first = 0;
    }
    return item;
  }
}
