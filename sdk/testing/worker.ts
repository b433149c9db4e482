import { Histogram } from '../observe/histogram.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { Cap } from '../spec/nvme/registers.js';
import { statusKind, statusText } from '../spec/nvme/status.js';
import { secondNs } from '../units.js';
import type { TestBuffer } from './buffer.js';
import { type LbaDistribution, LbaPicker } from './lba-picker.js';
import type { NamespaceFixture } from './namespace.js';
import { TestPrng } from './prng.js';
import type { QueueFixture } from './queue.js';
import { StampBook, type StampFault } from './stamps.js';

export interface Weighted<T> {
  readonly item: T;
  readonly weight: number;
}

export type WorkerOp = 'read' | 'write' | 'writeZeroes' | 'compare' | 'flush';

export interface WorkerOptions {
  /** Printed with the report: the same seed gives the same commands. */
  readonly seed: number;
  /** Commands in flight. */
  readonly depth: number;
  /** Blocks of one command, by weight. */
  readonly blocks?: readonly Weighted<number>[];
  /** What is done, by weight. */
  readonly mix?: readonly Weighted<WorkerOp>[];
  /** Blocks that the worker may touch; the whole namespace when left out. */
  readonly region?: { readonly lba: number; readonly count: number };
  readonly distribution?: LbaDistribution;
  /** At most so many commands per second. */
  readonly iops?: number;
  /** The run ends after so many commands, or after so much time, whichever comes first. */
  readonly commands?: number;
  readonly durationNs?: number;
}

export interface WorkerReport {
  readonly seed: number;
  readonly commands: number;
  readonly failures: ReadonlyMap<string, number>;
  /** Commands that were with the card when it was reset: what they did is found out by reading. */
  readonly unknown: number;
  /** Reads whose data was wrong; the first ones. */
  readonly faults: readonly StampFault[];
  readonly elapsedNs: number;
  readonly latency: Histogram;
  /** Commands that ended in each second of the run. */
  readonly perSecond: readonly number[];
}

interface Slot {
  readonly data: TestBuffer;
  cid: number;
  op: WorkerOp;
  lba: number;
  blocks: number;
  version: number;
  startNs: number;
  isBusy: boolean;
}

const opcodes = {
  read: NvmOpcode.read,
  write: NvmOpcode.write,
  writeZeroes: NvmOpcode.writeZeroes,
  compare: NvmOpcode.compare,
  flush: NvmOpcode.flush,
} as const;

const faultLimit = 16;

/**
 * An I/O generator on one queue pair. Every block carries a stamp and every read is checked. It can
 * be told that the card was reset: commands that were in flight count as unknown, both contents of
 * their blocks are good until a read shows which it is, and the worker goes on with a new queue.
 *
 * Commands in flight never touch the same block twice: the standard orders nothing between them.
 */
export class IoWorker {
  readonly stamps: StampBook;
  private readonly ns: NamespaceFixture;
  private readonly options: WorkerOptions;
  private readonly prng: TestPrng;
  private readonly picker: LbaPicker;
  private readonly slots: Slot[];
  private readonly latency = new Histogram();
  private readonly failures = new Map<string, number>();
  private readonly faults: StampFault[] = [];
  private readonly perSecond: number[] = [];
  private pair: QueueFixture;
  private posted = 0;
  private ended = 0;
  private unknown = 0;
  private startNs = 0;
  private nextNs = 0;
  private isStopping = false;

  constructor(ns: NamespaceFixture, pair: QueueFixture, options: WorkerOptions) {
    const largest = Math.max(...blocksOf(options).map(({ item }) => item));
    const region = options.region ?? { lba: 0, count: ns.blockCount };
    const depth = Math.min(options.depth, pair.sq.entries - 1);
    if (region.count < largest * depth * 2) {
      throw new RangeError(`a region of ${region.count} blocks is too small for depth ${depth}`);
    }
    this.ns = ns;
    this.pair = pair;
    this.options = options;
    this.prng = new TestPrng(options.seed);
    this.picker = new LbaPicker(region, options.distribution ?? 'uniform', this.prng);
    this.stamps = new StampBook(this.prng.word(), ns.blockBytes);
    this.slots = Array.from({ length: depth }, () => ({
      data: ns.buffer(largest),
      cid: 0,
      op: 'read' as const,
      lba: 0,
      blocks: 0,
      version: 0,
      startNs: 0,
      isBusy: false,
    }));
  }

