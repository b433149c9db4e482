import type { CellWear } from '../nand/cell-wear.js';
import { BlockState, type Blocks } from './blocks.js';
import type { Layout } from './layout.js';

export interface WornPool {
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly cells: CellWear;
}

/**
 * Static wear levelling: the least worn closed block of a pool holds data that nobody changes.
 *
 * @param gap  erases that it may be behind the most worn block of the pool
 * @returns    -1 when it is not that far behind
 */
export function coldBlock({ layout, blocks, cells }: WornPool, pool: number, gap: number): number {
  const { eraseCounts } = cells;
  const first = pool * layout.blocksPerPool;
  let most = 0;
  let coldest = -1;
  for (let block = first; block < first + layout.blocksPerPool; block++) {
    const state = blocks.states[block]!;
    if (state === BlockState.bad || state === BlockState.spare) continue;
    most = Math.max(most, eraseCounts[block]!);
    if (state !== BlockState.closed) continue;
    if (coldest < 0 || eraseCounts[block]! < eraseCounts[coldest]!) coldest = block;
  }
  return coldest < 0 || most - eraseCounts[coldest]! < gap ? -1 : coldest;
}
