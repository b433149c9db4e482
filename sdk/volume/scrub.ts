import type { BlockDevice } from '../block/device.js';
import { readBlocks } from '../block/promised.js';
import { BlockStatus } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { ChangedRange } from './diff.js';
import { cellBytes, unitBytes } from './format.js';
import type { LongWork, StepListener } from './steps.js';

/** Extents that are read in a row before others have their turn: about a millisecond. */
const extentsAtATime = 16;

/** A range that cannot be read, or is not what was written. */
export interface BadRange {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly status: BlockStatus;
}

export interface ScrubResult {
  readonly readBytes: number;
  readonly bad: readonly BadRange[];
}

export interface ScrubOptions extends LongWork {
  /** The way to read it; straight when left out. */
  readonly through?: BlockDevice;
}

/** Read all that is there, an extent at a time, and each bad one cell by cell. */
export async function scrubVolume(
  volume: BlockDevice,
  ranges: AsyncIterable<ChangedRange>,
  onStep: StepListener = () => {},
): Promise<ScrubResult> {
  const bad: BadRange[] = [];
  const { clock } = volume;
  const total = volume.blockCount * volume.blockBytes;
  let readBytes = 0;
  let extents = 0;
  const buffer = new Uint8Array(unitBytes);
  for await (const { byteOffset, byteLength } of ranges) {
    for (let at = byteOffset; at < byteOffset + byteLength; ) {
      const left = byteOffset + byteLength - at;
      const length = Math.min(left, unitBytes - (at % unitBytes));
      readBytes += length;
      if ((await statusOf(volume, at, buffer.subarray(0, length))) !== BlockStatus.ok) {
        for (let cell = at; cell < at + length; cell += cellBytes) {
          const status = await statusOf(volume, cell, buffer.subarray(0, cellBytes));
          if (status === BlockStatus.ok) continue;
          bad.push({ byteOffset: cell, byteLength: cellBytes, status });
        }
      }
      at += length;
      if (++extents % extentsAtATime !== 0) continue;
      onStep(at, total);
      // A device that answers at once would keep everybody else waiting for all of it.
      await clock.turn(clock.nowNs());
    }
  }
  return { readBytes, bad };
}

/** @throws RangeError for a way that leads to something of another size */
export function wayTo(volume: BlockDevice, through: BlockDevice): BlockDevice {
  const bytes = through.blockCount * through.blockBytes;
  const own = volume.blockCount * volume.blockBytes;
  if (bytes === own && through.blockBytes === volume.blockBytes) return through;
  throw new RangeError(`a scrub through a device of ${bytes} bytes; what it reads has ${own}`);
}

async function statusOf(volume: BlockDevice, at: number, buffer: Uint8Array): Promise<BlockStatus> {
  try {
    await readBlocks(volume, at / volume.blockBytes, buffer);
    return BlockStatus.ok;
  } catch (error) {
    if (!(error instanceof UltimaError) || error.code !== ErrorCode.commandFailed) throw error;
    const found = Object.values(BlockStatus).find((status) => status === error.facts.status);
    return found ?? BlockStatus.deviceError;
  }
}
