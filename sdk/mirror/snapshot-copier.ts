import { BlockOp, BlockStatus } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { UltimaError } from '../errors.js';
import { GiB } from '../units.js';
import { type MirrorEvents, memberTransferBytes, mostMembers } from './io-parts.js';
import type { MemberVerbs } from './member-verbs.js';
import type { MirrorIo } from './mirror-io.js';
import type { Pace } from './pace.js';
import type { MirrorSnapshots } from './snapshots.js';
import type { ChangedBytes, Changes } from './verbs.js';

export interface SnapshotCopierParts {
  readonly io: MirrorIo;
  readonly verbs: MemberVerbs;
  readonly snapshots: MirrorSnapshots;
  readonly events: MirrorEvents;
  readonly pace: Pace;
}

/** A snapshot that only the member has from which the live data is copied. */
const passing = 'passing';

/** Where a member's live data stands: at a snapshot, at nothing but zeroes (null), or anywhere. */
type Standing = string | null | undefined;

/**
 * Gives a member the snapshots that it lacks: its live data becomes, one after the other, what each
 * of them was, and is sealed there; then it follows the live data of the others. What is copied is
 * what differs from the snapshot before. Whatever ends it early leaves whole snapshots, from which
 * the next attempt goes on, and a member whose regions are all marked.
 */
export class SnapshotCopier {
  copiedBytes = 0;
  /** What the target lacks is being found: a region that is not missing may be so yet. */
  isFinding = false;
  private readonly parts: SnapshotCopierParts;
  private standing: Standing = undefined;

  constructor(parts: SnapshotCopierParts) {
    this.parts = parts;
  }

  /**
   * @returns what is listed, some member in sync has and the target has not, oldest first; null for
   *   a target that keeps no snapshots
   */
  async lacking(target: number): Promise<readonly string[] | null> {
    const { snapshots, events } = this.parts;
    const has = await snapshots.tidyMember(target);
    if (has === 'unknown' && this.isTarget(target)) events.failed(target, 'it does not answer');
    if (has === null || has === 'unknown') return null;
    const missed = snapshots.listed.map(({ id }) => id).filter((id) => !has.has(id));
    if (missed.length === 0) return missed;
    const { found, isSure } = await this.sources();
    const sources = [...found.values()];
    return missed.filter((id) => !isSure || sources.some((source) => source.has(id)));
  }

  /**
   * Give the target what it lacks, and let it lack only regions that were written since the newest
   * snapshot that it has.
   *
   * @returns whether it went well; null when nobody can give anything: nothing has changed
   */
  async catchUp(target: number, lacking: readonly string[]): Promise<boolean | null> {
    const { io, verbs } = this.parts;
    const { found, isSure } = await this.sources();
    if (found.size === 0) return isSure ? null : false;
    const lock = await io.lock(0, io.blockCount);
    if (lock === null) return false;
    // What was sent to it has ended, and nothing more is sent.
    if (this.isTarget(target)) io.regions.missAll();
    io.unlock(lock);
    this.standing = undefined;
    if (!this.isTarget(target)) return false;
    if (!(await verbs.askMember(target, { verb: 'mark all' }))) return false;
    for (const id of lacking) if (!(await this.copy(target, id))) return false;
    return this.follow(target);
  }

  private isTarget(target: number): boolean {
    const { io } = this.parts;
    return io.target === 1 << target && !io.isStopped;
  }

  /** Members in sync that keep snapshots, with what each has; and whether all have answered. */
  private async sources(): Promise<Sources> {
    const { io, snapshots } = this.parts;
    const found = new Map<number, ReadonlySet<string>>();
    let isSure = true;
    for (let member = 0; member < mostMembers; member++) {
      if ((io.live & (1 << member)) === 0) continue;
      const sealed = await snapshots.sealedOn(member);
      if (sealed === 'unknown') isSure = false;
      else if (sealed !== null) found.set(member, sealed);
    }
    return { found, isSure };
  }

