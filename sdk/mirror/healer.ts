import { BlockOp, BlockStatus } from '../block/request.js';
import type { Clock, DmaRegion } from '../device.js';
import { msNs, secondNs } from '../units.js';
import { always, type Chunk, Chunks } from './chunks.js';
import { isLoss, type MirrorEvents, mostMembers } from './io-parts.js';
import { Mender } from './mender.js';
import type { MirrorIo } from './mirror-io.js';
import type { Timers } from './timers.js';

export interface HealerOptions {
  readonly io: MirrorIo;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly events: MirrorEvents;
  /** Bytes per second that a returning member is given, at most. */
  readonly resyncBytesPerSecond: number;
}

/** Windows that are copied at one time. */
const copiers = 4;
/** Unreadable blocks that are told of. */
const mostUnreadable = 64;

/** A block in which a verification found members that differ, or that none of them can read. */
export interface Difference {
  readonly lba: number;
  readonly isUnreadable: boolean;
  /** Whether a majority, or the member that could be read, was written over the others. */
  readonly isMended: boolean;
}

/**
 * Makes members equal: reconciles what a lost writer left, brings a returning member up to date,
 * mends blocks that cannot be read, and compares members when asked to.
 */
export class Healer {
  /** Bytes copied to returning members. */
  copiedBytes = 0;
  private readonly io: MirrorIo;
  private readonly clock: Clock;
  private readonly timers: Timers;
  private readonly events: MirrorEvents;
  private readonly nsPerByte: number;
  private paceNs = 0;
  /** What members cannot read. */
  readonly mender: Mender;
  /** Blocks that the target lacks and nobody in sync can read, the first few that were found. */
  readonly unreadable = new Set<number>();
  private readonly chunks: Chunks;
  private urgent: number[] = [];

  constructor({ io, clock, timers, events, resyncBytesPerSecond }: HealerOptions) {
    this.io = io;
    this.clock = clock;
    this.timers = timers;
    this.events = events;
    this.nsPerByte = secondNs / resyncBytesPerSecond;
    this.chunks = new Chunks(io, events);
    this.mender = new Mender(io, this.chunks);
  }

  hurry(region: number): void {
    if (!this.urgent.includes(region)) this.urgent.push(region);
  }

  /** Make the next region equal on all members; whoever waits for one is served first. */
  async reconcileNext(): Promise<void> {
    const { regions } = this.io;
    let region = this.urgent.shift() ?? -1;
    while (region >= 0 && regions.unreconciled[region] === 0) region = this.urgent.shift() ?? -1;
    const isUrgent = region >= 0;
    if (!isUrgent) region = regions.unreconciled.indexOf(1);
    if (region < 0) return;
    // Nobody begins to use a region that is not reconciled, so that it needs no lock; but a write
    // of other blocks may be on its way, which would be undone where it comes first.
    while (this.io.isWriting(region) && !this.io.isStopped) {
      await this.timers.sleepUntil(this.clock.nowNs() + msNs / 10);
    }
    if (!(await this.equalize(region, isUrgent))) {
      // There is no memory for it now.
      if (isUrgent) this.hurry(region);
      await this.timers.sleepUntil(this.clock.nowNs() + msNs);
      return;
    }
    // Who failed meanwhile may differ, and is read by the next writer unless the store says "out".
    while (this.isAnyoneLeftBehind() && !this.io.isStopped) {
      await this.timers.sleepUntil(this.clock.nowNs() + msNs);
    }
    if (!this.io.isStopped) this.io.reconciled(region);
  }

  /** Whether the store may list a member that is not written any more. */
  isAnyoneLeftBehind(): boolean {
    return (this.io.required & ~this.io.live) !== 0;
  }

  /** @returns whether all members that are left are equal there */
  async equalize(region: number, isUrgent: boolean): Promise<boolean> {
    const { io } = this;
    const buffers = this.chunks.spareBuffers(2);
    if (buffers.length === 0) return false;
    try {
      for (const [lba, count] of this.chunks.of(...this.rangeOf(region))) {
        // A member that fails in between leaves the others to be compared.
        while (!(await this.equalizeChunk({ lba, count, isUrgent: () => isUrgent }, buffers))) {
          if (io.isStopped || io.live === 0) return false;
        }
      }
      return !io.isStopped;
    } finally {
      this.chunks.giveBack(buffers);
    }
  }

