import type { BlockDevice } from '../block/device.js';
import { readBlocks } from '../block/promised.js';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import { crc32c } from '../crc32c.js';
import type { DmaRegion } from '../device.js';
import { UltimaError } from '../errors.js';
import { headerBytes } from './member-header.js';

const checkBytes = 4;
const Stage = { idle: 0, writing: 1, again: 2, deferred: 3 } as const;

/**
 * The write-intent map of a member: one bit per region, set where the region may differ from
 * another member's.
 *
 * What always holds: a region is written only while its bit is set on the medium. What may fail: a
 * block of the map cannot be read, or its CRC is wrong; all of its regions count as set. A block
 * that cannot be written, also because the device was closed and its memory with it, ends the
 * writes that wait for it, and later ones that need a new bit.
 *
 *   block of the map:  CRC32C of the rest (4 bytes), then 8 regions per byte, lowest bit first
 */
export class IntentMap {
  regionCount: number;
  isBroken = false;
  /** Blocks of the map written so far. */
  writes = 0;
  private readonly meta: BlockDevice;
  /** Bits have come to the medium, or cannot. */
  onDurable: () => void = () => {};
  /** One byte per region: what the bit should be, and whether it is so on the medium. */
  private wanted: Uint8Array;
  private durable: Uint8Array;
  private readonly perBlock: number;
  private readonly firstBlock: number;
  private stages: Uint8Array;
  /** Memory of the blocks: a piece for each time that the map has grown. */
  private readonly pieces: DmaRegion[] = [];
  private readonly blocks: Uint8Array[] = [];
  private readonly requests: BlockRequest[] = [];
  private hasDeferred = false;
  private isClosed = false;

  private constructor(meta: BlockDevice, regionCount: number) {
    this.meta = meta;
    this.regionCount = regionCount;
    this.wanted = new Uint8Array(regionCount);
    this.durable = new Uint8Array(regionCount);
    this.perBlock = (meta.blockBytes - checkBytes) * 8;
    this.firstBlock = (2 * headerBytes) / meta.blockBytes;
    this.stages = new Uint8Array(Math.ceil(regionCount / this.perBlock));
    this.addBlocks();
  }

  /** Memory and requests for blocks that have none yet. */
  private addBlocks(): void {
    const { blockBytes, memory } = this.meta;
    const first = this.blocks.length;
    const count = this.stages.length - first;
    if (count === 0) return;
    const piece = memory.allocate(count * blockBytes);
    this.pieces.push(piece);
    for (let i = 0; i < count; i++) {
      const block = first + i;
      const request = new BlockRequest(() => this.written(block));
      request.op = BlockOp.write;
      request.flags = blockFlagFua;
      request.lba = this.firstBlock + block;
      request.blockCount = 1;
      request.setData(piece, i * blockBytes, blockBytes);
      this.requests.push(request);
      this.blocks.push(piece.bytes.subarray(i * blockBytes, (i + 1) * blockBytes));
    }
  }

  /** Blocks of a metadata device that header and map take. */
  static blocksFor(blockBytes: number, regionCount: number): number {
    const perBlock = (blockBytes - checkBytes) * 8;
    return (2 * headerBytes) / blockBytes + Math.ceil(regionCount / perBlock);
  }

  /** @param isSet  everything: the member is not known to agree with any other; or nothing */
  static async format(meta: BlockDevice, regionCount: number, isSet: boolean): Promise<void> {
    const map = new IntentMap(meta, regionCount);
    if (isSet) await map.setAll();
    else await map.writeFrom(0);
    map.close();
  }

  static async load(meta: BlockDevice, regionCount: number): Promise<IntentMap> {
    const map = new IntentMap(meta, regionCount);
    for (let block = 0; block < map.stages.length; block++) await map.loadBlock(block);
    return map;
  }

  /** Nothing is written any more. Memory goes back when the device has let go of it. */
  close(): void {
    this.isBroken = true;
    this.isClosed = true;
    for (const [block, stage] of this.stages.entries()) {
      if (stage === Stage.deferred) this.stages[block] = Stage.idle;
    }
    this.giveBack();
  }

  private giveBack(): void {
    if (!this.isClosed || !this.isIdle) return;
    for (const piece of this.pieces.splice(0)) this.meta.memory.free(piece);
  }

  isDurable(first: number, last: number): boolean {
    for (let region = first; region <= last; region++) {
      if (this.durable[region] === 0) return false;
    }
    return true;
  }

  isSet(region: number): boolean {
    return this.wanted[region] !== 0;
  }

  /** Set bits; `onDurable` is called when blocks with them are on the medium. */
  mark(first: number, last: number): void {
    for (let region = first; region <= last; region++) {
      if (this.durable[region] !== 0) continue;
      const block = Math.floor(region / this.perBlock);
      // Set before and not there yet: on its way, or to go out after what is.
      if (this.wanted[region] !== 0 && this.stages[block] !== Stage.idle) continue;
      this.wanted[region] = 1;
      this.write(block);
    }
  }

  /** Lazily: what is still set on the medium costs a comparison, nothing else. */
  clear(regions: readonly number[]): void {
    for (const region of regions) {
      this.wanted[region] = 0;
      this.durable[region] = 0;
    }
    for (const block of new Set(regions.map((region) => Math.floor(region / this.perBlock)))) {
      this.write(block);
    }
  }

  /** Set every bit, and wait until that is so on the medium. @throws UltimaError */
  async setAll(): Promise<void> {
    this.mark(0, this.regionCount - 1);
    await this.until(() => this.isSettled());
  }

