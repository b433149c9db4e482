import { assert } from '../assert.js';
import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { latencyRow } from '../observe/heat.js';
import { HeatTimeline } from '../observe/heat-timeline.js';
import { Histogram } from '../observe/histogram.js';
import { Timeline } from '../observe/timeline.js';
import type { Plan } from './plan.js';
import { type BlockRun, Shadow } from './shadow.js';
import type { SnapshotSource } from './snapshots.js';
import type { Stamp } from './stamp.js';
import { stampBlocks } from './stamp.js';
import type { ReadBack } from './verify.js';
import { Verifier } from './verify.js';

/** Told of each request of a replay, on the data path: store and return. */
export interface ReplayRecorder {
  /** Request `index` of the plan goes to the device now; what that does until `started` is its. */
  starting(index: number, request: BlockRequest): void;
  /** The same request has been handed over. */
  started(index: number): void;
  /** It has ended. */
  ended(index: number, request: BlockRequest): void;
}

export interface EngineOptions {
  readonly mode: 'recorded' | 'depth';
  /** Requests in flight at most. */
  readonly depth: number;
  /** Recorded time runs this much faster. */
  readonly speed: number;
  readonly token: number;
  readonly initial: 'zeroes' | 'any';
  readonly keepMismatches: number;
  /** Give up when nothing ends for so long, device time. */
  readonly deadlineNs: number;
  /** Other tasks of the thread do a part of the device's work. */
  readonly isShared: boolean;
  readonly recorder?: ReplayRecorder;
}

/** A request of the device that ended with a status other than ok. */
export interface Failure {
  readonly request: number;
  readonly status: number;
  readonly detail: number;
}

/** Waits in a row that end nothing before other tasks have their turn. */
const patience = 16;
const opKinds = 6;
const firstStepNs = 100_000;
/** Marks a slot that reads back at the end. */
const readBackIndex = -1;

/**
 * Drives one block device through one plan. Slots, requests and buffers exist before the first
 * request; from then on nothing is allocated but details of what went wrong.
 *
 * Requests start in the order of the plan. One that would touch blocks that a write, discard or
 * write zeroes in flight is changing waits for it, and those behind wait with it: a recorded
 * workload had its answer before it wrote the same place again. Only a read may overlap; it must
 * return, block by block, what was there before or what is being written.
 */
export class ReplayEngine {
  ended = 0;
  next = 0;
  /** Requests that waited for an overlapping change. */
  heldBack = 0;
  failed = 0;
  readonly failures: Failure[] = [];
  /** Submit to callback, by `BlockOp`. */
  readonly latency: readonly Histogram[];
  /** Due to submit; as-recorded mode only. */
  readonly lateness = new Histogram();
  /** Requests that ended, with the bytes they moved. */
  all: Timeline;
  reads: Timeline;
  writes: Timeline;
  /** How many requests ended when, by `latencyRow`. */
  heat: HeatTimeline;
  readonly verifier: Verifier;
  startNs = 0;
  endNs = 0;
  readBackBlocks = 0;
  /** When to look again after `run` or `readBack` returned false. */
  wakeNs = 0;

  private readonly device: BlockDevice;
  private readonly plan: Plan;
  private readonly options: EngineOptions;
  private readonly shadow = new Shadow();
  private readonly stamp: Stamp;
  private readonly slots: Slot[] = [];
  private readonly free: Int32Array;
  private freeCount = 0;
  private readonly back: ReadBack = { lba: 0, count: 0, at: 0, request: 0, timeNs: 0 };
  private lastHeld = -1;
  private progressNs = 0;
  private fruitless = 0;
  private runs: Generator<BlockRun> | null = null;

  constructor(device: BlockDevice, plan: Plan, options: EngineOptions) {
    this.device = device;
    this.plan = plan;
    this.options = options;
    this.latency = Array.from({ length: opKinds }, () => new Histogram());
    this.stamp = { blockWords: device.blockBytes / 4, token: options.token };
    this.verifier = new Verifier({
      stamp: this.stamp,
      shadow: this.shadow,
      initial: options.initial,
      keep: options.keepMismatches,
    });
    this.all = this.reads = this.writes = new Timeline(0);
    this.heat = new HeatTimeline(0);
    for (let i = 0; i < plan.count; i++) {
      if (isTracked(plan.op[i]!)) this.shadow.touch(plan.lba[i]!, plan.blocks[i]!);
    }
    const depth = Math.min(options.depth, device.limits.maxInFlight, plan.count);
    const done = (request: BlockRequest): void => this.finished(request);
    for (let i = 0; i < depth; i++) this.slots.push(new Slot(i, device, plan.maxBlocks, done));
    this.free = new Int32Array(depth);
    for (let i = depth - 1; i >= 0; i--) this.free[this.freeCount++] = i;
  }

