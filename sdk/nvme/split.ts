import { BlockOp, type BlockRequest, BlockStatus } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import type { BlockIssue } from './block-issue.js';
import type { DataPointers, SegmentCursor } from './data-pointer.js';
import type { SglUse } from './options.js';
import type { SubmissionQueue } from './submission-queue.js';

/** A request on its way in several commands, or waiting for a slot. Pooled, never freed. */
export class Split {
  request: BlockRequest;
  lba = 0;
  blocksLeft = 0;
  blockBytes = 0;
  /** Commands in flight. */
  outstanding = 0;
  status: BlockStatus = BlockStatus.ok;
  detail = 0;
  /** Whether `status` says something yet. */
  isJudged = false;
  isWaiting = false;
  next: Split | null = null;
  previous: Split | null = null;
  readonly cursor: SegmentCursor = { segment: 0, offset: 0 };

  constructor(request: BlockRequest) {
    this.request = request;
  }

  start(request: BlockRequest, blockBytes: number): void {
    this.request = request;
    this.lba = request.lba;
    // A flush is one command, whatever count its request had in an earlier use.
    this.blocksLeft = request.op === BlockOp.flush ? 1 : request.blockCount;
    this.blockBytes = blockBytes;
    this.outstanding = 0;
    this.status = BlockStatus.ok;
    this.detail = 0;
    this.isJudged = false;
    this.cursor.segment = 0;
    this.cursor.offset = 0;
  }
}

/** Requests that wait for slots, in order of submission. */
export class SplitList {
  head: Split | null = null;
  private tail: Split | null = null;

  push(split: Split): void {
    split.isWaiting = true;
    split.next = null;
    split.previous = this.tail;
    if (this.tail === null) this.head = split;
    else this.tail.next = split;
    this.tail = split;
  }

  remove(split: Split): void {
    if (!split.isWaiting) return;
    split.isWaiting = false;
    if (split.previous === null) this.head = split.next;
    else split.previous.next = split.next;
    if (split.next === null) this.tail = split.previous;
    else split.next.previous = split.previous;
    split.next = null;
    split.previous = null;
  }
}

/** Most blocks that one command of each kind may name. */
export interface PieceLimits {
  readonly transferBlocks: number;
  readonly discardBlocks: number;
  readonly zeroBlocks: number;
  /** Reads and writes do not cross a multiple of this; 0 when it does not matter. */
  readonly boundaryBlocks: number;
}

/** Cuts split requests into commands that the controller takes. */
export class Splitter {
  private readonly limits: PieceLimits;
  private readonly data: DataPointers;
  private readonly issue: BlockIssue;
  private readonly queue: SubmissionQueue;
  private readonly sgl: SglUse;
  private readonly blockBytes: number;
  private bounce: DmaRegion | null = null;
  /** Where a bounced read goes: segment and offset by slot, -1 for a slot without bounce. */
  private readonly bounceSegment: Int32Array;
  private readonly bounceOffset: Float64Array;

  constructor(parts: SplitterParts) {
    this.limits = parts.limits;
    this.data = parts.data;
    this.issue = parts.issue;
    this.queue = parts.queue;
    this.sgl = parts.sgl;
    this.blockBytes = parts.blockBytes;
    this.bounceSegment = new Int32Array(parts.queue.slotCount).fill(-1);
    this.bounceOffset = new Float64Array(parts.queue.slotCount);
  }

  /** Put the next command of a split request into a slot that was taken for it. */
  next(split: Split, slot: number): void {
    const { op } = split.request;
    this.bounceSegment[slot] = -1;
    const blocks = this.most(split);
    if (op !== BlockOp.read && op !== BlockOp.write) {
      this.issue.piece(split, slot, blocks, 'none');
      this.took(split, blocks);
      return;
    }
    const bytes = blocks * this.blockBytes;
    const byPrp = this.sgl === 'always' ? 0 : this.inBlocks(this.reachPrp(split, bytes));
    const mayUseSgl = this.sgl !== 'never' && byPrp < blocks;
    const bySgl = mayUseSgl
      ? this.inBlocks(this.data.reachSgl(split.request, split.cursor, bytes))
      : 0;
    if (byPrp === 0 && bySgl === 0) {
      this.nextByBounce(split, slot);
      return;
    }
    const taken = Math.max(byPrp, bySgl);
    this.issue.piece(split, slot, taken, bySgl > byPrp ? 'sgl' : 'prp');
    this.took(split, taken);
  }

