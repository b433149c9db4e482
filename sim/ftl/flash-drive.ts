import { assert } from '../../sdk/assert.js';
import { CellWear } from '../nand/cell-wear.js';
import { FlashArray } from '../nand/flash-array.js';
import { FlashKind } from '../nand/flash-ops.js';
import type { FlashProfile } from '../nand/flash-profile.js';
import { type AddTracks, numbered } from '../spans.js';
import type { World } from '../world.js';
import { audit } from './audit.js';
import { BlockState, Blocks } from './blocks.js';
import type { CopyGate, CopyingDrive } from './copy-gate.js';
import { Breakdown, Counters } from './counters.js';
import {
  type Drive,
  type DriveListener,
  DriveState,
  DriveStatus,
  type DriveWear,
} from './drive.js';
import { describeWear } from './drive-wear.js';
import { Eraser } from './eraser.js';
import { FillOrder } from './fill-order.js';
import type { FtlProfile } from './ftl-profile.js';
import { HostReads } from './host-reads.js';
import { HostWrites } from './host-writes.js';
import { Layout } from './layout.js';
import { MapCache } from './map-cache.js';
import { MapPages } from './map-pages.js';
import { Patrol, scanOwner } from './patrol.js';
import { Reason } from './relocation-reason.js';
import { Relocator, relocationOwner } from './relocator.js';
import { Requests } from './requests.js';
import { RowWriter } from './row-writer.js';
import { lostUnit, UnitMap, unmappedUnit } from './unit-map.js';
import { Victims } from './victims.js';

/**
 * A drive of flash behind a page-mapping translation layer. See `Drive` for what the calls mean.
 */
export class FlashDrive implements Drive, CopyingDrive {
  readonly copying = this;
  readonly unitCount: number;
  readonly rowUnits: number;
  readonly streamCount: number;
  readonly dieCount: number;
  readonly copyPools: number;
  readonly hasPatrol: boolean;
  readonly breakdown = new Breakdown();
  readonly statistics = new Counters();
  state: number = DriveState.good;
  inFlight = 0;
  failedUnit = 0;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly flash: FlashArray;
  readonly cells: CellWear;
  readonly profile: FlashProfile;
  private readonly world: World;
  private readonly listener: DriveListener;
  private readonly requests = new Requests();
  private readonly writer: RowWriter;
  private readonly relocator: Relocator;
  private readonly reads: HostReads;
  private readonly patrol: Patrol;
  private readonly writes: HostWrites;
  private readonly cache: MapCache | null;
  private readonly mapPages: MapPages;
  private readonly endEvent: number;
  /** Pools that have something to consider. */
  private readonly duePools: Int32Array;
  private readonly isDue: Uint8Array;
  private dueCount = 0;
  private isRoomGained = false;
  /** Calls into the drive that are under way: hosts call from inside `driveDone`. */
  private depth = 0;
  /** The program whose end is being told. */
  private programOp = -1;
  private readonly factoryBad: number;
  readonly factorySpares: number;
  private readonly eraser: Eraser;
  private eraseToken = 0;

  constructor(parts: FlashDriveParts) {
    const { flash, ftl, world, name } = parts;
    this.profile = flash;
    this.world = world;
    this.listener = parts.listener;
    const layout = new Layout(flash, ftl);
    this.layout = layout;
    this.cells = new CellWear(flash, layout.blocks, world.prng(`${name} cells`));
    this.blocks = new Blocks(layout, this.cells, ftl.spareBlocks, ftl.hasDynamicWearLevelling);
    this.factoryBad = this.blocks.badCount;
    this.factorySpares = this.blocks.spareCount;
    this.map = new UnitMap(layout, this.blocks);
    const { blocks, map, cells, requests, breakdown, statistics: counters } = this;
    const dies = world.prng(`${name} dies`);
    this.flash = new FlashArray({ flash, world, wear: cells, chance: dies, listener: this });
    const first = { ftl, layout, blocks, map, cells, requests, counters, flash: this.flash };
    this.writer = new RowWriter({ ...first, listener: this });
    const victims = new Victims(layout, blocks, ftl, world.prng(`${name} victims`));
    this.relocator = new Relocator({ ...first, victims, writer: this.writer, listener: this });
    const { mapCacheBytes } = ftl;
    const cache = mapCacheBytes === 0 ? null : new MapCache(ftl, layout.mapUnits, requests, this);
    this.cache = cache;
    const { writer, relocator } = this;
    const second = { ...first, writer, relocator, cache, breakdown, listener: this };
    this.patrol = new Patrol(second);
    this.writes = new HostWrites(second);
    this.reads = new HostReads(second);
    this.mapPages = new MapPages({ ...second, reads: this.reads, told: parts.listener });
    this.eraser = new Eraser({ ...first, ended: () => this.erasedAll() });
    this.unitCount = layout.hostUnits;
    this.duePools = new Int32Array(layout.pools);
    this.isDue = new Uint8Array(layout.pools);
    this.rowUnits = layout.unitsPerRow;
    this.streamCount = ftl.streams;
    this.dieCount = layout.dies;
    this.copyPools = layout.pools;
    this.hasPatrol = ftl.scanEveryNs > 0;
    this.endEvent = world.register((request) => this.endDue(request));
  }