  /** Who can give a snapshot, or the live data (null), and from which that the target has. */
  private async stepTo(target: number, id: string | null): Promise<Step | null> {
    const { snapshots } = this.parts;
    const has = await snapshots.tidyMember(target);
    const ids = snapshots.listed.map((each) => each.id);
    const place = id === null ? ids.length : ids.indexOf(id);
    if (has === null || has === 'unknown' || place < 0) return null;
    const before = ids.slice(0, place).filter((each) => has.has(each));
    let best: Step | null = null;
    let nearest = -2;
    for (const [source, theirs] of (await this.sources()).found) {
      const at = before.findLastIndex((each) => theirs.has(each));
      if (at <= nearest || (id !== null && !theirs.has(id))) continue;
      nearest = at;
      best = { source, from: before[at] ?? null };
    }
    return best;
  }

  /** Memory for a copy; without it the target is out, and is tried again. */
  private buffer(target: number): DmaRegion | null {
    try {
      return this.parts.io.memory.allocate(memberTransferBytes);
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      if (this.isTarget(target)) this.parts.events.failed(target, 'there is no memory for copies');
      return null;
    }
  }

  /** The target's live data becomes a snapshot, and is sealed as that. */
  private async copy(target: number, id: string): Promise<boolean> {
    const { io, verbs } = this.parts;
    const step = await this.stepTo(target, id);
    if (step === null || !(await this.goTo(target, step.from))) return false;
    this.standing = undefined;
    const buffer = this.buffer(target);
    if (buffer === null) return false;
    try {
      const copyRange = (range: ChangedBytes): Promise<boolean> => {
        if (!range.isData) return this.zero(target, range);
        return this.copyData({ target, source: step.source, id, buffer }, range);
      };
      if (!(await this.changes(step, id, copyRange))) return false;
    } finally {
      io.memory.free(buffer);
    }
    if (!(await this.isWritten(target, { op: BlockOp.flush, lba: 0, blockCount: 0 }))) return false;
    const isSealed = await verbs.askMember(target, { verb: 'seal', name: id });
    if (isSealed) this.standing = id;
    return isSealed;
  }

  /**
   * From one moment on the target is written wherever the others are. What its live data lacks of
   * that moment is found by a snapshot of it that one member takes, for as long as it takes.
   */
  private async follow(target: number): Promise<boolean> {
    const step = await this.stepTo(target, null);
    if (step === null || !(await this.goTo(target, step.from))) return false;
    this.isFinding = true;
    try {
      return await this.find(target, step);
    } finally {
      this.isFinding = false;
    }
  }

  private async find(target: number, step: Step): Promise<boolean> {
    const { io, verbs } = this.parts;
    const { regions } = io;
    const lock = await io.lock(0, io.blockCount);
    if (lock === null) return false;
    try {
      if (!this.isTarget(target)) return false;
      const isSealed = await verbs.tell(step.source, { verb: 'seal', name: passing });
      if (isSealed !== 'done' || !this.isTarget(target)) return false;
      // What members may differ in is read when they are equal.
      regions.missOnly((region) => regions.unreconciled[region] !== 0);
      this.standing = undefined;
    } finally {
      io.unlock(lock);
    }
    const isFound = await this.changes(step, passing, async ({ byteOffset, byteLength }) => {
      const last = regions.of((byteOffset + byteLength) / io.blockBytes - 1);
      for (let region = regions.of(byteOffset / io.blockBytes); region <= last; region++) {
        regions.lose(region);
      }
      return this.isTarget(target);
    });
    await verbs.tell(step.source, { verb: 'remove', name: passing });
    return isFound && this.isTarget(target);
  }