  start(): void {
    this.startNs = this.device.clock.nowNs();
    this.endNs = this.startNs;
    this.all = new Timeline(this.startNs, firstStepNs);
    this.reads = new Timeline(this.startNs, firstStepNs);
    this.writes = new Timeline(this.startNs, firstStepNs);
    this.heat = new HeatTimeline(this.startNs);
    this.progressNs = this.startNs;
  }

  /** What a snapshot that is taken now must hold. */
  get snapshotSource(): SnapshotSource {
    return {
      stamp: this.stamp,
      initial: this.options.initial,
      maxBlocks: this.plan.maxBlocks,
      freeze: () => this.shadow.freeze(),
    };
  }

  get isDone(): boolean {
    return this.ended === this.plan.count;
  }

  /**
   * Run until so many more requests have ended, or all.
   *
   * @returns false when the device gets nowhere and other tasks must have their turn, to `wakeNs`
   * @throws UltimaError COMMAND_TIMEOUT
   */
  run(requests: number): boolean {
    const target = Math.min(this.plan.count, this.ended + requests);
    while (this.ended < target) {
      const dueNs = this.submitDue();
      if (!this.pollOrWait(dueNs)) return false;
    }
    return true;
  }

  /**
   * Read everything that was changed once more and check it. Latencies of it are not recorded.
   *
   * @returns false as `run` does; call again
   * @throws UltimaError COMMAND_TIMEOUT
   */
  readBack(): boolean {
    this.runs ??= this.shadow.changedRuns(this.plan.maxBlocks);
    while (this.submitRuns() || this.freeCount < this.slots.length) {
      if (!this.pollOrWait(Number.MAX_SAFE_INTEGER)) return false;
    }
    return true;
  }

  /** Give the buffers back. Nothing may be in flight. */
  close(): void {
    for (const slot of this.slots) this.device.memory.free(slot.region);
    this.slots.length = 0;
  }

  private pollOrWait(dueNs: number): boolean {
    if (this.device.poll() === 0) return this.wait(dueNs);
    this.progressNs = this.device.clock.nowNs();
    this.fruitless = 0;
    return true;
  }

  /** @returns whether there are more */
  private submitRuns(): boolean {
    while (this.freeCount > 0 && this.device.canSubmit()) {
      const run = this.runs?.next();
      if (run === undefined || run.done === true) return false;
      const { lba, count } = run.value;
      const slot = this.slots[this.free[--this.freeCount]!]!;
      slot.index = readBackIndex;
      slot.version = 0;
      this.fill(slot, BlockOp.read, lba, count);
      this.shadow.snapshot(lba, count, slot.floors);
      this.readBackBlocks += count;
      this.device.submit(slot.request);
    }
    return true;
  }

  /** Start everything that may start now. @returns when to look again, if nothing ends before */
  private submitDue(): number {
    const { plan, device, options } = this;
    const isTimed = options.mode === 'recorded';
    while (this.next < plan.count && this.freeCount > 0 && device.canSubmit()) {
      const index = this.next;
      const dueNs = this.startNs + plan.dueNs[index]! / options.speed;
      const nowNs = device.clock.nowNs();
      if (isTimed && dueNs > nowNs) return Math.ceil(dueNs);
      if (this.mustWait(index)) break;
      this.next++;
      if (isTimed) this.lateness.record(nowNs - dueNs);
      this.submit(index);
    }
    return Number.MAX_SAFE_INTEGER;
  }

  private mustWait(index: number): boolean {
    const { plan } = this;
    const op = plan.op[index]!;
    if (op === BlockOp.flush || op === BlockOp.read) return false;
    if (!this.shadow.isBusy(plan.lba[index]!, plan.blocks[index]!)) return false;
    if (this.lastHeld !== index) this.heldBack++;
    this.lastHeld = index;
    return true;
  }

  private submit(index: number): void {
    const { plan, shadow } = this;
    const slot = this.slots[this.free[--this.freeCount]!]!;
    const op = plan.op[index]!;
    const lba = plan.lba[index]!;
    const blocks = plan.blocks[index]!;
    slot.index = index;
    slot.version = index + 1;
    this.fill(slot, op, lba, blocks);
    slot.request.flags = plan.flags[index]!;
    if (op === BlockOp.read) shadow.snapshot(lba, blocks, slot.floors);
    else if (op !== BlockOp.flush) shadow.begin(op, lba, blocks, slot.version);
    if (op === BlockOp.write) {
      stampBlocks(this.stamp, slot.region.words, 0, lba, blocks, slot.version);
    }
    const recorder = this.options.recorder;
    if (recorder === undefined) {
      this.device.submit(slot.request);
      return;
    }
    recorder.starting(index, slot.request);
    this.device.submit(slot.request);
    recorder.started(index);
  }

  private fill(slot: Slot, op: number, lba: number, blocks: number): void {
    const { request } = slot;
    request.op = blockOp(op);
    request.flags = 0;
    request.lba = lba;
    request.blockCount = blocks;
    request.segmentCount = 0;
    if (op === BlockOp.read || op === BlockOp.write) {
      request.setData(slot.region, 0, blocks * this.device.blockBytes);
    }
    // What a device leaves untouched must not look like an earlier answer.
    if (op === BlockOp.read) slot.region.words.fill(poison, 0, blocks * this.stamp.blockWords);
  }