  get inFlight(): number {
    return this.slots.filter((slot) => slot.isBusy).length;
  }

  /** Run to the end of the options, or until `stop`. May be called again after `adopt`. */
  async run(): Promise<WorkerReport> {
    const { clock } = this.ns.rig.fn;
    if (this.posted === 0) {
      this.startNs = clock.nowNs();
      this.nextNs = this.startNs;
    }
    while (!this.isOver() || this.inFlight > 0) {
      this.fill();
      const before = this.ended;
      this.collect();
      if (this.ended > before) continue;
      const untilNs = this.inFlight === 0 ? this.nextNs : clock.nowNs() + secondNs;
      const since = clock.nowNs();
      await clock.turn(Math.max(untilNs, since + 1));
      this.checkAlive(since);
    }
    return this.report();
  }

  /** Run `count` commands more, leaving what is in flight at the end where it is. */
  async runUntilInFlight(count: number): Promise<void> {
    const { clock } = this.ns.rig.fn;
    if (this.posted === 0) this.startNs = clock.nowNs();
    const target = this.ended + count;
    while (this.ended < target) {
      this.fill();
      this.collect();
      await clock.turn(clock.nowNs() + secondNs / 1000);
    }
    this.fill();
  }

  /** End after the commands that are in flight. */
  stop(): void {
    this.isStopping = true;
  }

  /**
   * The card was reset, and this queue pair replaces the one it took away. Call it after the reset:
   * until then the card may still write into the buffers of reads.
   */
  adopt(pair: QueueFixture): void {
    for (const slot of this.slots) {
      if (!slot.isBusy) continue;
      this.unknown++;
      if (slot.op === 'write') this.stamps.mayHaveWritten(slot.lba, slot.blocks, slot.version);
      if (slot.op === 'writeZeroes') this.stamps.forget(slot.lba, slot.blocks);
      slot.isBusy = false;
    }
    this.pair = pair;
  }

  report(): WorkerReport {
    return {
      seed: this.prng.seed,
      commands: this.ended,
      failures: this.failures,
      unknown: this.unknown,
      faults: this.faults,
      elapsedNs: this.ns.rig.fn.clock.nowNs() - this.startNs,
      latency: this.latency,
      perSecond: this.perSecond,
    };
  }

  private isOver(): boolean {
    const { commands, durationNs } = this.options;
    if (this.isStopping || (commands !== undefined && this.posted >= commands)) return true;
    const elapsedNs = this.ns.rig.fn.clock.nowNs() - this.startNs;
    return durationNs !== undefined && elapsedNs >= durationNs;
  }

  private checkAlive(since: number): void {
    const { clock } = this.ns.rig.fn;
    const oldest = Math.min(...this.slots.filter((s) => s.isBusy).map((s) => s.startNs), since);
    if (clock.nowNs() - oldest <= this.ns.rig.controller.deadlineNs) return;
    throw new Error(`a command has no completion; seed ${this.prng.seed}`);
  }

  private fill(): void {
    const { clock } = this.ns.rig.fn;
    let hasPosted = false;
    for (const slot of this.slots) {
      if (this.isOver() || clock.nowNs() < this.nextNs) break;
      if (slot.isBusy || !this.prepare(slot)) continue;
      this.post(slot);
      hasPosted = true;
      if (this.options.iops !== undefined) this.nextNs += Math.round(secondNs / this.options.iops);
    }
    if (hasPosted) this.pair.ring();
  }

