import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest } from '../../sdk/block/request.js';
import type { Clock, DmaSpace } from '../../sdk/device.js';

/** Some blocks of a device, as a device. */
export class SliceDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  writes = 0;
  private readonly device: BlockDevice;
  private readonly first: number;
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly inner: BlockRequest[] = [];
  private readonly free: number[] = [];

  constructor(device: BlockDevice, first: number, blockCount: number) {
    this.device = device;
    this.first = first;
    this.blockCount = blockCount;
    this.blockBytes = device.blockBytes;
    this.limits = device.limits;
    this.clock = device.clock;
    this.memory = device.memory;
    for (let slot = 0; slot < device.limits.maxInFlight; slot++) {
      this.requests.push(null);
      this.free.push(slot);
      this.inner.push(new BlockRequest((request) => this.ended(slot, request)));
    }
  }

  canSubmit(): boolean {
    return this.free.length > 0 && this.device.canSubmit();
  }

  submit(request: BlockRequest): void {
    const slot = this.free.pop()!;
    this.requests[slot] = request;
    const inner = this.inner[slot]!;
    inner.op = request.op;
    inner.flags = request.flags;
    inner.lba = request.op === BlockOp.flush ? 0 : this.first + request.lba;
    inner.blockCount = request.blockCount;
    inner.segmentCount = 0;
    for (let i = 0; i < request.segmentCount; i++) {
      inner.addSegment(request.regions[i]!, request.offsets[i]!, request.lengths[i]!);
    }
    if (request.op === BlockOp.write) this.writes++;
    this.device.submit(inner);
  }

  poll(): number {
    return this.device.poll();
  }

  private ended(slot: number, inner: BlockRequest): void {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.free.push(slot);
    request.status = inner.status;
    request.submittedNs = inner.submittedNs;
    request.completedNs = inner.completedNs;
    request.done(request);
  }
}
