import { ErrorCode, UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import type { BlockDevice } from './device.js';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua, outcomeOf } from './request.js';

/** A range of blocks. */
export interface DeviceRange {
  readonly lba: number;
  readonly blockCount: number;
}

/**
 * Read as many blocks as the buffer holds. For tools and tests: a request, a buffer and a promise
 * for each call, on any block device.
 *
 * @throws UltimaError COMMAND_FAILED with the status; RangeError for bytes that are no whole blocks
 */
export async function readBlocks(
  device: BlockDevice,
  lba: number,
  bytes: Uint8Array,
): Promise<void> {
  await transfer(device, BlockOp.read, lba, bytes, false);
}

/** Write blocks. @param isFua  durable when it returns */
export async function writeBlocks(
  device: BlockDevice,
  lba: number,
  bytes: Uint8Array,
  isFua = false,
): Promise<void> {
  await transfer(device, BlockOp.write, lba, bytes, isFua);
}

/** Make durable what has completed. */
export async function flushBlocks(device: BlockDevice): Promise<void> {
  const request = new BlockRequest(() => {});
  request.op = BlockOp.flush;
  await carryOut(device, request);
}

export async function discardBlocks(device: BlockDevice, range: DeviceRange): Promise<void> {
  const request = new BlockRequest(() => {});
  request.op = BlockOp.discard;
  request.lba = range.lba;
  request.blockCount = range.blockCount;
  await carryOut(device, request);
}

async function transfer(
  device: BlockDevice,
  op: BlockOp,
  lba: number,
  bytes: Uint8Array,
  isFua: boolean,
): Promise<void> {
  const blockCount = bytes.length / device.blockBytes;
  if (!Number.isInteger(blockCount) || blockCount < 1) {
    throw new RangeError(`${bytes.length} bytes are no whole blocks of ${device.blockBytes}`);
  }
  const region = device.memory.allocate(bytes.length);
  try {
    const request = new BlockRequest(() => {});
    request.op = op;
    request.lba = lba;
    request.blockCount = blockCount;
    request.flags = isFua ? blockFlagFua : 0;
    request.setData(region, 0, bytes.length);
    if (op === BlockOp.write) region.bytes.set(bytes);
    await carryOut(device, request);
    if (op === BlockOp.read) bytes.set(region.bytes.subarray(0, bytes.length));
  } finally {
    device.memory.free(region);
  }
}

async function carryOut(device: BlockDevice, request: BlockRequest): Promise<void> {
  let isEnded = false;
  request.done = () => {
    isEnded = true;
  };
  const { clock } = device;
  while (!device.canSubmit()) await turn(device);
  device.submit(request);
  while (!isEnded) {
    if (device.poll() === 0 && !isEnded) await clock.turn(clock.nowNs() + msNs);
  }
  if (request.status === BlockStatus.ok) return;
  const { status, detail, lba } = request;
  throw new UltimaError(
    ErrorCode.commandFailed,
    `operation ${request.op} at block ${lba} ended with status ${status}`,
    { status, detail, lba, outcome: outcomeOf(status) },
  );
}

async function turn(device: BlockDevice): Promise<void> {
  device.poll();
  await device.clock.turn(device.clock.nowNs() + msNs);
}
