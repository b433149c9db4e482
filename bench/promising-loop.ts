import { BlockOp, BlockRequest, BlockStatus } from '../sdk/block/request.js';
import type { Bar, Clock, DmaSpace } from '../sdk/device.js';
import { completionDoorbell, submissionDoorbell } from '../sdk/spec/nvme/registers.js';
import { blockBytes, Walk } from './driver-loop.js';
import type { NullFunction } from './null-function.js';

const entries = 1024;
const slotCount = entries - 1;
const deviceBlocks = 2 ** 31;
const phaseOn = 1 << 16;

/**
 * The baseline with what the driver promises for each request, and nothing else: the same rings by
 * hand, but the work comes as block requests whose memory, size and blocks are checked, which get
 * their times and status; identifiers carry a sequence tag, commands their age; and nothing in a
 * completion entry is trusted. One class, one namespace, one page per request, no layers.
 */
export class PromisingLoop {
  private readonly walk = new Walk();
  private readonly bar: Bar;
  private readonly memory: DmaSpace;
  private readonly clock: Clock;
  private readonly sq: Uint32Array;
  private readonly cq: Uint32Array;
  private readonly requests: BlockRequest[] = [];
  private readonly inSlot: (BlockRequest | null)[] = [];
  private readonly cids = new Int32Array(entries);
  private readonly ages = new Int32Array(entries);
  private readonly free = new Uint16Array(slotCount);
  private freeCount = 0;
  private taken = 0;
  private tail = 0;
  private head = 0;
  private phase = phaseOn;
  private nowNs = 0;
  private left = 0;
  private ended = 0;
  private readonly id: number;
  private readonly sqDoorbell: number;
  private readonly cqDoorbell: number;

  constructor(fn: NullFunction, depth: number, id: number) {
    this.id = id;
    this.bar = fn.bar();
    this.memory = fn.dma;
    this.clock = fn.clock;
    const submission = fn.dma.allocate(entries * 64).words;
    const completion = fn.dma.allocate(entries * 16).words;
    fn.connect({ id, entries, submission, completion, head: 0, tail: 0, phase: 1 << 16 });
    this.sq = submission;
    this.cq = completion;
    this.sqDoorbell = submissionDoorbell(id, 0);
    this.cqDoorbell = completionDoorbell(id, 0);
    for (let slot = 0; slot < slotCount; slot++) {
      this.free[this.freeCount++] = slot;
      this.cids[slot] = ~slot;
      this.inSlot.push(null);
    }
    const done = (request: BlockRequest): void => this.done(request);
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest(done);
      request.op = BlockOp.read;
      request.blockCount = 1;
      request.setData(fn.dma.allocate(blockBytes), 0, blockBytes);
      this.requests.push(request);
    }
  }

  run(count: number): void {
    this.left = count - this.requests.length;
    this.ended = 0;
    this.nowNs = this.clock.nowNs();
    for (const request of this.requests) this.next(request);
    this.bar.write32(this.sqDoorbell, this.tail);
    while (this.ended < count) this.poll();
  }

  private submit(request: BlockRequest): void {
    const { op, lba, blockCount, region, soundBytes, address, flags } = request;
    const isRead = op === BlockOp.read;
    if (
      request.segmentCount !== 1 ||
      (!isRead && op !== BlockOp.write) ||
      region === null ||
      region.space !== this.memory ||
      region.isFreed === true ||
      soundBytes !== blockCount * blockBytes ||
      soundBytes !== blockBytes ||
      !(lba >= 0 && lba + blockCount <= deviceBlocks && Math.floor(lba) === lba) ||
      (flags & ~1) !== 0 ||
      this.freeCount === 0
    ) {
      throw new RangeError('the bench asks for what this loop cannot');
    }
    const slot = this.free[--this.freeCount]!;
    const cid = (~this.cids[slot]! + entries) & 0xffff;
    this.cids[slot] = cid;
    this.taken = (this.taken + 1) | 0;
    this.ages[slot] = this.taken;
    request.submittedNs = this.nowNs;
    this.inSlot[slot] = request;
    const { sq } = this;
    const at = (this.tail << 4) & 0xf_ffff;
    sq[at] = (isRead ? 2 : 1) | (cid << 16);
    sq[at + 1] = 1;
    sq[at + 2] = 0;
    sq[at + 3] = 0;
    sq[at + 4] = 0;
    sq[at + 5] = 0;
    sq[at + 6] = address;
    sq[at + 7] = address / 0x1_0000_0000;
    sq[at + 8] = 0;
    sq[at + 9] = 0;
    sq[at + 10] = lba;
    sq[at + 11] = lba / 0x1_0000_0000;
    sq[at + 12] = (blockCount - 1) | (flags << 30);
    sq[at + 13] = 0;
    sq[at + 14] = 0;
    sq[at + 15] = 0;
    if (++this.tail === entries) this.tail = 0;
  }

  private poll(): void {
    const { cq } = this;
    const from = this.head;
    for (;;) {
      const at = this.head << 2;
      if ((cq[at + 3]! & phaseOn) !== this.phase) break;
      const word = Atomics.load(cq, at + 3);
      if (this.head === from) this.nowNs = this.clock.nowNs();
      if (++this.head === entries) {
        this.head = 0;
        this.phase ^= phaseOn;
      }
      const where = cq[at + 2]!;
      const cid = word & 0xffff;
      const slot = cid & (entries - 1);
      const isKnown = where >>> 16 === this.id && (where & 0xffff) < entries;
      if (!isKnown || this.cids[slot] !== cid) throw new Error('the null controller is wrong');
      this.cids[slot] = ~cid;
      this.free[this.freeCount++] = slot;
      const request = this.inSlot[slot]!;
      request.status = word >>> 17 === 0 ? BlockStatus.ok : BlockStatus.deviceError;
      request.detail = word >>> 17;
      request.completedNs = this.nowNs;
      request.done(request);
    }
    if (this.head === from) return;
    this.bar.write32(this.cqDoorbell, this.head);
    this.bar.write32(this.sqDoorbell, this.tail);
  }

  private next(request: BlockRequest): void {
    request.lba = this.walk.next();
    this.submit(request);
  }

  private done(request: BlockRequest): void {
    this.ended++;
    if (this.left-- > 0) this.next(request);
  }
}
