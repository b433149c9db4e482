import { assert } from '../assert.js';
import { checkRequest } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { BlockOp, BlockRequest, blockFlagFua } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';

// The data path reads imported constants once.
const { read: readOp, write: writeOp, flush: flushOp, discard: discardOp, writeZeroes } = BlockOp;

export interface AreaRange {
  readonly firstBlock: number;
  readonly blockCount: number;
  /** Requests in flight in this area, at most. */
  readonly maxInFlight: number;
}

/** A request on its way through an area. */
class Passage {
  /** What goes to the device. */
  readonly request: BlockRequest;
  /** Whose it is. */
  user: BlockRequest | null = null;

  constructor(ended: (passage: Passage) => void) {
    this.request = new BlockRequest(() => ended(this));
  }
}

/**
 * A part of a device that outlives whoever writes it, and whose power may go without their knowing.
 *
 * What always holds: what has completed is durable, because every write says so to the device; a
 * block that was discarded reads as zeroes, because that is what it is made.
 */
export class RawArea implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly below: BlockDevice;
  private readonly firstBlock: number;
  private readonly writeFlags: number;
  private readonly free: Passage[] = [];

  constructor(below: BlockDevice, { firstBlock, blockCount, maxInFlight }: AreaRange) {
    assert(firstBlock + blockCount <= below.blockCount, 'an area beyond the end of its device');
    this.below = below;
    this.firstBlock = firstBlock;
    this.blockBytes = below.blockBytes;
    this.blockCount = blockCount;
    this.clock = below.clock;
    this.memory = below.memory;
    const { canWriteZeroes, hasVolatileCache } = below.limits;
    this.writeFlags = hasVolatileCache ? blockFlagFua : 0;
    this.limits = {
      ...below.limits,
      ...{ maxInFlight, canDiscard: canWriteZeroes, hasVolatileCache: false },
    };
    const ended = (passage: Passage): void => this.ended(passage);
    for (let i = 0; i < maxInFlight; i++) this.free.push(new Passage(ended));
  }

  canSubmit(): boolean {
    return this.free.length > 0 && this.below.canSubmit();
  }

  submit(user: BlockRequest): void {
    checkRequest(user, this);
    const { maxInFlight: limit } = this.limits;
    if (!this.canSubmit()) {
      throw new UltimaError(ErrorCode.queueFull, `${limit} requests are in flight`, { limit });
    }
    const passage = this.free.pop()!;
    passage.user = user;
    const { request } = passage;
    const { op } = user;
    request.op = op === discardOp ? writeZeroes : op;
    request.flags = op === readOp || op === flushOp ? user.flags : user.flags | this.writeFlags;
    request.lba = op === flushOp ? user.lba : user.lba + this.firstBlock;
    request.blockCount = user.blockCount;
    if (op === readOp || op === writeOp) request.shareData(user);
    else request.segmentCount = 0;
    this.below.submit(request);
  }

  poll(): number {
    return this.below.poll();
  }

  private ended(passage: Passage): void {
    const { request } = passage;
    const user = passage.user!;
    passage.user = null;
    this.free.push(passage);
    user.status = request.status;
    user.detail = request.detail;
    user.submittedNs = request.submittedNs;
    user.completedNs = request.completedNs;
    user.done(user);
  }
}
