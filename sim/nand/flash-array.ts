import { assert } from '../../sdk/assert.js';
import type { World } from '../world.js';
import { BulkTransfers } from './bulk-transfers.js';
import { Bus } from './bus.js';
import { BusTiming } from './bus-timing.js';
import { CellTiming } from './cell-timing.js';
import type { CellWear } from './cell-wear.js';
import { DieFaults } from './die-faults.js';
import { Phase } from './die-phase.js';
import { DieQueues } from './die-queues.js';
import type { FlashArrayParts } from './flash-array-parts.js';
import { FlashKind, type FlashListener, FlashOps, Lane, noOp } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';
import { Geometry } from './geometry.js';
import { comingNs, ProgramLoads } from './program-loads.js';
import { ReadStops } from './read-stops.js';
import { Suspension } from './suspension.js';

/**
 * Dies and buses with the operations in line for them. A die serves one operation at a time:
 *
 *   read     command on the bus, cell array, data on the bus. The die is held until its data is
 *            out; with cache reads, until its data is in the cache register.
 *   program  command and data on the bus, cell array
 *   erase    command on the bus, cell array
 *
 * What is waiting goes by lanes (`Lane`), in order within a lane. The bus is reserved when an
 * operation comes to that phase, so nobody holds it in advance. A read costs two events.
 */
export class FlashArray {
  readonly ops = new FlashOps();
  readonly geometry: Geometry;
  readonly bus: Bus;
  readonly queues: DieQueues;
  /** Time that each die has not been idle, up to the last time it became idle. */
  readonly dieBusyNs: Float64Array;
  suspends = 0;
  retries = 0;
  /** Idle dies that got work in an open batch. */
  private readonly batch: number[] = [];
  private batchDepth = 0;
  private readonly flash: FlashProfile;
  private readonly timing: BusTiming;
  private readonly world: World;
  private readonly wear: CellWear;
  private readonly listener: FlashListener;
  private readonly cellTiming: CellTiming;
  private readonly channels: Int32Array;
  private readonly phases: Uint8Array;
  private readonly endAtNs: Float64Array;
  private readonly busySinceNs: Float64Array;
  /** The operation in the cell array or the page register. */
  private readonly current: Int32Array;
  /** The read whose data leaves the cache register. */
  private readonly cached: Int32Array;
  private readonly loads: ProgramLoads;
  private readonly bulk: BulkTransfers;
  /** The program or erase that waits for reads to pass; what is left of it, or of a program. */
  private readonly suspended: Int32Array;
  private readonly restNs: Float64Array;
  /** When the cell array started: before, nothing can be interrupted. */
  private readonly arrayFromNs: Float64Array;
  private readonly suspendCounts: Int32Array;
  readonly faults: DieFaults;
  private readonly dieEvent: number;
  private readonly transferEvent: number;
  private readonly decodeEvent: number;
  private readonly suspendEvent: number;
  private readonly suspension: Suspension;
  readonly readStops: ReadStops;

  constructor(parts: FlashArrayParts) {
    const { flash, world } = parts;
    this.flash = flash;
    this.world = world;
    this.wear = parts.wear;
    this.listener = parts.listener;
    this.geometry = new Geometry(flash);
    this.timing = new BusTiming(flash);
    this.bus = new Bus(flash);
    const { dies } = this.geometry;
    this.queues = new DieQueues(this.ops, dies);
    const { ops, bus, timing, queues, geometry } = this;
    const common = { flash, world, geometry, ops, bus, timing };
    this.bulk = new BulkTransfers({ ...common, ended: (op) => this.loadEnded(op) });
    this.loads = new ProgramLoads({ ...common, queues, bulk: this.bulk });
    this.cellTiming = new CellTiming(flash, parts.chance);
    this.channels = Int32Array.from({ length: dies }, (_, die) => this.geometry.channelOf(die));
    this.phases = new Uint8Array(dies);
    this.endAtNs = new Float64Array(dies);
    this.busySinceNs = new Float64Array(dies);
    this.dieBusyNs = new Float64Array(dies);
    this.current = new Int32Array(dies).fill(noOp);
    this.cached = new Int32Array(dies).fill(noOp);
    this.suspended = new Int32Array(dies).fill(noOp);
    this.restNs = new Float64Array(dies);
    this.arrayFromNs = new Float64Array(dies);
    this.suspendCounts = new Int32Array(dies);
    this.faults = new DieFaults(dies);
    this.dieEvent = world.register((die) => this.dieDue(die));
    this.transferEvent = world.register((op) => this.transferred(op));
    this.decodeEvent = world.register((op) => this.decoded(op));
    this.suspendEvent = world.register((die) => this.suspendDue(die));
    this.suspension = new Suspension(flash);
    this.readStops = new ReadStops(flash, ops, queues);
  }