  /** The command in this slot ended well: a bounced read moves to where it belongs. */
  completed(split: Split, slot: number): void {
    if (this.bounceSegment[slot] === -1 || split.request.op !== BlockOp.read) return;
    const place = { segment: this.bounceSegment[slot]!, offset: this.bounceOffset[slot]! };
    this.copy(split.request, place, { slot, toCaller: true });
  }

  private reachPrp(split: Split, bytes: number): number {
    return this.data.reach(split.request, split.cursor, bytes);
  }

  private inBlocks(bytes: number): number {
    return Math.floor(bytes / this.blockBytes);
  }

  private most(split: Split): number {
    const { limits } = this;
    const { op } = split.request;
    if (op === BlockOp.flush) return 1;
    if (op === BlockOp.discard) return Math.min(split.blocksLeft, limits.discardBlocks);
    if (op === BlockOp.writeZeroes) return Math.min(split.blocksLeft, limits.zeroBlocks);
    const blocks = Math.min(split.blocksLeft, limits.transferBlocks);
    if (limits.boundaryBlocks === 0) return blocks;
    return Math.min(blocks, limits.boundaryBlocks - (split.lba % limits.boundaryBlocks));
  }

  private took(split: Split, blocks: number): void {
    split.lba += blocks;
    split.blocksLeft -= blocks;
    split.outstanding++;
  }

  private nextByBounce(split: Split, slot: number): void {
    const { request, cursor } = split;
    this.bounce ??= this.data.region.space.allocate(this.queue.slotCount * this.stride());
    this.bounceSegment[slot] = cursor.segment;
    this.bounceOffset[slot] = cursor.offset;
    const place = { segment: cursor.segment, offset: cursor.offset };
    if (request.op === BlockOp.write) this.copy(request, place, { slot, toCaller: false });
    this.issue.bounced(split, slot, this.bounce, slot * this.stride());
    skip(request, cursor, this.blockBytes);
    this.took(split, 1);
  }

  private stride(): number {
    return Math.ceil(this.blockBytes / this.data.pageBytes) * this.data.pageBytes;
  }

  private copy(request: BlockRequest, place: SegmentCursor, how: BounceCopy): void {
    const ours = this.bounce!.bytes;
    const base = how.slot * this.stride();
    for (let i = 0; i < this.blockBytes; i++) {
      const theirs = request.regions[place.segment]!.bytes;
      const at = request.offsets[place.segment]! + place.offset;
      if (how.toCaller) theirs[at] = ours[base + i]!;
      else ours[base + i] = theirs[at]!;
      skip(request, place, 1);
    }
  }

  /** Give memory back. No command may be in flight. */
  close(): void {
    if (this.bounce !== null) this.data.region.space.free(this.bounce);
    this.bounce = null;
  }
}

interface BounceCopy {
  readonly slot: number;
  readonly toCaller: boolean;
}

export interface SplitterParts {
  readonly limits: PieceLimits;
  readonly data: DataPointers;
  readonly issue: BlockIssue;
  readonly queue: SubmissionQueue;
  readonly sgl: SglUse;
  readonly blockBytes: number;
}

function skip(request: BlockRequest, at: SegmentCursor, bytes: number): void {
  let left = bytes;
  while (left > 0) {
    const step = Math.min(left, request.lengths[at.segment]! - at.offset);
    at.offset += step;
    left -= step;
    if (at.offset === request.lengths[at.segment]!) {
      at.segment++;
      at.offset = 0;
    }
  }
}
