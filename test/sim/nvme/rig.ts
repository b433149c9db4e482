import type { DmaRegion } from '../../../sdk/device.js';
import { Checker } from '../../../sim/checker.js';
import type { Command } from '../../../sim/nvme/command.js';
import { Controller } from '../../../sim/nvme/controller.js';
import type { AdminExecutor, ControllerError, Executor } from '../../../sim/nvme/executor.js';
import type { FetchLimit } from '../../../sim/nvme/fetcher.js';
import { SimDmaSpace } from '../../../sim/pcie/dma-space.js';
import type { HostLink } from '../../../sim/pcie/endpoint.js';
import { HostMemory } from '../../../sim/pcie/host-memory.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import type { Profile } from '../../../sim/profiles/profile.js';
import { World } from '../../../sim/world.js';

/** A link of round numbers: what it costs can be added up by hand. */
export const linkNs = { posted: 100, nonPosted: 200, per64Bytes: 1 } as const;

export class PlainLink implements HostLink {
  readonly vectorCount = 8;
  readonly postedNs = linkNs.posted;
  readonly nonPostedNs = linkNs.nonPosted;
  isBusMaster = true;
  /** Messages sent, by vector. */
  readonly raised = new Int32Array(8);
  readonly raisedAtNs: number[] = [];
  readonly memory: HostMemory;
  /** Urgent reads go by tags of their own: they wait for no others. */
  hasReservedTags = false;
  private readonly world: World;
  private upNs = 0;
  private downNs = 0;

  constructor(world: World, memory: HostMemory) {
    this.world = world;
    this.memory = memory;
  }

  raise(vector: number): void {
    this.raised[vector]!++;
    this.raisedAtNs.push(this.world.nowNs);
  }

  readonly fetchFailures: boolean[] = [];

  fetchFailed(isPoisoned: boolean): void {
    this.fetchFailures.push(isPoisoned);
  }

  reserveWrite(bytes: number): number {
    this.upNs = Math.max(this.upNs, this.world.nowNs) + Math.ceil(bytes / 64);
    return this.upNs - this.world.nowNs + linkNs.posted;
  }

  reserveRead(bytes: number, isUrgent = false): number {
    if (isUrgent && this.hasReservedTags) return Math.ceil(bytes / 64) + linkNs.nonPosted;
    this.downNs = Math.max(this.downNs, this.world.nowNs) + Math.ceil(bytes / 64);
    return this.downNs - this.world.nowNs + linkNs.nonPosted;
  }
}

/** What the executors of the rig do with a command; the default completes it at once. */
export type Behaviour = (command: Command) => void;

/** An executor that does what a test says and remembers what it was told. */
export class ScriptedExecutor implements Executor, AdminExecutor {
  begun: number[] = [];
  finished: number[] = [];
  cancelled: number[] = [];
  events: { type: number; information: number; logPage: number }[] = [];
  errors: ControllerError[] = [];
  abandonCount = 0;
  enabledCount = 0;
  shutdowns: boolean[] = [];
  shutdownNs = 0;
  onBegin: Behaviour;
  onFinish: Behaviour;

  constructor(behaviour: Behaviour) {
    this.onBegin = behaviour;
    this.onFinish = behaviour;
  }

  readonly crashes: number[] = [];

  crashed(code: number): void {
    this.crashes.push(code);
  }

  begin(command: Command): void {
    this.begun.push(command.queueId * 0x10000 + command.cid);
    this.onBegin(command);
  }

  finish(command: Command): void {
    this.finished.push(command.cid);
    this.onFinish(command);
  }

  cancel(command: Command): void {
    if (!command.isAborted) throw new Error('a command is cancelled because it is aborted');
    this.cancelled.push(command.cid);
  }

  abandon(): void {
    this.abandonCount++;
  }

  postEvent(type: number, information: number, logPage: number): void {
    this.events.push({ type, information, logPage });
  }

  logError(error: ControllerError): void {
    this.errors.push(error);
  }

  enabled(): void {
    this.enabledCount++;
  }

  shutdownOver(): void {}

  shutdown(isAbrupt: boolean): number {
    this.shutdowns.push(isAbrupt);
    return this.shutdownNs;
  }
}

export interface Completion {
  readonly dw0: number;
  readonly dw1: number;
  readonly sqHead: number;
  readonly sqId: number;
  readonly cid: number;
  readonly phase: number;
  readonly status: number;
}

/**
 * One completion queue and one submission queue as a host keeps them, from the text of the
 * standard: numbers, not tables, so that a wrong table shows.
 */
export class HostRing {
  readonly id: number;
  readonly entries: number;
  readonly sq: DmaRegion;
  readonly cq: DmaRegion;
  tail = 0;
  head = 0;
  phase = 1;
  private readonly rig: Rig;

  constructor(rig: Rig, id: number, entries: number) {
    this.rig = rig;
    this.id = id;
    this.entries = entries;
    this.sq = rig.dma.allocate(entries * 64);
    this.cq = rig.dma.allocate(entries * 16);
  }

