import { checkRequest } from '../../sdk/block/check.js';
import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { MemorySpace } from '../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import { CostModel } from '../../sdk/qos/cost.js';
import { type QosDevice, QosGate } from '../../sdk/qos/gate.js';
import { Scheduler, type Share } from '../../sdk/qos/scheduler.js';
import type { QosAudit } from './qos-audit.js';

export const workerCount = 8;
/** Time of a worker for a unit at pace 1. */
export const unitNs = 80_000;
export const requestCount = 1024;
export const depthUnits = 32;
/** What requests can cost: the first is a discard, the others are reads of so many blocks. */
export const costs = [0.25, 1, 2, 4] as const;
const never = Number.POSITIVE_INFINITY;

/** What the storm drives: a scheduler or a gate, with a device of its own below. */
export interface QosTarget {
  join(client: number, share: Share, nowNs: number): void;
  change(client: number, share: Share, nowNs: number): void;
  /** @throws RangeError while requests of it wait */
  leave(client: number): void;
  arrive(client: number, request: number, cost: number, nowNs: number): void;
  pace(factor: number): void;
  /** Everything that happens at this time. @returns what is violated */
  advance(nowNs: number): string | null;
  /** When something happens by itself; Infinity for never. */
  nextNs(): number;
  /** Requests that wait, as the target counts them. */
  readonly waitingCount: number;
  /** Told of each request that ended. */
  onEnd: (request: number) => void;
}

/** Workers that take a time per unit; who they work for is the caller's business. */
class Workers {
  factor = 1;
  busyCount = 0;
  private readonly endNs = new Float64Array(workerCount).fill(never);
  private readonly works = new Int32Array(workerCount);

  get hasRoom(): boolean {
    return this.busyCount < workerCount;
  }

  start(work: number, cost: number, nowNs: number): void {
    const worker = this.endNs.indexOf(never);
    this.endNs[worker] = nowNs + Math.round(unitNs * cost * this.factor);
    this.works[worker] = work;
    this.busyCount++;
  }

  nextNs(): number {
    return Math.min(...this.endNs);
  }

  /** @returns what a worker has done by now, -1 for nothing more */
  take(nowNs: number): number {
    const worker = this.endNs.findIndex((atNs) => atNs <= nowNs);
    if (worker < 0) return -1;
    this.endNs[worker] = never;
    this.busyCount--;
    return this.works[worker]!;
  }
}

export class SchedulerTarget implements QosTarget {
  onEnd: (request: number) => void = () => {};
  private readonly scheduler: Scheduler;
  private readonly workers = new Workers();
  private readonly audit: QosAudit;
  private readonly cost = new Float64Array(requestCount);

  constructor(audit: QosAudit, clientCount: number) {
    this.audit = audit;
    this.scheduler = new Scheduler({ clientCount, requestCount });
  }

  get waitingCount(): number {
    return this.scheduler.waitingCount;
  }

  join(client: number, share: Share, nowNs: number): void {
    this.scheduler.add(client, share, nowNs);
  }

  change(client: number, share: Share, nowNs: number): void {
    this.scheduler.change(client, share, nowNs);
  }

  leave(client: number): void {
    this.scheduler.remove(client);
  }

  arrive(client: number, request: number, cost: number, nowNs: number): void {
    this.cost[request] = cost;
    this.scheduler.push(client, request, cost, nowNs);
  }

  pace(factor: number): void {
    this.workers.factor = factor;
  }

  advance(nowNs: number): string | null {
    const { scheduler, workers, audit } = this;
    for (let done = workers.take(nowNs); done >= 0; done = workers.take(nowNs)) this.onEnd(done);
    while (workers.hasRoom) {
      if (!scheduler.pull(nowNs)) return audit.idle(nowNs, scheduler.wakeNs);
      const { client, request, isReserved } = scheduler;
      const violation = audit.serve(client, request, isReserved, nowNs);
      if (violation !== null) return violation;
      workers.start(request, this.cost[request]!, nowNs);
    }
    return null;
  }

  nextNs(): number {
    const wakeNs = this.workers.hasRoom && this.waitingCount > 0 ? this.scheduler.wakeNs : never;
    return Math.min(this.workers.nextNs(), wakeNs);
  }
}

/** A device of workers and a line before them: what the gate hands over is served in order. */
export class PacedDevice implements BlockDevice {
  readonly blockBytes = 4096;
  readonly blockCount = 1024;
  readonly memory = new MemorySpace();
  readonly workers = new Workers();
  readonly line: BlockRequest[] = [];
  nowNs = 0;
  /** What it was asked to do, before it does it. */
  onSubmit: (request: BlockRequest) => void = () => {};
  readonly clock = { nowNs: () => this.nowNs, idle() {}, turn: async () => {} };
  readonly limits: BlockLimits = {
    maxTransferBytes: 1024 * 1024,
    atomicWriteBlocks: 1,
    maxInFlight: requestCount,
    hasVolatileCache: false,
    canDiscard: true,
    canWriteZeroes: true,
  };
  private readonly requests = new Map<number, BlockRequest>();

  canSubmit(): boolean {
    return true;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    this.onSubmit(request);
    this.line.push(request);
    this.start();
  }