  private finished(request: BlockRequest): void {
    const slot = this.slots[request.tag]!;
    const { index } = slot;
    const isOk = request.status === BlockStatus.ok;
    const nowNs = this.device.clock.nowNs();
    if (!isOk) this.fail(index, request);
    if (request.op === BlockOp.read) {
      if (isOk) this.verify(slot, nowNs);
    } else if (request.op !== BlockOp.flush) {
      this.shadow.end(request.op, request.lba, request.blockCount, slot.version, isOk);
    }
    this.free[this.freeCount++] = slot.tag;
    if (index === readBackIndex) return;
    this.ended++;
    this.endNs = nowNs;
    this.count(request, nowNs);
    const recorder = this.options.recorder;
    if (recorder !== undefined) recorder.ended(index, request);
  }

  private verify(slot: Slot, nowNs: number): void {
    const { back } = this;
    back.lba = slot.request.lba;
    back.count = slot.request.blockCount;
    back.request = slot.index;
    back.timeNs = nowNs;
    this.verifier.check(back, slot.region.words, slot.floors);
  }

  private count(request: BlockRequest, nowNs: number): void {
    const latencyNs = nowNs - request.submittedNs;
    const bytes = request.blockCount * this.device.blockBytes;
    const isRead = request.op === BlockOp.read;
    const isWrite = request.op === BlockOp.write;
    this.latency[request.op]!.record(latencyNs);
    this.heat.count(latencyRow(latencyNs), nowNs);
    this.all.record(nowNs, isRead || isWrite ? bytes : 0);
    if (isRead) this.reads.record(nowNs, bytes);
    if (isWrite) this.writes.record(nowNs, bytes);
  }

  private fail(index: number, request: BlockRequest): void {
    this.failed++;
    if (this.failures.length >= this.options.keepMismatches) return;
    this.failures.push({ request: index, status: request.status, detail: request.detail });
  }

  private wait(dueNs: number): boolean {
    const { clock } = this.device;
    const inFlight = this.slots.length - this.freeCount;
    if (this.options.isShared) {
      // Nobody runs the time past the others of this thread, also between two requests.
      this.checkProgress(inFlight);
      this.wakeNs = Math.min(dueNs, clock.nowNs() + this.options.deadlineNs);
      return false;
    }
    if (inFlight === 0 && dueNs < Number.MAX_SAFE_INTEGER) {
      // Idle between two requests of the record: only time has to pass.
      clock.idle(dueNs);
      this.progressNs = clock.nowNs();
      return true;
    }
    this.checkProgress(inFlight);
    this.wakeNs = Math.min(dueNs, this.progressNs + this.options.deadlineNs);
    // A device that takes nothing or ends nothing may be in a reset, which is a task of its own.
    if (inFlight === 0 || ++this.fruitless > patience) return false;
    clock.idle(this.wakeNs);
    return true;
  }

  private checkProgress(inFlight: number): void {
    const nowNs = this.device.clock.nowNs();
    if (inFlight === 0) this.progressNs = Math.max(this.progressNs, nowNs);
    if (nowNs >= this.progressNs + this.options.deadlineNs) this.giveUp(inFlight, nowNs);
  }

  private giveUp(inFlight: number, nowNs: number): never {
    const waitedMs = Math.round((nowNs - this.progressNs) / 1e6);
    throw new UltimaError(
      ErrorCode.commandTimeout,
      `no request ended for ${waitedMs} ms of device time with ${inFlight} in flight`,
      { waitedMs, inFlight, ended: this.ended },
    );
  }
}

const poison = 0xdeadbeef;

class Slot {
  readonly tag: number;
  readonly request: BlockRequest;
  readonly region: DmaRegion;
  /** Versions that the blocks of a read had at least when it started. */
  readonly floors: Uint32Array;
  index = 0;
  version = 0;

  constructor(
    tag: number,
    device: BlockDevice,
    maxBlocks: number,
    done: (request: BlockRequest) => void,
  ) {
    this.tag = tag;
    this.request = new BlockRequest(done);
    this.request.tag = tag;
    this.region = device.memory.allocate(maxBlocks * device.blockBytes);
    this.floors = new Uint32Array(maxBlocks);
  }
}

/** Discards and flushes put nothing into a block that a later read could be wrong about. */
function isTracked(op: number): boolean {
  return op === BlockOp.read || op === BlockOp.write || op === BlockOp.writeZeroes;
}

const blockOps: readonly BlockOp[] = Object.values(BlockOp);

/** The operation that a column's number stands for. */
function blockOp(op: number): BlockOp {
  const found = blockOps[op - 1];
  assert(found === op, 'an operation that a block request does not have');
  return found;
}
