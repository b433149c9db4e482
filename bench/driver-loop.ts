import type { BlockDevice } from '../sdk/block/device.js';
import { BlockOp, BlockRequest } from '../sdk/block/request.js';

export const blockBytes = 4096;

/** Where the next request goes: the same walk for every loop, far apart and without a multiply. */
export class Walk {
  private state = 0x2545f491;

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % 0x4000_0000;
  }
}

/** The driver as users drive it: block requests, submitted from their callbacks, and polling. */
export class DriverLoop {
  private readonly device: BlockDevice;
  private readonly walk = new Walk();
  private readonly requests: BlockRequest[] = [];
  /** Polls of the last run that found something. */
  batches = 0;
  private left = 0;
  private ended = 0;

  constructor(device: BlockDevice, depth: number) {
    this.device = device;
    const done = (request: BlockRequest): void => this.done(request);
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest(done);
      request.op = BlockOp.read;
      request.blockCount = 1;
      request.setData(device.memory.allocate(blockBytes), 0, blockBytes);
      this.requests.push(request);
    }
  }

  run(count: number): void {
    this.left = count - this.requests.length;
    this.ended = 0;
    this.batches = 0;
    for (const request of this.requests) this.submit(request);
    while (this.ended < count) if (this.device.poll() > 0) this.batches++;
  }

  private submit(request: BlockRequest): void {
    request.lba = this.walk.next();
    this.device.submit(request);
  }

  private done(request: BlockRequest): void {
    this.ended++;
    if (this.left-- > 0) this.submit(request);
  }
}