  private async equalizeChunk(
    chunk: Chunk,
    [source, other]: readonly DmaRegion[],
  ): Promise<boolean> {
    const { io } = this;
    const members = io.live;
    if ((members & (members - 1)) === 0) return members !== 0;
    const reader = await this.chunks.readFrom(members, chunk, source!);
    if (reader < 0) {
      if (io.live !== members) return false;
      // Unreadable everywhere: equal in that, and nothing can be made of it.
      if (chunk.count === 1) return true;
      return this.chunks.everyPart(chunk, (one) => this.equalizeChunk(one, [source!, other!]));
    }
    for (let member = 0; member < mostMembers; member++) {
      if (member === reader || (io.live & (1 << member)) === 0) continue;
      const status = await this.chunks.transfer(member, BlockOp.read, chunk, other!);
      const isEqual =
        status === BlockStatus.ok && isSame(source!, other!, chunk.count * io.blockBytes);
      if (isEqual) continue;
      await this.chunks.write(member, chunk, source!);
    }
    return io.live === members;
  }

  /**
   * Copy to the target what it lacks, window by window, while everybody works.
   *
   * @returns whether it now has everything, durably
   */
  async bringUp(target: number): Promise<boolean> {
    const { io } = this;
    const bit = 1 << target;
    this.paceNs = this.clock.nowNs();
    this.unreadable.clear();
    const work = Array.from({ length: copiers }, () => this.copyWindows(target));
    await Promise.all(work);
    if (io.isStopped || io.target !== bit || io.regions.missingCount > 0) return false;
    const path = io.paths[target]!;
    const nowhere = { lba: 0, blockCount: 0, region: null, offset: 0 };
    const status = await path.transfer({ op: BlockOp.flush, ...nowhere, isUrgent: true });
    if (status !== BlockStatus.ok) this.events.failed(target, 'it cannot be flushed');
    return status === BlockStatus.ok && io.target === bit && io.regions.missingCount === 0;
  }

  private async copyWindows(target: number): Promise<void> {
    const { io } = this;
    const bit = 1 << target;
    const buffers = this.chunks.spareBuffers(1);
    if (buffers.length === 0) {
      if (io.target === bit) this.events.failed(target, 'there is no memory for copies');
      return;
    }
    try {
      for (;;) {
        const region = this.takeWindow();
        if (region < 0) return;
        const isCopied = await this.copyWindow(region, target, buffers[0]!);
        this.taken.delete(region);
        if (io.isStopped || io.target !== bit) return;
        // Read again later: whoever is to be read may be gone, or is to be reconciled first.
        if (!isCopied) await this.timers.sleepUntil(this.clock.nowNs() + 1e6);
      }
    } finally {
      this.chunks.giveBack(buffers);
    }
  }

  private readonly taken = new Set<number>();
  private cursor = 0;

  private takeWindow(): number {
    const { missing, count } = this.io.regions;
    for (let i = 0; i < count; i++) {
      const region = (this.cursor + i) % count;
      if (missing[region] === 0 || this.taken.has(region)) continue;
      this.taken.add(region);
      this.cursor = (region + 1) % count;
      return region;
    }
    return -1;
  }

  /** One window: nobody else is in it while it is copied. */
  async copyWindow(region: number, target: number, buffer: DmaRegion): Promise<boolean> {
    const { io } = this;
    const bit = 1 << target;
    await this.pace(region);
    const lock = await io.lockRegion(region);
    if (lock === null) return false;
    try {
      if (io.target !== bit || io.regions.unreconciled[region] !== 0) return false;
      for (const [lba, count] of this.chunks.of(...this.rangeOf(region))) {
        const chunk = { lba, count, isUrgent: () => io.isAwaited(lock) };
        if (!(await this.copyChunk(chunk, target, buffer))) return false;
      }
      io.regions.found(region);
      return true;
    } finally {
      io.unlock(lock);
    }
  }

  private async copyChunk(chunk: Chunk, target: number, buffer: DmaRegion): Promise<boolean> {
    const { io } = this;
    const bit = 1 << target;
    const reader = await this.chunks.readFrom(io.live, chunk, buffer);
    if (io.target !== bit) return false;
    if (reader < 0) {
      if (chunk.count === 1) {
        // The target's own copy may be older than the last write: it waits for another one.
        if (this.unreadable.size < mostUnreadable) this.unreadable.add(chunk.lba);
        return false;
      }
      return this.chunks.everyPart(chunk, (one) => this.copyChunk(one, target, buffer));
    }
    await this.chunks.write(target, chunk, buffer);
    if (io.target !== bit) return false;
    this.copiedBytes += chunk.count * io.blockBytes;
    for (const lba of this.unreadable) {
      if (lba >= chunk.lba && lba < chunk.lba + chunk.count) this.unreadable.delete(lba);
    }
    return true;
  }

  private async pace(region: number): Promise<void> {
    const nowNs = this.clock.nowNs();
    const [, count] = this.rangeOf(region);
    this.paceNs = Math.max(this.paceNs, nowNs - 1e6) + count * this.io.blockBytes * this.nsPerByte;
    if (this.paceNs > nowNs) await this.timers.sleepUntil(this.paceNs);
  }

