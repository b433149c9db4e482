import type { DmaSpace } from '../device.js';
import type { BlockDevice } from './device.js';
import { BlockOp, type BlockRequest, blockFlagFua, maxSegments } from './request.js';

/**
 * Whether a device can be asked for this at all: what every `submit` promises to refuse before
 * anything has changed.
 *
 * @throws RangeError for blocks beyond the end, an empty or oversized transfer, segments outside
 *   their regions or that do not sum up, an operation that the device lacks; TypeError for freed or
 *   foreign memory. Memory that is lost is nobody's mistake: a device that moves data itself ends
 *   such a request as `notExecuted`.
 */
export function checkRequest(request: BlockRequest, device: BlockDevice): void {
  const { blockBytes, blockCount, memory, limits } = device;
  if (isUsual(request, blockBytes, blockCount, memory, limits.maxTransferBytes)) return;
  checkAll(request, device);
}

/**
 * A transfer of one sound piece of memory, which is nearly every one: all that matters at once.
 * `checkRequest` sees devices of every kind; a device that is on many paths asks this first, with
 * what it knows of itself.
 */
export function isUsual(
  request: BlockRequest,
  blockBytes: number,
  deviceBlocks: number,
  memory: DmaSpace,
  mostBytes: number,
): boolean {
  const { op, lba, blockCount, flags, segmentCount, region, soundBytes } = request;
  return (
    (op === BlockOp.write || op === BlockOp.read) &&
    (flags === 0 || flags === blockFlagFua) &&
    segmentCount === 1 &&
    region !== null &&
    region.isFreed !== true &&
    region.space === memory &&
    Math.floor(blockCount) === blockCount &&
    soundBytes === blockCount * blockBytes &&
    soundBytes <= mostBytes &&
    Math.floor(lba) === lba &&
    lba >= 0 &&
    lba + blockCount <= deviceBlocks
  );
}

function checkAll(request: BlockRequest, device: BlockDevice): void {
  const { op, lba, blockCount, flags } = request;
  if (op === BlockOp.flush) {
    if (request.segmentCount !== 0) throw new RangeError('a flush carries no data');
    return;
  }
  if (!(op >= BlockOp.read && op <= BlockOp.writeZeroes)) {
    throw new RangeError(`operation ${op} is unknown`);
  }
  const isInside = lba >= 0 && blockCount >= 1 && lba + blockCount <= device.blockCount;
  if (!isInside || Math.floor(lba) !== lba || Math.floor(blockCount) !== blockCount) {
    throw outside(request, device.blockCount);
  }
  if (flags !== 0 && flags !== blockFlagFua) throw new RangeError('unknown request flag');
  if (op === BlockOp.read || op === BlockOp.write) checkSegments(request, device);
  else checkDataless(request, device);
}

function checkSegments(request: BlockRequest, device: BlockDevice): void {
  const { segmentCount } = request;
  if (!(segmentCount >= 1 && segmentCount <= maxSegments)) {
    throw new RangeError('a transfer has 1..128 segments');
  }
  let sum = 0;
  for (let i = 0; i < segmentCount; i++) {
    const region = request.regions[i]!;
    const offset = request.offsets[i]!;
    const length = request.lengths[i]!;
    const isGone = region == null || (region.isFreed && region.isLost !== true);
    if (isGone || region.space !== device.memory) {
      throw new TypeError('a segment lies in freed or foreign memory');
    }
    const isWhole = Math.floor(offset) === offset && Math.floor(length) === length;
    if (!(isWhole && offset >= 0 && length >= 1 && offset + length <= region.length)) {
      throw outsideRegion(i, request, region.length);
    }
    sum += length;
  }
  if (sum !== request.blockCount * device.blockBytes) throw unequal(sum, request, device);
  if (sum > device.limits.maxTransferBytes) throw tooLong(sum, device.limits.maxTransferBytes);
}

function checkDataless(request: BlockRequest, device: BlockDevice): void {
  if (request.segmentCount !== 0) throw new RangeError('this operation carries no data');
  const { canDiscard, canWriteZeroes } = device.limits;
  if (request.op === BlockOp.discard ? canDiscard : canWriteZeroes) return;
  throw new RangeError('the device cannot do this operation');
}

function outside({ lba, blockCount }: BlockRequest, deviceBlocks: number): RangeError {
  const what = `${blockCount} blocks at ${lba}`;
  return new RangeError(`${what} of a device that has blocks 0..${deviceBlocks - 1}`);
}

function outsideRegion(segment: number, request: BlockRequest, bytes: number): RangeError {
  const place = `${request.lengths[segment]} bytes at ${request.offsets[segment]}`;
  return new RangeError(`segment ${segment}, ${place}, lies outside its region of ${bytes} bytes`);
}

function unequal(sum: number, request: BlockRequest, device: BlockDevice): RangeError {
  const wanted = `${request.blockCount} blocks of ${device.blockBytes} bytes`;
  return new RangeError(`the segments hold ${sum} bytes; the request is for ${wanted}`);
}

function tooLong(bytes: number, limit: number): RangeError {
  return new RangeError(`a transfer of ${bytes} bytes; the device takes ${limit} at once`);
}
