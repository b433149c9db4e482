import type { BlockDevice } from '../block/device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { msNs, secondNs } from '../units.js';
import { Cleaner } from './cleaner.js';
import { MirrorGrowth } from './growth.js';
import { type Difference, Healer } from './healer.js';
import { mostMembers } from './io-parts.js';
import { lost, RecordKeeper } from './keeper.js';
import { checkIdentity } from './member-header.js';
import { MemberVerbs } from './member-verbs.js';
import { MirrorIo } from './mirror-io.js';
import type { MirrorOp } from './mirror-op.js';
import { type MirrorOptions, mirrorDefaults, ownDepth } from './options.js';
import { Pace } from './pace.js';
import type { MemberPort } from './port.js';
import { isSameList, type MirrorRecord } from './record.js';
import { Returns } from './returns.js';
import { type MemberRow, type MirrorStatus, rowsOf, statusOf, wantedMembers } from './rows.js';
import { SnapshotCopier } from './snapshot-copier.js';
import { MirrorSnapshots } from './snapshots.js';
import { takeOver } from './take-over.js';
import { Timers } from './timers.js';
import { Turns } from './turns.js';

/*
 * A volume with one to three members on different nodes.
 *
 * What always holds:
 *   - An acknowledged write is on every member that the cluster store lists as in sync; what was
 *     flushed is durable there. A member that is not listed is neither read nor promoted.
 *   - One epoch writes: it is claimed by a commit on the revision of the record, and a member that
 *     has adopted it refuses all lower ones, for I/O and control; where it is a namespace that the
 *     writers reach by themselves, the device does (`fence.ts`).
 *   - At every instant the blocks in which members differ lie in regions that are marked in the
 *     write-intent map of one of them, on its medium.
 *   - Each block is an atomic register: requests whose blocks overlap take turns, on all members in
 *     the same order, and nobody sees a write that a crash could still undo. Two reads with no
 *     write between them are equal, whoever serves them.
 * What may fail, and what is then done:
 *   - A member fails, or does not answer: acknowledgements are held, the store is told "member
 *     out", then they go on. The last member in sync is never taken out: the mirror stops instead.
 *   - The store does not answer: nothing is acknowledged that needs it. Reads go on until the time
 *     for which the writer was confirmed is over. By choice the mirror then waits, or stops.
 *   - A commit has an unknown outcome: both are taken to hold until the record was read again.
 *   - Members do not answer to a snapshot or a restore: they may yet do it. Whoever did not is out;
 *     where nobody did, the mirror stops, and who attaches next finds out what has come of it.
 *   - The writer dies: whoever takes over fences it, waits until it cannot serve reads any more if
 *     a member is out of reach, makes the members equal where they are marked, and serves. Nobody
 *     uses such a region before, nor before the store has taken out who was left behind.
 *   - A member returns, or is new: it gets the snapshots that it lacks, then the regions that are
 *     marked on the others or on itself, window by window, while everybody works; writes beside the
 *     window go to it too. Only snapshots that nobody can read are missing on it in the end. A
 *     block that nobody in sync can read keeps it back until it is written: what it has there
 *     itself may be older than what was acknowledged.
 *   - A card is closed under a member, or pulled out: the member is out. The memory that its driver
 *     had is gone then; who has none for a copy tries again, and requests in it are not executed.
 *   - A member restarts: completed writes may be gone from its cache. It is out, and another one
 *     that has been up is the one to go on with.
 *   - The volume grows, and anybody goes at any moment of it: it has the old size or the new one
 *     then, see `growth.ts`. What is new is equal on all members, as zeroes, or marked.
 *   - A member is foreign, older than it was, smaller, or has other blocks; the store was set back:
 *     refused by name, nothing is written.
 *   - The clocks of two nodes run at speeds that differ by 5 % at most, and that of who takes over
 *     does not jump. Nothing else about time is taken for granted, and no wall clock is asked.
 */

/** A volume, attached by its one writer. Poll `device`, or nothing goes on. */
export class Mirror {
  readonly device: BlockDevice;
  /** Resolves with the reason when the mirror has stopped. */
  readonly stopped: Promise<UltimaError | null>;
  /** Every copy had restarted when it was attached: what was not flushed before may be lost. */
  readonly mayHaveLost: boolean;
  private readonly options: Required<MirrorOptions>;
  private readonly io: MirrorIo;
  private readonly timers = new Timers();
  private readonly keeper: RecordKeeper;
  private readonly healer: Healer;
  private readonly cleaner: Cleaner;
  private readonly verbs: MemberVerbs;
  private readonly rows: (MemberRow | null)[];
  private readonly growth: MirrorGrowth;
  private readonly returns: Returns;
  private readonly turns = new Turns();
  private writer: string | null;
  private readonly snapshots: MirrorSnapshots;
  private readonly copier: SnapshotCopier;
  private stopReason: UltimaError | null = null;
  private tellStopped: (reason: UltimaError | null) => void = () => {};
  private wakeHealer: () => void = () => {};
  private checkNs = 0;

