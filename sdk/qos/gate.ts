import { assert } from '../assert.js';
import { checkRequest } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { type BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { CostModel } from './cost.js';
import { Pieces } from './pieces.js';
import { checkShare, Scheduler, type Share } from './scheduler.js';
import { ShortfallWatch } from './shortfall.js';

export interface QosGateOptions {
  /** Devices that can be opened at one time; 64 when left out. */
  readonly clientCount?: number;
  /** Requests that all of them together have in flight or waiting; 4,096 when left out. */
  readonly requestCount?: number;
  /**
   * Units in flight on the device below, at most, but for one request more. Only what is still here
   * can be put in order: as many as the device works on at one time, and hardly more. Requests that
   * go by reservation do not wait for those of others to end: they may be as many by themselves. 64
   * when left out.
   */
  readonly depthUnits?: number;
  readonly cost?: CostModel;
  /**
   * Reads and writes above this go to the device in pieces of it. For a device that works on a
   * request as a whole: nobody comes in between there, so a large one makes all others wait. A
   * write in pieces is not atomic. Never when left out.
   */
  readonly pieceBytes?: number;
  /**
   * The device has become so slow that of each reservation only this part is kept, 0.01..1; called
   * again when the part changes, and with 1 when all are kept. From inside a poll.
   */
  readonly onShortfall?: (keptPart: number) => void;
}

/** Units between two looks at the clock, at most, when nobody polls. */
const unitsPerLook = 16;
const stale = Number.POSITIVE_INFINITY;

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
 * when the device is busy, the scheduler says who is next. One look at the clock serves a poll, and
 * what is submitted between two polls, 16 units at most: by so much can a client that submits
 * without polling pass its limit, and no more.
 *
 * When the device slows, best effort gives way first. When that is not enough, each reservation is
 * kept to the same part, which `keptPart` and `onShortfall` tell.
 *
 * Nothing is allocated per request. A request's `done` is replaced while the gate has it.
 */
export class QosGate {
  readonly device: BlockDevice;
  readonly cost: CostModel;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly watch: ShortfallWatch;
  private readonly onShortfall: (keptPart: number) => void;
  private readonly depthUnits: number;
  private inFlightUnits = 0;
  /** Of these, what went by reservation. */
  private reservedUnits = 0;
  /** Units since the clock was looked at; Infinity when that does not hold any more. */
  private unitsSinceLook = stale;
  private wakesNs = Number.POSITIVE_INFINITY;
  /** Something has come, ended or changed since the scheduler was asked last. */
  private isDue = false;
  private readonly clients: (GateClient | null)[];
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly owners: (GateClient | null)[] = [];
  /** Of each request, how much of it is in flight by reservation: itself, or pieces. */
  private readonly reservedCounts: Uint32Array;
  private readonly pieces: Pieces | null;
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
    const { pieceBytes } = options;
    const inPieces = (bytes: number): Pieces =>
      new Pieces(device, { pieceBytes: bytes, requestCount }, (slot, isOver) =>
        this.pieceEnded(slot, isOver),
      );
    this.pieces = pieceBytes === undefined ? null : inPieces(pieceBytes);
    this.device = device;
    this.clock = device.clock;
    this.cost = options.cost ?? new CostModel();
    this.depthUnits = depthUnits;
    this.scheduler = new Scheduler({ clientCount, requestCount });
    this.watch = new ShortfallWatch(this.scheduler, clientCount);
    this.onShortfall = options.onShortfall ?? (() => {});
    this.clients = new Array<GateClient | null>(clientCount).fill(null);
    this.reservedCounts = new Uint32Array(requestCount);
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
   * @param device  what the share is for, when it is not the device itself: a volume of the same
   *   pool, say. Whatever it does must go on when the gate's device is polled, and have room when
   *   that has. Its requests go as they are, never in pieces.
   * @throws RangeError for a share that cannot be; UltimaError QUEUE_FULL when all are open
   */
  open(share: Share, device: BlockDevice = this.device): QosDevice {
    if (device.clock !== this.clock) throw new RangeError('a device with a clock of its own');
    const id = this.clients.indexOf(null);
    if (id === -1) {
      const limit = this.clients.length;
      throw new UltimaError(ErrorCode.queueFull, `${limit} shares are open, which is all`, {
        limit,
      });
    }
    checkShare(share);
    this.scheduler.add(id, this.kept(id, share), this.clock.nowNs());
    const client = new GateClient(this, id, device, share);
    this.clients[id] = client;
    return client;
  }

  /** Part of each reservation that the device keeps, 1 for all of it. */
  get keptPart(): number {
    return this.watch.keptPart;
  }

  /** @internal */
  change(id: number, share: Share): void {
    checkShare(share);
    this.scheduler.change(id, this.kept(id, share), this.clock.nowNs());
    this.isDue = true;
  }

  /** @internal */
  close(id: number): void {
    this.scheduler.remove(id);
    this.watch.promise(id, 0);
    this.clients[id] = null;
  }

  /** What is promised to a client, and what of it the device keeps. */
  private kept(id: number, share: Share): Share {
    const reservation = this.watch.promise(id, share.reservation);
    return reservation === share.reservation ? share : { ...share, reservation };
  }

  /** @internal */
  isWaiting(id: number): boolean {
    return this.scheduler.waitingOf(id) > 0;
  }

  /** @internal */
  hasRoom(): boolean {
    return this.freeCount > 0;
  }

  /** @internal */
  submit(client: GateClient, request: BlockRequest): void {
    const { device } = client;
    const { scheduler } = this;
    checkRequest(request, device);
    if (this.freeCount === 0) throw full(this.requests.length);
    const slot = this.free[--this.freeCount]!;
    this.cost.put(request, device.blockBytes, scheduler.cost, slot);
    const cost = scheduler.cost[slot]!;
    this.owners[slot] = client;
    this.unitsSinceLook += cost;
    if (this.unitsSinceLook > unitsPerLook) this.look();
    const pieces = device === this.device ? this.pieces : null;
    if (pieces !== null && pieces.countOf(request) > 1) {
      this.submitInPieces(pieces, slot, request);
      return;
    }
    this.dones[slot] = request.done;
    request.done = this.endings[slot]!;
    const hasRoom = this.inFlightUnits < this.depthUnits && this.device.canSubmit();
    scheduler.units = cost;
    if (hasRoom && scheduler.pass(client.id)) {
      this.charge(slot, client);
      device.submit(request);
      return;
    }
    this.requests[slot] = request;
    scheduler.enqueue(client.id, slot, 1);
    this.isDue = true;
  }

  private submitInPieces(pieces: Pieces, slot: number, request: BlockRequest): void {
    const { scheduler } = this;
    const count = pieces.countOf(request);
    scheduler.cost[slot]! /= count;
    this.requests[slot] = request;
    pieces.begin(slot, request);
    scheduler.enqueue(this.owners[slot]!.id, slot, count);
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
    this.unitsSinceLook = stale;
    this.device.poll();
    if (this.scheduler.waitingCount > 0 || this.watch.keptPart < 1) this.pump();
  }

  /** Hand over to the device while it has room and somebody may go. */
  private pump(): void {
    const { scheduler, pieces, depthUnits, watch } = this;
    // Whoever submitted again in this poll had the clock looked at.
    if (this.unitsSinceLook === stale) this.look();
    if (scheduler.nowNs >= watch.dueNs && watch.judge(scheduler.nowNs)) this.keep();
    if (!this.isDue && scheduler.nowNs < this.wakesNs) return;
    this.isDue = false;
    // What it has no room for waits for something to end.
    this.wakesNs = Number.POSITIVE_INFINITY;
    let count = 0;
    while (this.device.canSubmit()) {
      if (pieces !== null && !pieces.hasRoom) break;
      const isFull = this.inFlightUnits >= depthUnits;
      if (isFull && this.reservedUnits >= depthUnits) break;
      if (!scheduler.choose(isFull)) {
        this.wakesNs = scheduler.wakeNs;
        break;
      }
      this.handOver(scheduler.request);
      count++;
    }
    // What was handed over is rung now, not at the next poll.
    if (count > 0) this.device.poll();
  }

  /** Another part of each reservation is kept from now on. */
  private keep(): void {
    this.isDue = true;
    for (const client of this.clients) {
      if (client === null || client.share.reservation === 0) continue;
      this.scheduler.change(client.id, this.kept(client.id, client.share), this.scheduler.nowNs);
    }
    this.onShortfall(this.watch.keptPart);
  }

  private handOver(slot: number): void {
    const request = this.requests[slot]!;
    this.charge(slot, this.owners[slot]!);
    if (this.pieces?.has(slot) === true) {
      this.pieces.issue(slot);
      return;
    }
    this.requests[slot] = null;
    try {
      this.owners[slot]!.device.submit(request);
    } catch (error) {
      // Its memory was freed while it waited: its owner hears of it as of any other failure.
      if (!(error instanceof TypeError)) throw error;
      request.status = BlockStatus.notExecuted;
      request.detail = 0;
      request.done(request);
    }
  }

  private charge(slot: number, client: GateClient): void {
    const cost = this.scheduler.cost[slot]!;
    this.inFlightUnits += cost;
    client.servedUnits += cost;
    if (!this.scheduler.isReserved) return;
    client.reservedUnits += cost;
    this.reservedUnits += cost;
    this.reservedCounts[slot]!++;
  }

  private discharge(slot: number): void {
    const cost = this.scheduler.cost[slot]!;
    this.inFlightUnits -= cost;
    if (this.reservedCounts[slot] === 0) return;
    this.reservedCounts[slot]!--;
    this.reservedUnits -= cost;
  }

  private ended(slot: number, request: BlockRequest): void {
    this.discharge(slot);
    request.done = this.dones[slot]!;
    this.finish(slot);
    request.done(request);
  }

  private pieceEnded(slot: number, isOver: boolean): void {
    this.discharge(slot);
    this.isDue = true;
    if (!isOver) return;
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    // What failed has pieces that nobody wants any more.
    if (request.status !== BlockStatus.ok) this.scheduler.cancel(this.owners[slot]!.id, slot);
    this.finish(slot);
    request.done(request);
  }

  private finish(slot: number): void {
    this.owners[slot]!.endedCount++;
    this.owners[slot] = null;
    this.free[this.freeCount++] = slot;
    this.isDue = true;
  }

  private look(): void {
    this.scheduler.nowNs = this.clock.nowNs();
    this.unitsSinceLook = 0;
  }
}

/** One user's part of a gated device. */
export interface QosDevice extends BlockDevice {
  readonly counts: GateCounts;
  /** Requests of it wait at the gate. */
  readonly isWaiting: boolean;
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
  readonly device: BlockDevice;
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  share: Share;
  private readonly gate: QosGate;
  private isClosed = false;

  constructor(gate: QosGate, id: number, device: BlockDevice, share: Share) {
    this.share = share;
    this.gate = gate;
    this.id = id;
    this.device = device;
    this.blockBytes = device.blockBytes;
    this.limits = device.limits;
    this.clock = device.clock;
    this.memory = device.memory;
  }

  /** A volume grows. */
  get blockCount(): number {
    return this.device.blockCount;
  }

  get counts(): GateCounts {
    const { servedUnits, reservedUnits, endedCount } = this;
    return { servedUnits, reservedUnits, requests: endedCount };
  }

  get isWaiting(): boolean {
    return this.gate.isWaiting(this.id);
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
    this.share = share;
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