  /**
   * Read `bytes` of one page.
   *
   * @param block  of the translation layer
   * @param owner, extra  for the listener
   */
  read(
    die: number,
    plane: number,
    block: number,
    page: number,
    bytes: number,
    lane: number,
    owner: number,
    extra: number,
  ): void {
    const { nowNs } = this.world;
    const op = this.ops.take(nowNs, FlashKind.read, die, block, page, lane, owner);
    this.ops.plane[op] = plane;
    this.ops.bytes[op] = bytes;
    this.ops.extra[op] = extra;
    this.wear.readCounts[block] = this.wear.readCounts[block]! + 1;
    const failing = this.wear.failedAttempts(block, bytes, nowNs);
    const isLost = failing > this.flash.retryLevels;
    this.ops.failed[op] = isLost ? 1 : 0;
    this.ops.retries[op] = isLost ? this.flash.retryLevels : failing;
    this.enqueue(die, op);
  }

  /** Program one row: the same pages of `planes` planes. @param page  the first page of the row */
  program(
    die: number,
    planes: number,
    block: number,
    page: number,
    bytes: number,
    owner: number,
  ): void {
    const { nowNs } = this.world;
    const op = this.ops.take(nowNs, FlashKind.program, die, block, page, Lane.program, owner);
    this.ops.planes[op] = planes;
    this.ops.bytes[op] = bytes;
    this.enqueue(die, op);
  }

  erase(die: number, planes: number, block: number, lane: number): void {
    const op = this.ops.take(this.world.nowNs, FlashKind.erase, die, block, 0, lane, 0);
    this.ops.planes[op] = planes;
    this.enqueue(die, op);
  }

  /** Idle dies wait until the batch is complete: reads of several planes can then run together. */
  beginBatch(): void {
    this.batchDepth++;
  }

  endBatch(): void {
    this.batchDepth--;
    if (this.batchDepth > 0) return;
    // Bounded by the pages of one request; the list keeps its memory.
    while (this.batch.length > 0) {
      const die = this.batch.pop()!;
      if (this.phases[die] === Phase.idle && !this.queues.isEmpty(die)) this.wake(die);
    }
  }

  get nowNs(): number {
    return this.world.nowNs;
  }

  /** Nothing waits for the die, and its cells are at rest: at most the last data is leaving it. */
  isQuiet(die: number): boolean {
    const phase = this.phases[die];
    return this.queues.isEmpty(die) && (phase === Phase.idle || phase === Phase.register);
  }

  /** The die does nothing for a while; what runs ends later by as much. */
  stall(die: number, ns: number): void {
    if (this.phases[die] === Phase.register || this.isLoading(die)) {
      this.faults.stallNs[die] = this.faults.stallNs[die]! + ns;
      return;
    }
    const isRunning = this.phases[die] !== Phase.idle;
    const from = isRunning ? this.endAtNs[die]! : this.world.nowNs;
    if (!isRunning) this.leaveIdle(die, Phase.pause);
    this.setEnd(die, from + ns);
  }

  /** Power is gone: everything in flight is forgotten. */
  clear(): void {
    const { nowNs } = this.world;
    for (let die = 0; die < this.phases.length; die++) {
      if (this.phases[die] !== Phase.idle) this.enterIdle(die);
      this.endAtNs[die] = -1;
    }
    this.current.fill(noOp);
    this.cached.fill(noOp);
    this.loads.clear();
    this.bulk.clear();
    this.suspended.fill(noOp);
    this.arrayFromNs.fill(0);
    this.queues.clear();
    this.ops.clear();
    this.bus.clear(nowNs);
  }