  /**
   * Become the writer, and serve.
   *
   * @throws UltimaError MIRROR_BUSY, MIRROR_FENCED, MIRROR_LOST (no member with everything is in
   *   reach), STORE_UNREACHABLE, STORE_UNKNOWN, STORE_ROLLED_BACK, NOT_FOUND, MIRROR_INVALID
   */
  static async attach(given: MirrorOptions): Promise<Mirror> {
    const options = { ...mirrorDefaults, ...given };
    const depth = options.requestCount + ownDepth;
    const taken = await takeOver({ ...options, depth });
    return new Mirror(options, taken);
  }

  private constructor(
    options: Required<MirrorOptions>,
    taken: Awaited<ReturnType<typeof takeOver>>,
  ) {
    const { clock, memory, leaseNs } = options;
    const { record, revision, admitted } = taken;
    this.options = options;
    this.writer = options.writer;
    this.mayHaveLost = taken.mayHaveLost;
    const { requestCount, answerNs: ioTimeoutNs } = options;
    const given = { geometry: record, memory, clock, requestCount, ioTimeoutNs };
    this.io = new MirrorIo({ ...given, events: this });
    this.device = this.io;
    const { timers, io } = this;
    this.rows = rowsOf(record, options.ports, admitted);
    this.keeper = new RecordKeeper({ record, revision }, { ...options, timers }, this);
    this.healer = new Healer({ ...options, io, timers, events: this });
    this.verbs = new MemberVerbs({ ...options, io, timers, events: this });
    this.cleaner = new Cleaner({
      ...{ io, events: this, isComplete: () => this.isComplete() },
      ask: (member, verb) => this.verbs.askMember(member, verb),
    });
    const { rows, keeper, healer, verbs } = this;
    const { answerNs } = options;
    this.growth = new MirrorGrowth({ io, verbs, keeper, timers, clock, answerNs, events: this });
    const { turns } = this;
    const common = { io, verbs, keeper, timers, turns, clock, events: this };
    this.snapshots = new MirrorSnapshots({ ...common, reason: () => this.reason() });
    const pace = new Pace(clock, timers, options.resyncBytesPerSecond);
    this.copier = new SnapshotCopier({ ...common, snapshots: this.snapshots, pace });
    const parts = { ...common, rows, healer, growth: this.growth, copier: this.copier };
    this.returns = new Returns({ ...parts, options });
    this.stopped = new Promise((resolve) => {
      this.tellStopped = resolve;
    });
    this.begin(taken.confirmedNs + leaseNs);
  }

  private begin(serveUntilNs: number): void {
    const { io } = this;
    const marks: Uint8Array[] = [];
    for (const [i, row] of this.rows.entries()) {
      if (row === null || row.state !== 'in sync') continue;
      const { path, bits } = row.admitted!;
      row.admitted = null;
      io.paths[i] = path;
      io.live |= 1 << i;
      if (row.port?.isLocal === true) io.local |= 1 << i;
      marks.push(bits);
    }
    this.takeMarks(marks);
    io.required = io.live;
    io.serveUntilNs = serveUntilNs;
    this.note(this.keeper.record.generation);
    this.keeper.kick();
    void this.keeper.renew();
    void this.snapshots.tidy();
    void this.heal();
    void this.returns.follow();
    void this.clean();
  }

  /** Regions in which a lost writer may have left the members different. */
  private takeMarks(marks: readonly Uint8Array[]): void {
    const { regions } = this.io;
    for (let region = 0; region < regions.count; region++) {
      if (!marks.some((bits) => regions.isMarked(bits, region))) continue;
      // One copy agrees with itself; the others get the region when they return.
      if (marks.length === 1) regions.mark(region);
      else regions.unreconcile(region);
    }
  }

  get status(): MirrorStatus {
    const { io, stopReason: reason, healer } = this;
    const unreadable = io.target === 0 ? nothing : healer.unreadable;
    return statusOf(this.keeper.record, this.rows, { io, unreadable, reason });
  }

  /** Bytes given to returning members so far. */
  get copiedBytes(): number {
    return this.healer.copiedBytes + this.copier.copiedBytes;
  }

  /** When a poll does something although no request ends in between. */
  get wakeNs(): number {
    return this.io.isWaitingForPoll ? 0 : Math.min(this.timers.wakeNs, this.checkNs);
  }

