import { driveUnitBytes } from './drive.js';
import type { FtlProfile } from './ftl-profile.js';
import { mapEntriesPerUnit } from './layout.js';
import { noRequest, type Requests } from './requests.js';
import { UnitTable } from './unit-table.js';

export const MapAnswer = {
  /** The entries are in RAM. */
  ready: 0,
  /** They are being read; the request is told. */
  waiting: 1,
  /** A changed page must go to flash first and finds no room there. */
  blocked: 2,
} as const;

export interface MapCacheListener {
  /**
   * Read a page of the map.
   *
   * @param request  the first that waits for it
   * @returns        false when it lies nowhere, and is empty
   */
  readMap(page: number, slot: number, request: number): boolean;
  /** Write a page of the map. @returns false when there is no room now */
  writeMap(page: number): boolean;
  /** What the request waited for is there: it looks again. */
  mapReady(request: number): void;
}

const nothing = -1;

/**
 * The part of the map that is in RAM: pages of 1024 entries, the least recently used one leaves
 * first. The simulation itself always knows the whole map; this says what looking it up costs.
 */
export class MapCache {
  hits = 0;
  reads = 0;
  readonly slots: number;
  private readonly requests: Requests;
  private readonly listener: MapCacheListener;
  /** Slot + 1 of a page of the map. */
  private readonly slotOf: UnitTable;
  private readonly pageIn: Int32Array;
  private readonly isDirty: Uint8Array;
  private readonly isLoading: Uint8Array;
  /** Requests that wait for the page in a slot, a chain. */
  private readonly waiters: Int32Array;
  /** From the most to the least recently used. */
  private readonly newer: Int32Array;
  private readonly older: Int32Array;
  private newest = nothing;
  private oldest = nothing;
  private used = 0;
  /** Requests that wait for any slot: all are loading. */
  private starved = noRequest;

  constructor(ftl: FtlProfile, mapUnits: number, requests: Requests, listener: MapCacheListener) {
    this.slots = Math.floor(ftl.mapCacheBytes / driveUnitBytes);
    this.requests = requests;
    this.listener = listener;
    this.slotOf = new UnitTable(mapUnits);
    this.pageIn = new Int32Array(this.slots).fill(nothing);
    this.isDirty = new Uint8Array(this.slots);
    this.isLoading = new Uint8Array(this.slots);
    this.waiters = new Int32Array(this.slots).fill(noRequest);
    this.newer = new Int32Array(this.slots).fill(nothing);
    this.older = new Int32Array(this.slots).fill(nothing);
  }

  /**
   * A request needs the entry of a unit, to change it or to look.
   *
   * @returns a value of `MapAnswer`
   */
  ask(request: number, unit: number, changes: boolean): number {
    const page = Math.trunc(unit / mapEntriesPerUnit);
    let slot = this.slotOf.get(page) - 1;
    if (slot === nothing) {
      slot = this.freeSlot();
      if (slot === nothing) {
        this.requests.next[request] = this.starved;
        this.starved = request;
        return MapAnswer.waiting;
      }
      if (!this.empty(slot)) return MapAnswer.blocked;
      this.bring(page, slot, request);
    } else if (this.isLoading[slot] === 0) {
      this.hits++;
    }
    if (this.isLoading[slot] === 1) {
      this.requests.next[request] = this.waiters[slot]!;
      this.waiters[slot] = request;
      return MapAnswer.waiting;
    }
    if (changes) this.isDirty[slot] = 1;
    this.makeNewest(slot);
    return MapAnswer.ready;
  }

  /** An entry changed without a request. @returns false when its page is not in RAM */
  change(unit: number): boolean {
    const slot = this.slotOf.get(Math.trunc(unit / mapEntriesPerUnit)) - 1;
    if (slot === nothing) return false;
    this.isDirty[slot] = 1;
    return true;
  }

  /** The read of a page is over. */
  loaded(slot: number): void {
    this.isLoading[slot] = 0;
    let request = this.waiters[slot]!;
    this.waiters[slot] = noRequest;
    this.wake(request);
    request = this.starved;
    this.starved = noRequest;
    this.wake(request);
  }

  /** The RAM lost its content. */
  clear(): void {
    for (let slot = 0; slot < this.used; slot++) {
      if (this.pageIn[slot] !== nothing) this.slotOf.set(this.pageIn[slot]!, 0);
    }
    this.pageIn.fill(nothing);
    this.isDirty.fill(0);
    this.isLoading.fill(0);
    this.waiters.fill(noRequest);
    this.newest = nothing;
    this.oldest = nothing;
    this.used = 0;
    this.starved = noRequest;
  }

  private wake(first: number): void {
    let request = first;
    while (request !== noRequest) {
      const next = this.requests.next[request]!;
      this.requests.next[request] = noRequest;
      this.listener.mapReady(request);
      request = next;
    }
  }

  /** A slot to use next: a fresh one, else the least recently used that is not loading. */
  private freeSlot(): number {
    if (this.used < this.slots) {
      const slot = this.used++;
      this.link(slot);
      return slot;
    }
    let slot = this.oldest;
    while (slot !== nothing && this.isLoading[slot] === 1) slot = this.newer[slot]!;
    return slot;
  }

  private empty(slot: number): boolean {
    const page = this.pageIn[slot]!;
    if (page === nothing) return true;
    if (this.isDirty[slot] === 1 && !this.listener.writeMap(page)) return false;
    this.isDirty[slot] = 0;
    this.slotOf.set(page, 0);
    this.pageIn[slot] = nothing;
    return true;
  }

  private bring(page: number, slot: number, request: number): void {
    this.pageIn[slot] = page;
    this.slotOf.set(page, slot + 1);
    this.makeNewest(slot);
    this.reads++;
    // The listener starts the read; it cannot be over before the return.
    this.isLoading[slot] = this.listener.readMap(page, slot, request) ? 1 : 0;
  }

  private makeNewest(slot: number): void {
    if (this.newest === slot) return;
    this.unlink(slot);
    this.link(slot);
  }

  private link(slot: number): void {
    this.newer[slot] = nothing;
    this.older[slot] = this.newest;
    if (this.newest === nothing) this.oldest = slot;
    else this.newer[this.newest] = slot;
    this.newest = slot;
  }

  private unlink(slot: number): void {
    const newer = this.newer[slot]!;
    const older = this.older[slot]!;
    if (newer === nothing) this.newest = older;
    else this.older[newer] = older;
    if (older === nothing) this.oldest = newer;
    else this.newer[older] = newer;
  }
}
