import { assert } from '../../sdk/assert.js';
import { checkRequest } from '../../sdk/block/check.js';
import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import type { Clock, DmaRegion, DmaSpace } from '../../sdk/device.js';
import { UltimaError } from '../../sdk/errors.js';
import type { World } from '../world.js';

export interface LinkOptions {
  readonly world: World;
  /** Memory of this side, which the far device cannot reach. */
  readonly memory: DmaSpace;
  /** Each way. */
  readonly latencyNs: number;
  /** Each way; 12.5 is 100 Gbit/s. */
  readonly bytesPerNs: number;
  /** Requests in flight; 256 when left out. */
  readonly requestCount?: number;
  /** Shared by devices whose data goes the same way; a wire of its own when left out. */
  readonly wire?: Wire;
}

/** Until when each direction is busy. */
export class Wire {
  thereUntilNs = 0;
  backUntilNs = 0;
}

const leastBufferBytes = 4096;
/** Of a command or an answer, beside the data. */
const headerBytes = 64;

/**
 * A block device of another simulated node, behind a link with a latency and a bandwidth each way.
 * Nodes share a thread here: polling the link polls the device, too.
 *
 * A link that is lost stays lost. What was under way ends as `unknown` on this side, whatever
 * becomes of it on the other.
 */
export class LinkedDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly far: BlockDevice;
  private readonly options: LinkOptions;
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly there: BlockRequest[] = [];
  private readonly buffers: (DmaRegion | null)[] = [];
  private readonly statuses: BlockStatus[] = [];
  private readonly free: number[] = [];
  private ended: BlockRequest[] = [];
  /** Slots that have arrived and found no room. */
  private waiting: number[] = [];
  private readonly onArrival: number;
  private readonly onAnswer: number;
  private readonly wire: Wire;
  private isGone = false;

  constructor(far: BlockDevice, options: LinkOptions) {
    const { world, memory, requestCount = 256, wire = new Wire() } = options;
    this.wire = wire;
    this.far = far;
    this.options = options;
    this.blockBytes = far.blockBytes;
    this.limits = { ...far.limits, maxInFlight: requestCount };
    this.clock = far.clock;
    this.memory = memory;
    this.onArrival = world.register((slot) => this.arrive(slot));
    this.onAnswer = world.register((slot) => this.answered(slot));
    for (let slot = 0; slot < requestCount; slot++) {
      this.requests.push(null);
      this.buffers.push(null);
      this.statuses.push(BlockStatus.ok);
      this.there.push(new BlockRequest((request) => this.endedThere(slot, request)));
      this.free.push(slot);
    }
  }

  /** What is on the other side may grow. */
  get blockCount(): number {
    return this.far.blockCount;
  }

  get isLost(): boolean {
    return this.isGone;
  }

  canSubmit(): boolean {
    return this.free.length > 0;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    request.submittedNs = this.clock.nowNs();
    if (this.isGone || request.hasLostMemory) {
      request.status = BlockStatus.notExecuted;
      this.ended.push(request);
      return;
    }
    assert(this.free.length > 0, 'more requests than canSubmit allows');
    const slot = this.free.pop()!;
    this.requests[slot] = request;
    const isWrite = request.op === BlockOp.write;
    if (isWrite) {
      const buffer = this.bufferOf(slot, this.bytesOf(request));
      // A node without memory does not take it in, and says nothing.
      if (buffer === null) return;
      gather(request, buffer.bytes);
    }
    const { world, latencyNs, bytesPerNs } = this.options;
    const { wire } = this;
    const sent = headerBytes + (isWrite ? this.bytesOf(request) : 0);
    wire.thereUntilNs = Math.max(world.nowNs, wire.thereUntilNs) + Math.ceil(sent / bytesPerNs);
    world.schedule(wire.thereUntilNs - world.nowNs + latencyNs, this.onArrival, slot);
  }

  private bytesOf({ blockCount }: BlockRequest): number {
    return blockCount * this.blockBytes;
  }

  /** @returns null when the other node has no memory: its card was closed */
  private bufferOf(slot: number, bytes: number): DmaRegion | null {
    const buffer = this.buffers[slot];
    if (buffer != null && buffer.length >= bytes) return buffer.isLost === true ? null : buffer;
    const { memory } = this.far;
    if (buffer != null) memory.free(buffer);
    this.buffers[slot] = null;
    try {
      this.buffers[slot] = memory.allocate(Math.max(leastBufferBytes, bytes));
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
    }
    return this.buffers[slot] ?? null;
  }

  private arrive(slot: number): void {
    const request = this.requests[slot];
    if (this.isGone || request == null) return;
    if (!this.far.canSubmit()) {
      this.waiting.push(slot);
      return;
    }
    const there = this.there[slot]!;
    there.op = request.op;
    there.flags = request.flags;
    there.lba = request.lba;
    there.blockCount = request.blockCount;
    there.segmentCount = 0;
    if (request.op === BlockOp.read || request.op === BlockOp.write) {
      const bytes = this.bytesOf(request);
      const buffer = this.bufferOf(slot, bytes);
      if (buffer === null) return;
      there.setData(buffer, 0, bytes);
    }
    this.far.submit(there);
    // The far node rings its doorbell now.
    this.options.world.hostVisible();
  }

  private endedThere(slot: number, there: BlockRequest): void {
    this.statuses[slot] = there.status;
    const { world, latencyNs, bytesPerNs } = this.options;
    const { wire } = this;
    const sent = headerBytes + (there.op === BlockOp.read ? this.bytesOf(there) : 0);
    wire.backUntilNs = Math.max(world.nowNs, wire.backUntilNs) + Math.ceil(sent / bytesPerNs);
    world.schedule(wire.backUntilNs - world.nowNs + latencyNs, this.onAnswer, slot);
  }

  private answered(slot: number): void {
    const request = this.requests[slot];
    if (this.isGone || request == null) return;
    const status = this.statuses[slot]!;
    if (request.op === BlockOp.read && status === BlockStatus.ok && !request.hasLostMemory) {
      scatter(this.buffers[slot]!.bytes, request);
    }
    this.end(slot, status);
    this.options.world.hostVisible();
  }

  private end(slot: number, status: BlockStatus): void {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.free.push(slot);
    request.status = status;
    request.detail = 0;
    request.completedNs = this.clock.nowNs();
    this.ended.push(request);
  }

  poll(): number {
    if (!this.isGone) {
      this.far.poll();
      if (this.waiting.length > 0) for (const slot of this.waiting.splice(0)) this.arrive(slot);
    }
    const { ended } = this;
    if (ended.length === 0) return 0;
    this.ended = [];
    for (const request of ended) request.done(request);
    return ended.length;
  }

  /** The other node, or the way to it, is gone. Idempotent. */
  lose(): void {
    if (this.isGone) return;
    this.isGone = true;
    for (let slot = 0; slot < this.requests.length; slot++) {
      if (this.requests[slot] !== null) this.end(slot, BlockStatus.unknown);
    }
    this.options.world.hostVisible();
  }
}

function gather(request: BlockRequest, target: Uint8Array): void {
  let at = 0;
  for (let i = 0; i < request.segmentCount; i++) {
    const from = request.offsets[i]!;
    const length = request.lengths[i]!;
    target.set(request.regions[i]!.bytes.subarray(from, from + length), at);
    at += length;
  }
}

function scatter(source: Uint8Array, request: BlockRequest): void {
  let at = 0;
  for (let i = 0; i < request.segmentCount; i++) {
    const length = request.lengths[i]!;
    request.regions[i]!.bytes.set(source.subarray(at, at + length), request.offsets[i]!);
    at += length;
  }
}
