import { checkRequest } from '../../sdk/block/check.js';
import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import type { Clock, DmaSpace } from '../../sdk/device.js';
import type { StormWorld } from './mirror-world.js';

export interface StormDiskOptions {
  readonly world: StormWorld;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** As far as it may grow; `blockCount` when left out. */
  readonly mostBlocks?: number;
  /** Requests have ended: somebody should poll. */
  readonly onEnded: () => void;
}

const latencyNs = 12_000;

/**
 * A disk with a volatile cache. Requests end in any order, each carried out at one moment of its
 * own; a power cut loses any of the blocks that were not flushed, and of those under way.
 */
export class StormDisk implements BlockDevice {
  readonly blockBytes: number;
  /** Grows when somebody says so. */
  blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  /** As a read shows it, and as it is on the medium. */
  readonly content: Uint8Array;
  readonly durable: Uint8Array;
  isDead = false;
  /** Nothing is written that needs space. */
  isFull = false;
  /** Requests are taken and never end. */
  isHung = false;
  slowness = 1;
  private readonly dirty = new Set<number>();
  private readonly unreadable = new Set<number>();
  private readonly world: StormWorld;
  private readonly onEnded: () => void;
  private underWay = new Set<BlockRequest>();
  private ended: BlockRequest[] = [];
  private life = 0;
  private hung: BlockRequest[] = [];

  constructor(options: StormDiskOptions) {
    this.world = options.world;
    this.clock = options.clock;
    this.memory = options.memory;
    this.blockBytes = options.blockBytes;
    this.blockCount = options.blockCount;
    this.onEnded = options.onEnded;
    this.content = new Uint8Array(options.blockBytes * (options.mostBlocks ?? options.blockCount));
    this.durable = new Uint8Array(this.content.length);
    this.limits = {
      maxTransferBytes: 128 * 1024,
      atomicWriteBlocks: 1,
      maxInFlight: 128,
      hasVolatileCache: true,
      canDiscard: true,
      canWriteZeroes: true,
    };
  }

  canSubmit(): boolean {
    return this.underWay.size < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    this.underWay.add(request);
    if (this.isHung) {
      this.hung.push(request);
      return;
    }
    this.start(request);
  }

  private start(request: BlockRequest): void {
    const { life } = this;
    const ns = latencyNs * this.slowness * (0.5 + 2 * this.world.chance.unit());
    this.world.after(ns, () => {
      if (life !== this.life) return;
      request.status = this.carryOut(request);
      request.detail = 0;
      this.underWay.delete(request);
      this.ended.push(request);
      this.onEnded();
    });
  }

  unhang(): void {
    this.isHung = false;
    for (const request of this.hung.splice(0)) this.start(request);
  }

  poll(): number {
    const { ended } = this;
    if (ended.length === 0) return 0;
    this.ended = [];
    for (const request of ended) request.done(request);
    return ended.length;
  }

  /** The process is gone: what it submitted still happens, and nobody hears of it. */
  forgetOwner(): void {
    const { life } = this;
    this.life++;
    for (const request of this.underWay) {
      if (life < this.life && this.world.chance.chance(0.7)) this.carryOut(request);
    }
    this.underWay = new Set();
    this.ended = [];
    this.hung = [];
  }

  powerCut(): void {
    const { chance } = this.world;
    for (const request of this.underWay) {
      if (isWrite(request)) this.tear(request);
    }
    this.life++;
    this.underWay = new Set();
    this.ended = [];
    this.hung = [];
    for (const block of [...this.dirty].sort((a, b) => a - b)) {
      const at = block * this.blockBytes;
      const end = at + this.blockBytes;
      if (chance.chance(0.5)) this.durable.set(this.content.subarray(at, end), at);
      else this.content.set(this.durable.subarray(at, end), at);
    }
    this.dirty.clear();
  }

  /** A sector that cannot be read until it is written. */
  corrupt(block: number): void {
    this.unreadable.add(block);
  }

  isUnreadable(block: number): boolean {
    return this.unreadable.has(block);
  }

  private tear(request: BlockRequest): void {
    for (let i = 0; i < request.blockCount; i++) {
      if (this.world.chance.chance(0.5)) this.putBlock(request, i);
    }
  }

  private carryOut(request: BlockRequest): BlockStatus {
    if (this.isDead) return BlockStatus.deviceError;
    const { op, lba, blockCount } = request;
    if (op === BlockOp.flush) {
      this.durable.set(this.content);
      this.dirty.clear();
      return BlockStatus.ok;
    }
    if (op === BlockOp.read) return this.read(request);
    // There is space for odd blocks; of the rest some may have been done.
    if (this.isFull && (blockCount > 1 || lba % 2 === 0)) {
      this.tear(request);
      return BlockStatus.outOfSpace;
    }
    for (let i = 0; i < blockCount; i++) this.putBlock(request, i);
    if (request.flags !== blockFlagFua) return BlockStatus.ok;
    for (let block = lba; block < lba + blockCount; block++) {
      const at = block * this.blockBytes;
      this.durable.set(this.content.subarray(at, at + this.blockBytes), at);
      this.dirty.delete(block);
    }
    return BlockStatus.ok;
  }

  private read({ lba, blockCount, region, offset }: BlockRequest): BlockStatus {
    for (let i = 0; i < blockCount; i++) {
      if (this.unreadable.has(lba + i)) return BlockStatus.mediaError;
    }
    const at = lba * this.blockBytes;
    const end = at + blockCount * this.blockBytes;
    region!.bytes.set(this.content.subarray(at, end), offset);
    return BlockStatus.ok;
  }

  private putBlock({ op, lba, region, offset }: BlockRequest, i: number): void {
    const { blockBytes } = this;
    const at = (lba + i) * blockBytes;
    this.dirty.add(lba + i);
    this.unreadable.delete(lba + i);
    if (op === BlockOp.write) {
      const from = offset + i * blockBytes;
      this.content.set(region!.bytes.subarray(from, from + blockBytes), at);
    } else {
      this.content.fill(0, at, at + blockBytes);
    }
  }
}

function isWrite({ op }: BlockRequest): boolean {
  return op !== BlockOp.read && op !== BlockOp.flush;
}
