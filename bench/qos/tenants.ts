import type { BlockDevice } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest } from '../../sdk/block/request.js';
import type { Clock, DmaRegion } from '../../sdk/device.js';
import { Histogram } from '../../sdk/observe/histogram.js';
import { Prng } from '../../sim/prng.js';
import type { Policy } from './model.js';

/** When a tenant wants something: always so much, or at times of its own. */
export type Pace =
  | { readonly kind: 'closed'; readonly depth: number }
  | { readonly kind: 'poisson'; readonly rate: number }
  | { readonly kind: 'steady'; readonly rate: number }
  | { readonly kind: 'bursts'; readonly rate: number; readonly burst: number };

export interface TenantOptions {
  readonly pace: Pace;
  readonly op: BlockOp;
  readonly bytes: number;
  /** What its requests cost a policy of the host. */
  readonly units: number;
  readonly seed: number;
}

/** Requests that an open tenant has room for; what comes beyond that waits in its own line. */
const openRoom = 4096;
const never = Number.POSITIVE_INFINITY;

/** One user of a volume: what it asked for and what it got, per slot of time. */
export class Tenant {
  readonly latency = new Histogram();
  /** Latencies by the slot in which they ended; kept of the first tenant alone. */
  readonly perSlot: readonly Histogram[];
  readonly came: Float64Array;
  readonly served: Float64Array;
  readonly units: number;
  writtenBytes = 0;
  isRecording = false;
  private readonly device: BlockDevice;
  private readonly options: TenantOptions;
  private readonly prng: Prng;
  private readonly region: DmaRegion;
  private readonly free: BlockRequest[] = [];
  private readonly wanted: number[] = [];
  private nextNs: number;

  /** @param slots  of `slotNs` from `startNs` on */
  constructor(device: BlockDevice, options: TenantOptions, slots: TenantSlots) {
    const { pace } = options;
    this.device = device;
    this.options = options;
    this.units = options.units;
    this.slots = slots;
    const kept = options.seed === 1 ? slots.count : 0;
    this.perSlot = Array.from({ length: kept }, () => new Histogram());
    this.came = new Float64Array(slots.count);
    this.served = new Float64Array(slots.count);
    this.prng = new Prng(options.seed, 'tenant');
    this.region = device.memory.allocate(options.bytes);
    const room = pace.kind === 'closed' ? pace.depth : openRoom;
    for (let i = 0; i < room; i++) {
      const request = new BlockRequest((one) => this.ended(one));
      request.op = options.op;
      request.blockCount = options.bytes / device.blockBytes;
      if (options.op !== BlockOp.discard) request.setData(this.region, 0, options.bytes);
      this.free.push(request);
    }
    this.nextNs = device.clock.nowNs() + (pace.kind === 'closed' ? 0 : this.gapNs());
  }

  private readonly slots: TenantSlots;

  /** When it wants something by itself. */
  get wantsNs(): number {
    return this.options.pace.kind === 'closed' ? never : this.nextNs;
  }

  /** Send what is due. */
  work(send: (request: BlockRequest) => void): void {
    const nowNs = this.device.clock.nowNs();
    const { pace } = this.options;
    if (pace.kind === 'closed') {
      for (let i = this.free.length; i > 0; i--) this.send(nowNs, send);
      return;
    }
    while (this.nextNs <= nowNs) {
      const count = pace.kind === 'bursts' ? pace.burst : 1;
      for (let i = 0; i < count; i++) this.wanted.push(this.nextNs);
      this.nextNs += this.gapNs();
    }
    while (this.wanted.length > 0 && this.free.length > 0) this.send(this.wanted.shift()!, send);
  }

  private gapNs(): number {
    const { pace } = this.options;
    if (pace.kind === 'closed') return never;
    if (pace.kind === 'steady') return Math.round(1e9 / pace.rate);
    if (pace.kind === 'bursts') return Math.round((pace.burst * 1e9) / pace.rate);
    return Math.max(1, Math.round((-Math.log(1 - this.prng.unit()) * 1e9) / pace.rate));
  }

  private send(cameNs: number, send: (request: BlockRequest) => void): void {
    const request = this.free.pop()!;
    const places = Math.floor(this.device.blockCount / request.blockCount);
    request.lba = this.prng.below(places) * request.blockCount;
    request.tag = cameNs;
    this.count(this.came, cameNs);
    send(request);
  }

