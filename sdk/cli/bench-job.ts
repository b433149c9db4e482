import { assert } from '../assert.js';
import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { Histogram } from '../observe/histogram.js';
import type { IoLog } from '../observe/io-log.js';
import { Timeline } from '../observe/timeline.js';
import type { Area, BenchOptions } from './bench-options.js';

/** What a job did in one direction. */
export class Direction {
  readonly clat = new Histogram();
  readonly slat = new Histogram();
  bytes = 0;
  timeline = new Timeline(0);
}

/** The first request of a job that went wrong. */
export interface JobFailure {
  readonly op: BlockOp;
  readonly lba: number;
  readonly status: BlockStatus;
  readonly detail: number;
}

const readOp = BlockOp.read;
const writeOp = BlockOp.write;
const trimOp = BlockOp.discard;
const flushOp = BlockOp.flush;
/** In-flight counts are kept up to the deepest queue. */
const depthLevels = 4097;

/**
 * One stream of I/O at a fixed depth, on a block device of its own. Every request is made at the
 * start; running allocates nothing.
 */
export class BenchJob {
  readonly read = new Direction();
  readonly write = new Direction();
  readonly trim = new Direction();
  readonly sync = new Histogram();
  /** How often so many requests were in flight when one more was submitted. */
  readonly depths = new Float64Array(depthLevels);
  inFlight = 0;
  failure: JobFailure | null = null;
  /** Every measured request, when somebody wants them. */
  log: IoLog | null = null;
  startNs = 0;
  endNs = 0;
  readonly device: BlockDevice;
  private readonly area: Area;
  private readonly options: BenchOptions;
  private readonly buffer: DmaRegion;
  private readonly free: BlockRequest[] = [];
  private freeCount = 0;
  private submitted = 0;
  private next = 0;
  private sinceSync = 0;
  private readonly random: () => number;
  private measureNs = 0;
  private stopNs = Number.POSITIVE_INFINITY;

  constructor(device: BlockDevice, area: Area, options: BenchOptions & { readonly index: number }) {
    this.device = device;
    this.area = area;
    this.options = options;
    this.random = generator(options.seed + 0x9e37 * options.index);
    const { depth, blockSize } = options;
    this.buffer = device.memory.allocate(depth * blockSize);
    const words = this.buffer.words;
    for (let i = 0; i < words.length; i++) words[i] = Math.floor(this.random() * 0x1_0000_0000);
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((ended) => this.ended(ended));
      request.blockCount = area.blocksPerIo;
      request.tag = i;
      this.free.push(request);
    }
    this.freeCount = depth;
  }

  get isDone(): boolean {
    return this.inFlight === 0 && !this.wantsMore(this.device.clock.nowNs());
  }

  start(nowNs: number): void {
    this.startNs = nowNs;
    this.endNs = nowNs;
    this.measureNs = nowNs + this.options.rampNs;
    for (const direction of [this.read, this.write, this.trim]) {
      direction.timeline = new Timeline(this.measureNs);
    }
    const { runtimeNs } = this.options;
    if (runtimeNs !== null) this.stopNs = this.measureNs + runtimeNs;
  }

  /** Clock at which the job ends at the latest, without what is then in flight. */
  get deadlineNs(): number {
    return this.stopNs;
  }

  /** Submit up to the depth, run what completed. @returns requests that ended */
  step(nowNs: number): number {
    while (this.freeCount > 0 && this.wantsMore(nowNs) && this.device.canSubmit()) {
      this.submitOne();
    }
    return this.device.poll();
  }

  close(): void {
    assert(this.inFlight === 0, 'a job is closed when nothing is in flight');
    this.device.memory.free(this.buffer);
  }

  /** Measured time. */
  get runtimeNs(): number {
    return Math.max(1, this.endNs - Math.min(this.measureNs, this.endNs));
  }

  private wantsMore(nowNs: number): boolean {
    return this.failure === null && this.submitted < this.area.iosPerJob && nowNs < this.stopNs;
  }

  private submitOne(): void {
    const request = this.free[--this.freeCount]!;
    const { fsync, blockSize, isTrim, readPercent } = this.options;
    if (fsync > 0 && this.sinceSync >= fsync) {
      this.sinceSync = 0;
      request.op = flushOp;
      request.lba = 0;
      request.blockCount = 0;
      request.segmentCount = 0;
    } else {
      this.submitted++;
      request.blockCount = this.area.blocksPerIo;
      request.lba = this.area.firstLba + this.nextSlot() * this.area.blocksPerIo;
      if (isTrim) {
        request.op = trimOp;
        request.segmentCount = 0;
      } else {
        const isRead = readPercent === 100 || this.random() * 100 < readPercent;
        request.op = isRead ? readOp : writeOp;
        if (!isRead) this.sinceSync++;
        request.setData(this.buffer, request.tag * blockSize, blockSize);
      }
    }
    this.depths[this.inFlight + 1]!++;
    this.inFlight++;
    this.device.submit(request);
    const nowNs = this.device.clock.nowNs();
    if (nowNs < this.measureNs) return;
    if (request.op === flushOp) return;
    this.directionOf(request.op).slat.record(Math.max(0, nowNs - request.submittedNs));
  }

  private nextSlot(): number {
    const { slots } = this.area;
    if (this.options.isRandom) return Math.floor(this.random() * slots);
    const slot = this.next;
    this.next = slot + 1 === slots ? 0 : slot + 1;
    return slot;
  }

  private ended(request: BlockRequest): void {
    this.inFlight--;
    this.free[this.freeCount++] = request;
    const { completedNs } = request;
    if (completedNs > this.endNs) this.endNs = completedNs;
    if (request.status !== BlockStatus.ok) {
      const { op, lba, status, detail } = request;
      this.failure ??= { op, lba, status, detail };
      return;
    }
    if (completedNs < this.measureNs) return;
    if (this.log !== null) this.note(this.log, request);
    const latencyNs = Math.max(0, completedNs - request.submittedNs);
    if (request.op === flushOp) {
      this.sync.record(latencyNs);
      return;
    }
    const direction = this.directionOf(request.op);
    direction.clat.record(latencyNs);
    direction.bytes += this.options.blockSize;
    direction.timeline.record(completedNs, this.options.blockSize);
  }

  private note(log: IoLog, request: BlockRequest): void {
    const bytes = request.op === flushOp ? 0 : this.options.blockSize;
    const handle = log.begin(request.tag, request.op, request.lba, bytes);
    log.stamp(handle, 0, request.submittedNs);
    log.stamp(handle, 1, request.completedNs);
  }

  private directionOf(op: BlockOp): Direction {
    if (op === readOp) return this.read;
    return op === writeOp ? this.write : this.trim;
  }
}

/** Numbers 0 ≤ x < 1 of 53 bits from a 32-bit seed (two steps of mulberry32 each). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  const draw = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return () => ((draw() >>> 5) * 0x400_0000 + (draw() >>> 6)) / 0x20_0000_0000_0000;
}
