import { assert } from '../assert.js';
import {
  BlockOp,
  type BlockRequest,
  BlockStatus,
  blockFlagFua,
  maxSegments,
} from '../block/request.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { Sqe } from '../spec/nvme/command.js';
import { Read } from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { dwordSpan, lowDword, smallInteger } from '../units.js';
import { BlockIssue } from './block-issue.js';
import { blockStatusOf, combine } from './block-status.js';
import type { CompletionQueue } from './completion-queue.js';
import type { DataPointers } from './data-pointer.js';
import type { NamespaceFormat } from './namespace-format.js';
import type { SglUse } from './options.js';
import type { QueuePair } from './queue-pair.js';
import { type PieceLimits, Split, SplitList, Splitter } from './split.js';
import { nobody, SlotEnd, type SlotOwner, type SubmissionQueue } from './submission-queue.js';

// Looked up once: the tables lie behind imports.
const dwPrp1 = Sqe.prp1.dword;
const dwLba = Read.slba.dword;
const dwCount = Read.nlb.dword;
const cidField = Sqe.cid;
const blockCountField = Read.nlb;
const fuaField = Read.fua;
const readDword = Sqe.opc.put(0, NvmOpcode.read);
const writeDword = Sqe.opc.put(0, NvmOpcode.write);
/** Every dword index inside a ring: a sum with an index that was masked so cannot overflow. */
const ringMask = 0xf_ffff;
const largestCount = 0x7fff_ffff;
const readOp = BlockOp.read;
const writeOp = BlockOp.write;
const flushOp = BlockOp.flush;
const lastOp = BlockOp.writeZeroes;
const okStatus = BlockStatus.ok;
const completedEnd = SlotEnd.completed;
const fuaFlag = blockFlagFua;
const span = dwordSpan;

/**
 * Block requests of one namespace on one queue pair: the data path.
 *
 * A request that one command can carry goes straight into the ring. All others (larger than a
 * command may be, across a boundary, scattered so that no single data pointer covers it, or while
 * no slot is free) are cut into pieces by a pooled `Split`. Nothing is allocated per request once
 * the pool has grown to what is in flight.
 */
export class BlockQueue implements SlotOwner {
  /** Requests submitted, and requests ended, so far. */
  private startedCount = 0;
  endedCount = 0;
  readonly maxInFlight: number;
  readonly ownerId: number;

  private readonly pair: QueuePair;
  private readonly queue: SubmissionQueue;
  private readonly completion: CompletionQueue;
  private readonly data: DataPointers;
  private readonly memory: DmaSpace;
  private readonly issue: BlockIssue;
  private readonly splitter: Splitter;
  private readonly metadata: DmaRegion | null;
  private readonly blockBytes: number;
  private readonly blockCount: number;
  private readonly directBytes: number;
  private readonly boundaryMask: number;
  private readonly boundaryBlocks: number;
  private readonly ops: Uint8Array;
  private readonly pageMask: number;
  /** Bytes from the start of a page that four dwords of a command can name: a page, or none. */
  private readonly shortBytes: number;
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly splits: (Split | null)[] = [];
  private readonly waiting = new SplitList();
  private readonly pool: Split[] = [];

  constructor(parts: BlockQueueParts) {
    const { pair, format, limits } = parts;
    this.pair = pair;
    this.queue = pair.submission;
    this.ownerId = pair.submission.takeOwnerId();
    this.completion = pair.completion;
    this.data = pair.data;
    this.memory = pair.data.region.space;
    this.blockBytes = blockBytesOf(format);
    this.blockCount = format.blockCount;
    const { pageBytes } = this.data;
    this.pageMask = pageBytes - 1;
    this.shortBytes = format.protectionType === 0 ? pageBytes : 0;
    this.maxInFlight = this.queue.slotCount;
    this.metadata = this.metadataMemory(format, limits);
    const isPlain = parts.sgl !== 'always' && this.metadata === null;
    this.directBytes = isPlain ? smallInteger(limits.transferBlocks * this.blockBytes) : 0;
    this.boundaryBlocks = smallInteger(limits.boundaryBlocks);
    const isPowerOfTwo = (limits.boundaryBlocks & (limits.boundaryBlocks - 1)) === 0;
    this.boundaryMask = isPowerOfTwo ? limits.boundaryBlocks - 1 : -1;
    this.ops = Uint8Array.from([0, 1, 1, 1, parts.canDiscard ? 1 : 0, parts.canZero ? 1 : 0]);
    // Pushed one by one: an array made at its length is read with a check for holes for ever.
    for (let slot = 0; slot < this.queue.slotCount; slot++) {
      this.requests.push(null);
      this.splits.push(null);
    }
    const { data, queue, blockBytes } = this;
    this.issue = new BlockIssue({ queue, data, format, metadata: this.metadata });
    const { issue } = this;
    this.splitter = new Splitter({ limits, data, issue, queue, sgl: parts.sgl, blockBytes });
  }

