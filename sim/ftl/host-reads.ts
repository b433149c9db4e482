import type { CellWear } from '../nand/cell-wear.js';
import type { FlashArray } from '../nand/flash-array.js';
import { Lane } from '../nand/flash-ops.js';
import type { Blocks } from './blocks.js';
import type { Breakdown, Counters } from './counters.js';
import { DriveStatus, driveUnitBytes } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { MapAnswer, type MapCache } from './map-cache.js';
import { Reason } from './relocation-reason.js';
import type { Relocator } from './relocator.js';
import type { Requests } from './requests.js';
import type { RowWriter } from './row-writer.js';
import { lostUnit, type UnitMap } from './unit-map.js';

export interface ReadListener {
  /** A read is over from inside an event; its number is void after the return. */
  readEnded(request: number): void;
  /** Nothing of a read lies on flash: it ends in an event of its own. */
  endLater(request: number): void;
}

/** Reads of the host: one flash read for neighbours that lie in one page. */
export class HostReads {
  private readonly ftl: FtlProfile;
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly map: UnitMap;
  private readonly requests: Requests;
  private readonly writer: RowWriter;
  private readonly relocator: Relocator;
  private readonly flash: FlashArray;
  private readonly cells: CellWear;
  private readonly cache: MapCache | null;
  private readonly counters: Counters;
  private readonly breakdown: Breakdown;
  private readonly listener: ReadListener;

  constructor(parts: HostReadsParts) {
    this.ftl = parts.ftl;
    this.layout = parts.layout;
    this.blocks = parts.blocks;
    this.map = parts.map;
    this.requests = parts.requests;
    this.writer = parts.writer;
    this.relocator = parts.relocator;
    this.flash = parts.flash;
    this.cells = parts.cells;
    this.cache = parts.cache;
    this.counters = parts.counters;
    this.breakdown = parts.breakdown;
    this.listener = parts.listener;
  }

  /** @returns false when it must wait for room: see `lookUp` */
  start(request: number): boolean {
    // One more than there is, so that it does not end while it is being looked up.
    this.requests.remaining[request] = 1;
    this.counters.hostReadUnits += this.requests.count[request]!;
    return this.lookUp(request);
  }

  /**
   * Find the units and read their pages, as far as the map is in RAM.
   *
   * @returns false when a page of the map has to be written first and finds no room
   */
  lookUp(request: number): boolean {
    if (this.requests.count[request] === 1) return this.lookUpRest(request);
    this.flash.beginBatch();
    const isOn = this.lookUpRest(request);
    this.flash.endBatch();
    return isOn;
  }

  private lookUpRest(request: number): boolean {
    const { requests, map, cache, layout } = this;
    const first = requests.unit[request]!;
    const count = requests.count[request]!;
    let page = -1;
    let block = 0;
    let units = 0;
    for (let i = requests.cursor[request]!; i < count; i++) {
      const unit = first + i;
      const answer = cache === null ? MapAnswer.ready : cache.ask(request, unit, false);
      if (answer !== MapAnswer.ready) {
        requests.cursor[request] = i;
        if (units > 0) this.readHost(request, block, page, units);
        return answer === MapAnswer.waiting;
      }
      const place = map.find(unit);
      if (place <= 0) {
        if (place === lostUnit) this.markLost(request, unit);
        continue;
      }
      const itsPage = Math.trunc((place - 1) / layout.unitsPerPage);
      if (itsPage === page) {
        units++;
        continue;
      }
      const itsBlock = map.blockOf(place - 1);
      if (this.writer.isBuffered(place - 1, itsBlock)) continue;
      if (units > 0) this.readHost(request, block, page, units);
      page = itsPage;
      block = itsBlock;
      units = 1;
    }
    requests.cursor[request] = count;
    if (units > 0) this.readHost(request, block, page, units);
    requests.remaining[request] = requests.remaining[request]! - 1;
    if (requests.remaining[request] === 0) this.listener.endLater(request);
    return true;
  }

  /**
   * Read units of a page for whoever is `owner`.
   *
   * @param page  of all pages of the drive, in the order of the physical units
   * @param lane  of the die's lines
   */
  readPage(
    block: number,
    page: number,
    units: number,
    lane: number,
    owner: number,
    extra: number,
  ): void {
    const { layout } = this;
    const pool = this.blocks.poolOf(block);
    const inBlock = page - block * (layout.unitsPerBlock / layout.unitsPerPage);
    const pagesOfRow = layout.pagesPerRow * layout.planesPerPool;
    const row = Math.trunc(inBlock / pagesOfRow);
    const inRow = inBlock - row * pagesOfRow;
    this.flash.read(
      layout.dieOf(pool),
      layout.planeOf(pool, inRow),
      block,
      row * layout.pagesPerRow + Math.trunc(inRow / layout.planesPerPool),
      units * driveUnitBytes,
      lane,
      owner,
      extra,
    );
  }

  /** A flash read of this request is over. */
  pageDone(request: number, op: number, failed: boolean): void {
    const { requests, breakdown } = this;
    const { ops } = this.flash;
    if (failed) this.markLost(request, this.firstOf(request, ops.extra[op]!));
    const limit = this.ftl.refreshRetries;
    if (limit > 0 && ops.attempts[op]! >= limit) {
      this.relocator.want(ops.block[op]!, Reason.refresh);
    }
    const remaining = requests.remaining[request]! - 1;
    requests.remaining[request] = remaining;
    if (remaining > 0) return;
    breakdown.mapNs = ops.queuedAtNs[op]! - requests.startedAtNs[request]!;
    breakdown.queueNs = ops.startedAtNs[op]! - ops.queuedAtNs[op]!;
    breakdown.arrayNs = ops.arrayEndNs[op]! - ops.startedAtNs[op]!;
    breakdown.transferNs = this.flash.nowNs - ops.arrayEndNs[op]!;
    this.listener.readEnded(request);
  }

  private readHost(request: number, block: number, page: number, units: number): void {
    this.requests.remaining[request] = this.requests.remaining[request]! + 1;
    const lane = this.requests.isReserved[request] === 1 ? Lane.reserved : Lane.read;
    this.readPage(block, page, units, lane, request, page);
    const limit = this.ftl.refreshReads;
    if (limit > 0 && this.cells.readCounts[block]! >= limit) {
      this.relocator.want(block, Reason.refresh);
    }
  }

  /** The first unit of a request that lies in a page. */
  private firstOf(request: number, page: number): number {
    const first = this.requests.unit[request]!;
    const end = first + this.requests.count[request]!;
    for (let unit = first; unit < end; unit++) {
      const place = this.map.find(unit);
      if (place > 0 && Math.trunc((place - 1) / this.layout.unitsPerPage) === page) return unit;
    }
    return first;
  }

  private markLost(request: number, unit: number): void {
    const { requests } = this;
    const isFirst = requests.status[request] === DriveStatus.done;
    this.counters.unrecoveredUnits++;
    if (isFirst || unit < requests.failedUnit[request]!) requests.failedUnit[request] = unit;
    requests.status[request] = DriveStatus.unrecovered;
  }
}

export interface HostReadsParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly requests: Requests;
  readonly writer: RowWriter;
  readonly relocator: Relocator;
  readonly flash: FlashArray;
  readonly cells: CellWear;
  readonly cache: MapCache | null;
  readonly counters: Counters;
  readonly breakdown: Breakdown;
  readonly listener: ReadListener;
}
