import type { Share } from '../../../sdk/qos/scheduler.js';
import { type CopyGate, type CopyingDrive, CopyKind, copyKinds } from '../../ftl/copy-gate.js';
import type { Drive } from '../../ftl/drive.js';
import type { QosProfile } from '../../profiles/profile.js';

/** The budget of a class follows what its pools need in so many steps. */
const needSteps = 16;

/** The card's scheduler, as copies see it. */
export interface CopyScheduler {
  readonly isActive: boolean;
  /** What one unit costs that is copied: read and written. */
  readonly copyCost: number;
  /** @returns whether it goes now; otherwise `InternalCopies.release` is called, never from here */
  copies(copy: Copy): boolean;
  copyEnded(index: number): void;
  /** What one unit costs that is written. */
  readonly writeCost: number;
  /** For what could not wait. */
  upkeepPays(cost: number): void;
  /** The budget of a class is another. */
  setCopyShare(kind: number, share: Share): void;
}

/** A page that is to be copied, or read by a patrol. */
export interface Copy {
  /** Of the pool or patrol among all of all drives. */
  index: number;
  /** A `CopyKind`: the class that pays. */
  kind: number;
  cost: number;
  isUrgent: boolean;
}

/**
 * Copies of the drives behind a card: garbage collection, and upkeep, which is wear levelling,
 * refresh, what is saved from failing blocks, what patrols read, and pages of maps that writes
 * need. Each is a class of the card's scheduler with a weight like any other, and pays for what it
 * reads and writes.
 *
 * A class reserves as much more as its pools run out of free blocks: `copyUnits` when none of them
 * has any left. A pool for which the host has to wait goes at once, and its class pays afterwards,
 * so a drive is never out of blocks because others are served.
 */
export class InternalCopies {
  private readonly scheduler: CopyScheduler;
  private readonly profile: QosProfile;
  private readonly pools: number;
  /** By pool or patrol: its drive, its number there, how much it needs and for which class. */
  private readonly drives: CopyingDrive[] = [];
  private readonly poolsOf: number[] = [];
  private readonly needs: Float64Array;
  private readonly kinds: Uint8Array;
  /** By class: the sum of the needs, and the step that its budget is at. */
  private readonly sums = new Float64Array(copyKinds);
  private readonly steps = new Int32Array(copyKinds);
  private readonly copy: Copy = { index: 0, kind: 0, cost: 0, isUrgent: false };

  constructor(scheduler: CopyScheduler, profile: QosProfile, drives: readonly Drive[]) {
    this.scheduler = scheduler;
    this.profile = profile;
    let pools = 0;
    for (const { copying } of drives) {
      if (copying === null) continue;
      const { copyPools, hasPatrol } = copying;
      copying.setCopyGate(new DriveGate(this, scheduler, this.drives.length));
      for (let pool = 0; pool < copyPools + (hasPatrol ? 1 : 0); pool++) {
        this.drives.push(copying);
        this.poolsOf.push(pool);
      }
      pools += copyPools;
    }
    this.pools = pools;
    this.needs = new Float64Array(this.count);
    this.kinds = new Uint8Array(this.count);
  }

  /** Pools and patrols of all drives. */
  get count(): number {
    return this.drives.length;
  }

  /** What a class may have now. */
  shareOf(kind: number): Share {
    const { copyUnits, copyWeightPermille } = this.profile;
    const reservation = Math.floor((copyUnits * this.steps[kind]!) / needSteps);
    return { reservation, limit: Number.POSITIVE_INFINITY, weight: copyWeightPermille / 1000 };
  }

  asks(index: number, kind: number, units: number, need: number, isUrgent: boolean): boolean {
    this.need(index, kind, isUrgent ? 1 : need);
    return this.pays(index, kind, units * this.scheduler.copyCost, isUrgent);
  }

  asksToRead(index: number, units: number): boolean {
    this.need(index, CopyKind.upkeep, 0);
    return this.pays(index, CopyKind.upkeep, units, false);
  }

  private pays(index: number, kind: number, cost: number, isUrgent: boolean): boolean {
    const { copy } = this;
    copy.index = index;
    copy.kind = kind;
    copy.cost = cost;
    copy.isUrgent = isUrgent;
    return this.scheduler.copies(copy);
  }

  ended(index: number): void {
    const kind = this.kinds[index]!;
    this.sums[kind] = this.sums[kind]! - this.needs[index]!;
    this.needs[index] = 0;
    this.scheduler.copyEnded(index);
  }

  /** A pool that waited goes on. */
  release(index: number): void {
    this.drives[index]!.copyGranted(this.poolsOf[index]!);
  }

  private need(index: number, kind: number, need: number): void {
    const before = this.kinds[index]!;
    this.sums[before] = this.sums[before]! - this.needs[index]!;
    this.sums[kind] = this.sums[kind]! + need;
    this.needs[index] = need;
    this.kinds[index] = kind;
    const step = Math.ceil((needSteps * Math.min(this.sums[kind]!, this.pools)) / this.pools);
    if (step === this.steps[kind]) return;
    this.steps[kind] = step;
    this.scheduler.setCopyShare(kind, this.shareOf(kind));
  }
}

/** The pools of one drive among those of all. */
class DriveGate implements CopyGate {
  private readonly copies: InternalCopies;
  private readonly scheduler: CopyScheduler;
  private readonly first: number;

  constructor(copies: InternalCopies, scheduler: CopyScheduler, first: number) {
    this.copies = copies;
    this.scheduler = scheduler;
    this.first = first;
  }

  get isOpen(): boolean {
    return !this.scheduler.isActive;
  }

  asks(pool: number, kind: number, units: number, need: number, isUrgent: boolean): boolean {
    return this.copies.asks(this.first + pool, kind, units, need, isUrgent);
  }

  asksToRead(pool: number, units: number): boolean {
    return this.copies.asksToRead(this.first + pool, units);
  }

  paysRead(units: number): void {
    if (!this.isOpen) this.scheduler.upkeepPays(units);
  }

  paysWrite(units: number): void {
    if (!this.isOpen) this.scheduler.upkeepPays(units * this.scheduler.writeCost);
  }

  ended(pool: number): void {
    this.copies.ended(this.first + pool);
  }
}