  /** Requests submitted and not ended. */
  get inFlight(): number {
    return this.startedCount - this.endedCount;
  }

  canSubmit(): boolean {
    return this.inFlight < this.maxInFlight && (this.queue.isOpen || this.queue.isDead);
  }

  /**
   * The data path, written in a row: the usual case is decided without a call. A read or write of
   * one sound piece that one command can carry, with nothing wrong with it, goes into the ring;
   * everything else is looked at again, slowly.
   *
   * A ring entry still holds what it was used for before. When that was a request of ours that
   * needed no more than four dwords of its own, and this one needs no more, only they are written.
   */
  submit(request: BlockRequest): void {
    // One look at the clock serves all requests between two doorbells. The call comes first,
    // because the compiler forgets at a call what it has checked.
    const { completion, queue } = this;
    if (completion.isTimed === false) completion.look();
    const { region, soundBytes, blockCount, lba } = request;
    if (
      request.segmentCount !== 1 ||
      region === null ||
      region.space !== this.memory ||
      region.isFreed === true ||
      soundBytes !== blockCount * this.blockBytes ||
      soundBytes > this.directBytes ||
      (blockCount & largestCount) !== blockCount ||
      !(lba >= 0 && lba + blockCount <= this.blockCount && Math.floor(lba) === lba) ||
      !(request.op >= readOp && request.op <= writeOp) ||
      (request.flags & ~fuaFlag) !== 0 ||
      (this.boundaryBlocks !== 0 && !this.isInsideBoundary(lba, blockCount)) ||
      this.waiting.head !== null ||
      queue.canTake === false
    ) {
      this.submitChecked(request);
      return;
    }
    const slot = queue.takeLaid(this);
    this.startedCount++;
    request.submittedNs = completion.nowNs;
    this.requests[slot] = request;
    const { address } = request;
    if (
      lba < span &&
      address < span &&
      (address & this.pageMask) + soundBytes <= this.shortBytes &&
      queue.isLaidBy(this) === true
    ) {
      const { words } = queue;
      const at = queue.entryAt & ringMask;
      const opcode = request.op === readOp ? readDword : writeDword;
      words[at] = cidField.fill(opcode, queue.takenCid);
      words[at + dwPrp1] = address;
      words[at + dwLba] = lba;
      words[at + dwCount] = fuaField.fill(blockCountField.fill(0, blockCount), request.flags);
    } else this.lay(request, slot);
    if (queue.observer !== null) queue.observer.submitted(queue, slot);
  }

  /**
   * @returns requests ended, also those of others that share the completion queue: whoever polls
   *          them next finds nothing, and all who poll in turn would believe that nothing happened
   */
  poll(): number {
    const { completion } = this;
    const before = completion.requestsEnded;
    this.pair.poll();
    if (this.waiting.head !== null) this.turn();
    return completion.requestsEnded - before;
  }

  /**
   * What waits while nothing is in flight (a reset has ended all) starts again from here, or ends
   * when the queue never comes back. Called from polling, because it may run callbacks.
   */
  turn(): void {
    if (this.waiting.head === null) return;
    if (this.queue.isDead) this.dropWaiting();
    else {
      this.pump();
      this.queue.ring();
    }
  }

  /** A slot of ours has ended. */
  ended(queue: SubmissionQueue, slot: number): void {
    const request = this.requests[slot]!;
    if (request === null) {
      this.pieceEnded(this.splits[slot]!, slot);
      return;
    }
    request.status = okStatus;
    request.detail = queue.status;
    if (queue.status !== 0 || queue.end !== completedEnd) {
      request.status = blockStatusOf(queue.end, queue.status);
    }
    this.end(request);
  }