  /**
   * Make the volume larger, while everybody works; what is new reads as zeroes. When this ends
   * with an error, the next writer may find the old size or the new one.
   *
   * @param blockCount  of the whole volume, at least
   * @throws RangeError for less than it has; UltimaError MEMBER_REFUSED when no member can grow
   */
  async grow(blockCount: number): Promise<void> {
    this.growth.check(blockCount);
    await this.turns.take(async () => {
      await this.growth.to(blockCount);
      if (this.io.isStopped) throw this.reason();
    });
  }

  /** Let everything end, make it durable, and let go of the volume. */
  detach(): Promise<void> {
    return this.turns.take(() => this.letGo());
  }

  private async letGo(): Promise<void> {
    const lock = await this.io.lock(0, this.io.blockCount);
    if (lock === null) throw this.reason();
    await this.reconcileAll();
    if (await this.cleaner.flush()) {
      await this.cleaner.clearAll();
      this.writer = null;
      await this.keeper.settled();
    }
    this.io.unlock(lock);
    const isOrderly = this.writer === null && this.keeper.record.writer === null;
    this.stop(null);
    if (!isOrderly) throw this.reason();
  }

  private async reconcileAll(): Promise<void> {
    while (this.io.regions.unreconciledCount > 0 && !this.io.isStopped) {
      await this.timers.sleepUntil(this.options.clock.nowNs() + msNs);
    }
  }

  private reason(): UltimaError {
    const text = 'the mirror has stopped; look at its status, and attach again';
    return this.stopReason ?? new UltimaError(ErrorCode.mirrorLost, text);
  }

  /**
   * Compare the members, everywhere, while everybody works.
   *
   * @returns blocks in which they differed, and those that none of them can read
   * @throws UltimaError DMA_* when there is no memory for it
   */
  verify(): Promise<Difference[]> {
    return this.healer.verify();
  }

  /**
   * Keep the volume as it is now, at one point of its write order on all members.
   *
   * @returns the name under which its members have it
   * @throws RangeError for a name that is taken
   */
  snapshot(name: string): Promise<string> {
    return this.snapshots.take(name);
  }

  /** @throws RangeError for a name that no snapshot has */
  removeSnapshot(name: string): Promise<void> {
    return this.snapshots.remove(name);
  }

  /**
   * Go back to a snapshot. A member that cannot is out, and gets everything when it returns.
   *
   * @throws RangeError for a name that no snapshot has
   */
  restore(name: string): Promise<void> {
    return this.snapshots.restore(name);
  }

  /** One more member: it gets everything, and is listed when it has it. */
  async addMember(port: MemberPort): Promise<void> {
    checkIdentity(port.id);
    if (this.rows.some((row) => row?.id === port.id)) throw new RangeError(`${port.id} is one`);
    const place = this.rows.indexOf(null);
    if (place < 0) throw new RangeError(`${mostMembers} members are the most; remove one first`);
    const known = { id: port.id, isInSync: false, incarnation: 0, epoch: 0 };
    this.rows[place] = { ...known, port, state: 'out', why: 'new', admitted: null, sinceNs: 0 };
    await this.keeper.settled();
    if (this.io.isStopped) throw this.reason();
    this.returns.call();
  }

  /** A member less. @throws RangeError for the last one that is in sync */
  async removeMember(id: string): Promise<void> {
    const place = this.rows.findIndex((row) => row?.id === id);
    const row = this.rows[place];
    if (row == null) throw new RangeError(`${id} is no member`);
    const bit = 1 << place;
    if ((this.io.live & ~bit) === 0) throw new RangeError(`${id} is the last that is in sync`);
    if (((this.io.live | this.io.target) & bit) !== 0) this.failed(place, 'removed');
    row.isRemoved = true;
    await this.keeper.settled();
    if (this.io.isStopped) throw this.reason();
  }

  // What the data path says.

  failed(index: number, why: string): void {
    const row = this.rows[index];
    const bit = 1 << index;
    const { io } = this;
    if (row == null || ((io.live | io.target) & bit) === 0) return;
    if (this.isLast(bit)) {
      if ((io.refusing & bit) !== 0) void this.askWhoWrites(row.id);
      else this.stop(lost(this.options.volumeId, row.id, why));
      return;
    }
    io.live &= ~bit;
    if (io.target === bit) io.target = 0;
    row.state = (io.required & bit) === 0 ? 'out' : 'failing';
    row.why = why;
    row.sinceNs = this.options.clock.nowNs();
    io.retire(index);
    this.keeper.kick();
    io.reconsider();
  }

