import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import { Fuse, Sqe } from '../spec/nvme/command.js';
import { AnaState } from '../spec/nvme/logs.js';
import { DatasetManagement, DatasetRange, Read, Write } from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import { largestTransfer, type ServedNamespace } from './served-namespace.js';
import { Direction, type TargetSlot, Work } from './target-slot.js';

// Looked up once: the tables lie behind imports.
const Entry = Sqe;
const normal = Fuse.normal;
const ReadTable = Read;
const WriteTable = Write;
const Dataset = DatasetManagement;
const Range = DatasetRange;
const rangeBytes = DatasetRange.layout.bytes;
const rangeDwords = rangeBytes / 4;
/** Write zeroes are carried out in pieces of this where a device has none of its own. */
const zeroPiece = 64 * 1024;

/** What keeps a namespace in an ANA state from doing I/O; 0 for nothing. */
export function anaStatus(state: number): number {
  if (state === AnaState.optimized || state === AnaState.nonOptimized) return 0;
  if (state === AnaState.inaccessible) return Status.asymmetricAccessInaccessible;
  if (state === AnaState.persistentLoss) return Status.asymmetricAccessPersistentLoss;
  return Status.asymmetricAccessTransition;
}

/**
 * What a command for a namespace asks: fills in the slot's work, blocks and bytes.
 *
 * @returns 0, or the status that it ends with
 */
export function prepare(slot: TargetSlot, namespace: ServedNamespace): number {
  slot.namespace = namespace;
  // One half of a pair that must not be torn apart: there are no such pairs here.
  if (Entry.fuse.get(slot.words, 0) !== normal) return doNotRetry(Status.invalidField);
  const opcode = Entry.opc.get(slot.words, 0);
  if (opcode === NvmOpcode.read) return prepareBlocks(slot, Work.read, Direction.toHost);
  if (opcode === NvmOpcode.write) return prepareBlocks(slot, Work.write, Direction.toController);
  if (opcode === NvmOpcode.flush) {
    slot.work = Work.flush;
    return 0;
  }
  if (opcode === NvmOpcode.compare) {
    return prepareBlocks(slot, Work.compare, Direction.toController);
  }
  if (opcode === NvmOpcode.writeZeroes) return prepareZeroes(slot);
  if (opcode === NvmOpcode.datasetManagement) return prepareRanges(slot, namespace);
  return doNotRetry(Status.invalidOpcode);
}

function prepareBlocks(slot: TargetSlot, work: Work, direction: Direction): number {
  const status = prepareRange(slot, work);
  if (status !== 0) return status;
  const namespace = slot.namespace!;
  const transfer = slot.blockCount * namespace.blockBytes;
  if (transfer > largestTransfer) return doNotRetry(Status.invalidField);
  slot.transfer = transfer;
  slot.direction = direction;
  return 0;
}

function prepareRange(slot: TargetSlot, work: Work): number {
  const { words } = slot;
  const namespace = slot.namespace!;
  slot.work = work;
  slot.lba = ReadTable.slba.get(words, 0);
  slot.blockCount = ReadTable.nlb.get(words, 0);
  if (slot.lba + slot.blockCount > namespace.device.blockCount) {
    return doNotRetry(Status.lbaOutOfRange);
  }
  if (work === Work.read || work === Work.compare) return 0;
  if (namespace.isReadOnly) return doNotRetry(Status.namespaceWriteProtected);
  if (namespace.isWriteThrough || WriteTable.fua.get(words, 0) === 1) slot.flags = blockFlagFua;
  return 0;
}

function prepareZeroes(slot: TargetSlot): number {
  const status = prepareRange(slot, Work.writeZeroes);
  if (status !== 0 || slot.namespace!.device.limits.canWriteZeroes) return status;
  // Zeroes are written then, out of memory that holds nothing else.
  slot.transfer = 0;
  return 0;
}

function prepareRanges(slot: TargetSlot, namespace: ServedNamespace): number {
  slot.work = Work.discardRanges;
  slot.direction = Direction.toController;
  slot.transfer = Dataset.nr.get(slot.words, 0) * rangeBytes;
  return namespace.isReadOnly ? doNotRetry(Status.namespaceWriteProtected) : 0;
}

/** Bytes of memory that a prepared command works in. */
export function memoryBytes(slot: TargetSlot): number {
  if (slot.work !== Work.writeZeroes || slot.namespace!.device.limits.canWriteZeroes) {
    return slot.transfer;
  }
  return Math.max(zeroPiece, slot.namespace!.blockBytes);
}

