import { DirectiveType } from '../spec/nvme/admin-command.js';
import {
  Compare,
  Copy,
  CopyRange0,
  DatasetManagement,
  DatasetRange,
  Read,
  Verify,
  Write,
} from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { lowDword } from '../units.js';
import { command } from './admin-queue.js';
import type { Protection, TransferOptions } from './io-options.js';
import type { NamespaceFormat } from './namespace-format.js';

/** Consecutive blocks. */
export interface BlockRange {
  readonly lba: number;
  readonly blockCount: number;
}

/** A range of a deallocation, at most 2^32 - 1 blocks. */
export type DeallocateRange = BlockRange;

const mostBlocks = 65536;
const mostRanges = 256;

type RangedOpcode = 'read' | 'write' | 'compare' | 'verify' | 'writeUncorrectable';

/** A command that names one range of blocks. @throws RangeError */
export function ranged(
  opcode: RangedOpcode,
  format: NamespaceFormat,
  range: BlockRange,
): Uint32Array {
  checkRange(format, range, mostBlocks);
  const words = command(NvmOpcode[opcode], format.nsid);
  Read.slba.set(words, 0, range.lba);
  Read.nlb.set(words, 0, range.blockCount);
  return words;
}

export function transferCommand(
  format: NamespaceFormat,
  range: BlockRange & { readonly isWrite: boolean },
  options: TransferOptions,
): Uint32Array {
  const words = ranged(range.isWrite ? 'write' : 'read', format, range);
  const table = range.isWrite ? Write : Read;
  table.fua.set(words, 0, options.isFua === true ? 1 : 0);
  table.lr.set(words, 0, options.isLimitedRetry === true ? 1 : 0);
  if (range.isWrite && options.stream !== undefined) {
    Write.dtype.set(words, 0, DirectiveType.streams);
    Write.dspec.set(words, 0, options.stream);
  }
  protect(words, options.protection, range.lba);
  return words;
}

export function compareCommand(
  format: NamespaceFormat,
  range: BlockRange,
  options: TransferOptions,
): Uint32Array {
  const words = ranged('compare', format, range);
  Compare.fua.set(words, 0, options.isFua === true ? 1 : 0);
  protect(words, options.protection, range.lba);
  return words;
}

export function verifyCommand(
  format: NamespaceFormat,
  range: BlockRange,
  options: TransferOptions,
): Uint32Array {
  const words = ranged('verify', format, range);
  Verify.fua.set(words, 0, options.isFua === true ? 1 : 0);
  protect(words, options.protection, range.lba);
  return words;
}

/** Reads, writes, compares and verifies carry protection information at the same places. */
function protect(words: Uint32Array, protection: Protection | undefined, lba: number): void {
  if (protection === undefined) return;
  Read.pract.set(words, 0, protection.action === true ? 1 : 0);
  Read.prchkGuard.set(words, 0, protection.checkGuard === true ? 1 : 0);
  Read.prchkRef.set(words, 0, protection.checkReference === true ? 1 : 0);
  Read.prchkApp.set(words, 0, protection.checkApplication === true ? 1 : 0);
  Read.eilbrt.set(words, 0, protection.referenceTag ?? lowDword(lba));
  Read.elbat.set(words, 0, protection.applicationTag ?? 0);
  Read.elbatm.set(words, 0, protection.applicationMask ?? 0);
}

/** A command and the list that it points to. */
export interface WithList {
  readonly words: Uint32Array;
  readonly list: Uint32Array;
}

export function deallocateCommand(nsid: number, ranges: readonly DeallocateRange[]): WithList {
  checkCount(ranges.length, mostRanges);
  const words = command(NvmOpcode.datasetManagement, nsid);
  DatasetManagement.nr.set(words, 0, ranges.length);
  DatasetManagement.ad.set(words, 0, 1);
  const dwords = DatasetRange.layout.bytes / 4;
  const list = new Uint32Array(ranges.length * dwords);
  ranges.forEach((range, index) => {
    DatasetRange.length.set(list, index * dwords, range.blockCount);
    DatasetRange.slba.set(list, index * dwords, range.lba);
  });
  return { words, list };
}

export function copyCommand(
  format: NamespaceFormat,
  wanted: { readonly sources: readonly BlockRange[]; readonly targetLba: number },
  options: TransferOptions,
): WithList {
  const { sources, targetLba } = wanted;
  checkCount(sources.length, Math.min(mostRanges, format.maxCopyRanges));
  const mostOfRange = Math.min(mostBlocks, format.maxCopyRangeBlocks || mostBlocks);
  const total = sources.reduce((sum, range) => sum + range.blockCount, 0);
  checkRange(format, { lba: targetLba, blockCount: total }, format.maxCopyBlocks || total);
  const words = command(NvmOpcode.copy, format.nsid);
  Copy.sdlba.set(words, 0, targetLba);
  Copy.nr.set(words, 0, sources.length);
  Copy.fua.set(words, 0, options.isFua === true ? 1 : 0);
  Copy.lr.set(words, 0, options.isLimitedRetry === true ? 1 : 0);
  const dwords = CopyRange0.layout.bytes / 4;
  const list = new Uint32Array(sources.length * dwords);
  sources.forEach((range, index) => {
    checkRange(format, range, mostOfRange);
    CopyRange0.slba.set(list, index * dwords, range.lba);
    CopyRange0.nlb.set(list, index * dwords, range.blockCount);
  });
  return { words, list };
}

function checkRange(format: NamespaceFormat, range: BlockRange, most: number): void {
  const { lba, blockCount } = range;
  if (!Number.isSafeInteger(lba) || lba < 0 || lba + blockCount > format.blockCount) {
    const last = lba + blockCount - 1;
    throw new RangeError(`blocks ${lba}..${last} of a namespace of ${format.blockCount} blocks`);
  }
  if (!Number.isInteger(blockCount) || blockCount < 1 || blockCount > most) {
    throw new RangeError(`${blockCount} blocks in one command; it must be an integer 1..${most}`);
  }
}

function checkCount(count: number, most: number): void {
  if (count >= 1 && count <= most) return;
  throw new RangeError(`${count} ranges in one command; it must be 1..${most}`);
}
