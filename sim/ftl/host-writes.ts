import type { Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import { DriveStatus } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import { MapAnswer, type MapCache } from './map-cache.js';
import type { Relocator } from './relocator.js';
import { noRequest, type Requests } from './requests.js';
import { Right, type RowWriter } from './row-writer.js';
import { noRow } from './rows.js';
import type { UnitMap } from './unit-map.js';

/** Overwritten within this part of the capacity's writes, data is hot. */
const hotShare = 1 / 8;

export interface WriteListener {
  /** A write or a flush is over; its number is void after the return. */
  requestEnded(request: number): void;
  /** A read that waited for room tries again. @returns false when it must wait on */
  lookUp(request: number): boolean;
}

/**
 * Writes and flushes of the host. A stream fills one row after the other, each in the next pool
 * that has room. A write that finds no room anywhere waits, and those behind it: garbage collection
 * makes room. A flush closes a barrier: it ends when all writes of before have, whose rows are
 * padded.
 */
export class HostWrites {
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly map: UnitMap;
  private readonly requests: Requests;
  private readonly writer: RowWriter;
  private readonly relocator: Relocator;
  private readonly cache: MapCache | null;
  private readonly counters: Counters;
  private readonly listener: WriteListener;
  private readonly detectsHot: boolean;
  private readonly hotUnits: number;
  /** By slot: the row that the host has begun, and the pool in which to look for the next. */
  private readonly begun: Int32Array;
  private readonly cursors: Int32Array;
  /** Writes that wait for room, a chain. */
  private firstPending = noRequest;
  private lastPending = noRequest;
  /** The barrier of the writes of now, and the closed ones that wait, a chain. */
  private barrier: number;
  private firstClosed = noRequest;
  private lastClosed = noRequest;
  private isRetrying = false;

  constructor(parts: HostWritesParts) {
    const { layout, ftl } = parts;
    this.layout = layout;
    this.blocks = parts.blocks;
    this.map = parts.map;
    this.requests = parts.requests;
    this.writer = parts.writer;
    this.relocator = parts.relocator;
    this.cache = parts.cache;
    this.counters = parts.counters;
    this.listener = parts.listener;
    this.detectsHot = ftl.detectsHotData && ftl.streams > 1;
    this.hotUnits = layout.physicalUnits * hotShare;
    this.begun = new Int32Array(layout.slots).fill(noRow);
    this.cursors = Int32Array.from({ length: layout.slots }, (_, slot) => slot % layout.pools);
    this.barrier = this.makeBarrier();
  }

  start(request: number): void {
    const { requests } = this;
    const count = requests.count[request]!;
    requests.remaining[request] = count;
    requests.barrier[request] = this.barrier;
    requests.remaining[this.barrier] = requests.remaining[this.barrier]! + 1;
    this.counters.hostWriteUnits += count;
    if (this.firstPending !== noRequest) this.wait(request);
    else this.go(request);
  }

  /** The map page that a write waited for is there. */
  mapReady(request: number): void {
    this.go(request);
  }

  /** @returns true when it has ended already: nothing of before is in flight */
  flush(token: number, nowNs: number): boolean {
    const { requests } = this;
    const closed = this.barrier;
    requests.token[closed] = token;
    requests.startedAtNs[closed] = nowNs;
    this.barrier = this.makeBarrier();
    if (this.lastClosed === noRequest) this.firstClosed = closed;
    else requests.next[this.lastClosed] = closed;
    this.lastClosed = closed;
    this.padAwaited();
    return this.firstClosed === closed && requests.remaining[closed] === 0;
  }

  /** Flushes whose writes have all ended, end. */
  endBarriers(): void {
    const { requests } = this;
    while (this.firstClosed !== noRequest && requests.remaining[this.firstClosed] === 0) {
      const closed = this.firstClosed;
      this.firstClosed = requests.next[closed]!;
      if (this.firstClosed === noRequest) this.lastClosed = noRequest;
      this.listener.requestEnded(closed);
    }
  }

  unitProgrammed(request: number): void {
    const { requests } = this;
    const remaining = requests.remaining[request]! - 1;
    requests.remaining[request] = remaining;
    if (remaining === 0) this.end(request);
  }

  /** Units of a failed row went into others, for which a flush may wait. */
  rowMoved(): void {
    if (this.firstClosed !== noRequest) this.padAwaited();
  }

  /** There may be room: writes that wait go on, in order. */
  retry(): void {
    // Placing opens blocks, which may make room and call again.
    if (this.isRetrying) return;
    this.isRetrying = true;
    while (this.firstPending !== noRequest) {
      const request = this.firstPending;
      const after = this.requests.next[request]!;
      const answer = this.goOn(request);
      if (answer === MapAnswer.blocked) break;
      this.firstPending = after;
      if (after === noRequest) this.lastPending = noRequest;
    }
    this.isRetrying = false;
  }

  /** The drive takes no writes any more: those that wait end, and rows that wait are programmed. */
  refuseAll(): void {
    const { requests } = this;
    while (this.firstPending !== noRequest) {
      const request = this.firstPending;
      this.firstPending = requests.next[request]!;
      if (requests.isRead[request] === 1) {
        // The map is not written any more, so there is nothing to wait for.
        this.listener.lookUp(request);
        continue;
      }
      const missing = requests.count[request]! - requests.cursor[request]!;
      requests.status[request] = DriveStatus.writeProtected;
      requests.remaining[request] = requests.remaining[request]! - missing;
      if (requests.remaining[request] === 0) this.end(request);
    }
    this.lastPending = noRequest;
    this.padAwaited();
  }

  /** A place for a page of the map. @returns false when there is none now */
  putMapUnit(unit: number): boolean {
    const row = this.hostRow(this.layout.mapSlot);
    if (row === noRow) return false;
    this.writer.put(row, unit, noRequest);
    this.counters.mapWriteUnits++;
    this.relocator.permits.gate.paysWrite(1);
    return true;
  }

  /** After a power cut: nothing is in flight. */
  clear(): void {
    this.firstPending = noRequest;
    this.lastPending = noRequest;
    this.firstClosed = noRequest;
    this.lastClosed = noRequest;
    this.begun.fill(noRow);
    this.barrier = this.makeBarrier();
  }

  private goOn(request: number): number {
    if (this.requests.isRead[request] === 0) return this.place(request);
    return this.listener.lookUp(request) ? MapAnswer.ready : MapAnswer.blocked;
  }

  private go(request: number): void {
    if (this.place(request) === MapAnswer.blocked) this.wait(request);
  }

  /** The request, a read for its map page or a write, goes on when there is room. */
  wait(request: number): void {
    this.requests.next[request] = noRequest;
    if (this.lastPending === noRequest) this.firstPending = request;
    else this.requests.next[this.lastPending] = request;
    this.lastPending = request;
  }

  /** Put units into rows, as many as there is room and map for. @returns a `MapAnswer` */
  private place(request: number): number {
    const { requests, writer, cache } = this;
    const count = requests.count[request]!;
    const first = requests.unit[request]!;
    let stream = requests.stream[request]!;
    for (let i = requests.cursor[request]!; i < count; i++) {
      if (cache !== null) {
        const answer = cache.ask(request, first + i, true);
        if (answer !== MapAnswer.ready) return answer;
      }
      if (this.detectsHot) stream = this.streamOf(first + i, requests.stream[request]!);
      const row = this.hostRow(stream);
      if (row === noRow) return MapAnswer.blocked;
      requests.cursor[request] = i + 1;
      this.counters.hostPutUnits++;
      writer.put(row, first + i, request);
    }
    if (this.isClosed(requests.barrier[request]!)) this.padAwaited();
    return MapAnswer.ready;
  }

  /** Data that was written not long ago and is written again is hot. */
  private streamOf(unit: number, stream: number): number {
    if (stream !== 0) return stream;
    const place = this.map.find(unit);
    if (place <= 0) return 0;
    const written = this.blocks.openedAt[this.map.blockOf(place - 1)]!;
    return this.counters.mediaWriteUnits - written < this.hotUnits ? 1 : 0;
  }

  /** The row that a slot fills now, or one in the next pool that has room. */
  private hostRow(slot: number): number {
    const { writer, layout, relocator } = this;
    const begun = this.begun[slot]!;
    if (begun !== noRow && writer.isFilling(begun, slot)) return begun;
    let isClosed = true;
    let pool = this.cursors[slot]!;
    for (let i = 0; i < layout.pools; i++) {
      const row = writer.rowFor(pool, slot, Right.host);
      const next = pool + 1 === layout.pools ? 0 : pool + 1;
      if (row !== noRow) {
        this.begun[slot] = row;
        this.cursors[slot] = next;
        return row;
      }
      // A pool that holds all it may would collect and pad for nothing, and keep its die busy.
      if (!writer.isClosedToHost(pool, slot)) {
        isClosed = false;
        relocator.blocked(pool);
      }
      pool = next;
    }
    // None may hold more: a block has failed and has to move before the drive takes no writes.
    for (pool = 0; isClosed && pool < layout.pools; pool++) relocator.blocked(pool);
    return noRow;
  }

  private isClosed(barrier: number): boolean {
    return barrier !== this.barrier;
  }

  private padAwaited(): void {
    const { layout, writer } = this;
    for (let slot = 0; slot < layout.slots; slot++) {
      for (let pool = 0; pool < layout.pools; pool++) {
        if (writer.isAwaited(pool, slot)) writer.pad(pool, slot);
      }
    }
  }

  private end(request: number): void {
    const barrier = this.requests.barrier[request]!;
    this.requests.remaining[barrier] = this.requests.remaining[barrier]! - 1;
    this.listener.requestEnded(request);
    this.endBarriers();
  }

  private makeBarrier(): number {
    return this.requests.take(0, 0, 0, 0);
  }
}

export interface HostWritesParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly requests: Requests;
  readonly writer: RowWriter;
  readonly relocator: Relocator;
  readonly cache: MapCache | null;
  readonly counters: Counters;
  readonly listener: WriteListener;
}
