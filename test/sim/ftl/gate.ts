import * as assert from 'uvu/assert';
import { type CopyGate, CopyKind } from '../../../sim/ftl/copy-gate.js';
import type { DriveRig } from './rig.js';

/** Lets pools go on when it likes, and holds them to what they are allowed. */
export class Gate implements CopyGate {
  isOpen = false;
  /** By pool: it waits, or a page of it is on its way. */
  readonly waiting = new Set<number>();
  readonly onTheirWay = new Set<number>();
  readonly asked = [0, 0];
  urgent = 0;
  /** Of the map, that upkeep pays for. */
  readonly mapUnits = { read: 0, written: 0 };
  highestNeed = 0;
  readonly needs: number[] = [];
  private readonly rig: DriveRig;
  private readonly delayNs: () => number;
  private readonly onGrant: number;

  /** @param delayNs  until a pool that is in no hurry goes on; Infinity is never */
  constructor(rig: DriveRig, delayNs: () => number) {
    this.rig = rig;
    this.delayNs = delayNs;
    this.onGrant = rig.world.register((pool) => this.grant(pool));
    rig.drive.setCopyGate(this);
  }

  asks(pool: number, kind: number, units: number, need: number, isUrgent: boolean): boolean {
    assert.not(this.onTheirWay.has(pool), `pool ${pool} has a page on its way`);
    assert.ok(units >= 1 && need >= 0 && need <= 1, `${units} units, need ${need}`);
    if (!this.waiting.has(pool)) this.asked[kind]!++;
    this.needs.push(need);
    this.highestNeed = Math.max(this.highestNeed, need);
    if (isUrgent) {
      this.urgent++;
      this.waiting.delete(pool);
      this.onTheirWay.add(pool);
      return true;
    }
    const ns = this.waiting.has(pool) ? Number.POSITIVE_INFINITY : this.delayNs();
    this.waiting.add(pool);
    if (ns < Number.POSITIVE_INFINITY) this.rig.world.schedule(ns, this.onGrant, pool);
    return false;
  }

  asksToRead(pool: number, units: number): boolean {
    assert.is(pool, this.rig.drive.copyPools);
    return this.asks(pool, CopyKind.upkeep, units, 0, false);
  }

  paysRead(units: number): void {
    this.mapUnits.read += units;
  }

  paysWrite(units: number): void {
    this.mapUnits.written += units;
  }

  ended(pool: number): void {
    this.waiting.delete(pool);
    this.onTheirWay.delete(pool);
  }

  private grant(pool: number): void {
    if (!this.waiting.delete(pool)) return;
    this.onTheirWay.add(pool);
    this.rig.drive.copyGranted(pool);
  }
}