  /** Slots that carry commands of a request; for aborting it. */
  slotsOf(request: BlockRequest): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.queue.slotCount; slot++) {
      if (!this.queue.isBusy(slot) || !this.queue.isOwnedBy(slot, this)) continue;
      const carried = this.requests[slot] ?? this.splits[slot]?.request;
      if (carried === request) slots.push(slot);
    }
    return slots;
  }

  /** Do not start what of a request has not been started. @returns whether all of it ended so */
  cancelWaiting(request: BlockRequest): boolean {
    for (let split = this.waiting.head; split !== null; split = split.next) {
      if (split.request !== request) continue;
      this.judge(split, BlockStatus.notExecuted, 0);
      return this.settle(split);
    }
    return false;
  }

  /** Give memory back. No request may be in flight. */
  close(): void {
    this.splitter.close();
    if (this.metadata !== null && !this.metadata.isFreed) this.memory.free(this.metadata);
  }

  private metadataMemory(format: NamespaceFormat, limits: PieceLimits): DmaRegion | null {
    const isSeparate = format.metadataBytes > 0 && !format.isExtended;
    // With PRACT = 1 and nothing but protection information, no metadata is transferred.
    if (!isSeparate || (format.protectionType !== 0 && format.metadataBytes === 8)) return null;
    const bytes = limits.transferBlocks * format.metadataBytes;
    const stride = Math.ceil(bytes / this.data.pageBytes) * this.data.pageBytes;
    return this.memory.allocate(stride * this.queue.slotCount);
  }

  private check(request: BlockRequest): void {
    const { op, lba, blockCount } = request;
    if (op === flushOp) {
      if (request.segmentCount !== 0) throw new RangeError('a flush carries no data');
      return;
    }
    if (!(op >= readOp && op <= lastOp)) throw new RangeError(`operation ${op} is unknown`);
    if (!(lba >= 0 && blockCount >= 1 && lba + blockCount <= this.blockCount)) {
      throw beyondTheEnd(request, this.blockCount);
    }
    if (Math.floor(lba) !== lba || Math.floor(blockCount) !== blockCount) {
      throw new RangeError(`block ${lba}, ${blockCount} blocks: both must be integers`);
    }
    if (request.flags !== 0 && request.flags !== fuaFlag) {
      throw new RangeError('unknown request flag');
    }
    if (op === readOp || op === writeOp) this.checkData(request);
    else if (request.segmentCount !== 0) throw new RangeError('this operation carries no data');
    else if (this.ops[op] === 0) throw new RangeError('the namespace cannot do this operation');
  }

  private checkData(request: BlockRequest): void {
    const count = request.segmentCount;
    if (!(count >= 1 && count <= maxSegments))
      throw new RangeError('a transfer has 1..128 segments');
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const region = request.regions[i];
      // Closing the controller has freed it, too: then nothing is sent any more.
      const isLost = region?.isLost === true && this.queue.isDead;
      if (region == null || (region.isFreed && !isLost)) throw freed(i);
      if (region.space !== this.memory) throw new TypeError('a segment lies in foreign memory');
      const offset = request.offsets[i]!;
      const length = request.lengths[i]!;
      const isWhole = Math.floor(offset) === offset && Math.floor(length) === length;
      if (!(isWhole && offset >= 0 && length >= 1 && offset + length <= region.length)) {
        throw outside(i, request, region.length);
      }
      sum += length;
    }
    if (sum !== request.blockCount * this.blockBytes) {
      const wanted = `${request.blockCount} blocks of ${this.blockBytes} bytes`;
      throw new RangeError(`the segments hold ${sum} bytes; the request is for ${wanted}`);
    }
  }

  private isInsideBoundary(lba: number, blockCount: number): boolean {
    if (this.boundaryMask !== -1) {
      return (lowDword(lba) & this.boundaryMask) + blockCount <= this.boundaryBlocks;
    }
    return (lba % this.boundaryBlocks) + blockCount <= this.boundaryBlocks;
  }

  /** All dwords of a request that goes into the ring directly. */
  private lay(request: BlockRequest, slot: number): void {
    const { lba, address, soundBytes } = request;
    this.issue.direct(request, slot);
    const inPage = (address & this.pageMask) + soundBytes;
    if (lba < span && address < span && inPage <= this.shortBytes) this.queue.leaveLaid(this);
    else this.queue.leaveLaid(nobody);
  }

  /** @throws what `submit` throws */
  private submitChecked(request: BlockRequest): void {
    this.check(request);
    if (this.inFlight === this.maxInFlight) throw full(this.maxInFlight);
    this.startedCount++;
    if (!this.completion.isTimed) this.completion.look();
    request.submittedNs = this.completion.nowNs;
    const split = this.pool.pop() ?? new Split(request);
    split.start(request, this.blockBytes);
    this.waiting.push(split);
    this.pump();
  }

  /** Put pieces into slots while there are both. */
  private pump(): void {
    const { queue, waiting } = this;
    while (waiting.head !== null) {
      const slot = queue.take(this);
      if (slot === -1) return;
      const split = waiting.head;
      this.requests[slot] = null;
      this.splits[slot] = split;
      this.splitter.next(split, slot);
      if (split.blocksLeft === 0) waiting.remove(split);
    }
  }

  private pieceEnded(split: Split, slot: number): void {
    const { queue } = this;
    const status = blockStatusOf(queue.end, queue.status);
    if (status === okStatus) this.splitter.completed(split, slot);
    split.outstanding--;
    this.judge(split, status, queue.status);
    this.settle(split);
    if (this.waiting.head !== null) this.pump();
  }

  private judge(split: Split, status: BlockStatus, detail: number): void {
    if (detail !== 0 && split.detail === 0) split.detail = detail;
    const old = split.isJudged ? split.status : status;
    split.status = combine(old, status);
    split.isJudged = true;
    // After a failure the rest is not started; what was not started then was not executed.
    if (status === okStatus || split.blocksLeft === 0) return;
    split.status = combine(split.status, BlockStatus.notExecuted);
    split.blocksLeft = 0;
    this.waiting.remove(split);
  }

  private settle(split: Split): boolean {
    if (split.outstanding > 0 || split.blocksLeft > 0) return false;
    const { request } = split;
    request.status = split.status;
    request.detail = split.detail;
    this.pool.push(split);
    this.end(request);
    return true;
  }

  private dropWaiting(): void {
    while (this.waiting.head !== null) {
      const split = this.waiting.head;
      assert(split.blocksLeft > 0, 'what waits has something left to do');
      this.judge(split, BlockStatus.notExecuted, 0);
      this.settle(split);
    }
  }

  private end(request: BlockRequest): void {
    const { completion } = this;
    request.completedNs = completion.nowNs;
    completion.requestsEnded++;
    this.endedCount++;
    request.done(request);
  }
}

