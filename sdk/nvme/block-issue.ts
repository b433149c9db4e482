import { assert } from '../assert.js';
import { BlockOp, type BlockRequest, blockFlagFua } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { Sqe } from '../spec/nvme/command.js';
import { DatasetManagement, DatasetRange, Read, WriteZeroes } from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { highDword, lowDword } from '../units.js';
import type { DataPointers } from './data-pointer.js';
import type { NamespaceFormat } from './namespace-format.js';
import type { Split } from './split.js';
import type { SubmissionQueue } from './submission-queue.js';

// Dwords of an entry, looked up once: the tables lie behind imports.
const dwNsid = Sqe.nsid.dword;
const dwMetadata = Sqe.mptr.dword;
const dwPrp1 = Sqe.prp1.dword;
const dwPrp2 = Sqe.prp2.dword;
const dwLba = Read.slba.dword;
const dwCount = Read.nlb.dword;
const dwHints = Read.dsm.dword;
const dwTag = Read.eilbrt.dword;
const dwTagMask = Read.elbat.dword;
const cidField = Sqe.cid;
const blockCountField = Read.nlb;
const fuaBit = Read.fua.put(0, 1);
const deallocateDword = DatasetManagement.ad.put(0, 1);
const oneRangeDword = DatasetManagement.nr.put(0, 1);
const rangeTable = DatasetRange;
const flushOp = BlockOp.flush;
const discardOp = BlockOp.discard;

/** DW0 without its command identifier, by BlockOp. */
const firstDwords = Uint32Array.from([
  0,
  Sqe.opc.put(0, NvmOpcode.read),
  Sqe.opc.put(0, NvmOpcode.write),
  Sqe.opc.put(0, NvmOpcode.flush),
  Sqe.opc.put(0, NvmOpcode.datasetManagement),
  Sqe.opc.put(0, NvmOpcode.writeZeroes),
]);

/**
 * Writes the commands of block requests into the entries of one submission queue: all 16 dwords of
 * each, because a ring slot still holds what it was used for before.
 */
export class BlockIssue {
  private readonly queue: SubmissionQueue;
  private readonly data: DataPointers;
  private readonly nsid: number;
  /** DW12 by BlockOp: protection information action and checks. */
  readonly flags: Uint32Array;
  /** All ones where the reference tag is the block's address, else 0. */
  readonly tagMask: number;
  private readonly metadata: DmaRegion | null;
  private readonly metadataStride: number;

  constructor(parts: IssueParts) {
    const { format, metadata } = parts;
    this.queue = parts.queue;
    this.data = parts.data;
    this.nsid = format.nsid;
    this.flags = protectionFlags(format);
    this.tagMask = format.protectionType === 1 || format.protectionType === 2 ? -1 : 0;
    this.metadata = metadata;
    this.metadataStride = metadata === null ? 0 : metadata.length / parts.queue.slotCount;
  }

  /** The next piece of a split request: `blocks` blocks whose data starts at the split's cursor. */
  piece(split: Split, slot: number, blocks: number, how: 'prp' | 'sgl' | 'none'): void {
    const { request } = split;
    const at = this.queue.entryAt;
    if (how === 'none') this.dataless(request, slot, split.lba, blocks);
    else {
      this.transfer(request, slot, split.lba, blocks);
      const bytes = blocks * split.blockBytes;
      if (how === 'sgl') {
        this.data.laySgl(this.queue.words, at, slot, request, split.cursor, bytes);
      } else this.data.layPages(this.queue.words, at, slot, request, split.cursor, bytes);
    }
  }

  /** A whole request whose data lies in one sound piece. */
  direct(request: BlockRequest, slot: number): void {
    this.transfer(request, slot, request.lba, request.blockCount);
    const { words, entryAt } = this.queue;
    const region = request.regions[0]!;
    this.data.layRange(words, entryAt, slot, region, request.offsets[0]!, request.soundBytes);
  }

  /** One block by way of memory of ours: the caller's lies so that no data pointer can name it. */
  bounced(split: Split, slot: number, region: DmaRegion, offset: number): void {
    const at = this.queue.entryAt;
    this.transfer(split.request, slot, split.lba, 1);
    this.data.layRange(this.queue.words, at, slot, region, offset, split.blockBytes);
  }

