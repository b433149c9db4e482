import { BlockOp, BlockStatus } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { UltimaError } from '../errors.js';
import { KiB } from '../units.js';
import { isLoss, type MirrorEvents, memberTransferBytes, mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';

/** Blocks that are read or written at once. */
export interface Chunk {
  readonly lba: number;
  readonly count: number;
  /** Whether somebody waits for them by now. */
  readonly isUrgent: () => boolean;
}

/** What members keep together, a checksum for example: it can be written as a whole only. */
const pageBytes = 4 * KiB;

/** Transfers of the mirror's own, a chunk at a time. */
export class Chunks {
  /** Of the largest chunk. */
  readonly blocks: number;
  readonly pageBlocks: number;
  private readonly io: MirrorIo;
  private readonly events: MirrorEvents;

  constructor(io: MirrorIo, events: MirrorEvents) {
    this.io = io;
    this.events = events;
    const most = Math.max(1, Math.floor(memberTransferBytes / io.blockBytes));
    this.blocks = Math.min(io.regions.regionBlocks, most);
    this.pageBlocks = Math.max(1, pageBytes / io.blockBytes);
  }

  /** Read from the first of some members that can. @returns which one, -1 for none */
  async readFrom(members: number, chunk: Chunk, into: DmaRegion): Promise<number> {
    for (let member = 0; member < mostMembers; member++) {
      if ((members & this.io.live & (1 << member)) === 0) continue;
      const status = await this.transfer(member, BlockOp.read, chunk, into);
      if (status === BlockStatus.ok) return member;
      if (isLoss(status)) this.events.failed(member, 'it was lost');
    }
    return -1;
  }

  async write(member: number, chunk: Chunk, from: DmaRegion): Promise<void> {
    const status = await this.transfer(member, BlockOp.write, chunk, from);
    if (status !== BlockStatus.ok) this.events.failed(member, 'it cannot be written');
  }

  transfer(
    member: number,
    op: BlockOp,
    { lba, count, isUrgent }: Chunk,
    region: DmaRegion,
  ): Promise<BlockStatus> {
    const path = this.io.paths[member];
    if (path == null) return Promise.resolve(BlockStatus.notExecuted);
    return path.transfer({ op, lba, blockCount: count, region, offset: 0, isUrgent: isUrgent() });
  }

  /** The chunks of a range of blocks. */
  of(lba: number, blockCount: number): [lba: number, count: number][] {
    const chunks: [number, number][] = [];
    for (let at = 0; at < blockCount; at += this.blocks) {
      chunks.push([lba + at, Math.min(this.blocks, blockCount - at)]);
    }
    return chunks;
  }

  /** Do something with each page of a chunk, or with each block of a page, until it says no. */
  async everyPart(
    { lba, count, isUrgent }: Chunk,
    work: (part: Chunk) => Promise<boolean>,
  ): Promise<boolean> {
    const size = count > this.pageBlocks ? this.pageBlocks : 1;
    for (let at = 0; at < count; ) {
      const part = Math.min(size - ((lba + at) % size), count - at);
      if (!(await work({ lba: lba + at, count: part, isUrgent }))) return false;
      at += part;
    }
    return true;
  }

  /** Memory for so many chunks, until it is given back. @throws UltimaError as `allocate` */
  buffers(count: number): DmaRegion[] {
    const bytes = Math.max(pageBytes, this.blocks * this.io.blockBytes);
    const buffers: DmaRegion[] = [];
    try {
      while (buffers.length < count) buffers.push(this.io.memory.allocate(bytes));
    } catch (error) {
      this.giveBack(buffers);
      throw error;
    }
    return buffers;
  }

  /** As `buffers`, for work of the mirror's own: none when there is no memory now. */
  spareBuffers(count: number): DmaRegion[] {
    try {
      return this.buffers(count);
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      return [];
    }
  }

  giveBack(buffers: readonly DmaRegion[]): void {
    for (const buffer of buffers) this.io.memory.free(buffer);
  }
}

export function always(): boolean {
  return true;
}
