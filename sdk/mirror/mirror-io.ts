import { assert } from '../assert.js';
import { checkRequest, isUsual } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { BlockOp, type BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { Connections } from './connections.js';
import {
  full,
  isLoss,
  type MirrorEvents,
  type MirrorIoOptions,
  memberTransferBytes,
  mostMembers,
} from './io-parts.js';
import { regionCountOf } from './member-header.js';
import type { MemberPath } from './member-path.js';
import { type Leg, lockOp, MirrorOp, Stage } from './mirror-op.js';
import { RangeLocks } from './range-locks.js';
import { Regions } from './regions.js';

// The data path reads imported constants once.
const { read: readOp, flush: flushOp } = BlockOp;
const { active, free: freeStage, held, waiting } = Stage;
const { ok, notExecuted, unknown, accessDenied } = BlockStatus;

/**
 * The data path of a mirror: what `mirror.ts` promises, request by request. Nothing is allocated
 * per request. Sets of members are bit masks.
 */
export class MirrorIo implements BlockDevice {
  readonly blockBytes: number;
  blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;

  /** Members that are written and may be read. */
  live = 0;
  /** The member, if any, that is being brought up to date: written where it is. */
  target = 0;
  /** Members that the cluster store may list as in sync: without them nothing is acknowledged. */
  required = 0;
  /** Members that have said that they obey somebody else. */
  refusing = 0;
  /** Read these first. */
  local = 0;
  /** Reads are served before this time only: later somebody else may have written. */
  serveUntilNs = 0;
  isStopped = false;
  readonly regions: Regions;
  private readonly connections = new Connections();
  readonly paths = this.connections.paths;

  private readonly events: MirrorEvents;
  private readonly ioTimeoutNs: number;
  private readonly locks: RangeLocks;
  private readonly ops: readonly MirrorOp[];
  /** Operations that nobody uses: the first `freeCount` of them. */
  private readonly free: MirrorOp[];
  private freeCount: number;
  /** Requests of users: operations for locks stay free beside them. */
  private requestCount = 0;
  /** Who waits, in the order in which they came. */
  private readonly waiting: MirrorOp[];
  private waitingCount = 0;
  private heldCount = 0;
  /** Something that somebody waits for may have come. */
  private isDue = false;
  /** Something that held requests wait for may have come. */
  private hasNews = false;
  /** Requests that end without having been started. */
  private ending: MirrorOp[] = [];
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
    const count = requestCount + ownLocks;
    this.locks = new RangeLocks(count, this.blockBytes);
    const onEnded = (op: MirrorOp, leg: Leg): void => this.legEnded(op, leg);
    this.ops = Array.from({ length: count }, () => new MirrorOp(onEnded));
    this.free = [...this.ops];
    this.waiting = [...this.ops];
    this.freeCount = count;
  }

  canSubmit(): boolean {
    return this.requestCount < this.limits.maxInFlight;
  }

  submit(request: BlockRequest): void {
    const { blockBytes, blockCount, memory } = this;
    let isLost = false;
    if (!isUsual(request, blockBytes, blockCount, memory, memberTransferBytes)) {
      checkRequest(request, this);
      isLost = request.hasLostMemory;
    }
    if (!this.canSubmit()) throw full(this.limits.maxInFlight);
    this.requestCount++;
    request.detail = 0;
    const op = this.free[--this.freeCount]!;
    op.begin(request.op, request);
    this.begin(op, request.lba, request.blockCount, isLost);
  }

  /**
   * Hold blocks against everyone, when all who came before have ended.
   *
   * @returns what is to be given back, null when the mirror has stopped
   */
  lock(lba: number, blockCount: number): Promise<MirrorOp | null> {
    if (this.isStopped) return Promise.resolve(null);
    assert(this.freeCount > 0, 'more own locks than operations for them');
    const op = this.free[--this.freeCount]!;
    op.begin(lockOp, null);
    return new Promise((resolve) => {
      op.grant = (isGranted) => resolve(isGranted ? op : null);
      this.begin(op, lba, blockCount);
    });
  }

  /** Hold all blocks of a region, also those that the last one may get while this waits. */
  lockRegion(region: number): Promise<MirrorOp | null> {
    return this.lock(region * this.regions.regionBlocks, this.regions.regionBlocks);
  }

  unlock(op: MirrorOp): void {
    this.release(op);
  }

  /** Whether somebody waits for blocks that a lock holds. */
  isAwaited(lock: MirrorOp): boolean {
    return this.locks.isAwaited(lock);
  }

  /** @param isLost  its memory is gone: nothing can be made of it */
  private begin(op: MirrorOp, lba: number, blockCount: number, isLost = false): void {
    const isFirst = op.op === flushOp || this.locks.enter(op, lba, blockCount, op.op !== readOp);
    const isOver = this.isStopped || isLost;
    if (isFirst && !isOver && this.mayStart(op)) {
      this.start(op);
      return;
    }
    op.stage = waiting;
    this.waiting[this.waitingCount++] = op;
    if (isOver) this.ending.push(op);
  }

  /** Whether a request whose turn it is can be sent now. */
  private mayStart({ op, request }: MirrorOp): boolean {
    if (op === lockOp) return true;
    if (this.live === 0) return false;
    if (op === readOp && !this.mayRead()) return false;
    if (this.regions.unreconciledCount === 0 || op === flushOp) return true;
    const region = this.regions.firstUnreconciled(request!.lba, request!.blockCount);
    if (region >= 0) this.events.urgent(region);
    return region < 0;
  }

  /** The time is looked at for every read: this process may have stood still since the last one. */
  mayRead(): boolean {
    return this.clock.nowNs() < this.serveUntilNs;
  }

  private start(op: MirrorOp): void {
    op.stage = active;
    op.startedNs = this.nowNs;
    if (op.op === lockOp) {
      op.grant(true);
      return;
    }
    const request = op.request!;
    if (op.op === readOp) {
      this.sendLeg(op, this.readerOf(this.live), request);
      return;
    }
    op.needed = this.required;
    const members = this.live | (op.op === flushOp ? this.target : this.touch(op, request));
    for (let member = 0; member < mostMembers; member++) {
      if ((members & (1 << member)) !== 0) this.sendLeg(op, member, request);
    }
  }

  /** Note the regions of a write. @returns the target if it has any of them */
  private touch(op: MirrorOp, { lba, blockCount }: BlockRequest): number {
    const { regions } = this;
    op.firstRegion = regions.of(lba);
    op.lastRegion = regions.of(lba + blockCount - 1);
    return regions.touch(op.firstRegion, op.lastRegion) ? this.target : 0;
  }

  /** The member to read: a local one, else the one with the least to do. */
  readerOf(members: number): number {
    const near = members & this.local;
    return this.connections.leastBusy(near !== 0 ? near : members);
  }

  private sendLeg(op: MirrorOp, member: number, request: BlockRequest): void {
    const path = this.paths[member]!;
    const leg = op.legs[member]!;
    const mine = leg.request;
    mine.op = request.op;
    mine.flags = request.flags;
    mine.lba = request.lba;
    mine.blockCount = request.blockCount;
    mine.shareData(request);
    leg.path = path;
    op.sent |= 1 << member;
    op.pending++;
    path.inFlight++;
    path.device.submit(mine);
  }

  private legEnded(op: MirrorOp, leg: Leg): void {
    const path = leg.path!;
    path.inFlight--;
    leg.path = null;
    op.pending--;
    if (leg.request.status === ok) op.good |= 1 << leg.member;
    else this.legFailed(op, leg, path);
    if (op.pending > 0) return;
    const request = op.request!;
    request.submittedNs = leg.request.submittedNs;
    request.completedNs = leg.request.completedNs;
    if (op.op === readOp) this.readEnded(op, leg.member);
    else this.settle(op);
  }

  private legFailed(op: MirrorOp, { member, request }: Leg, path: MemberPath): void {
    const bit = 1 << member;
    op.bad |= bit;
    op.status = request.status;
    if (isLoss(request.status)) op.lost |= bit;
    if (request.status === accessDenied && path === this.paths[member]) this.refusing |= bit;
    // Nobody waits for the target, and it lacks this write from now on.
    const isTarget = (this.target & bit) !== 0 && path === this.paths[member];
    if (isTarget) this.events.failed(member, 'a write to the target failed');
  }

  private readEnded(op: MirrorOp, member: number): void {
    const request = op.request!;
    const bit = 1 << member;
    if ((op.good & bit) !== 0) {
      const unread = op.bad & ~op.lost;
      if (unread !== 0) this.events.unreadable(request.lba, request.blockCount);
      this.finish(op, ok);
      return;
    }
    if ((op.lost & bit) !== 0) this.events.failed(member, 'a read was lost');
    const others = this.live & ~op.bad;
    const isWanted = !this.isStopped && !request.hasLostMemory;
    if (others !== 0 && isWanted && this.mayRead()) {
      this.sendLeg(op, this.readerOf(others), request);
      return;
    }
    if (op.bad === op.lost) this.finish(op, notExecuted);
    else if (!isWanted || request.blockCount === 1 || !this.hasSeveral) this.finish(op, op.status);
    else this.events.scattered(op);
  }

  private get hasSeveral(): boolean {
    return (this.live & (this.live - 1)) !== 0;
  }

  /** Its blocks were read one by one. */
  gathered(op: MirrorOp, isRead: boolean): void {
    const { lba, blockCount } = op.request!;
    if (isRead) this.events.unreadable(lba, blockCount);
    // Meanwhile somebody else may have become the writer.
    if (isRead && this.mayRead() && !this.isStopped) this.finish(op, ok);
    else this.finish(op, isRead ? notExecuted : op.status);
  }

  /** Members whose answer a write or flush still lacks. */
  lacking(op: MirrorOp): number {
    return this.required & (op.needed | op.sent) & ~op.good;
  }

  /** Everyone asked has answered: acknowledge it, or hold it until the store has decided. */
  private settle(op: MirrorOp): void {
    const lacking = this.lacking(op);
    if (lacking === 0) {
      this.finish(op, ok);
      return;
    }
    if (this.isStopped) {
      this.finish(op, unknown);
      return;
    }
    const isRefusedByAll = op.good === 0 && (lacking & ~op.bad) === 0;
    if (isRefusedByAll && (lacking & op.lost) === 0) {
      // All said no: none is worse than the others, but each may have done another part.
      if (op.op !== flushOp) this.unsettle(op);
      this.finish(op, op.status);
      return;
    }
    if (op.stage !== held) this.heldCount++;
    op.stage = held;
    for (let member = 0; member < mostMembers; member++) {
      const bit = 1 << member;
      if ((lacking & this.live & bit) !== 0) this.events.failed(member, 'a write failed');
    }
  }

  private unsettle({ firstRegion, lastRegion }: MirrorOp): void {
    for (let region = firstRegion; region <= lastRegion; region++) this.doubt(region);
  }

  /** Members may differ in a region: nobody uses it before they are equal. */
  doubt(region: number): void {
    if (this.target !== 0) this.regions.lose(region);
    if (!this.hasSeveral) {
      this.regions.mark(region);
      return;
    }
    this.regions.unreconcile(region);
    this.events.urgent(region);
  }

  /** Whether a write is on its way there: it comes to members at different times. */
  isWriting(region: number): boolean {
    return this.ops.some((op) => op.isWriting(region));
  }

  /** More blocks: every member that is written has them. */
  grow(blockCount: number, regionCount: number): void {
    assert(blockCount >= this.blockCount, 'a mirror shrinks');
    this.blockCount = blockCount;
    this.regions.grow(regionCount);
  }

  /** A region may be used again. */
  reconciled(region: number): void {
    this.regions.reconciled(region);
    this.isDue = true;
  }

  private finish(op: MirrorOp, status: BlockStatus): void {
    if (op.stage === held) this.heldCount--;
    // Touched again: a flush before this moment does not cover it.
    if (op.op !== readOp && op.op !== flushOp) this.regions.touch(op.firstRegion, op.lastRegion);
    this.end(op, status);
  }

  private end(op: MirrorOp, status: BlockStatus): void {
    const request = op.request!;
    this.requestCount--;
    this.release(op);
    this.endedCount++;
    request.status = status;
    request.done(request);
  }

  private release(op: MirrorOp): void {
    if (op.op !== flushOp) this.locks.leave(op);
    op.request = null;
    op.stage = freeStage;
    this.free[this.freeCount++] = op;
    if (this.waitingCount > 0) this.isDue = true;
  }

  poll(): number {
    const before = this.endedCount;
    this.nowNs = this.clock.nowNs();
    this.connections.poll();
    if (this.ending.length > 0) this.endNow();
    this.events.polled(this.nowNs);
    while (this.hasNews) this.settleHeld();
    if (this.isDue) this.pump();
    return this.endedCount - before;
  }

  /** Whether a poll has something to do although nothing has ended. */
  get isWaitingForPoll(): boolean {
    return this.hasNews || this.isDue || this.ending.length > 0;
  }

  /** Look for members that have not answered in time. */
  checkTimeouts(): void {
    const { nowNs } = this;
    const gapNs = nowNs - this.polledNs;
    this.polledNs = nowNs;
    // Nobody looked for a while: what the members sent meanwhile is not taken in yet.
    if (gapNs > this.ioTimeoutNs / 2) {
      for (const op of this.ops) op.startedNs += gapNs;
      return;
    }
    const sinceNs = nowNs - this.ioTimeoutNs;
    for (const op of this.ops) {
      if (op.stage !== active || op.startedNs >= sinceNs) continue;
      for (const { path, member } of op.legs) {
        if (path !== null && path === this.paths[member]) this.events.failed(member, 'no answer');
      }
    }
    for (let member = 0; member < mostMembers; member++) {
      if (this.paths[member]?.isLate(nowNs, this.ioTimeoutNs))
        this.events.failed(member, 'no answer');
    }
  }

  /** Forget a connection; what it has not answered yet ends as lost. */
  retire(member: number): void {
    if (this.paths[member] != null) this.refusing &= ~(1 << member);
    this.connections.retire(member);
  }

  /** What the store lists has changed: the next poll looks at what waits for it. */
  reconsider(): void {
    this.isDue = true;
    this.hasNews = true;
  }

  private settleHeld(): void {
    this.hasNews = false;
    if (this.heldCount === 0) return;
    for (const op of this.ops) if (op.stage === held) this.settle(op);
  }

  /** Nothing is started any more; what is under way ends when its members have answered. */
  stop(): void {
    this.isStopped = true;
    this.ending.push(...this.waiting.slice(0, this.waitingCount));
    this.reconsider();
  }

  private endNow(): void {
    const ops = this.ending;
    this.ending = [];
    for (const op of ops) this.endWaiting(op);
  }

  private endWaiting(op: MirrorOp): void {
    if (op.stage !== waiting) return;
    const place = this.waiting.indexOf(op);
    this.waiting.copyWithin(place, place + 1, this.waitingCount--);
    if (op.op === lockOp) {
      this.release(op);
      op.grant(false);
    } else {
      this.end(op, notExecuted);
    }
  }

  /** Whether the memory of a request went away while it waited: then it ends at the next poll. */
  private isLost(op: MirrorOp): boolean {
    if (op.request?.hasLostMemory !== true) return false;
    if (!this.ending.includes(op)) this.ending.push(op);
    return true;
  }

  /** Start what can be started, in the order in which it came. */
  private pump(): void {
    this.isDue = false;
    if (this.isStopped) return;
    const all = this.waiting;
    const count = this.waitingCount;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const op = all[i]!;
      const isNext = op.op === flushOp || this.locks.has(op);
      if (isNext && !this.isLost(op) && this.mayStart(op)) this.start(op);
      else all[kept++] = op;
    }
    // Whoever came while others were started stands behind them.
    for (let i = count; i < this.waitingCount; i++) all[kept++] = all[i]!;
    this.waitingCount = kept;
  }
}

/** Operations for locks of our own: always there. */
const ownLocks = 48;
