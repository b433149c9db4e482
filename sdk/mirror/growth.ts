import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import { type MirrorEvents, mostMembers } from './io-parts.js';
import type { RecordKeeper } from './keeper.js';
import { bytesOf, mostRegions, regionCountOf } from './member-header.js';
import type { MemberVerbs, Told } from './member-verbs.js';
import type { MirrorIo } from './mirror-io.js';
import type { Timers } from './timers.js';
import type { Adopted } from './verbs.js';

export interface GrowthParts {
  readonly io: MirrorIo;
  readonly verbs: MemberVerbs;
  readonly keeper: RecordKeeper;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly events: MirrorEvents;
  readonly answerNs: number;
}

/** Maps of members; null for one that is not known. */
type Marks = readonly (Uint8Array | null)[];

/**
 * A mirror becomes larger in steps, of which each leaves what the next writer can go on from:
 *
 *   1. every member that is written has the new size, on its medium: a member that is larger than
 *      the record is served as far as the record goes, so nothing is lost by having begun
 *   2. the record has the new size: whoever is listed as in sync has it, and one that has less was
 *      set back; who was out is made larger before it gets what it missed
 *   3. this writer serves it
 *
 * What is new is equal on all members when each says that nothing is marked there: it reads as
 * zeroes. Where one has marks, it was made larger than the mirror; such regions are reconciled.
 */
export class MirrorGrowth {
  /** Blocks that the record shall have. */
  wantedBlocks: number;
  /** Members are being made larger: nobody else may join who is not. */
  isUnderWay = false;
  private readonly parts: GrowthParts;
  private readonly regionBlocks: number;
  private readonly blockBytes: number;

  constructor(parts: GrowthParts) {
    this.parts = parts;
    const { blockBytes, blockCount, regionBlocks } = parts.keeper.record;
    this.wantedBlocks = blockCount;
    this.regionBlocks = regionBlocks;
    this.blockBytes = blockBytes;
  }

  /** @throws RangeError for a size that is no count of blocks, or less than the mirror has */
  check(blockCount: number): void {
    const { blockBytes, regionBlocks } = this;
    const { blockCount: served } = this.parts.io;
    const most = mostRegions * regionBlocks;
    const has = `the mirror has ${served} blocks of ${blockBytes} bytes`;
    if (blockCount < served) throw new RangeError(`${has}; it cannot shrink to ${blockCount}`);
    if (!(Number.isInteger(blockCount) && blockCount <= most)) {
      throw new RangeError(`${has}; it can have ${most} with such regions, not ${blockCount}`);
    }
  }

  /**
   * One at a time, and not beside a verb that is to find all blocks at one point. Whoever cannot
   * grow is out.
   *
   * @throws UltimaError MEMBER_REFUSED when no member can: nothing has changed then
   */
  async to(blockCount: number): Promise<void> {
    const { io } = this.parts;
    // Somebody else may have made it larger still while this one waited.
    if (blockCount <= io.blockCount) return;
    this.isUnderWay = true;
    try {
      const marks = await this.growMembers(blockCount);
      if (!io.isStopped) await this.tellStore(blockCount);
      if (!io.isStopped) await this.serve(blockCount, marks);
    } finally {
      this.isUnderWay = false;
    }
  }

  async tellStore(blockCount: number): Promise<void> {
    this.wantedBlocks = blockCount;
    await this.parts.keeper.settled();
  }

  /** @returns the write-intent maps that the members have now */
  private async growMembers(blockCount: number): Promise<Marks> {
    const { io, verbs } = this.parts;
    const marks: (Uint8Array | null)[] = [];
    const told: Told = ({ adopted }) => void marks.push(marksOf(adopted, blockCount));
    const verb = { verb: 'grow', blockCount } as const;
    const { target } = io;
    await verbs.expect(verb, told);
    if (target !== 0 && io.target === target) {
      await verbs.askMember(31 - Math.clz32(target), verb, told);
    }
    await this.untilSeen(blockCount);
    return marks;
  }

  /** A connection shows the new size of what is at its other end some time later. */
  private async untilSeen(blockCount: number): Promise<void> {
    const { io, clock, timers, events, answerNs } = this.parts;
    const lateNs = clock.nowNs() + answerNs;
    while (!io.isStopped && this.smaller(blockCount) !== 0 && clock.nowNs() < lateNs) {
      await timers.sleepUntil(clock.nowNs() + msNs);
    }
    if (io.isStopped) return;
    const smaller = this.smaller(blockCount);
    if ((io.live & ~smaller) === 0) {
      const text = `no member shows ${blockCount} blocks; nothing has changed: try again`;
      throw new UltimaError(ErrorCode.memberRefused, text, { blockCount });
    }
    for (let member = 0; member < mostMembers; member++) {
      if ((smaller & (1 << member)) !== 0) events.failed(member, 'it does not show its new size');
    }
  }

  private smaller(blockCount: number): number {
    const { io } = this.parts;
    let found = 0;
    for (let member = 0; member < mostMembers; member++) {
      const bit = 1 << member;
      if (((io.live | io.target) & bit) === 0) continue;
      if (io.paths[member]!.blockCount < blockCount) found |= bit;
    }
    return found;
  }

  /** Nobody is in the last region while it becomes longer. */
  private async serve(blockCount: number, marks: Marks): Promise<void> {
    const { io, timers, clock } = this.parts;
    const { regions } = io;
    const last = regions.count - 1;
    const lock = await io.lockRegion(last);
    if (lock === null) return;
    while (regions.unreconciled[last] !== 0 && !io.isStopped) {
      await timers.sleepUntil(clock.nowNs() + msNs);
    }
    const isPartial = io.blockCount % this.regionBlocks !== 0;
    const firstNew = isPartial ? last : last + 1;
    const { blockBytes, regionBlocks } = this;
    io.grow(blockCount, regionCountOf({ blockBytes, blockCount, regionBlocks }));
    for (let region = firstNew; region < regions.count; region++) {
      const isMarked = marks.some((bits) => bits === null || regions.isMarked(bits, region));
      // Of the region that was the last one, a member that was larger may have any rest.
      if (isMarked || region === last) io.doubt(region);
    }
    io.unlock(lock);
  }
}

/** What is marked on a member that was to grow; null when it says what cannot be. */
function marksOf(adopted: Adopted | null, blockCount: number): Uint8Array | null {
  if (adopted === null || adopted.blockCount < blockCount) return null;
  const bits = bytesOf(adopted.bits);
  return bits.length === Math.ceil(regionCountOf(adopted) / 8) ? bits : null;
}
