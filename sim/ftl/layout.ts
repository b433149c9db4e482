import type { FlashProfile } from '../nand/flash-profile.js';
import { Geometry } from '../nand/geometry.js';
import { driveUnitBytes } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';

/** Entries of 4 bytes in one unit of the map. */
export const mapEntriesPerUnit = driveUnitBytes / 4;

/**
 * How the translation layer sees the flash.
 *
 *   pool   what collects its own garbage: a die with multi-plane operations, else one plane
 *   block  the same block of all planes of a pool, erased at one time
 *   row    what one program writes: pagesPerProgram pages of each plane of the pool
 *   unit   4 KiB
 *
 * A physical unit number is block × unitsPerBlock + place; places of a row run through the units of
 * a page, then the planes, then the pages of the row. Pools are numbered dies first, so that
 * neighbours lie on different channels.
 */
export class Layout {
  readonly dies: number;
  readonly pools: number;
  readonly planesPerPool: number;
  readonly blocksPerPool: number;
  readonly blocks: number;
  readonly unitsPerPage: number;
  readonly pagesPerRow: number;
  readonly unitsPerRow: number;
  readonly rowsPerBlock: number;
  readonly unitsPerBlock: number;
  readonly pageBytes: number;
  /** Units that the host can address. */
  readonly hostUnits: number;
  /** Units of the map that lie on flash; they are numbered behind the host's. */
  readonly mapUnits: number;
  // Slots: the open blocks that each pool can have.
  readonly slots: number;
  /** Relocated data of every stream goes here; -1 when it goes back to the slot it came from. */
  readonly relocationSlot: number;
  /** -1 when there is none. */
  readonly wearSlot: number;
  readonly mapSlot: number;
  /** Blocks of a pool that hold no data for good: free ones, open ones, and one to gain with. */
  readonly reservedBlocks: number;

  constructor(flash: FlashProfile, ftl: FtlProfile) {
    const geometry = new Geometry(flash);
    const { hasMultiPlane } = flash;
    this.dies = geometry.dies;
    this.planesPerPool = hasMultiPlane ? geometry.planesPerDie : 1;
    this.pools = (geometry.dies * geometry.planesPerDie) / this.planesPerPool;
    this.blocksPerPool = geometry.blocksPerPlane;
    this.blocks = this.pools * this.blocksPerPool;
    this.pageBytes = flash.pageBytes;
    this.unitsPerPage = flash.pageBytes / driveUnitBytes;
    this.pagesPerRow = flash.pagesPerProgram;
    this.unitsPerRow = this.unitsPerPage * this.planesPerPool * flash.pagesPerProgram;
    this.rowsPerBlock = flash.pagesPerBlock / flash.pagesPerProgram;
    this.unitsPerBlock = this.unitsPerRow * this.rowsPerBlock;
    const usable = this.pools * (this.blocksPerPool - ftl.spareBlocks) * this.unitsPerBlock;
    this.hostUnits = Math.floor((usable * (1000 - ftl.overProvisioningPermille)) / 1000);
    this.mapUnits = ftl.mapCacheBytes === 0 ? 0 : Math.ceil(this.hostUnits / mapEntriesPerUnit);
    let slots = ftl.streams;
    this.relocationSlot = ftl.separatesRelocated ? slots++ : -1;
    this.wearSlot = ftl.staticWearGap > 0 ? slots++ : -1;
    this.mapSlot = ftl.mapCacheBytes > 0 ? slots++ : -1;
    this.slots = slots;
    this.reservedBlocks = ftl.gcFreeBlocks + slots + 1;
  }

  get physicalUnits(): number {
    return this.blocks * this.unitsPerBlock;
  }

  /** Units that must have a place on flash. */
  get mappedUnits(): number {
    return this.hostUnits + this.mapUnits;
  }

  dieOf(pool: number): number {
    return pool % this.dies;
  }

  /** Plane of the die in which place `offset` of a row lies. */
  planeOf(pool: number, pageOfRow: number): number {
    return Math.floor(pool / this.dies) + (pageOfRow % this.planesPerPool);
  }
}
