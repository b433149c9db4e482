import { Histogram } from '../../sdk/observe/histogram.js';
import { TestPrng } from '../../sdk/testing/prng.js';

/** Who is served next, as the model asks it. */
export interface Policy {
  /** @param cost  of each piece of the request */
  push(client: number, request: number, cost: number, nowNs: number, pieces: number): void;
  /** @returns the request, or -1; `wakeNs` then says when to ask again */
  pull(nowNs: number): number;
  readonly wakeNs: number;
  /** Requests that cost more go to the device in pieces of it; never when left out. */
  readonly pieceUnits?: number;
}

export interface Client {
  /** Requests per second that arrive whatever happens, as a Poisson stream; else `depth` counts. */
  readonly ratePerSecond?: number;
  /** Requests that are always there: each that ends is followed by another. */
  readonly depth?: number;
  /** Units of the client's n-th request; 1 when left out. */
  readonly cost?: (count: number) => number;
  /** Only works from then on; from the start when left out. */
  readonly fromNs?: number;
}

export interface Device {
  readonly workers: number;
  /** One worker's time for one unit, at a time of the run. */
  readonly unitNs: (nowNs: number) => number;
  /** Spread of a service time, part of it up and down. */
  readonly spread: number;
}

/** Eight workers of 80 µs, 30 % up and down: 100,000 units per second; p99 alone is 103.5 µs. */
export const probeDevice: Device = { workers: 8, unitNs: () => 80_000, spread: 0.3 };

export interface Service {
  readonly atNs: number;
  readonly units: number;
}

export interface ClientResult {
  readonly latency: Histogram;
  /** When each of its requests was handed to the device. */
  readonly services: readonly Service[];
  readonly arrivals: readonly number[];
}

export interface RunOptions {
  readonly device: Device;
  readonly untilNs: number;
  readonly seed: number;
  /** At the end everything that waits is taken out of the policy, to be counted. */
  readonly drains?: boolean;
  /** What happens in between, by rising time. */
  readonly events?: readonly { readonly atNs: number; readonly act: () => void }[];
}

export interface RunResult {
  readonly clients: readonly ClientResult[];
  /** Part of the workers' time that was used. */
  readonly used: number;
  /** Requests that came, and those of them that ended, are worked on, or come out of the policy. */
  readonly came: number;
  readonly accounted: number;
}

const requestCount = 1 << 18;

/** Clients, a policy and a device in virtual time: the same seed gives the same run. */
export function runModel(
  policy: Policy,
  clients: readonly Client[],
  options: RunOptions,
): RunResult {
  return new Run(policy, clients, options).run();
}

class Run {
  private nowNs = 0;
  private came = 0;
  private served = 0;
  /** Pieces that were not handed to the device. */
  private unpulled = 0;
  private usedNs = 0;
  private readonly prng: TestPrng;
  private readonly free: number[] = [];
  private readonly owner = new Int32Array(requestCount);
  private readonly cost = new Float64Array(requestCount);
  private readonly cameNs = new Float64Array(requestCount);
  /** Pieces that have not ended. */
  private readonly pieces = new Int32Array(requestCount);
  /** End of what each worker works on, Infinity for nothing, and its request. */
  private readonly endNs: Float64Array;
  private readonly busyWith: Int32Array;
  private readonly nextArrival: Float64Array;
  private readonly counts: number[];
  private readonly results: { latency: Histogram; services: Service[]; arrivals: number[] }[];
  private readonly policy: Policy;
  private readonly clients: readonly Client[];
  private readonly options: RunOptions;

  constructor(policy: Policy, clients: readonly Client[], options: RunOptions) {
    this.policy = policy;
    this.clients = clients;
    this.options = options;
    this.prng = new TestPrng(options.seed);
    for (let request = requestCount - 1; request >= 0; request--) this.free.push(request);
    this.endNs = new Float64Array(options.device.workers).fill(Number.POSITIVE_INFINITY);
    this.busyWith = new Int32Array(options.device.workers);
    this.counts = clients.map(() => 0);
    this.results = clients.map(() => ({ latency: new Histogram(), services: [], arrivals: [] }));
    this.nextArrival = Float64Array.from(clients, (client) => client.fromNs ?? 0);
  }

  run(): RunResult {
    const { untilNs } = this.options;
    const events = [...(this.options.events ?? [])];
    for (;;) {
      const eventNs = events[0]?.atNs ?? Number.POSITIVE_INFINITY;
      const nextNs = Math.min(this.earliest(), eventNs);
      if (nextNs > untilNs) break;
      this.nowNs = nextNs;
      if (eventNs <= nextNs) events.shift()!.act();
      this.end();
      this.arrive();
      this.dispatch();
    }
    const capacityNs = untilNs * this.options.device.workers;
    const accounted =
      this.served + this.inService() + (this.options.drains === true ? this.drain() : 0);
    return {
      clients: this.results,
      used: this.usedNs / capacityNs,
      came: this.came,
      accounted,
    };
  }