  /** Everything of a read or write but its data pointer. */
  private transfer(request: BlockRequest, slot: number, lba: number, blocks: number): void {
    const queue = this.queue;
    const words = queue.words;
    const at = queue.entryAt;
    const op = request.op;
    words[at] = cidField.fill(firstDwords[op]!, queue.takenCid);
    words[at + dwNsid] = this.nsid;
    words[at + 2] = 0;
    words[at + 3] = 0;
    words[at + dwMetadata] = 0;
    words[at + dwMetadata + 1] = 0;
    if (this.metadata !== null) this.layMetadata(this.metadata, at, slot);
    words[at + dwLba] = lowDword(lba);
    words[at + dwLba + 1] = highDword(lba);
    let control = blockCountField.fill(this.flags[op]!, blocks);
    if (request.flags === blockFlagFua) control |= fuaBit;
    words[at + dwCount] = control;
    words[at + dwHints] = 0;
    words[at + dwTag] = lowDword(lba) & this.tagMask;
    words[at + dwTagMask] = 0;
  }

  private layMetadata(metadata: DmaRegion, at: number, slot: number): void {
    const { words } = this.queue;
    const address = metadata.iova + slot * this.metadataStride;
    words[at + dwMetadata] = lowDword(address);
    words[at + dwMetadata + 1] = highDword(address);
  }

  private dataless(request: BlockRequest, slot: number, lba: number, blocks: number): void {
    const queue = this.queue;
    const words = queue.words;
    const at = queue.entryAt;
    const op = request.op;
    for (let i = 1; i < 16; i++) words[at + i] = 0;
    words[at] = cidField.fill(firstDwords[op]!, queue.takenCid);
    words[at + dwNsid] = this.nsid;
    if (op === flushOp) return;
    if (op === discardOp) {
      this.layRangeList(words, at, slot, lba, blocks);
      return;
    }
    assert(op === BlockOp.writeZeroes, 'an operation without data is one of three');
    words[at + dwLba] = lowDword(lba);
    words[at + dwLba + 1] = highDword(lba);
    let control = WriteZeroes.nlb.fill(this.flags[op]!, blocks);
    if (request.flags === blockFlagFua) control |= fuaBit;
    words[at + dwCount] = control;
    words[at + dwTag] = lowDword(lba) & this.tagMask;
  }

  /** The range of a deallocation lies in the list memory of the slot. */
  private layRangeList(
    words: Uint32Array,
    at: number,
    slot: number,
    lba: number,
    blocks: number,
  ): void {
    const list = this.data.region.words;
    const where = this.data.listAt(slot);
    list[where] = 0;
    rangeTable.length.set(list, where, blocks);
    rangeTable.slba.set(list, where, lba);
    this.data.dirty(slot, rangeTable.layout.bytes);
    const address = this.data.listAddress(slot);
    words[at + dwPrp1] = lowDword(address);
    words[at + dwPrp1 + 1] = highDword(address);
    words[at + dwPrp2] = 0;
    words[at + DatasetManagement.nr.dword] = oneRangeDword;
    words[at + DatasetManagement.ad.dword] = deallocateDword;
  }
}

export interface IssueParts {
  readonly queue: SubmissionQueue;
  readonly data: DataPointers;
  readonly format: NamespaceFormat;
  /** Separate metadata of each slot, for a format that has metadata and no protection. */
  readonly metadata: DmaRegion | null;
}

/**
 * On a namespace with 8 bytes of protection information the controller inserts and strips it
 * (PRACT = 1), and checks what the type lets it check [NVM-1.0 §5.2.2 PRACT].
 */
function protectionFlags(format: NamespaceFormat): Uint32Array {
  const flags = new Uint32Array(firstDwords.length);
  if (format.protectionType === 0) return flags;
  let read = Read.pract.put(0, 1);
  read = Read.prchkGuard.put(read, 1);
  if (format.protectionType !== 3) read = Read.prchkRef.put(read, 1);
  flags[BlockOp.read] = read;
  flags[BlockOp.write] = Read.pract.put(0, 1);
  flags[BlockOp.writeZeroes] = WriteZeroes.pract.put(0, 1);
  return flags;
}
