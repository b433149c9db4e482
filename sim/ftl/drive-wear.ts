import type { CellWear } from '../nand/cell-wear.js';
import type { FlashProfile } from '../nand/flash-profile.js';
import { BlockState, type Blocks } from './blocks.js';
import type { DriveStatistics, DriveWear } from './drive.js';
import type { Layout } from './layout.js';

export interface WornDrive {
  readonly state: number;
  readonly profile: FlashProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly cells: CellWear;
  readonly statistics: DriveStatistics;
  /** Spare blocks of all pools when the drive left the factory. */
  readonly factorySpares: number;
}

/** What SMART says of a flash drive, counted over all its blocks. */
export function describeWear(drive: WornDrive): DriveWear {
  const { blocks, layout, profile, factorySpares } = drive;
  const { eraseCounts } = drive.cells;
  let min = Infinity;
  let max = 0;
  let sum = 0;
  let count = 0;
  for (let block = 0; block < layout.blocks; block++) {
    const state = blocks.states[block];
    if (state === BlockState.bad || state === BlockState.spare) continue;
    min = Math.min(min, eraseCounts[block]!);
    max = Math.max(max, eraseCounts[block]!);
    sum += eraseCounts[block]!;
    count++;
  }
  const mean = count === 0 ? 0 : sum / count;
  const { hostWriteUnits, mediaWriteUnits } = drive.statistics;
  return {
    state: drive.state,
    sparePercent: factorySpares === 0 ? 100 : Math.floor((100 * blocks.spareCount) / factorySpares),
    usedPercent: Math.floor((100 * mean) / profile.enduranceCycles),
    minErases: count === 0 ? 0 : min,
    maxErases: max,
    meanErases: mean,
    badBlocks: blocks.badCount,
    writeAmplification: hostWriteUnits === 0 ? 1 : mediaWriteUnits / hostWriteUnits,
  };
}
