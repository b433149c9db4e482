import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import type { Clock, DmaRegion, DmaSpace } from '../../sdk/device.js';
import type { MemberAssociation } from '../../sdk/mirror/port.js';
import type { World } from '../../sim/world.js';

export interface LinkOptions {
  readonly world: World;
  /** Memory of this side, which the far device cannot reach. */
  readonly memory: DmaSpace;
  readonly latencyNs: number;
  readonly bytesPerNs: number;
}

const depth = 768;
const fewBytes = 4096;
const headerBytes = 64;

/** A member on another node, behind a link with a latency and a bandwidth each way. */
export class LinkedAssociation implements MemberAssociation, BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly far: MemberAssociation;
  private readonly options: LinkOptions;
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly there: BlockRequest[] = [];
  private readonly buffers: (DmaRegion | null)[] = [];
  private readonly statuses: BlockStatus[] = [];
  private readonly free: number[] = [];
  private ended: BlockRequest[] = [];
  private readonly onArrival: number;
  private readonly onAnswer: number;
  private readonly onFarPoll: number;
  private thereUntilNs = 0;
  private backUntilNs = 0;
  isLost = false;

  constructor(far: MemberAssociation, options: LinkOptions) {
    const { device } = far;
    this.far = far;
    this.options = options;
    this.blockBytes = device.blockBytes;
    this.blockCount = device.blockCount;
    this.limits = { ...device.limits, maxInFlight: depth };
    this.clock = device.clock;
    this.memory = options.memory;
    const { world } = options;
    this.onArrival = world.register((slot) => this.arrived(slot));
    this.onAnswer = world.register((slot) => this.answered(slot));
    this.onFarPoll = world.register(() => {});
    for (let slot = 0; slot < depth; slot++) {
      this.requests.push(null);
      this.buffers.push(null);
      this.statuses.push(BlockStatus.ok);
      this.there.push(new BlockRequest((request) => this.endedThere(slot, request)));
      this.free.push(slot);
    }
  }

  get device(): BlockDevice {
    return this;
  }

  canSubmit(): boolean {
    return this.free.length > 0;
  }

  submit(request: BlockRequest): void {
    request.submittedNs = this.clock.nowNs();
    if (this.isLost) {
      request.status = BlockStatus.notExecuted;
      this.ended.push(request);
      return;
    }
    const slot = this.free.pop()!;
    this.requests[slot] = request;
    const isWrite = request.op === BlockOp.write;
    const bytes = request.blockCount * this.blockBytes;
    if (isWrite) this.bufferOf(slot, bytes).bytes.set(this.bytesOf(request));
    const { world, latencyNs, bytesPerNs } = this.options;
    const sent = headerBytes + (isWrite ? bytes : 0);
    this.thereUntilNs = Math.max(world.nowNs, this.thereUntilNs) + Math.ceil(sent / bytesPerNs);
    world.schedule(this.thereUntilNs - world.nowNs + latencyNs, this.onArrival, slot);
  }

  private bytesOf(request: BlockRequest): Uint8Array {
    const bytes = request.blockCount * this.blockBytes;
    return request.region!.bytes.subarray(request.offset, request.offset + bytes);
  }

  private bufferOf(slot: number, bytes: number): DmaRegion {
    const buffer = this.buffers[slot];
    if (buffer != null && buffer.length >= bytes) return buffer;
    const { memory } = this.far.device;
    if (buffer != null) memory.free(buffer);
    const larger = memory.allocate(Math.max(fewBytes, bytes));
    this.buffers[slot] = larger;
    return larger;
  }

  private arrived(slot: number): void {
    const request = this.requests[slot];
    if (request == null || this.isLost) return;
    const there = this.there[slot]!;
    there.op = request.op;
    there.flags = request.flags;
    there.lba = request.lba;
    there.blockCount = request.blockCount;
    there.segmentCount = 0;
    if (request.op === BlockOp.read || request.op === BlockOp.write) {
      const bytes = request.blockCount * this.blockBytes;
      there.setData(this.bufferOf(slot, bytes), 0, bytes);
    }
    this.far.device.submit(there);
    // The far node rings its doorbell now.
    this.options.world.hostVisible();
  }

  private endedThere(slot: number, there: BlockRequest): void {
    this.statuses[slot] = there.status;
    const { world, latencyNs, bytesPerNs } = this.options;
    const isRead = there.op === BlockOp.read;
    const sent = headerBytes + (isRead ? there.blockCount * this.blockBytes : 0);
    this.backUntilNs = Math.max(world.nowNs, this.backUntilNs) + Math.ceil(sent / bytesPerNs);
    world.schedule(this.backUntilNs - world.nowNs + latencyNs, this.onAnswer, slot);
  }

  private answered(slot: number): void {
    const request = this.requests[slot];
    if (request == null) return;
    if (request.op === BlockOp.read) {
      const bytes = request.blockCount * this.blockBytes;
      this.bytesOf(request).set(this.bufferOf(slot, bytes).bytes.subarray(0, bytes));
    }
    this.end(slot, this.statuses[slot]!);
    this.options.world.hostVisible();
  }

  private end(slot: number, status: BlockStatus): void {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.free.push(slot);
    request.status = status;
    request.completedNs = this.clock.nowNs();
    this.ended.push(request);
  }

  /** Both nodes share this thread: their devices are polled here. */
  poll(): number {
    this.far.device.poll();
    const { ended } = this;
    if (ended.length === 0) return 0;
    this.ended = [];
    for (const request of ended) request.done(request);
    return ended.length;
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    const { world, latencyNs } = this.options;
    const startNs = world.nowNs;
    world.schedule(2 * latencyNs, this.onFarPoll, 0);
    const answer = await this.far.control(message);
    while (world.nowNs < startNs + 2 * latencyNs) await this.clock.turn(startNs + 2 * latencyNs);
    return answer;
  }

  /** The link is reset. */
  close(): void {
    if (this.isLost) return;
    this.isLost = true;
    for (let slot = 0; slot < depth; slot++) {
      if (this.requests[slot] !== null) this.end(slot, BlockStatus.unknown);
    }
    this.options.world.hostVisible();
  }
}
