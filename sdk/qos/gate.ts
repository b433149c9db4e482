import { assert } from '../assert.js';
import { checkRequest } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { type BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { CostModel } from './cost.js';
import { Scheduler, type Share } from './scheduler.js';

export interface QosGateOptions {
  /** Devices that can be opened at one time; 64 when left out. */
  readonly clientCount?: number;
  /** Requests that all of them together have in flight or waiting; 4,096 when left out. */
  readonly requestCount?: number;
  /**
   * Units in flight on the device below, at most, but for one request more. Only what is still here
   * can be put in order: as many as the device works on at one time, and hardly more. 64 when left
   * out.
   */
  readonly depthUnits?: number;
  readonly cost?: CostModel;
}

/** What a gate did for one of its devices. */
export interface GateCounts {
  /** Units handed to the device so far, and those of them by reservation. */
  readonly servedUnits: number;
  readonly reservedUnits: number;
  /** Requests ended. */
  readonly requests: number;
}

/**
 * Quality of service in front of a block device that has none: each user gets a block device of its
 * own with a share, all of them over the same device. Requests within their share pass at once;
 * when the device is busy, the scheduler says who is next.
 *
 * Nothing is allocated per request. A request's `done` is replaced while the gate has it.
 */
export class QosGate {
  readonly device: BlockDevice;
  readonly cost: CostModel;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly depthUnits: number;
  private inFlightUnits = 0;
  private nowNs = 0;
  /** Whether `nowNs` holds: one look at the clock serves all requests between two polls. */
  private isTimed = false;
  private wakesNs = Number.POSITIVE_INFINITY;
  /** Something has come, ended or changed since the scheduler was asked last. */
  private isDue = false;
  private readonly clients: (GateClient | null)[];
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly owners: (GateClient | null)[] = [];
  private readonly costs: Float64Array;
  /** What each request's own `done` is, and what stands in its place. */
  private readonly dones: ((request: BlockRequest) => void)[] = [];
  private readonly endings: ((request: BlockRequest) => void)[] = [];
  private readonly free: Int32Array;
  private freeCount = 0;

  constructor(device: BlockDevice, options: QosGateOptions = {}) {
    const { clientCount = 64, requestCount = 4096, depthUnits = 64 } = options;
    for (const [name, value] of Object.entries({ clientCount, requestCount, depthUnits })) {
      if (value >= 1 && value <= 65_536) continue;
      throw new RangeError(`${name} is ${value}: 1..65,536`);
    }
    this.device = device;
    this.clock = device.clock;
    this.cost = options.cost ?? new CostModel();
    this.depthUnits = depthUnits;
    this.scheduler = new Scheduler({ clientCount, requestCount });
    this.clients = new Array<GateClient | null>(clientCount).fill(null);
    this.costs = new Float64Array(requestCount);
    this.free = new Int32Array(requestCount);
    for (let slot = requestCount - 1; slot >= 0; slot--) this.free[this.freeCount++] = slot;
    for (let slot = 0; slot < requestCount; slot++) {
      this.requests.push(null);
      this.owners.push(null);
      this.dones.push(neverEnds);
      this.endings.push((request) => this.ended(slot, request));
    }
  }

  /**
   * A block device with a share of the one below.
   *
   * @throws RangeError for a share that cannot be; UltimaError QUEUE_FULL when all are open
   */
  open(share: Share): QosDevice {
    const id = this.clients.indexOf(null);
    if (id === -1) {
      const limit = this.clients.length;
      throw new UltimaError(ErrorCode.queueFull, `${limit} shares are open, which is all`, {
        limit,
      });
    }
    this.scheduler.add(id, share, this.clock.nowNs());
    const client = new GateClient(this, id);
    this.clients[id] = client;
    return client;
  }

  /** @internal */
  change(id: number, share: Share): void {
    this.scheduler.change(id, share, this.clock.nowNs());
    this.isDue = true;
  }

  /** @internal */
  close(id: number): void {
    this.scheduler.remove(id);
    this.clients[id] = null;
  }

  /** @internal */
  hasRoom(): boolean {
    return this.freeCount > 0;
  }

  /** @internal */
  submit(client: GateClient, request: BlockRequest): void {
    checkRequest(request, this.device);
    if (this.freeCount === 0) throw full(this.requests.length);
    if (this.isTimed === false) this.look();
    const slot = this.free[--this.freeCount]!;
    const cost = this.cost.of(request, this.device.blockBytes);
    this.costs[slot] = cost;
    this.owners[slot] = client;
    this.dones[slot] = request.done;
    request.done = this.endings[slot]!;
    const hasRoom = this.inFlightUnits < this.depthUnits && this.device.canSubmit();
    if (hasRoom && this.scheduler.passes(client.id, cost, this.nowNs)) {
      this.charge(slot, client);
      this.device.submit(request);
      return;
    }
    this.requests[slot] = request;
    this.scheduler.push(client.id, slot, cost, this.nowNs);
    this.isDue = true;
  }

  /**
   * When a poll hands over more although nothing ends in between: the first client over its limit
   * may go on. Infinity for never.
   */
  get wakeNs(): number {
    return this.scheduler.waitingCount > 0 ? this.wakesNs : Number.POSITIVE_INFINITY;
  }

  /** @internal Drive the device and hand over who is next. */
  poll(): void {
    this.isTimed = false;
    this.device.poll();
    if (this.scheduler.waitingCount > 0) this.pump();
  }

  /** Hand over to the device while it has room and somebody may go. */
  private pump(): void {
    this.look();
    if (!this.isDue && this.nowNs < this.wakesNs) return;
    this.isDue = false;
    const { scheduler } = this;
    let count = 0;
    while (this.inFlightUnits < this.depthUnits && this.device.canSubmit()) {
      if (!scheduler.pull(this.nowNs)) {
        this.wakesNs = scheduler.wakeNs;
        break;
      }
      this.handOver(scheduler.request);
      count++;
    }
    // What was handed over is rung now, not at the next poll.
    if (count > 0) this.device.poll();
  }

  private handOver(slot: number): void {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.charge(slot, this.owners[slot]!);
    try {
      this.device.submit(request);
    } catch (error) {
      // Its memory was freed while it waited: its owner hears of it as of any other failure.
      if (!(error instanceof TypeError)) throw error;
      request.status = BlockStatus.notExecuted;
      request.detail = 0;
      request.done(request);
    }
  }

  private charge(slot: number, client: GateClient): void {
    const cost = this.costs[slot]!;
    this.inFlightUnits += cost;
    client.servedUnits += cost;
    if (this.scheduler.isReserved) client.reservedUnits += cost;
  }

  private ended(slot: number, request: BlockRequest): void {
    const client = this.owners[slot]!;
    this.inFlightUnits -= this.costs[slot]!;
    this.owners[slot] = null;
    this.free[this.freeCount++] = slot;
    client.endedCount++;
    this.isDue = true;
    request.done = this.dones[slot]!;
    request.done(request);
  }

  private look(): void {
    this.nowNs = this.clock.nowNs();
    this.isTimed = true;
  }
}

/** One user's part of a gated device. */
export interface QosDevice extends BlockDevice {
  readonly counts: GateCounts;
  /** Another share from now on; what waits goes on waiting. @throws RangeError */
  change(share: Share): void;
  /** Give the share back. @throws RangeError while requests wait */
  close(): void;
}

class GateClient implements QosDevice {
  servedUnits = 0;
  reservedUnits = 0;
  endedCount = 0;
  readonly id: number;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly gate: QosGate;
  private isClosed = false;

  constructor(gate: QosGate, id: number) {
    const { device } = gate;
    this.gate = gate;
    this.id = id;
    this.blockBytes = device.blockBytes;
    this.blockCount = device.blockCount;
    this.limits = device.limits;
    this.clock = device.clock;
    this.memory = device.memory;
  }

  get counts(): GateCounts {
    const { servedUnits, reservedUnits, endedCount } = this;
    return { servedUnits, reservedUnits, requests: endedCount };
  }

  canSubmit(): boolean {
    return this.gate.hasRoom();
  }

  submit(request: BlockRequest): void {
    if (this.isClosed) throw new RangeError('this share was given back; open another');
    this.gate.submit(this, request);
  }

  poll(): number {
    const before = this.endedCount;
    this.gate.poll();
    return this.endedCount - before;
  }

  change(share: Share): void {
    this.gate.change(this.id, share);
  }

  close(): void {
    if (this.isClosed) return;
    this.gate.close(this.id);
    this.isClosed = true;
  }
}

function neverEnds(): void {
  assert(false, 'a request ends that the gate does not have');
}

function full(limit: number): UltimaError {
  return new UltimaError(
    ErrorCode.queueFull,
    `${limit} requests are in flight or wait, which is all; poll, and ask canSubmit first`,
    { limit },
  );
}
