import type { CellWear } from '../nand/cell-wear.js';
import type { FlashArray } from '../nand/flash-array.js';
import type { Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import type { RowWriter } from './row-writer.js';
import type { UnitMap } from './unit-map.js';
import type { Victims } from './victims.js';

export interface RelocationListener {
  /** There is something to consider in a pool, as soon as nothing else is in the middle of it. */
  poolDue(pool: number): void;
  /** No data of the pool can move any more, so nothing can be written there. */
  poolStuck(pool: number): void;
  /** There is room that was not there. */
  roomGained(): void;
  /** Blocks went bad. */
  blocksLost(): void;
  /** A unit moved: its part of the map changes. */
  unitMoved(unit: number, pool: number, slot: number): void;
}

/** What a `Relocator` works with. */
export interface RelocatorParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly writer: RowWriter;
  readonly flash: FlashArray;
  readonly cells: CellWear;
  readonly victims: Victims;
  readonly counters: Counters;
  readonly listener: RelocationListener;
}