/** The data of a command is here, or it has none. @returns 0, or what is wrong with the data */
export function begin(slot: TargetSlot): number {
  if (slot.work === Work.compare && !slot.namespace!.acquireSecond(slot)) {
    return Status.namespaceNotReady;
  }
  if (slot.work === Work.writeZeroes) slot.region?.bytes.fill(0);
  return slot.work === Work.discardRanges ? checkRanges(slot) : 0;
}

function checkRanges(slot: TargetSlot): number {
  const { device } = slot.namespace!;
  const { words } = slot.region!;
  for (let at = 0; at < slot.transfer / 4; at += rangeDwords) {
    const end = Range.slba.get(words, at) + Range.length.get(words, at);
    if (end > device.blockCount) return doNotRetry(Status.lbaOutOfRange);
  }
  return 0;
}

/**
 * The next part for the device, in the slot's request.
 *
 * @returns false when nothing is left to do
 */
export function nextPart(slot: TargetSlot): boolean {
  const { work, request } = slot;
  if (work === Work.discardRanges) return nextRange(slot);
  request.segmentCount = 0;
  request.flags = 0;
  if (work === Work.flush) {
    request.op = BlockOp.flush;
    slot.part = 1;
    return slot.cursor++ === 0;
  }
  if (slot.cursor >= slot.blockCount) return false;
  const namespace = slot.namespace!;
  const left = slot.blockCount - slot.cursor;
  request.lba = slot.lba + slot.cursor;
  request.flags = slot.flags;
  if (work === Work.writeZeroes) aimZeroes(slot, left);
  else {
    request.op = work === Work.write ? BlockOp.write : BlockOp.read;
    request.blockCount = Math.min(left, namespace.partBlocks);
    const region = work === Work.compare ? slot.second! : slot.region!;
    const bytes = request.blockCount * namespace.blockBytes;
    request.setData(region, slot.cursor * namespace.blockBytes, bytes);
  }
  slot.cursor += request.blockCount;
  return true;
}

function aimZeroes(slot: TargetSlot, left: number): void {
  const { request } = slot;
  const { device, blockBytes, partBlocks } = slot.namespace!;
  if (device.limits.canWriteZeroes) {
    // DEAC allows to deallocate and does not ask for it; a discarded block may read as anything.
    request.op = BlockOp.writeZeroes;
    request.blockCount = left;
    return;
  }
  request.op = BlockOp.write;
  request.blockCount = Math.min(left, partBlocks, slot.region!.length / blockBytes);
  request.setData(slot.region!, 0, request.blockCount * blockBytes);
}

function nextRange(slot: TargetSlot): boolean {
  const { request, words } = slot;
  const { device } = slot.namespace!;
  // Deallocation is advice, and so is everything else in a range.
  if (Dataset.ad.get(words, 0) === 0 || !device.limits.canDiscard) return false;
  const ranges = slot.region!.words;
  for (; slot.range < slot.transfer / rangeBytes; slot.range++) {
    const at = slot.range * rangeDwords;
    const blockCount = Range.length.get(ranges, at);
    if (blockCount === 0) continue;
    request.op = BlockOp.discard;
    request.flags = 0;
    request.segmentCount = 0;
    request.lba = Range.slba.get(ranges, at);
    request.blockCount = blockCount;
    slot.range++;
    return true;
  }
  return false;
}

/** All parts are done. @returns the status of the command */
export function conclude(slot: TargetSlot): number {
  if (slot.work !== Work.compare) return 0;
  const theirs = slot.region!.words;
  const ours = slot.second!.words;
  for (let i = 0; i < slot.transfer / 4; i++) {
    if (theirs[i] !== ours[i]) return doNotRetry(Status.compareFailure);
  }
  return 0;
}

/**
 * The status for what a device said. Two of them are agreed with our own initiator, and are right
 * for every other: a command that never happened may be sent again anywhere (path errors are), and
 * one whose fate is unknown is an error inside the path.
 */
export function statusOf(request: BlockRequest): number {
  const isRead = request.op === BlockOp.read;
  switch (request.status) {
    case BlockStatus.ok:
      return 0;
    case BlockStatus.mediaError:
      return isRead ? Status.unrecoveredReadError : Status.writeFault;
    case BlockStatus.integrityError:
      return doNotRetry(Status.guardCheckError);
    case BlockStatus.invalidRequest:
      return doNotRetry(Status.invalidField);
    case BlockStatus.accessDenied:
      return doNotRetry(Status.accessDenied);
    case BlockStatus.outOfSpace:
      return doNotRetry(Status.capacityExceeded);
    case BlockStatus.notExecuted:
      return Status.namespaceNotReady;
    case BlockStatus.unknown:
      return Status.internalPathError;
    default:
      return Status.internalError;
  }
}