  /** Store an entry; the doorbell is another matter. */
  put(fields: {
    readonly opcode?: number;
    readonly cid: number;
    readonly fuse?: number;
    readonly psdt?: number;
    readonly nsid?: number;
    readonly prp1?: number;
    readonly prp2?: number;
    readonly mptr?: number;
    readonly dwords?: readonly number[];
  }): void {
    const at = this.tail * 16;
    const words = this.sq.words;
    words.fill(0, at, at + 16);
    words[at] =
      (fields.opcode ?? 0) |
      ((fields.fuse ?? 0) << 8) |
      ((fields.psdt ?? 0) << 14) |
      (fields.cid << 16);
    words[at + 1] = fields.nsid ?? 1;
    putU64(words, at + 4, fields.mptr ?? 0);
    putU64(words, at + 6, fields.prp1 ?? 0);
    putU64(words, at + 8, fields.prp2 ?? 0);
    fields.dwords?.forEach((value, i) => {
      words[at + 6 + i] = value;
    });
    this.tail = (this.tail + 1) % this.entries;
  }

  ring(): void {
    this.rig.controller.writeBar(0, 0x1000 + this.id * 8, this.tail);
  }

  ringHead(): void {
    this.rig.controller.writeBar(0, 0x1004 + this.id * 8, this.head);
  }

  /** The entry at the head, if its phase says that it is new. */
  peek(): Completion | null {
    const at = this.head * 4;
    const words = this.cq.words;
    const dw3 = words[at + 3]!;
    if (((dw3 >>> 16) & 1) !== this.phase) return null;
    return {
      dw0: words[at]!,
      dw1: words[at + 1]!,
      sqHead: words[at + 2]! & 0xffff,
      sqId: words[at + 2]! >>> 16,
      cid: dw3 & 0xffff,
      phase: (dw3 >>> 16) & 1,
      status: dw3 >>> 17,
    };
  }

  /** Everything new, in order; the doorbell is rung once unless told otherwise. */
  take(options: { readonly rings?: boolean } = {}): Completion[] {
    const taken: Completion[] = [];
    for (let entry = this.peek(); entry !== null; entry = this.peek()) {
      taken.push(entry);
      this.head = (this.head + 1) % this.entries;
      if (this.head === 0) this.phase ^= 1;
    }
    if (taken.length > 0 && options.rings !== false) this.ringHead();
    return taken;
  }
}

export interface RigOptions {
  readonly changes?: ProfileChanges;
  readonly adminEntries?: number;
  readonly fetchLimit?: FetchLimit;
}

/** A controller on a plain link, with executors that a test scripts. */
export class Rig {
  readonly world = new World();
  readonly memory = new HostMemory();
  readonly dma = new SimDmaSpace(this.memory);
  readonly checker = new Checker(this.world);
  readonly link = new PlainLink(this.world, this.memory);
  readonly profile: Profile;
  readonly controller: Controller;
  readonly adminExecutor: ScriptedExecutor;
  readonly io: ScriptedExecutor;
  admin: HostRing;

  constructor(options: RigOptions = {}) {
    this.profile = defineProfile(findProfile('simple'), options.changes ?? {});
    const { world, link, checker, profile } = this;
    const { fetchLimit = null } = options;
    const parts = { world, link, checker, profile, fetchLimit };
    this.controller = new Controller({ ...parts, controllerId: 1 });
    const complete = (command: Command) => this.controller.services.complete(command, 0);
    this.adminExecutor = new ScriptedExecutor(complete);
    this.io = new ScriptedExecutor(complete);
    this.controller.attach(this.adminExecutor, this.io);
    this.admin = new HostRing(this, 0, options.adminEntries ?? 32);
  }

  read(offset: number): number {
    return this.controller.readBar(0, offset) >>> 0;
  }

  write(offset: number, value: number): void {
    this.controller.writeBar(0, offset, value);
  }

  /** AQA, ASQ, ACQ; then CC with EN, 64 and 16 byte entries, and what else is asked for. */
  startEnable(extraCc = 0): void {
    const last = this.admin.entries - 1;
    this.write(0x24, (last << 16) | last);
    this.write(0x28, this.admin.sq.iova % 2 ** 32);
    this.write(0x2c, Math.floor(this.admin.sq.iova / 2 ** 32));
    this.write(0x30, this.admin.cq.iova % 2 ** 32);
    this.write(0x34, Math.floor(this.admin.cq.iova / 2 ** 32));
    this.write(0x14, 0x0046_0001 | extraCc);
  }

  enable(extraCc = 0): void {
    this.startEnable(extraCc);
    this.run(this.profile.firmware.readyNs);
  }

  /** Virtual time passes. */
  run(ns = 10_000_000): void {
    this.world.advance(ns);
  }

  /** A queue pair made by the services that Create I/O Queue commands use. */
  pair(id: number, entries: number, options: PairOptions = {}): HostRing {
    const ring = new HostRing(this, id, entries);
    const services = this.controller.services;
    const vector = options.vector ?? 0;
    const made = services.createCompletionQueue({
      queueId: id,
      entries,
      address: ring.cq.iova,
      isContiguous: true,
      areInterruptsEnabled: options.vector !== undefined,
      vector,
    });
    if (made !== 0) throw new Error(`completion queue ${id}: status 0x${made.toString(16)}`);
    const status = services.createSubmissionQueue({
      queueId: id,
      entries,
      address: ring.sq.iova,
      isContiguous: true,
      priority: options.priority ?? 0,
      completionQueueId: id,
    });
    if (status !== 0) throw new Error(`submission queue ${id}: status 0x${status.toString(16)}`);
    return ring;
  }
}

export interface PairOptions {
  readonly priority?: number;
  readonly vector?: number;
}

export function putU64(words: Uint32Array, at: number, value: number): void {
  words[at] = value % 2 ** 32;
  words[at + 1] = Math.floor(value / 2 ** 32);
}
