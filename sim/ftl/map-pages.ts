import { Lane } from '../nand/flash-ops.js';
import type { Counters } from './counters.js';
import type { DriveListener } from './drive.js';
import type { HostReads } from './host-reads.js';
import type { Layout } from './layout.js';
import type { MapCache } from './map-cache.js';
import type { Relocator } from './relocator.js';
import type { Requests } from './requests.js';
import { Right, type RowWriter } from './row-writer.js';
import { noRow } from './rows.js';
import type { UnitMap } from './unit-map.js';

/** The owner of a flash read that brings a page of the map. */
const mapOwner = -2;
/** Entries that one unit of the journal of moved units holds. */
const journalEntries = 512;

/** Pages of the map on flash, and the journal of what moved while its page was not in RAM. */
export class MapPages {
  private readonly parts: MapPagesParts;
  private journaled = 0;

  constructor(parts: MapPagesParts) {
    this.parts = parts;
  }

  /** A unit lies elsewhere now. */
  unitMoved(unit: number, pool: number, slot: number): void {
    const { cache, writer, counters, layout, relocator } = this.parts;
    if (cache === null || unit >= layout.hostUnits || cache.change(unit)) return;
    // The new places of units whose map page is not in RAM go to a journal.
    if (++this.journaled < journalEntries) return;
    const row = writer.rowFor(pool, slot, Right.relocation);
    if (row === noRow) return;
    this.journaled = 0;
    counters.mapWriteUnits++;
    writer.putNothing(row);
    relocator.permits.gate.paysWrite(1);
  }

  /**
   * A read of the host pays for the page that it needs. What is read for writes, which share their
   * rows and are over for their host, is upkeep.
   *
   * @returns false when the page lies nowhere, or not on flash yet
   */
  read(page: number, slot: number, request: number): boolean {
    const { counters, map, layout, writer, reads, requests, told, relocator } = this.parts;
    counters.mapReads++;
    const place = map.find(layout.hostUnits + page);
    if (place <= 0) return false;
    const physical = place - 1;
    const block = map.blockOf(physical);
    if (writer.isBuffered(physical, block)) return false;
    const flashPage = Math.trunc(physical / layout.unitsPerPage);
    reads.readPage(block, flashPage, 1, Lane.read, mapOwner, slot);
    const isPaid = requests.isRead[request] === 1 && told.mapRead(requests.token[request]!);
    if (!isPaid) relocator.permits.gate.paysRead(1);
    return true;
  }
}

export interface MapPagesParts {
  readonly layout: Layout;
  readonly map: UnitMap;
  readonly writer: RowWriter;
  readonly counters: Counters;
  readonly cache: MapCache | null;
  readonly reads: HostReads;
  readonly requests: Requests;
  readonly relocator: Relocator;
  readonly told: DriveListener;
}