  private ended(request: BlockRequest): void {
    if (request.status !== 0) throw new Error(`a request ended with status ${request.status}`);
    const nowNs = this.device.clock.nowNs();
    if (request.op === BlockOp.write) this.writtenBytes += this.options.bytes;
    if (this.isRecording) this.latency.record(nowNs - request.tag);
    const slot = Math.floor((nowNs - this.slots.startNs) / this.slots.slotNs);
    if (slot >= 0) this.perSlot[slot]?.record(nowNs - request.tag);
    this.count(this.served, nowNs);
    this.free.push(request);
  }

  private count(into: Float64Array, atNs: number): void {
    const slot = Math.floor((atNs - this.slots.startNs) / this.slots.slotNs);
    if (slot >= 0 && slot < into.length) into[slot]! += this.units;
  }
}

export interface TenantSlots {
  readonly startNs: number;
  readonly slotNs: number;
  readonly count: number;
}

/** Where tenants' requests go: straight to their devices, or through a policy of the host. */
export interface Way {
  send(client: number, request: BlockRequest): void;
  /** @returns when it wants to be asked again by itself */
  pump(): number;
}

export class Straight implements Way {
  private readonly devices: readonly BlockDevice[];

  constructor(devices: readonly BlockDevice[]) {
    this.devices = devices;
  }

  send(client: number, request: BlockRequest): void {
    this.devices[client]!.submit(request);
  }

  pump(): number {
    return never;
  }
}

/** A policy on the host, in front of a device that takes so many units at one time. */
export class ByPolicy implements Way {
  private readonly devices: readonly BlockDevice[];
  private readonly policy: Policy;
  private readonly depthUnits: number;
  private readonly units: readonly number[];
  private readonly requests: BlockRequest[] = [];
  private readonly clients: number[] = [];
  private readonly free: number[] = [];
  private inFlight = 0;
  private waiting = 0;

  constructor(
    devices: readonly BlockDevice[],
    how: {
      readonly policy: Policy;
      readonly depthUnits: number;
      readonly units: readonly number[];
    },
  ) {
    this.devices = devices;
    this.policy = how.policy;
    this.depthUnits = how.depthUnits;
    this.units = how.units;
  }

  send(client: number, request: BlockRequest): void {
    const id = this.free.pop() ?? this.requests.length;
    this.requests[id] = request;
    this.clients[id] = client;
    this.waiting++;
    this.policy.push(client, id, this.units[client]!, this.devices[client]!.clock.nowNs(), 1);
  }

  pump(): number {
    const { clock } = this.devices[0]!;
    while (this.waiting > 0 && this.inFlight < this.depthUnits) {
      const id = this.policy.pull(clock.nowNs());
      if (id === -1) return Math.max(this.policy.wakeNs, clock.nowNs() + 1);
      const request = this.requests[id]!;
      const client = this.clients[id]!;
      this.waiting--;
      this.inFlight += this.units[client]!;
      const { done } = request;
      request.done = (one) => {
        one.done = done;
        this.inFlight -= this.units[client]!;
        this.free.push(id);
        done(one);
      };
      this.devices[client]!.submit(request);
    }
    return never;
  }
}

/** Let tenants work until a time. */
export function runTenants(
  parts: {
    readonly tenants: readonly Tenant[];
    readonly way: Way;
    readonly polled: readonly BlockDevice[];
    readonly clock: Clock;
  },
  untilNs: number,
): void {
  const { tenants, way, polled, clock } = parts;
  const sends = tenants.map((_, client) => (request: BlockRequest) => way.send(client, request));
  while (clock.nowNs() < untilNs) {
    let wakeNs = untilNs;
    for (let client = 0; client < tenants.length; client++) {
      const tenant = tenants[client]!;
      tenant.work(sends[client]!);
      wakeNs = Math.min(wakeNs, tenant.wantsNs);
    }
    wakeNs = Math.min(wakeNs, way.pump());
    let seen = 0;
    for (const device of polled) seen += device.poll();
    if (seen === 0) clock.idle(wakeNs);
  }
}
