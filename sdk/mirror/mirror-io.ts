import { assert } from '../assert.js';
import { checkRequest } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import {
  copySegments,
  full,
  isLoss,
  type MirrorEvents,
  type MirrorIoOptions,
  memberTransferBytes,
  mostMembers,
  statusOf,
} from './io-parts.js';
import { regionCountOf } from './member-header.js';
import type { MemberPath } from './member-path.js';
import { RangeLocks } from './range-locks.js';
import { Regions } from './regions.js';

const Stage = { free: 0, waiting: 1, active: 2, held: 3 } as const;
/** An operation of our own: blocks are held against everyone, nothing is sent. */
const lockOp = 0;

/**
 * The data path of a mirror: what `mirror.ts` promises, request by request. Nothing is allocated
 * per request. Sets of members are bit masks.
 */
export class MirrorIo implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;

  /** Members that are written and may be read. */
  live = 0;
  /** The member, if any, that is being brought up to date: written where it is. */
  target = 0;
  /** Members that the cluster store may list as in sync: without them nothing is acknowledged. */
  required = 0;
  /** Read these first. */
  local = 0;
  /** Reads are served before this time only: later somebody else may have written. */
  serveUntilNs = 0;
  isStopped = false;
  readonly regions: Regions;
  readonly paths: (MemberPath | null)[] = new Array(mostMembers).fill(null);

  private readonly events: MirrorEvents;
  private readonly ioTimeoutNs: number;
  private readonly locks: RangeLocks;
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly grants: ((isGranted: boolean) => void)[] = [];
  private readonly legs: BlockRequest[] = [];
  private readonly legPaths: (MemberPath | null)[] = [];
  private readonly stages: Uint8Array;
  private readonly ops: Uint8Array;
  /** Masks per slot: asked, needed when it began, answered well, answered badly, lost. */
  private readonly sent: Uint8Array;
  private readonly needed: Uint8Array;
  private readonly good: Uint8Array;
  private readonly bad: Uint8Array;
  private readonly lost: Uint8Array;
  private readonly pending: Uint8Array;
  private readonly statuses: Uint8Array;
  private readonly startedNs: Float64Array;
  private readonly free: Int32Array;
  private freeCount = 0;
  /** Requests of users: slots for locks stay free beside them. */
  private requestCount = 0;
  /** Slots that wait, in the order in which they came. */
  private readonly waiting: Int32Array;
  private waitingCount = 0;
  private heldCount = 0;
  /** Something that somebody waits for may have come. */
  private isDue = false;
  /** Connections that are given up and have not answered everything. */
  private readonly retired: MemberPath[] = [];
  /** Requests that end without having been started. */
  private ending: number[] = [];
  private endedCount = 0;
  private nowNs = 0;
  private polledNs = 0;

  constructor(options: MirrorIoOptions) {
    const { geometry, requestCount } = options;
    this.blockBytes = geometry.blockBytes;
    this.blockCount = geometry.blockCount;
    this.regions = new Regions(regionCountOf(geometry), geometry.regionBlocks);
    this.clock = options.clock;
    this.memory = options.memory;
    this.events = options.events;
    this.ioTimeoutNs = options.ioTimeoutNs;
    this.limits = {
      maxTransferBytes: memberTransferBytes,
      atomicWriteBlocks: 1,
      maxInFlight: requestCount,
      hasVolatileCache: true,
      canDiscard: true,
      canWriteZeroes: true,
    };
    this.nowNs = this.clock.nowNs();
    this.polledNs = this.nowNs;
    const count = requestCount + ownSlots;
    this.locks = new RangeLocks(count, this.blockBytes);
    this.stages = new Uint8Array(count);
    this.ops = new Uint8Array(count);
    this.sent = new Uint8Array(count);
    this.needed = new Uint8Array(count);
    this.good = new Uint8Array(count);
    this.bad = new Uint8Array(count);
    this.lost = new Uint8Array(count);
    this.pending = new Uint8Array(count);
    this.statuses = new Uint8Array(count);
    this.startedNs = new Float64Array(count);
    this.free = new Int32Array(count);
    this.waiting = new Int32Array(count);
    for (let slot = count - 1; slot >= 0; slot--) this.free[this.freeCount++] = slot;
    for (let slot = 0; slot < count; slot++) this.addSlot(slot);
  }

  private addSlot(slot: number): void {
    this.requests.push(null);
    this.grants.push(unwanted);
    for (let member = 0; member < mostMembers; member++) {
      this.legs.push(new BlockRequest((leg) => this.legEnded(slot, member, leg)));
      this.legPaths.push(null);
    }
  }

  canSubmit(): boolean {
    return this.requestCount < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    if (!this.canSubmit()) throw full(this.limits.maxInFlight);
    this.requestCount++;
    const slot = this.free[--this.freeCount]!;
    this.requests[slot] = request;
    this.ops[slot] = request.op;
    request.detail = 0;
    this.begin(slot, request.lba, request.op === BlockOp.flush ? 0 : request.blockCount);
  }

  /**
   * Hold blocks against everyone, when all who came before have ended.
   *
   * @returns the slot to give back, -1 when the mirror has stopped
   */
  lock(lba: number, blockCount: number): Promise<number> {
    if (this.isStopped) return Promise.resolve(-1);
    assert(this.freeCount > 0, 'more own locks than slots for them');
    const slot = this.free[--this.freeCount]!;
    this.ops[slot] = lockOp;
    return new Promise((resolve) => {
      this.grants[slot] = (isGranted) => resolve(isGranted ? slot : -1);
      this.begin(slot, lba, blockCount);
    });
  }

  unlock(slot: number): void {
    this.release(slot);
  }

  private begin(slot: number, lba: number, blockCount: number): void {
    const op = this.ops[slot]!;
    this.needed[slot] = 0;
    this.sent[slot] = 0;
    this.good[slot] = 0;
    this.bad[slot] = 0;
    this.lost[slot] = 0;
    this.pending[slot] = 0;
    const isFirst =
      blockCount === 0 || this.locks.enter(slot, lba, blockCount, op !== BlockOp.read);
    if (isFirst && !this.isStopped && this.mayStart(slot)) {
      this.start(slot);
      return;
    }
    this.stages[slot] = Stage.waiting;
    this.waiting[this.waitingCount++] = slot;
    if (this.isStopped) this.ending.push(slot);
  }

  /** Whether a request whose turn it is can be sent now. */
  private mayStart(slot: number): boolean {
    const op = this.ops[slot]!;
    if (op === lockOp) return true;
    if (this.live === 0) return false;
    if (op === BlockOp.read && !this.mayRead()) return false;
    if (this.regions.unreconciledCount === 0 || op === BlockOp.flush) return true;
    const { lba, blockCount } = this.requests[slot]!;
    const region = this.regions.firstUnreconciled(lba, blockCount);
    if (region >= 0) this.events.urgent(region);
    return region < 0;
  }

  /** The time is looked at for every read: this process may have stood still since the last one. */
  mayRead(): boolean {
    return this.clock.nowNs() < this.serveUntilNs;
  }

  private start(slot: number): void {
    this.stages[slot] = Stage.active;
    this.startedNs[slot] = this.nowNs;
    const op = this.ops[slot]!;
    if (op === lockOp) {
      this.grants[slot]!(true);
      return;
    }
    const request = this.requests[slot]!;
    if (op === BlockOp.read) {
      this.sendLeg(slot, this.readerOf(this.live), request);
      return;
    }
    this.needed[slot] = this.required;
    const members = this.live | (op === BlockOp.flush ? this.target : this.touch(request));
    for (let member = 0; member < mostMembers; member++) {
      if ((members & (1 << member)) !== 0) this.sendLeg(slot, member, request);
    }
  }

  /** Note the regions of a write. @returns the target if it has any of them */
  private touch({ lba, blockCount }: BlockRequest): number {
    return this.regions.touch(lba, blockCount) ? this.target : 0;
  }

  /** The member to read: a local one, else the one with the least to do. */
  readerOf(members: number): number {
    const near = members & this.local;
    const among = near !== 0 ? near : members;
    let best = -1;
    let least = 0;
    for (let member = 0; member < mostMembers; member++) {
      if ((among & (1 << member)) === 0) continue;
      const { inFlight } = this.paths[member]!;
      if (best >= 0 && inFlight >= least) continue;
      best = member;
      least = inFlight;
    }
    return best;
  }

  private sendLeg(slot: number, member: number, request: BlockRequest): void {
    const at = slot * mostMembers + member;
    const leg = this.legs[at]!;
    const path = this.paths[member]!;
    leg.op = request.op;
    leg.flags = request.flags;
    leg.lba = request.lba;
    leg.blockCount = request.blockCount;
    const { segmentCount } = request;
    if (segmentCount === 1) leg.setData(request.region!, request.offset, request.length);
    else copySegments(leg, request);
    this.legPaths[at] = path;
    this.sent[slot]! |= 1 << member;
    this.pending[slot]!++;
    path.inFlight++;
    path.device.submit(leg);
  }

  private legEnded(slot: number, member: number, leg: BlockRequest): void {
    const at = slot * mostMembers + member;
    this.legPaths[at]!.inFlight--;
    this.legPaths[at] = null;
    this.pending[slot]!--;
    const bit = 1 << member;
    const { status } = leg;
    if (status === BlockStatus.ok) {
      this.good[slot]! |= bit;
    } else {
      this.bad[slot]! |= bit;
      this.statuses[slot] = status;
      if (isLoss(status)) this.lost[slot]! |= bit;
    }
    const request = this.requests[slot]!;
    request.submittedNs = leg.submittedNs;
    request.completedNs = leg.completedNs;
    if (this.ops[slot] === BlockOp.read) this.readEnded(slot, member);
    else if (this.pending[slot] === 0) this.settle(slot);
  }

  private readEnded(slot: number, member: number): void {
    const request = this.requests[slot]!;
    const bit = 1 << member;
    if ((this.good[slot]! & bit) !== 0) {
      const unread = this.bad[slot]! & ~this.lost[slot]!;
      if (unread !== 0) this.events.unreadable(unread, request.lba, request.blockCount);
      this.finish(slot, BlockStatus.ok);
      return;
    }
    if ((this.lost[slot]! & bit) !== 0) this.events.failed(member, 'a read was lost');
    const others = this.live & ~this.bad[slot]!;
    if (others !== 0 && !this.isStopped && this.mayRead()) {
      this.sendLeg(slot, this.readerOf(others), request);
      return;
    }
    const isLost = this.bad[slot] === this.lost[slot];
    this.finish(slot, isLost ? BlockStatus.notExecuted : statusOf(this.statuses[slot]!));
  }

  /** Members whose answer a write or flush still lacks. */
  lacking(slot: number): number {
    return this.required & (this.needed[slot]! | this.sent[slot]!) & ~this.good[slot]!;
  }

  /** Everyone asked has answered: acknowledge it, or hold it until the store has decided. */
  private settle(slot: number): void {
    const lacking = this.lacking(slot);
    const behind = this.bad[slot]! & this.target;
    if (behind !== 0) this.events.failed(31 - Math.clz32(behind), 'a write to the target failed');
    if (lacking === 0) {
      this.finish(slot, BlockStatus.ok);
      return;
    }
    if (this.isStopped) {
      this.finish(slot, BlockStatus.unknown);
      return;
    }
    const isRefusedByAll = this.good[slot] === 0 && (lacking & ~this.bad[slot]!) === 0;
    if (isRefusedByAll && (lacking & this.lost[slot]!) === 0) {
      // All said no: none is worse than the others, but each may have done another part.
      if (this.ops[slot] !== BlockOp.flush) this.unsettle(this.requests[slot]!);
      this.finish(slot, statusOf(this.statuses[slot]!));
      return;
    }
    if (this.stages[slot] !== Stage.held) this.heldCount++;
    this.stages[slot] = Stage.held;
    for (let member = 0; member < mostMembers; member++) {
      const bit = 1 << member;
      if ((lacking & this.live & bit) !== 0) this.events.failed(member, 'a write failed');
    }
  }

  private unsettle({ lba, blockCount }: BlockRequest): void {
    if ((this.live & (this.live - 1)) === 0) return;
    const last = this.regions.of(lba + blockCount - 1);
    for (let region = this.regions.of(lba); region <= last; region++) {
      this.regions.unreconcile(region);
      if (this.target !== 0) this.regions.lose(region);
      this.events.urgent(region);
    }
  }

  /** A region may be used again. */
  reconciled(region: number): void {
    this.regions.reconciled(region);
    this.isDue = true;
  }

  private finish(slot: number, status: BlockStatus): void {
    const request = this.requests[slot]!;
    if (this.stages[slot] === Stage.held) this.heldCount--;
    const op = this.ops[slot]!;
    // Touched again: a flush before this moment does not cover it.
    if (op !== BlockOp.read && op !== BlockOp.flush) this.touch(request);
    this.requests[slot] = null;
    this.requestCount--;
    this.release(slot);
    this.endedCount++;
    request.status = status;
    request.done(request);
  }

  private release(slot: number): void {
    if (this.ops[slot] !== BlockOp.flush) this.locks.leave(slot);
    this.stages[slot] = Stage.free;
    this.free[this.freeCount++] = slot;
    if (this.waitingCount > 0) this.isDue = true;
  }

  poll(): number {
    const before = this.endedCount;
    this.nowNs = this.clock.nowNs();
    for (let member = 0; member < mostMembers; member++) this.paths[member]?.device.poll();
    if (this.retired.length > 0) this.pollRetired();
    if (this.ending.length > 0) this.endNow();
    this.events.polled(this.nowNs);
    if (this.isDue) this.pump();
    return this.endedCount - before;
  }

  /** Look for members that have not answered in time. */
  checkTimeouts(): void {
    const { nowNs } = this;
    const gapNs = nowNs - this.polledNs;
    this.polledNs = nowNs;
    // Nobody looked for a while: what the members sent meanwhile is not taken in yet.
    if (gapNs > this.ioTimeoutNs / 2) {
      for (let slot = 0; slot < this.startedNs.length; slot++) this.startedNs[slot]! += gapNs;
      return;
    }
    const sinceNs = nowNs - this.ioTimeoutNs;
    for (let slot = 0; slot < this.startedNs.length; slot++) {
      if (this.stages[slot] !== Stage.active || this.startedNs[slot]! >= sinceNs) continue;
      for (let member = 0; member < mostMembers; member++) {
        const path = this.legPaths[slot * mostMembers + member]!;
        if (path !== null && path === this.paths[member]) this.events.failed(member, 'no answer');
      }
    }
    for (let member = 0; member < mostMembers; member++) {
      if (this.paths[member]?.isLate(sinceNs)) this.events.failed(member, 'no answer');
    }
  }

  /** Forget a connection; what it has not answered yet ends as lost. */
  retire(member: number): void {
    const path = this.paths[member];
    if (path == null) return;
    this.paths[member] = null;
    path.close();
    if (path.inFlight > 0) this.retired.push(path);
  }

  private pollRetired(): void {
    for (let i = this.retired.length - 1; i >= 0; i--) {
      const path = this.retired[i]!;
      path.device.poll();
      if (path.inFlight === 0) this.retired.splice(i, 1);
    }
  }

  /** What the store lists has changed: look at what waits for it. */
  reconsider(): void {
    this.isDue = true;
    if (this.heldCount === 0) return;
    for (let slot = 0; slot < this.stages.length; slot++) {
      if (this.stages[slot] === Stage.held) this.settle(slot);
    }
  }

  /** Nothing is started any more; what is under way ends when its members have answered. */
  stop(): void {
    this.isStopped = true;
    for (let i = 0; i < this.waitingCount; i++) this.ending.push(this.waiting[i]!);
    this.reconsider();
  }

  private endNow(): void {
    const slots = this.ending;
    this.ending = [];
    for (const slot of slots) this.endWaiting(slot);
  }

  private endWaiting(slot: number): void {
    if (this.stages[slot] !== Stage.waiting) return;
    let kept = 0;
    for (let i = 0; i < this.waitingCount; i++) {
      if (this.waiting[i] !== slot) this.waiting[kept++] = this.waiting[i]!;
    }
    this.waitingCount = kept;
    if (this.ops[slot] === lockOp) {
      this.release(slot);
      this.grants[slot]!(false);
    } else {
      this.stages[slot] = Stage.active;
      this.finishUnstarted(slot);
    }
  }

  private finishUnstarted(slot: number): void {
    const request = this.requests[slot]!;
    this.requests[slot] = null;
    this.requestCount--;
    this.release(slot);
    this.endedCount++;
    request.status = BlockStatus.notExecuted;
    request.done(request);
  }

  /** Start what can be started, in the order in which it came. */
  private pump(): void {
    this.isDue = false;
    if (this.isStopped) return;
    const count = this.waitingCount;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const slot = this.waiting[i]!;
      const isFlush = this.ops[slot] === BlockOp.flush;
      if ((isFlush || this.locks.has(slot)) && this.mayStart(slot)) {
        this.start(slot);
      } else {
        this.waiting[kept++] = slot;
      }
    }
    // Whoever came while others were started stands behind them.
    for (let i = count; i < this.waitingCount; i++) this.waiting[kept++] = this.waiting[i]!;
    this.waitingCount = kept;
  }
}

/** Slots for locks of our own: always there. */
const ownSlots = 48;

function unwanted(): void {
  assert(false, 'a lock is granted that nobody asked for');
}