  /**
   * Take in more regions, which are not set, and wait until that is so on the medium. A map that
   * has as many is left as it is.
   */
  async grow(regionCount: number): Promise<void> {
    if (regionCount <= this.regionCount) return;
    const before = this.stages.length;
    const count = Math.ceil(regionCount / this.perBlock);
    this.wanted = longer(this.wanted, regionCount);
    this.durable = longer(this.durable, regionCount);
    this.stages = longer(this.stages, count);
    this.regionCount = regionCount;
    this.addBlocks();
    await this.writeFrom(before);
  }

  /** A block that was never written counts as set, all of it. */
  private async writeFrom(first: number): Promise<void> {
    for (let block = first; block < this.stages.length; block++) this.write(block);
    await this.until(() => this.stages.subarray(first).every((stage) => stage === Stage.idle));
  }

  private async until(isSo: () => boolean): Promise<void> {
    const { clock } = this.meta;
    while (!this.isBroken && !isSo()) {
      this.retry();
      if (this.meta.poll() === 0) await clock.turn(clock.nowNs() + 1e6);
    }
  }

  /** Nothing of the map is under way. */
  get isIdle(): boolean {
    return this.stages.every((stage) => stage === Stage.idle);
  }

  private isSettled(): boolean {
    return this.isIdle && this.durable.every((bit) => bit === 1);
  }

  /** Try a device again that took no write. @returns whether it does now; then every bit is set */
  async mend(): Promise<boolean> {
    if (this.isClosed) return false;
    this.isBroken = false;
    this.durable.fill(0);
    await this.setAll();
    return !this.isBroken;
  }

  /** 8 regions per byte, lowest bit first. */
  bits(): Uint8Array {
    const bits = new Uint8Array(Math.ceil(this.regionCount / 8));
    for (let region = 0; region < this.regionCount; region++) {
      if (this.wanted[region] !== 0) bits[region >>> 3]! |= 1 << (region & 7);
    }
    return bits;
  }

  /** Submit what had no room on the device. */
  retry(): void {
    if (!this.hasDeferred) return;
    this.hasDeferred = false;
    for (let block = 0; block < this.stages.length; block++) {
      if (this.stages[block] !== Stage.deferred) continue;
      this.stages[block] = Stage.idle;
      this.write(block);
    }
  }

  private write(block: number): void {
    const stage = this.stages[block]!;
    if (stage === Stage.writing) this.stages[block] = Stage.again;
    if (stage !== Stage.idle || this.isBroken) return;
    if (!this.meta.canSubmit()) {
      this.stages[block] = Stage.deferred;
      this.hasDeferred = true;
      return;
    }
    const request = this.requests[block]!;
    if (request.hasLostMemory) {
      this.isBroken = true;
      return;
    }
    const bytes = this.blockBytes(block);
    bytes.fill(0);
    const first = block * this.perBlock;
    const end = Math.min(first + this.perBlock, this.regionCount);
    for (let region = first; region < end; region++) {
      const at = region - first;
      if (this.wanted[region] !== 0) bytes[checkBytes + (at >>> 3)]! |= 1 << (at & 7);
    }
    putCheck(bytes);
    this.stages[block] = Stage.writing;
    this.writes++;
    this.meta.submit(request);
  }

  private written(block: number): void {
    const isAgain = this.stages[block] === Stage.again;
    this.stages[block] = Stage.idle;
    if (this.isClosed || this.requests[block]!.status !== BlockStatus.ok) this.isBroken = true;
    else this.settle(block);
    if (isAgain) this.write(block);
    this.giveBack();
    this.onDurable();
  }

  private settle(block: number): void {
    const bytes = this.blockBytes(block);
    const first = block * this.perBlock;
    const end = Math.min(first + this.perBlock, this.regionCount);
    for (let region = first; region < end; region++) {
      const at = region - first;
      const isThere = (bytes[checkBytes + (at >>> 3)]! >>> (at & 7)) & 1;
      this.durable[region] = this.wanted[region]! & isThere;
    }
  }

  private blockBytes(block: number): Uint8Array {
    return this.blocks[block]!;
  }

  private async loadBlock(block: number): Promise<void> {
    const bytes = new Uint8Array(this.meta.blockBytes);
    let isGood = true;
    try {
      await readBlocks(this.meta, this.firstBlock + block, bytes);
      isGood = getCheck(bytes) === crc32c(bytes.subarray(checkBytes));
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      isGood = false;
    }
    const first = block * this.perBlock;
    const end = Math.min(first + this.perBlock, this.regionCount);
    for (let region = first; region < end; region++) {
      const at = region - first;
      const isSet = !isGood || ((bytes[checkBytes + (at >>> 3)]! >>> (at & 7)) & 1) === 1;
      this.wanted[region] = isSet ? 1 : 0;
      // What only counts as set is not so on the medium yet.
      this.durable[region] = isSet && isGood ? 1 : 0;
    }
    if (!isGood) this.write(block);
  }
}

function longer(bytes: Uint8Array, length: number): Uint8Array {
  const all = new Uint8Array(length);
  all.set(bytes);
  return all;
}

function putCheck(bytes: Uint8Array): void {
  const check = crc32c(bytes.subarray(checkBytes));
  for (let i = 0; i < checkBytes; i++) bytes[i] = check >>> (8 * i);
}

function getCheck(bytes: Uint8Array): number {
  return (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
}
