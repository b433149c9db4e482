import { msNs } from '../../../sdk/units.js';
import type { QosProfile } from '../../profiles/profile.js';
import type { World } from '../../world.js';

/**
 * Without commands of those who have a reservation for so long, nobody's tail is made longer by
 * what stands in line before a die.
 */
const quietNs = 10 * msNs;

/**
 * What is in the media, in units, and whether more may go there. What goes by reservation does not
 * wait for the rest to end: it may be as much by itself. The rest may be more while nobody with a
 * reservation asks for anything: the media do most when each die has its next work in line.
 */
export class MediaRoom {
  private readonly world: World;
  private readonly profile: QosProfile;
  private units = 0;
  private reservedUnits = 0;
  private askedNs = Number.NEGATIVE_INFINITY;

  constructor(world: World, profile: QosProfile) {
    this.world = world;
    this.profile = profile;
  }

  /** For what does not go by reservation. */
  get isFull(): boolean {
    const { world, profile } = this;
    const isQuiet = world.nowNs - this.askedNs > quietNs;
    return this.units >= (isQuiet ? profile.quietDepthUnits : profile.depthUnits);
  }

  /** For everything. */
  get isFullOfReserved(): boolean {
    return this.isFull && this.reservedUnits >= this.profile.depthUnits;
  }

  /** Somebody with a reservation wants something. */
  asked(): void {
    this.askedNs = this.world.nowNs;
  }

  enter(units: number, isReserved: boolean): void {
    this.units += units;
    if (isReserved) this.reservedUnits += units;
  }

  leave(units: number, isReserved: boolean): void {
    this.units -= units;
    if (isReserved) this.reservedUnits -= units;
  }
}