  /** Take out what waits, however late. @returns requests, each once */
  private drain(): number {
    const drained = new Set<number>();
    for (let idle = 0; idle < 2; ) {
      const request = this.policy.pull(this.nowNs);
      if (request === -1) {
        idle++;
        if (this.policy.wakeNs < Number.POSITIVE_INFINITY) this.nowNs = this.policy.wakeNs;
      } else {
        idle = 0;
        drained.add(request);
      }
    }
    return drained.size;
  }

  private inService(): number {
    return this.endNs.reduce((sum, at) => sum + (at < Number.POSITIVE_INFINITY ? 1 : 0), 0);
  }

  private earliest(): number {
    let least = this.unpulled > 0 ? Math.max(this.policy.wakeNs, this.nowNs) : Infinity;
    if (this.inService() === this.endNs.length) least = Number.POSITIVE_INFINITY;
    for (const at of this.endNs) least = Math.min(least, at);
    for (const at of this.nextArrival) least = Math.min(least, at);
    return least;
  }

  private end(): void {
    for (let worker = 0; worker < this.endNs.length; worker++) {
      if (this.endNs[worker]! > this.nowNs) continue;
      const request = this.busyWith[worker]!;
      const client = this.owner[request]!;
      this.endNs[worker] = Number.POSITIVE_INFINITY;
      if (--this.pieces[request]! > 0) continue;
      this.results[client]!.latency.record(this.nowNs - this.cameNs[request]!);
      this.served++;
      this.free.push(request);
      if (this.clients[client]!.depth !== undefined) this.bring(client);
    }
  }

  private arrive(): void {
    for (let client = 0; client < this.clients.length; client++) {
      if (this.nextArrival[client]! > this.nowNs) continue;
      const { depth, ratePerSecond } = this.clients[client]!;
      this.nextArrival[client] = Number.POSITIVE_INFINITY;
      for (let i = 0; i < (depth ?? 1); i++) this.bring(client);
      if (ratePerSecond === undefined) continue;
      const gapNs = (-Math.log(1 - this.prng.fraction()) * 1e9) / ratePerSecond;
      this.nextArrival[client] = this.nowNs + Math.max(1, Math.round(gapNs));
    }
  }

  private bring(client: number): void {
    const request = this.free.pop();
    if (request === undefined) throw new Error('more requests wait than the model has');
    const cost = this.clients[client]!.cost?.(this.counts[client]!++) ?? 1;
    const pieces = Math.max(1, Math.ceil(cost / (this.policy.pieceUnits ?? cost)));
    this.owner[request] = client;
    this.cost[request] = cost / pieces;
    this.pieces[request] = pieces;
    this.unpulled += pieces;
    this.cameNs[request] = this.nowNs;
    this.results[client]!.arrivals.push(this.nowNs);
    this.came++;
    this.policy.push(client, request, cost / pieces, this.nowNs, pieces);
  }

  private dispatch(): void {
    const { device } = this.options;
    for (let worker = 0; worker < this.endNs.length; worker++) {
      if (this.endNs[worker]! < Number.POSITIVE_INFINITY) continue;
      const request = this.policy.pull(this.nowNs);
      if (request === -1) return;
      const cost = this.cost[request]!;
      const part = 1 + device.spread * (2 * this.prng.fraction() - 1);
      const ns = Math.round(device.unitNs(this.nowNs) * cost * part);
      this.unpulled--;
      this.usedNs += ns;
      this.busyWith[worker] = request;
      this.endNs[worker] = this.nowNs + ns;
      this.results[this.owner[request]!]!.services.push({ atNs: this.nowNs, units: cost });
    }
  }
}

/** Units that were handed to the device in a span. */
export function unitsIn(result: ClientResult, fromNs: number, untilNs: number): number {
  let units = 0;
  for (const { atNs, units: cost } of result.services) {
    if (atNs >= fromNs && atNs < untilNs) units += cost;
  }
  return units;
}

/** Units in each of the windows of a span. */
export function windows(
  result: ClientResult,
  span: { readonly fromNs: number; readonly untilNs: number; readonly windowNs: number },
): number[] {
  const sums = new Array<number>(Math.floor((span.untilNs - span.fromNs) / span.windowNs)).fill(0);
  for (const { atNs, units } of result.services) {
    const index = Math.floor((atNs - span.fromNs) / span.windowNs);
    if (index >= 0 && index < sums.length) sums[index]! += units;
  }
  return sums;
}

/** Jain's index of fairness: 1 for equal shares. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return (sum * sum) / (shares.length * squares);
}