  private enqueue(die: number, op: number): void {
    this.queues.push(die, op);
    const phase = this.phases[die];
    if (phase === Phase.idle) {
      if (this.batchDepth > 0) this.batch.push(die);
      else this.wake(die);
    } else if (phase === Phase.array) {
      if (this.ops.lane[op]! <= Lane.read) this.interrupt(die, this.ops.lane[op]!);
      else if (this.flash.hasCacheProgram) this.loads.loadNext(die, this.current[die]!);
    }
  }

  private wake(die: number): void {
    this.leaveIdle(die, Phase.register);
    this.startNext(die);
  }

  private startNext(die: number): void {
    if (this.faults.stallNs[die]! > 0) {
      this.phases[die] = Phase.pause;
      this.setEnd(die, this.world.nowNs + this.faults.takeStallNs(die));
      return;
    }
    const suspended = this.suspended[die]!;
    const op = suspended === noOp ? this.queues.pick(die) : this.queues.pickRead(die);
    this.current[die] = op;
    if (op === noOp) {
      if (suspended === noOp) this.enterIdle(die);
      else this.resume(die);
      return;
    }
    this.phases[die] = Phase.array;
    const kind = this.ops.kind[op];
    if (kind === FlashKind.read) this.startRead(die, op);
    else if (kind === FlashKind.program) this.startProgram(die, op);
    else this.startErase(die, op);
  }

  private startRead(die: number, op: number): void {
    const { ops, flash, timing } = this;
    const { nowNs } = this.world;
    let count = 1;
    if ((flash.hasMultiPlane || flash.hasIndependentReads) && ops.attempts[op] === 0) {
      count = this.queues.takeMates(die, op, flash.hasIndependentReads);
    }
    let ns = 0;
    for (let mate = op; mate !== noOp; mate = ops.mate[mate]!) {
      if (ops.startedAtNs[mate] === -1) ops.startedAtNs[mate] = nowNs;
      ns = Math.max(ns, this.cellTiming.readNs(ops.page[mate]!));
    }
    ns = this.cellTiming.spread(ns);
    const commandNs = timing.readCommandNs + (count - 1) * timing.nextPlaneNs;
    this.setEnd(die, this.bus.reserve(this.channels[die]!, nowNs, commandNs, 0) + ns);
  }

  private startProgram(die: number, op: number): void {
    const { ops, flash } = this;
    ops.startedAtNs[op] = this.world.nowNs;
    const from = this.loads.begin(die, op);
    const ns = this.cellTiming.programNs(ops.page[op]!);
    this.suspendCounts[die] = 0;
    this.arrayFromNs[die] = from;
    if (from === comingNs) this.restNs[die] = ns;
    else this.setEnd(die, from + ns);
    if (flash.hasCacheProgram) this.loads.loadNext(die, op);
  }

  private loadEnded(op: number): void {
    this.loads.ended(op);
    const die = this.ops.die[op]!;
    // Otherwise it is in the cache register until its turn.
    if (this.current[die] !== op) return;
    this.arrayFromNs[die] = this.world.nowNs;
    this.setEnd(die, this.world.nowNs + this.restNs[die]!);
    // Reads that came meanwhile are as if they came now.
    if (this.queues.head(die, Lane.reserved) !== noOp) this.interrupt(die, Lane.reserved);
    else if (this.queues.head(die, Lane.read) !== noOp) this.interrupt(die, Lane.read);
  }

  private startErase(die: number, op: number): void {
    const { ops, timing } = this;
    const { nowNs } = this.world;
    ops.startedAtNs[op] = nowNs;
    const commandNs = timing.eraseCommandNs + (ops.planes[op]! - 1) * timing.nextPlaneNs;
    const from = this.bus.reserve(this.channels[die]!, nowNs, commandNs, 0);
    this.suspendCounts[die] = 0;
    this.arrayFromNs[die] = from;
    this.setEnd(die, from + this.flash.eraseNs);
  }

