import type { Prng } from '../prng.js';
import type { FlashProfile } from './flash-profile.js';
import { pageTypesOf } from './page-type.js';

/** How long the cells of a page need, by its type. */
export class CellTiming {
  private readonly pageTypes: Uint8Array;
  private readonly readTimes: Float64Array;
  private readonly programTimes: Float64Array;
  private readonly spreadPermille: number;
  private readonly pagesPerProgram: number;
  private readonly chance: Prng;

  constructor(flash: FlashProfile, chance: Prng) {
    this.pageTypes = pageTypesOf(flash.pageOrder, flash.pagesPerBlock, flash.pageTypes.length);
    this.readTimes = Float64Array.from(flash.pageTypes, (type) => type.readNs);
    this.programTimes = Float64Array.from(flash.pageTypes, (type) => type.programNs);
    this.spreadPermille = flash.readSpreadPermille;
    this.pagesPerProgram = flash.pagesPerProgram;
    this.chance = chance;
  }

  readNs(page: number): number {
    return this.readTimes[this.pageTypes[page]!]!;
  }

  /** A read time as this read has it. */
  spread(ns: number): number {
    if (this.spreadPermille === 0) return ns;
    return ns + Math.round((ns * this.spreadPermille * (2 * this.chance.unit() - 1)) / 1000);
  }

  /** Of all pages that one program writes, the longest. */
  programNs(firstPage: number): number {
    let ns = 0;
    for (let page = firstPage; page < firstPage + this.pagesPerProgram; page++) {
      ns = Math.max(ns, this.programTimes[this.pageTypes[page]!]!);
    }
    return ns;
  }
}