  read(unit: number, count: number, token: number, isReserved = false): void {
    this.check(unit, count);
    const { requests } = this;
    const request = requests.take(token, unit, count, this.world.nowNs);
    requests.isRead[request] = 1;
    requests.isReserved[request] = isReserved ? 1 : 0;
    this.inFlight++;
    if (!this.reads.start(request)) this.writes.wait(request);
    this.patrol.step(this.world.nowNs);
    this.leave();
  }

  write(unit: number, count: number, stream: number, token: number): void {
    this.check(unit, count);
    assert(stream >= 0 && stream < this.streamCount, 'a write to a stream that is not there');
    const { requests } = this;
    const request = requests.take(token, unit, count, this.world.nowNs);
    requests.isRead[request] = 0;
    requests.stream[request] = stream;
    this.inFlight++;
    if (this.state === DriveState.readOnly) {
      requests.status[request] = DriveStatus.writeProtected;
      this.endLater(request);
      return;
    }
    this.writes.start(request);
    this.patrol.step(this.world.nowNs);
    this.leave();
  }

  trim(unit: number, count: number): void {
    this.check(unit, count);
    const end = unit + count;
    const before = this.map.mappedCount;
    for (let at = this.map.skipUntouched(unit); at < end; at = this.map.skipUntouched(at + 1)) {
      this.map.forget(at, unmappedUnit);
      if (this.cache !== null) this.cache.change(at);
    }
    this.statistics.trimmedUnits += before - this.map.mappedCount;
    // Blocks that had nothing to gain may have now, and writes may wait for that.
    this.isRoomGained = true;
    this.leave();
  }

  flush(token: number): void {
    this.inFlight++;
    if (!this.writes.flush(token, this.world.nowNs)) return;
    // Its end is told by an event all the same.
    this.world.schedule(0, this.endEvent, -1);
  }

  fill(): void {
    assert(this.map.mappedCount === 0, 'a drive that was written is not filled');
    this.map.fill(new FillOrder(this.layout, this.blocks, this.layout.mappedUnits));
  }

  trimAll(): void {
    this.trim(0, this.unitCount);
  }

  eraseAll(token: number): void {
    assert(this.inFlight === 0, 'erase of everything with requests in flight');
    this.powerCut(true);
    this.trimAll();
    for (let unit = this.unitCount; unit < this.layout.mappedUnits; unit++) {
      this.map.forget(unit, unmappedUnit);
    }
    this.relocator.forget();
    this.writer.closeAll();
    this.inFlight = 1;
    this.eraseToken = token;
    this.eraser.start();
  }

  powerCut(isProtected: boolean): void {
    const { blocks, layout } = this;
    this.flash.clear();
    this.writer.cutPower(isProtected);
    this.requests.clear();
    this.relocator.clear();
    this.patrol.clear();
    this.isDue.fill(0);
    this.dueCount = 0;
    this.isRoomGained = false;
    this.writes.clear();
    this.cache?.clear();
    this.inFlight = 0;
    this.eraser.stop();
    for (let block = 0; block < layout.blocks; block++) {
      if (blocks.states[block] === BlockState.open && !this.writer.isOpen(block)) {
        blocks.close(block, this.statistics.mediaWriteUnits);
      }
      if (blocks.isFailing[block] === 1) this.relocator.note(block, Reason.failed);
    }
  }

  setCopyGate(gate: CopyGate): void {
    this.relocator.permits.gate = gate;
    this.patrol.gate = gate;
  }