  /** A read of this lane has come: what runs makes room if it can and if that is worth it. */
  private interrupt(die: number, lane: number): void {
    const op = this.current[die]!;
    const kind = this.ops.kind[op]!;
    if (this.suspended[die] !== noOp) return;
    if (kind === FlashKind.read) {
      this.stopRead(die, op, lane);
      return;
    }
    const ns = this.suspension.costNs(kind, lane, this.suspendCounts[die]!);
    if (ns < 0) return;
    const { nowNs } = this.world;
    const fromNs = this.arrayFromNs[die]!;
    if (fromNs === comingNs) {
      const isOnBus = this.bulk.isActive(op);
      if (isOnBus && lane !== Lane.reserved) return;
      // Its data is sent again, from the start: that counts as an interruption, and takes as long.
      if (isOnBus) this.suspendCounts[die] = this.suspendCounts[die]! + 1;
      this.bulk.hold(op);
      this.setAside(die, op, isOnBus ? ns : 0);
      return;
    }
    if (nowNs < fromNs) {
      // Its data is still coming in. A reserved read comes back when the cells begin.
      if (lane === Lane.reserved) this.world.schedule(fromNs - nowNs, this.suspendEvent, die);
      return;
    }
    const restNs = this.endAtNs[die]! - nowNs;
    if (restNs <= ns) return;
    this.suspends++;
    this.suspendCounts[die] = this.suspendCounts[die]! + 1;
    this.restNs[die] = restNs;
    this.setAside(die, op, ns);
  }

  private stopRead(die: number, op: number, lane: number): void {
    const ns = this.readStops.costNs(op, lane);
    if (ns < 0 || this.endAtNs[die]! - this.world.nowNs <= ns) return;
    // What is in the other register would be lost.
    if (this.cached[die] !== noOp || this.loads.isInDie(die)) return;
    this.readStops.stop(die, op);
    this.setAside(die, noOp, ns);
  }

  /** The die is free for a read in `ns`. @param op  what goes on after it; `noOp` for nothing */
  private setAside(die: number, op: number, ns: number): void {
    this.suspended[die] = op;
    this.arrayFromNs[die] = 0;
    this.phases[die] = Phase.pause;
    this.setEnd(die, this.world.nowNs + ns);
  }

  private suspendDue(die: number): void {
    if (this.phases[die] !== Phase.array || this.arrayFromNs[die] !== this.world.nowNs) return;
    if (this.queues.head(die, Lane.reserved) !== noOp) this.interrupt(die, Lane.reserved);
  }

  private resume(die: number): void {
    this.current[die] = this.suspended[die]!;
    this.suspended[die] = noOp;
    this.phases[die] = Phase.array;
    this.arrayFromNs[die] = comingNs;
    if (this.bulk.release(die)) return;
    const channel = this.channels[die]!;
    const from = this.bus.reserve(channel, this.world.nowNs, this.timing.eraseCommandNs, 0);
    this.arrayFromNs[die] = from;
    this.setEnd(die, from + this.restNs[die]!);
  }

  private dieDue(die: number): void {
    // Suspension moves the end; the event of the old one is left behind.
    if (this.endAtNs[die] !== this.world.nowNs) return;
    this.endAtNs[die] = -1;
    if (this.phases[die] === Phase.pause) {
      this.phases[die] = Phase.register;
      this.startNext(die);
      return;
    }
    this.phases[die] = Phase.register;
    const op = this.current[die]!;
    const kind = this.ops.kind[op]!;
    if (kind === FlashKind.read) {
      this.dataReady(die, op);
      return;
    }
    const isErase = kind === FlashKind.erase;
    const fails = isErase ? this.wear.erase(this.ops.block[op]!) : this.wear.failsProgram();
    this.ops.failed[op] = this.faults.takeFailure(kind, die) || fails ? 1 : 0;
    this.finish(op);
    this.startNext(die);
  }

  private dataReady(die: number, op: number): void {
    const { ops, world } = this;
    for (let mate = op; mate !== noOp; mate = ops.mate[mate]!) ops.arrayEndNs[mate] = world.nowNs;
    if (!this.flash.hasCacheRead) this.sendOut(die, op);
    else if (this.cached[die] === noOp) this.moveToCache(die, op);
  }

