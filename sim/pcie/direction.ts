import { laneRates } from '../../sdk/spec/pcie/express.js';
import type { Tracks } from '../spans.js';
import type { World } from '../world.js';

/** What moves in one direction of a link, and how fast. */
export interface DirectionOptions {
  /** PCIe generation, 1..5. */
  readonly generation: number;
  readonly lanes: number;
}

/**
 * One direction of a link or of a root port: busy until a time. A transfer starts when it is free
 * and moves at the line rate; the part of a nanosecond that is left over is carried to the next
 * transfer, so no rate is rounded.
 *
 * Times go in and out as nanoseconds from now: small integers, which cost no allocation.
 */
export class Direction {
  private freeAtNs = 0;
  /** Set while somebody watches. */
  tracks: Tracks | null = null;
  private carry = 0;
  private readonly nsPerUnit: number;
  private readonly bytesPerUnit: number;

  constructor(options: DirectionOptions) {
    const rate = laneRates[options.generation - 1]!;
    this.nsPerUnit = rate.ns;
    this.bytesPerUnit = rate.bytes * options.lanes;
  }

  /** How long it is busy, 0 when it is free. */
  busyNs(world: World): number {
    return Math.max(0, this.freeAtNs - world.nowNs);
  }

  /** Take bandwidth from what waits, without waiting behind it. @returns ns of its own */
  slipIn(world: World, wire: number): number {
    const aheadNs = this.busyNs(world);
    return this.reserve(world, 0, wire) - aheadNs;
  }

  /** @returns ns in which so much moves at the line rate */
  nsOf(wire: number): number {
    return (wire * this.nsPerUnit) / this.bytesPerUnit;
  }

  /** Nothing moves before `startInNs`. @returns ns from now until all has moved */
  reserve(world: World, startInNs: number, wire: number): number {
    const startNs = world.nowNs + startInNs;
    if (this.freeAtNs < startNs) {
      this.freeAtNs = startNs;
      this.carry = 0;
    }
    const units = wire * this.nsPerUnit + this.carry;
    const ns = Math.floor(units / this.bytesPerUnit);
    this.carry = units - ns * this.bytesPerUnit;
    const fromNs = this.freeAtNs;
    this.freeAtNs = fromNs + ns;
    if (this.tracks !== null) this.tracks.span(0, fromNs, this.freeAtNs);
    return this.freeAtNs - world.nowNs;
  }

  /** The last transfer is held up behind this direction: it ends in `ns` at the earliest. */
  holdFor(world: World, ns: number): void {
    const endNs = world.nowNs + ns;
    if (this.freeAtNs >= endNs) return;
    this.freeAtNs = endNs;
    this.carry = 0;
  }

  reset(): void {
    this.freeAtNs = 0;
    this.carry = 0;
  }
}