  copyGranted(pool: number): void {
    this.depth++;
    if (pool === this.copyPools) this.patrol.granted();
    else this.relocator.copyGranted(pool);
    this.depth--;
    this.leave();
  }

  watch(addTracks: AddTracks, name: string): void {
    const { bus } = this.flash;
    bus.tracks = addTracks(numbered(`${name} channel`, bus.freeAtNs.length));
    bus.dieTracks = addTracks(numbered(`${name} die`, this.dieCount));
  }

  age(days: number): void {
    this.cells.age(days);
  }

  wear(): DriveWear {
    return describeWear(this);
  }

  failPrograms(die: number, count: number): void {
    this.flash.faults.failNext(FlashKind.program, die, count);
  }

  failErases(die: number, count: number): void {
    this.flash.faults.failNext(FlashKind.erase, die, count);
  }

  loseUnit(unit: number): void {
    this.check(unit, 1);
    this.map.forget(unit, lostUnit);
  }

  stallDie(die: number, ns: number): void {
    this.flash.stall(die, ns);
  }

  /** Recount everything. @returns what does not agree, in words */
  audit(): string[] {
    const { layout, blocks, map, statistics, writer } = this;
    return audit({ layout, blocks, map, writer, counters: statistics });
  }

  // What the parts tell.

  flashDone(op: number): void {
    this.depth++;
    const { ops } = this.flash;
    const kind = ops.kind[op];
    const owner = ops.owner[op]!;
    const failed = ops.failed[op] === 1;
    if (kind === FlashKind.program) {
      this.programDone(op, owner, failed);
    } else if (kind === FlashKind.erase) {
      if (this.eraser.isRunning) this.eraser.eraseDone(ops.block[op]!, failed);
      else this.relocator.eraseDone(ops.block[op]!, failed);
    } else if (owner >= 0) {
      this.reads.pageDone(owner, op, failed);
    } else if (owner === relocationOwner) {
      this.relocator.readDone(op);
    } else if (owner === scanOwner) {
      this.patrol.scanned(ops.block[op]!, ops.attempts[op]!, ops.extra[op]!);
    } else {
      this.cache?.loaded(ops.extra[op]!);
    }
    this.statistics.retries = this.flash.retries;
    this.statistics.suspends = this.flash.suspends;
    this.statistics.stoppedReads = this.flash.readStops.count;
    this.depth--;
    this.leave();
  }

  unitProgrammed(request: number): void {
    this.writes.unitProgrammed(request);
  }

  unitAbandoned(request: number): void {
    this.requests.status[request] = DriveStatus.writeProtected;
    this.writes.unitProgrammed(request);
  }

  rowProgrammed(pool: number): void {
    this.relocator.rowProgrammed(pool);
    // Its block may have closed, and may have something to gain.
    if (this.writer.isShort(pool)) this.poolDue(pool);
  }

  blockOpened(pool: number, block: number): void {
    this.cells.writtenDays[block] = this.cells.daysAt(this.world.nowNs);
    this.poolDue(pool);
  }

  rowMoved(pool: number, slot: number): void {
    this.relocator.rowMoved(pool, slot);
    this.writes.rowMoved();
    // Blocks wait for another row now, which nobody fills unless a write that waits asks again.
    this.isRoomGained = true;
  }

  poolDue(pool: number): void {
    if (this.isDue[pool] === 1) return;
    this.isDue[pool] = 1;
    this.duePools[this.dueCount++] = pool;
  }

  blockFailed(block: number): void {
    this.relocator.want(block, Reason.failed);
  }

  poolStuck(): void {
    this.becomeReadOnly();
  }

  roomGained(): void {
    this.isRoomGained = true;
  }

  unitMoved(unit: number, pool: number, slot: number): void {
    this.mapPages.unitMoved(unit, pool, slot);
  }

  readMap(page: number, slot: number, request: number): boolean {
    return this.mapPages.read(page, slot, request);
  }

  writeMap(page: number): boolean {
    // A drive that takes no writes keeps its map as it was written last, and the rest in RAM.
    if (this.state === DriveState.readOnly) return true;
    return this.writes.putMapUnit(this.unitCount + page);
  }

  mapReady(request: number): void {
    if (this.requests.isRead[request] === 0) this.writes.mapReady(request);
    else if (!this.reads.lookUp(request)) this.writes.wait(request);
    this.isRoomGained ||= this.state === DriveState.readOnly;
  }

  lookUp(request: number): boolean {
    return this.reads.lookUp(request);
  }