  /** What has changed, one range after the other, until one of them is not taken. */
  private async changes(
    { source, from }: Step,
    to: string,
    take: (range: ChangedBytes) => Promise<boolean>,
  ): Promise<boolean> {
    const { verbs, io } = this.parts;
    for (let startByte = 0; ; ) {
      const answers: Changes[] = [];
      await verbs.tell(source, { verb: 'changes', from, to, startByte }, ({ changes }) => {
        if (changes !== undefined) answers.push(changes);
      });
      const [said] = answers;
      if (said === undefined) return false;
      for (const range of said.ranges) {
        const most = io.blockCount * io.blockBytes - range.byteOffset;
        const byteLength = Math.min(range.byteLength, most);
        if (!isWhole(range.byteOffset, byteLength, io.blockBytes)) return false;
        if (byteLength > 0 && !(await take({ ...range, byteLength }))) return false;
      }
      if (said.nextByte === null) return true;
      if (said.nextByte <= startByte) return false;
      startByte = said.nextByte;
    }
  }

  private async copyData(
    { target, source, id: name, buffer }: DataWay,
    { byteOffset, byteLength }: ChangedBytes,
  ): Promise<boolean> {
    const { io, verbs, pace } = this.parts;
    const end = byteOffset + byteLength;
    for (let at = byteOffset; at < end; at += memberTransferBytes) {
      const length = Math.min(memberTransferBytes, end - at);
      await pace.pass(length);
      let isRead = false;
      await verbs.tell(
        source,
        { verb: 'read', name, byteOffset: at, byteLength: length },
        (said) => {
          if (said.data?.length !== length || buffer.isLost === true) return;
          buffer.bytes.set(said.data);
          isRead = true;
        },
      );
      if (!isRead) return false;
      const range = { lba: at / io.blockBytes, blockCount: length / io.blockBytes };
      if (!(await this.isWritten(target, { op: BlockOp.write, ...range }, buffer))) return false;
      this.copiedBytes += length;
    }
    return true;
  }

  private async zero(target: number, range: Omit<ChangedBytes, 'isData'>): Promise<boolean> {
    const { blockBytes } = this.parts.io;
    const end = range.byteOffset + range.byteLength;
    for (let at = range.byteOffset; at < end; at += mostZeroedBytes) {
      const blockCount = Math.min(mostZeroedBytes, end - at) / blockBytes;
      const zeroes = { op: BlockOp.writeZeroes, lba: at / blockBytes, blockCount };
      if (!(await this.isWritten(target, zeroes))) return false;
    }
    return true;
  }

  private async isWritten(
    target: number,
    what: { readonly op: BlockOp; readonly lba: number; readonly blockCount: number },
    region: DmaRegion | null = null,
  ): Promise<boolean> {
    const { io, events } = this.parts;
    const path = io.paths[target];
    if (path == null || !this.isTarget(target)) return false;
    const status = await path.transfer({ ...what, region, offset: 0, isUrgent: false });
    if (status === BlockStatus.ok) return this.isTarget(target);
    if (this.isTarget(target)) events.failed(target, 'it cannot be written');
    return false;
  }

  /** Let the target's live data be what one of its snapshots was; zeroes for null. */
  private async goTo(target: number, standing: string | null): Promise<boolean> {
    const { io, verbs } = this.parts;
    if (this.standing === standing) return true;
    this.standing = undefined;
    const byteLength = io.blockCount * io.blockBytes;
    const isThere =
      standing === null
        ? await this.zero(target, { byteOffset: 0, byteLength })
        : await verbs.askMember(target, { verb: 'restore', name: standing });
    if (isThere) this.standing = standing;
    return isThere;
  }
}

interface Sources {
  readonly found: ReadonlyMap<number, ReadonlySet<string>>;
  readonly isSure: boolean;
}

interface Step {
  readonly source: number;
  /** null: from nothing. */
  readonly from: string | null;
}

interface DataWay {
  readonly target: number;
  readonly source: number;
  readonly id: string;
  readonly buffer: DmaRegion;
}

const mostZeroedBytes = GiB;

function isWhole(byteOffset: number, byteLength: number, blockBytes: number): boolean {
  return byteOffset % blockBytes === 0 && byteLength % blockBytes === 0;
}