  /**
   * Compare all members that are in sync; a majority mends the odd one.
   *
   * @throws UltimaError DMA_* when there is no memory for it
   */
  async verify(): Promise<Difference[]> {
    const { io } = this;
    const found: Difference[] = [];
    const buffers = this.chunks.buffers(mostMembers);
    try {
      for (let region = 0; region < io.regions.count && !io.isStopped; region++) {
        const lock = await io.lockRegion(region);
        if (lock === null) break;
        try {
          if (io.regions.unreconciled[region] !== 0) continue;
          for (const [lba, count] of this.chunks.of(...this.rangeOf(region))) {
            const chunk = { lba, count, isUrgent: () => io.isAwaited(lock) };
            found.push(...(await this.verifyChunk(chunk, buffers)));
          }
        } finally {
          io.unlock(lock);
        }
      }
    } finally {
      this.chunks.giveBack(buffers);
    }
    return found;
  }

  private async verifyChunk(chunk: Chunk, buffers: readonly DmaRegion[]): Promise<Difference[]> {
    const { members, unreadable } = await this.readAll(chunk, buffers);
    if (unreadable < 0) return this.outvoteAll(chunk, members, buffers);
    await this.mender.mendChunk(chunk, buffers[unreadable]!);
    const again = await this.readAll(chunk, buffers);
    const isLost = again.unreadable >= 0 && again.members.length === 0 && !this.io.isStopped;
    if (isLost && chunk.count === 1) {
      return [{ lba: chunk.lba, isUnreadable: true, isMended: false }];
    }
    if (again.unreadable < 0 || chunk.count === 1) {
      return this.outvoteAll(chunk, again.members, buffers);
    }
    // Some of it cannot be mended: the rest is compared.
    const found: Difference[] = [];
    await this.chunks.everyPart(chunk, async (part) => {
      found.push(...(await this.verifyChunk(part, buffers)));
      return true;
    });
    return found;
  }

  /** Read from everyone. @returns who could, and somebody who could not, -1 for none */
  private async readAll(
    chunk: Chunk,
    buffers: readonly DmaRegion[],
  ): Promise<{ readonly members: number[]; readonly unreadable: number }> {
    const members: number[] = [];
    let unreadable = -1;
    for (let member = 0; member < mostMembers; member++) {
      if ((this.io.live & (1 << member)) === 0) continue;
      const status = await this.chunks.transfer(member, BlockOp.read, chunk, buffers[member]!);
      if (status === BlockStatus.ok) members.push(member);
      else if (isLoss(status)) this.events.failed(member, 'it was lost');
      else unreadable = member;
    }
    return { members, unreadable };
  }

  private async outvoteAll(
    { lba, count }: Chunk,
    members: readonly number[],
    buffers: readonly DmaRegion[],
  ): Promise<Difference[]> {
    const { io } = this;
    const found: Difference[] = [];
    const { blockBytes } = io;
    for (let block = 0; block < count && !buffers[0]!.isLost; block++) {
      const views = members.map((member) => viewOf(buffers[member]!, block, blockBytes));
      const votes = views.map((view) => views.filter((other) => isEqual(view, other)).length);
      if (votes.every((vote) => vote === views.length)) continue;
      const winner = votes.findIndex((vote) => vote * 2 > views.length);
      if (winner >= 0) await this.outvote(lba + block, views[winner]!, { members, votes, buffers });
      found.push({ lba: lba + block, isUnreadable: false, isMended: winner >= 0 });
    }
    return found;
  }

  private async outvote(
    lba: number,
    right: Uint8Array,
    { members, votes, buffers }: Votes,
  ): Promise<void> {
    for (const [i, member] of members.entries()) {
      if (votes[i]! * 2 > members.length) continue;
      const buffer = buffers[member]!;
      if (buffer.isLost === true) return;
      const copy = right.slice();
      const kept = viewOf(buffer, 0, copy.length).slice();
      buffer.bytes.set(copy);
      await this.chunks.write(member, { lba, count: 1, isUrgent: always }, buffer);
      buffer.bytes.set(kept);
    }
  }

  rangeOf(region: number): [lba: number, blockCount: number] {
    const { regionBlocks } = this.io.regions;
    const lba = region * regionBlocks;
    return [lba, Math.min(regionBlocks, this.io.blockCount - lba)];
  }
}

interface Votes {
  readonly members: readonly number[];
  readonly votes: readonly number[];
  readonly buffers: readonly DmaRegion[];
}

function viewOf(region: DmaRegion, block: number, blockBytes: number): Uint8Array {
  return region.bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
}

function isSame(a: DmaRegion, b: DmaRegion, length: number): boolean {
  if (a.isLost === true || b.isLost === true) return false;
  return isEqual(a.bytes.subarray(0, length), b.bytes.subarray(0, length));
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
