import type { Bar, DmaRegion } from '../sdk/device.js';
import { completionDoorbell, submissionDoorbell } from '../sdk/spec/nvme/registers.js';
import { blockBytes, Walk } from './driver-loop.js';
import type { NullFunction } from './null-function.js';

/** Entries of each ring. */
const entries = 1024;

type Callback = (slot: number, status: number) => void;

/**
 * The baseline: what somebody writes by hand for exactly this job. Rings, 16 dwords per entry, a
 * free list, one data page per slot, one doorbell each way per batch, the phase found by a plain
 * load and confirmed by an atomic one, a preallocated callback per slot. No checks, no tags, no
 * time-outs, no splitting.
 */
export class BaselineLoop {
  private readonly walk = new Walk();
  private readonly bar: Bar;
  private readonly sq: Uint32Array;
  private readonly cq: Uint32Array;
  private readonly pages: DmaRegion[] = [];
  private readonly callbacks: Callback[] = [];
  private readonly free: Uint16Array;
  private freeCount = 0;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private left = 0;
  private ended = 0;
  private readonly depth: number;
  private readonly sqDoorbell: number;
  private readonly cqDoorbell: number;

  constructor(fn: NullFunction, depth: number, id: number) {
    this.bar = fn.bar();
    this.depth = depth;
    const submission = fn.dma.allocate(entries * 64).words;
    const completion = fn.dma.allocate(entries * 16).words;
    fn.connect({ id, entries, submission, completion, head: 0, tail: 0, phase: 1 << 16 });
    this.sq = submission;
    this.cq = completion;
    this.sqDoorbell = submissionDoorbell(id, 0);
    this.cqDoorbell = completionDoorbell(id, 0);
    this.free = new Uint16Array(depth);
    for (let slot = 0; slot < depth; slot++) {
      this.free[this.freeCount++] = slot;
      this.pages.push(fn.dma.allocate(blockBytes));
      this.callbacks.push((_, status) => this.done(status));
    }
  }

  run(count: number): void {
    this.left = count - this.depth;
    this.ended = 0;
    for (let i = 0; i < this.depth; i++) this.submit();
    this.bar.write32(this.sqDoorbell, this.tail);
    while (this.ended < count) this.poll();
  }

  private submit(): void {
    const slot = this.free[--this.freeCount]!;
    const at = this.tail * 16;
    const { sq } = this;
    const { iova } = this.pages[slot]!;
    const lba = this.walk.next();
    sq[at] = 2 | (slot << 16);
    sq[at + 1] = 1;
    sq[at + 2] = 0;
    sq[at + 3] = 0;
    sq[at + 4] = 0;
    sq[at + 5] = 0;
    sq[at + 6] = iova;
    sq[at + 7] = iova / 0x1_0000_0000;
    sq[at + 8] = 0;
    sq[at + 9] = 0;
    sq[at + 10] = lba;
    sq[at + 11] = lba / 0x1_0000_0000;
    sq[at + 12] = 0;
    sq[at + 13] = 0;
    sq[at + 14] = 0;
    sq[at + 15] = 0;
    if (++this.tail === entries) this.tail = 0;
  }

  private poll(): void {
    const { cq } = this;
    const from = this.head;
    for (;;) {
      const at = this.head * 4;
      if (((cq[at + 3]! >>> 16) & 1) !== this.phase) break;
      const word = Atomics.load(cq, at + 3);
      if (++this.head === entries) {
        this.head = 0;
        this.phase ^= 1;
      }
      const slot = word & 0xffff;
      this.free[this.freeCount++] = slot;
      this.callbacks[slot]!(slot, word >>> 17);
    }
    if (this.head === from) return;
    this.bar.write32(this.cqDoorbell, this.head);
    this.bar.write32(this.sqDoorbell, this.tail);
  }

  private done(status: number): void {
    if (status !== 0) throw new Error('the null controller failed a command');
    this.ended++;
    if (this.left-- > 0) this.submit();
  }
}