  /** Choose a command that touches no block in flight; false when chance found none. */
  private prepare(slot: Slot): boolean {
    const mix = this.options.mix ?? defaultMix;
    slot.op = this.prng.weighted(mix);
    slot.blocks = slot.op === 'flush' ? 0 : this.prng.weighted(blocksOf(this.options));
    if (slot.op === 'flush') return true;
    for (let attempt = 0; attempt < 16; attempt++) {
      slot.lba = this.picker.next(slot.blocks);
      if (!this.overlaps(slot)) return true;
    }
    return false;
  }

  private overlaps(wanted: Slot): boolean {
    return this.slots.some(
      (slot) =>
        slot.isBusy && slot.lba < wanted.lba + wanted.blocks && wanted.lba < slot.lba + slot.blocks,
    );
  }

  private post(slot: Slot): void {
    const { ns } = this;
    const data = slot.data.slice(0, slot.blocks * ns.blockBytes);
    slot.startNs = ns.rig.fn.clock.nowNs();
    slot.isBusy = true;
    this.posted++;
    if (slot.op === 'flush') {
      slot.cid = this.pair.post(ns.rig.command(opcodes.flush, ns.nsid));
      return;
    }
    const hasData = slot.op !== 'writeZeroes';
    if (slot.op === 'write') {
      slot.version = this.stamps.takeVersion();
      this.stamps.stamp(data.bytes, slot.lba, slot.version);
    }
    const range = { lba: slot.lba, count: slot.blocks };
    slot.cid = this.pair.post(ns.blocks(opcodes[slot.op], range, hasData ? data : undefined));
  }

  private collect(): void {
    const { cq } = this.pair;
    const nowNs = this.ns.rig.fn.clock.nowNs();
    let hasTaken = false;
    for (let found = cq.take(); found !== undefined; found = cq.take()) {
      hasTaken = true;
      const { cid } = found;
      const slot = this.slots.find((candidate) => candidate.isBusy && candidate.cid === cid);
      if (slot === undefined) throw new Error(`completion of nothing in flight: cid ${cid}`);
      this.end(slot, found.status, nowNs);
    }
    if (hasTaken) cq.ring();
  }

  private end(slot: Slot, status: number, nowNs: number): void {
    slot.isBusy = false;
    this.ended++;
    this.latency.record(nowNs - slot.startNs);
    const second = Math.floor((nowNs - this.startNs) / secondNs);
    while (this.perSecond.length <= second) this.perSecond.push(0);
    this.perSecond[second]!++;
    if (status !== 0) {
      const words = statusText(statusKind(status));
      this.failures.set(words, (this.failures.get(words) ?? 0) + 1);
      if (slot.op === 'write') this.stamps.mayHaveWritten(slot.lba, slot.blocks, slot.version);
      return;
    }
    if (slot.op === 'write') this.stamps.wrote(slot.lba, slot.blocks, slot.version);
    if (slot.op === 'writeZeroes') this.stamps.forget(slot.lba, slot.blocks);
    if (slot.op === 'read') this.verify(slot);
  }

  private verify(slot: Slot): void {
    const data = slot.data.slice(0, slot.blocks * this.ns.blockBytes);
    const fault = this.stamps.check(data.bytes, slot.lba);
    if (fault !== undefined && this.faults.length < faultLimit) this.faults.push(fault);
  }
}

const defaultMix: readonly Weighted<WorkerOp>[] = [
  { item: 'read', weight: 50 },
  { item: 'write', weight: 50 },
];

const oneBlock: readonly Weighted<number>[] = [{ item: 1, weight: 1 }];

function blocksOf(options: WorkerOptions): readonly Weighted<number>[] {
  return options.blocks ?? oneBlock;
}

/** The deepest queue that a controller takes, as a depth for a worker. */
export function deepest(pair: QueueFixture): number {
  return Math.min(pair.sq.entries, pair.rig.controller.cap(Cap.mqes)) - 1;
}
