import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import { sliceSegments } from '../block/slice.js';
import type { DmaRegion } from '../device.js';
import { always, type Chunk, type Chunks } from './chunks.js';
import { isLoss, mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';
import type { MirrorOp } from './mirror-op.js';

/** Ranges that are mended at one time, and that wait for it: what is dropped is found again. */
const mostMenders = 4;
const mostWaiting = 64;

/**
 * Gives members what they cannot read, from whoever can: page by page, and where members lack
 * different blocks of a page, block by block. Nothing else is written over, as it may be the only
 * right copy. What nobody can read is left as it is.
 */
export class Mender {
  private readonly io: MirrorIo;
  private readonly chunks: Chunks;
  private readonly waiting: { readonly lba: number; readonly end: number }[] = [];
  private menders = 0;

  constructor(io: MirrorIo, chunks: Chunks) {
    this.io = io;
    this.chunks = chunks;
  }

  /** Mend a range some time soon. */
  want(lba: number, blockCount: number): void {
    const { pageBlocks } = this.chunks;
    const first = lba - (lba % pageBlocks);
    const pages = Math.ceil((lba + blockCount) / pageBlocks) * pageBlocks;
    const end = Math.min(this.io.blockCount, pages);
    if (this.waiting.some((each) => each.lba <= first && each.end >= end)) return;
    if (this.waiting.length >= mostWaiting) return;
    this.waiting.push({ lba: first, end });
    if (this.menders < mostMenders) void this.work();
  }

  private async work(): Promise<void> {
    this.menders++;
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      await this.mend(next.lba, next.end - next.lba);
    }
    this.menders--;
  }

  private async mend(lba: number, blockCount: number): Promise<void> {
    const { io, chunks } = this;
    const lock = await io.lock(lba, blockCount);
    if (lock === null) return;
    const buffers = chunks.spareBuffers(1);
    try {
      // Without memory it is dropped, and found again.
      for (const [at, count] of buffers.length === 0 ? [] : chunks.of(lba, blockCount)) {
        await this.mendChunk({ lba: at, count, isUrgent: always }, buffers[0]!);
      }
    } finally {
      chunks.giveBack(buffers);
      io.unlock(lock);
    }
  }

  /** Blocks that nobody else uses meanwhile. @returns true: on to the next */
  async mendChunk(chunk: Chunk, buffer: DmaRegion): Promise<boolean> {
    const { io, chunks } = this;
    let bad = 0;
    for (let member = 0; member < mostMembers; member++) {
      if ((io.live & (1 << member)) === 0) continue;
      const status = await chunks.transfer(member, BlockOp.read, chunk, buffer);
      if (status !== BlockStatus.ok && !isLoss(status)) bad |= 1 << member;
    }
    if (bad === 0) return true;
    const mendPart = (part: Chunk): Promise<boolean> => this.mendChunk(part, buffer);
    if (chunk.count > chunks.pageBlocks) return chunks.everyPart(chunk, mendPart);
    if ((await chunks.readFrom(io.live & ~bad, chunk, buffer)) < 0) {
      return chunk.count === 1 || chunks.everyPart(chunk, mendPart);
    }
    for (let member = 0; member < mostMembers; member++) {
      if ((bad & io.live & (1 << member)) !== 0) await chunks.write(member, chunk, buffer);
    }
    return true;
  }

  /** Read for a user in parts, each from whoever can: no member could read it all. */
  async gather(op: MirrorOp): Promise<void> {
    const { io, chunks } = this;
    const { lba, blockCount } = op.request!;
    const piece = new BlockRequest(() => {});
    const buffers = chunks.spareBuffers(1);
    const readPart = async (part: Chunk): Promise<boolean> => {
      const [buffer] = buffers;
      if (io.isStopped || buffer === undefined) return false;
      if ((await chunks.readFrom(io.live, part, buffer)) < 0) {
        return part.count > 1 && chunks.everyPart(part, readPart);
      }
      const from = (part.lba - lba) * io.blockBytes;
      sliceSegments(op.request!, from, part.count * io.blockBytes, piece);
      if (piece.hasLostMemory || buffer.isLost === true) return false;
      putSegments(piece, buffer.bytes);
      return true;
    };
    const isRead = await chunks.everyPart({ lba, count: blockCount, isUrgent: always }, readPart);
    chunks.giveBack(buffers);
    io.gathered(op, isRead);
  }
}

function putSegments(request: BlockRequest, bytes: Uint8Array): void {
  let at = 0;
  for (let i = 0; i < request.segmentCount; i++) {
    const length = request.lengths[i]!;
    request.regions[i]!.bytes.set(bytes.subarray(at, at + length), request.offsets[i]!);
    at += length;
  }
}