  poll(): number {
    let count = 0;
    for (;;) {
      const done = this.workers.take(this.nowNs);
      if (done < 0) return count;
      count++;
      const request = this.requests.get(done)!;
      this.requests.delete(done);
      this.start();
      request.status = BlockStatus.ok;
      request.done(request);
    }
  }

  private start(): void {
    while (this.workers.hasRoom) {
      const request = this.line.shift();
      if (request === undefined) return;
      this.requests.set(request.tag, request);
      const cost = request.op === BlockOp.discard ? costs[0] : request.blockCount;
      this.workers.start(request.tag, cost, this.nowNs);
    }
  }
}

export class GateTarget implements QosTarget {
  onEnd: (request: number) => void = () => {};
  private readonly device = new PacedDevice();
  private readonly gate: QosGate;
  private readonly audit: QosAudit;
  private readonly opened = new Map<number, { device: QosDevice; reservedUnits: number }>();
  private readonly owners = new Int32Array(requestCount);
  private readonly requests: BlockRequest[];
  /** Never has a request: it stands for the loop that polls. */
  private readonly keeper: QosDevice;
  private inFlightUnits = 0;
  /** Of these, what went by reservation: it has a depth of its own. */
  private reservedInFlight = 0;
  private readonly isReserved = new Uint8Array(requestCount);
  private submitted = 0;
  private arrived = 0;
  private violation: string | null = null;

  constructor(audit: QosAudit, clientCount: number) {
    this.audit = audit;
    const cost = new CostModel({ write: 1, discard: costs[0], flush: 1 });
    const options = { clientCount: clientCount + 1, requestCount, depthUnits, cost };
    this.gate = new QosGate(this.device, options);
    this.keeper = this.gate.open({ reservation: 0, limit: never, weight: 1 });
    this.device.onSubmit = (request) => this.handedOver(request);
    const region = this.device.memory.allocate(costs[3] * 4096);
    this.requests = Array.from({ length: requestCount }, (_, tag) => {
      const request = new BlockRequest((one) => this.ended(one));
      request.tag = tag;
      request.setData(region, 0, 4096);
      return request;
    });
  }

  get waitingCount(): number {
    return this.arrived - this.submitted;
  }

  join(client: number, share: Share, nowNs: number): void {
    this.device.nowNs = nowNs;
    this.opened.set(client, { device: this.gate.open(share), reservedUnits: 0 });
  }

  change(client: number, share: Share, nowNs: number): void {
    this.device.nowNs = nowNs;
    this.opened.get(client)!.device.change(share);
  }

  leave(client: number): void {
    this.opened.get(client)!.device.close();
    this.opened.delete(client);
  }

  /** One look at the clock serves a gate from poll to poll: who submits has polled just before. */
  arrive(client: number, index: number, cost: number, nowNs: number): void {
    if (nowNs > this.device.nowNs) {
      this.device.nowNs = nowNs;
      this.keeper.poll();
    }
    const request = this.requests[index]!;
    const region = request.region!;
    request.op = cost < 1 ? BlockOp.discard : BlockOp.read;
    request.blockCount = Math.max(1, cost);
    if (cost < 1) request.segmentCount = 0;
    else request.setData(region, 0, cost * 4096);
    this.owners[index] = client;
    this.arrived++;
    this.opened.get(client)!.device.submit(request);
  }

  pace(factor: number): void {
    this.device.workers.factor = factor;
  }

  advance(nowNs: number): string | null {
    this.device.nowNs = nowNs;
    this.keeper.poll();
    if (this.violation !== null) return this.violation;
    const hasRoom = this.inFlightUnits < depthUnits;
    return hasRoom ? this.audit.idle(nowNs, this.gate.wakeNs) : null;
  }

  nextNs(): number {
    const hasRoom = this.inFlightUnits < depthUnits || this.reservedInFlight < depthUnits;
    return Math.min(this.device.workers.nextNs(), hasRoom ? this.gate.wakeNs : never);
  }

  private handedOver(request: BlockRequest): void {
    const client = this.owners[request.tag]!;
    const opened = this.opened.get(client)!;
    const { reservedUnits } = opened.device.counts;
    const isReserved = reservedUnits > opened.reservedUnits;
    opened.reservedUnits = reservedUnits;
    this.submitted++;
    const cost = request.op === BlockOp.discard ? costs[0] : request.blockCount;
    const before = isReserved ? this.reservedInFlight : this.inFlightUnits;
    if (before >= depthUnits) {
      this.violation ??= `${before} units are in flight; the depth is ${depthUnits}`;
    }
    this.inFlightUnits += cost;
    if (isReserved) this.reservedInFlight += cost;
    this.isReserved[request.tag] = isReserved ? 1 : 0;
    this.violation ??= this.audit.serve(client, request.tag, isReserved, this.device.nowNs);
  }

  private ended(request: BlockRequest): void {
    const cost = request.op === BlockOp.discard ? costs[0] : request.blockCount;
    this.inFlightUnits -= cost;
    if (this.isReserved[request.tag] === 1) this.reservedInFlight -= cost;
    if (request.status !== BlockStatus.ok) this.violation ??= `status ${request.status}`;
    this.onEnd(request.tag);
  }
}