export interface BlockQueueParts {
  readonly pair: QueuePair;
  readonly format: NamespaceFormat;
  readonly limits: PieceLimits;
  readonly sgl: SglUse;
  readonly canDiscard: boolean;
  readonly canZero: boolean;
}

/**
 * Bytes of a block as its reader sees it: with the metadata when that is interleaved and not
 * inserted and stripped by the controller.
 */
export function blockBytesOf(format: NamespaceFormat): number {
  const isStripped = format.protectionType !== 0 && format.metadataBytes === 8;
  const metadataBytes = format.isExtended && !isStripped ? format.metadataBytes : 0;
  return smallInteger(format.dataBytes + metadataBytes);
}

function beyondTheEnd(request: BlockRequest, blockCount: number): RangeError {
  const { lba, blockCount: count } = request;
  if (!(count >= 1)) return new RangeError(`${count} blocks at ${lba}: at least one is needed`);
  const what = `blocks ${lba}..${lba + count - 1}`;
  return new RangeError(`${what} of a device that has blocks 0..${blockCount - 1}`);
}

function freed(segment: number): TypeError {
  return new TypeError(`segment ${segment} lies in freed memory; free it after its last request`);
}

function outside(segment: number, request: BlockRequest, bytes: number): RangeError {
  const place = `${request.lengths[segment]} bytes at ${request.offsets[segment]}`;
  return new RangeError(`segment ${segment}, ${place}, lies outside its region of ${bytes} bytes`);
}

function full(limit: number): UltimaError {
  return new UltimaError(
    ErrorCode.queueFull,
    `${limit} requests are in flight, which is all that fit; poll, and ask canSubmit first`,
    { limit },
  );
}