  readEnded(request: number): void {
    this.tell(request);
  }

  requestEnded(request: number): void {
    const { requests, breakdown } = this;
    const { nowNs } = this.world;
    const started = requests.startedAtNs[request]!;
    breakdown.allInMap(nowNs - started);
    const op = this.programOp;
    if (op >= 0 && this.flash.ops.queuedAtNs[op]! >= started) {
      const { ops } = this.flash;
      breakdown.mapNs = ops.queuedAtNs[op]! - started;
      breakdown.queueNs = ops.startedAtNs[op]! - ops.queuedAtNs[op]!;
      breakdown.arrayNs = nowNs - ops.startedAtNs[op]!;
    }
    this.tell(request);
  }

  blocksLost(): void {
    const { blocks, layout } = this;
    let room = 0;
    for (let pool = 0; pool < layout.pools; pool++) {
      room += Math.max(0, blocks.quotaOf(pool) - layout.unitsPerBlock);
    }
    if (room < layout.mappedUnits) {
      this.becomeReadOnly();
    } else if (blocks.spareCount === 0 && blocks.badCount > this.factoryBad) {
      if (this.state !== DriveState.good) return;
      this.state = DriveState.noSpare;
      this.listener.driveChanged();
    }
  }

  private becomeReadOnly(): void {
    if (this.state === DriveState.readOnly) return;
    this.state = DriveState.readOnly;
    this.relocator.stop();
    // Writes that wait are refused when nothing is in the middle of one of them.
    this.isRoomGained = true;
    this.listener.driveChanged();
  }

  private programDone(op: number, row: number, failed: boolean): void {
    this.programOp = op;
    this.writer.programDone(row, failed);
    this.programOp = -1;
  }

  /** Units of failed rows found no room, and nothing is on its way that would give them any. */
  private checkFailed(): void {
    this.writer.placeFailed();
    const pool = this.writer.poolOfFailed;
    if (pool < 0) return;
    this.relocator.hurry(pool);
    const isHopeful = !this.flash.isQuiet(this.layout.dieOf(pool));
    if (this.state !== DriveState.readOnly) {
      if (isHopeful || this.relocator.makeRoom(pool)) return;
    }
    this.becomeReadOnly();
    this.writer.abandonFailed();
  }

  /**
   * What the parts put off because it must not happen in the middle of something else: rows are
   * being filled while blocks are opened, blocks move while room is gained.
   */
  private leave(): void {
    if (this.depth === 0) this.catchUp();
  }

  private catchUp(): void {
    this.depth++;
    if (this.writer.hasFailedRows) this.checkFailed();
    while (this.dueCount > 0 || this.isRoomGained) {
      while (this.dueCount > 0) {
        const pool = this.duePools[--this.dueCount]!;
        this.isDue[pool] = 0;
        this.relocator.consider(pool);
      }
      if (this.isRoomGained) {
        this.isRoomGained = false;
        if (this.state === DriveState.readOnly) this.writes.refuseAll();
        else this.writes.retry();
      }
    }
    this.depth--;
  }

  private check(unit: number, count: number): void {
    assert(count >= 1, 'a request for no unit');
    assert(unit >= 0 && unit + count <= this.unitCount, 'a request beyond the end of the drive');
  }

  endLater(request: number): void {
    this.requests.endAtNs[request] = this.world.nowNs;
    this.world.schedule(0, this.endEvent, request);
  }

  private endDue(request: number): void {
    if (request < 0) {
      this.writes.endBarriers();
      return;
    }
    if (this.requests.endAtNs[request] !== this.world.nowNs) return;
    this.breakdown.allInMap(this.world.nowNs - this.requests.startedAtNs[request]!);
    this.tell(request);
  }

  private tell(request: number): void {
    const { requests } = this;
    const token = requests.token[request]!;
    const status = requests.status[request]!;
    this.failedUnit = requests.failedUnit[request]!;
    requests.give(request);
    this.inFlight--;
    this.listener.driveDone(token, status);
  }

  private erasedAll(): void {
    this.inFlight = 0;
    this.blocksLost();
    this.listener.driveDone(this.eraseToken, DriveStatus.done);
  }
}

export interface FlashDriveParts {
  readonly flash: FlashProfile;
  readonly ftl: FtlProfile;
  readonly world: World;
  readonly listener: DriveListener;
  /** Names the streams of chance: equal names in equal worlds give equal drives. */
  readonly name: string;
}