  /** The last member obeys somebody else: the store says whom, if it answers. */
  private async askWhoWrites(id: string): Promise<void> {
    await this.keeper.look();
    this.stop(lost(this.options.volumeId, id, 'it obeys another writer'));
  }

  /** Whether nobody else has everything. */
  isLast(bit: number): boolean {
    return this.io.live === bit;
  }

  unreadable(lba: number, blockCount: number): void {
    this.healer.mender.want(lba, blockCount);
  }

  scattered(op: MirrorOp): void {
    void this.healer.mender.gather(op);
  }

  urgent(region: number): void {
    this.healer.hurry(region);
    this.wakeHealer();
  }

  polled(nowNs: number): void {
    this.timers.run(nowNs);
    if (nowNs < this.checkNs) return;
    this.checkNs = nowNs + this.options.answerNs / 8;
    if (this.io.isStopped) return;
    this.io.checkTimeouts();
    this.lookForLosses();
  }

  /** Of members that nobody asks anything; of the last one only when somebody does. */
  private lookForLosses(): void {
    const { io } = this;
    for (const [i, path] of io.paths.entries()) {
      if (path?.association.isLost !== true || io.live === 1 << i) continue;
      this.failed(i, 'its connection was lost');
    }
  }

  // What the keeper asks and says.

  wanted(record: MirrorRecord): MirrorRecord {
    const members = wantedMembers(this.rows, record);
    const { writer } = this;
    const snapshots = this.snapshots.listed;
    const blockCount = this.growth.wantedBlocks;
    const isSame = members === record.members && writer === record.writer && !record.hasLoss;
    const isAlike = isSameList(snapshots, record.snapshots);
    if (isSame && isAlike && blockCount === record.blockCount) return record;
    return { ...record, members, writer, snapshots, blockCount, hasLoss: false };
  }

  noted(record: MirrorRecord, isSure: boolean): void {
    const { io, rows } = this;
    let listed = 0;
    for (const [i, row] of rows.entries()) {
      const isListed = record.members.some(({ id, isInSync }) => id === row?.id && isInSync);
      if (isListed) listed |= 1 << i;
    }
    if (!isSure) {
      io.required |= listed;
      return;
    }
    io.required = listed;
    for (const [i, row] of rows.entries()) {
      if (row === null) continue;
      const bit = 1 << i;
      if (row.state === 'failing' && (listed & bit) === 0) row.state = 'out';
      if (row.state === 'joining' && (listed & bit) !== 0) {
        row.state = 'in sync';
        io.live |= bit;
        io.target = 0;
      }
      const isKnown = record.members.some(({ id }) => id === row.id);
      if (row.isRemoved === true && !isKnown) rows[i] = null;
    }
    io.reconsider();
    this.note(record.generation);
    this.wakeHealer();
  }

  /** Members remember it: a store that was set back is found out. */
  private note(generation: number): void {
    void this.verbs.everywhere({ verb: 'note', generation });
  }

  confirmed(untilNs: number): void {
    this.io.serveUntilNs = Math.max(this.io.serveUntilNs, untilNs);
    this.io.reconsider();
  }

  dethroned(error: UltimaError): void {
    this.stop(error);
  }

  silent(sinceNs: number): void {
    const silentNs = this.options.clock.nowNs() - sinceNs;
    if (silentNs < this.options.storeLimitNs) return;
    const text = `the cluster store has not answered for ${silentNs / secondNs} s`;
    this.stop(new UltimaError(ErrorCode.storeUnreachable, text));
  }

  private stop(reason: UltimaError | null): void {
    if (this.io.isStopped) return;
    this.stopReason = reason;
    this.keeper.stop();
    for (const i of this.rows.keys()) this.io.retire(i);
    for (const row of this.rows) row?.admitted?.path.close();
    this.io.stop();
    this.timers.stop();
    this.wakeHealer();
    this.tellStopped(reason);
  }

  // What goes on in the background.

  private async heal(): Promise<void> {
    while (!this.io.isStopped) {
      if (this.io.regions.unreconciledCount > 0) {
        await this.healer.reconcileNext();
      } else {
        await new Promise<void>((resolve) => {
          this.wakeHealer = resolve;
        });
      }
    }
  }

  private async clean(): Promise<void> {
    const { clock, cleanNs } = this.options;
    while (!this.io.isStopped) {
      await this.timers.sleepUntil(clock.nowNs() + cleanNs);
      while (!this.io.isStopped && (await this.cleaner.pass()) > 0);
    }
  }

  private isComplete(): boolean {
    const { live, target } = this.io;
    if (this.copier.isFinding) return false;
    return this.rows.every((row, i) => row === null || ((live | target) & (1 << i)) !== 0);
  }
}

const nothing: ReadonlySet<number> = new Set();
