import type { Blocks } from './blocks.js';
import { type CopyGate, openGate } from './copy-gate.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';
import type { RowWriter } from './row-writer.js';

const Permit = { none: 0, waits: 1, granted: 2, used: 3 } as const;

/** What each pool of a drive has asked its `CopyGate` for, and what it was given. */
export class CopyPermits {
  gate: CopyGate = openGate;
  private readonly states: Uint8Array;
  /** 1 while something waits for the pool, whatever its free blocks say. */
  private readonly isHurried: Uint8Array;
  private readonly ftl: FtlProfile;
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly writer: RowWriter;

  constructor(parts: CopyPermitsParts) {
    this.ftl = parts.ftl;
    this.layout = parts.layout;
    this.blocks = parts.blocks;
    this.writer = parts.writer;
    this.states = new Uint8Array(parts.layout.pools);
    this.isHurried = new Uint8Array(parts.layout.pools);
  }

  /** @returns whether the pool may read a page to copy its valid units now */
  take(pool: number, kind: number, units: number): boolean {
    const { gate, states } = this;
    const state = states[pool]!;
    if (state === Permit.used) return false;
    if (state === Permit.none && gate.isOpen) return true;
    const isUrgent = this.isHurried[pool] === 1 || this.writer.isShort(pool);
    const isGranted =
      state === Permit.granted || gate.asks(pool, kind, units, this.needOf(pool), isUrgent);
    states[pool] = isGranted ? Permit.used : Permit.waits;
    return isGranted;
  }

  /** Something waits for the block that moves, until it has. */
  hurry(pool: number): void {
    this.isHurried[pool] = 1;
  }

  /** The block has moved. */
  relax(pool: number): void {
    this.isHurried[pool] = 0;
  }

  /** The gate lets the pool go on. */
  granted(pool: number): void {
    this.states[pool] = Permit.granted;
  }

  /** The page is copied, or there is none to copy any more. */
  giveBack(pool: number): void {
    if (this.states[pool] === Permit.none) return;
    this.states[pool] = Permit.none;
    this.gate.ended(pool);
  }

  /** A permit was given that the pool had no use for. */
  giveBackUnused(pool: number): void {
    if (this.states[pool] === Permit.granted) this.giveBack(pool);
  }

  /** The power is gone. */
  clear(): void {
    this.isHurried.fill(0);
    for (let pool = 0; pool < this.states.length; pool++) this.giveBack(pool);
  }

  /**
   * What of the room is used up that the host has from the time when garbage is collected in the
   * background until it has to wait for that: 0..1.
   */
  private needOf(pool: number): number {
    const { blocks, layout, ftl, writer } = this;
    const { freeCounts, comingCounts } = blocks;
    const spare = freeCounts[pool]! + comingCounts[pool]! - ftl.gcFreeBlocks;
    const most = (ftl.gcIdleFreeBlocks - ftl.gcFreeBlocks + 1) * layout.unitsPerBlock;
    let room = Math.max(0, spare) * layout.unitsPerBlock;
    for (let stream = 0; stream < ftl.streams; stream++) room += writer.roomIn(pool, stream);
    return Math.max(0, 1 - room / most);
  }
}

export interface CopyPermitsParts {
  readonly ftl: FtlProfile;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly writer: RowWriter;
}