  /** The page register is free again as soon as the cache register has the data. */
  private moveToCache(die: number, op: number): void {
    this.cached[die] = op;
    this.sendOut(die, op);
    this.phases[die] = Phase.pause;
    this.setEnd(die, this.world.nowNs + this.flash.cacheBusyNs);
  }

  private sendOut(die: number, op: number): void {
    const { mate, restBytes, bytes } = this.ops;
    const inPieces = this.isInPieces(op);
    for (let one = op; one !== noOp; one = mate[one]!) restBytes[one] = bytes[one]!;
    for (let one = op; one !== noOp; one = inPieces ? noOp : mate[one]!) this.send(die, one);
  }

  /** Data of a read that nobody waits for goes in pieces, and others between them. */
  private isInPieces(op: number): boolean {
    return this.flash.busPieceBytes > 0 && this.ops.lane[op]! > Lane.read;
  }

  /** What is left of a page, or a piece of it, goes over the bus. */
  private send(die: number, op: number): void {
    const { ops, bus, world, timing, flash } = this;
    const { nowNs } = world;
    const rest = ops.restBytes[op]!;
    const bytes = this.isInPieces(op) ? Math.min(flash.busPieceBytes, rest) : rest;
    const end = bus.reserve(this.channels[die]!, nowNs, timing.dataOutNs, bytes);
    ops.restBytes[op] = rest - bytes;
    ops.endAtNs[op] = end;
    world.schedule(end - nowNs, this.transferEvent, op);
  }

  private transferred(op: number): void {
    const { ops, world, flash } = this;
    if (ops.endAtNs[op] !== world.nowNs) return;
    const die = ops.die[op]!;
    if (ops.restBytes[op]! > 0) {
      this.send(die, op);
      return;
    }
    const next = ops.mate[op]!;
    const isLast = next === noOp;
    if (!isLast && this.isInPieces(op)) this.send(die, next);
    ops.endAtNs[op] = -1;
    if (ops.retries[op]! > 0) {
      this.retries++;
      ops.retries[op] = ops.retries[op]! - 1;
      ops.attempts[op] = ops.attempts[op]! + 1;
      ops.mate[op] = noOp;
      this.queues.pushFront(die, op);
      if (this.phases[die] === Phase.idle) this.wake(die);
    } else if (flash.decodeNs > 0) {
      ops.endAtNs[op] = world.nowNs + flash.decodeNs;
      world.schedule(flash.decodeNs, this.decodeEvent, op);
    } else {
      this.finish(op);
    }
    if (!isLast) return;
    if (!flash.hasCacheRead) {
      this.startNext(die);
      return;
    }
    this.cached[die] = noOp;
    if (this.phases[die] === Phase.register) this.moveToCache(die, this.current[die]!);
  }

  private decoded(op: number): void {
    if (this.ops.endAtNs[op] === this.world.nowNs) this.finish(op);
  }

  private finish(op: number): void {
    this.ops.endAtNs[op] = -1;
    this.listener.flashDone(op);
    this.ops.give(op);
  }

  /** A program whose data is not in yet. */
  private isLoading(die: number): boolean {
    return this.phases[die] === Phase.array && this.arrayFromNs[die] === comingNs;
  }

  private leaveIdle(die: number, phase: number): void {
    this.phases[die] = phase;
    this.busySinceNs[die] = this.world.nowNs;
  }

  private enterIdle(die: number): void {
    this.phases[die] = Phase.idle;
    this.bus.dieTracks?.span(die, this.busySinceNs[die]!, this.world.nowNs);
    this.dieBusyNs[die] = this.dieBusyNs[die]! + this.world.nowNs - this.busySinceNs[die]!;
  }

  private setEnd(die: number, atNs: number): void {
    assert(atNs >= this.world.nowNs, 'a die cannot end in the past');
    this.endAtNs[die] = atNs;
    this.world.schedule(atNs - this.world.nowNs, this.dieEvent, die);
  }
}
