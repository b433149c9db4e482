import type { Share } from '../../../sdk/qos/scheduler.js';
import { bestEffort, shareOf } from '../../../sdk/qos/tiers.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { QosStatus, qosBestEffortIndex } from '../../../sdk/spec/ultima/qos.js';
import type { CardCapacity } from './capacity.js';
import { builtInTable, sharesOf, type TierShare } from './tier-table.js';

type Shares = readonly (TierShare | null)[];

/**
 * What a host has programmed: the tiers of the card and the tier of each client, which is a
 * namespace or a queue. What always holds: each client has a tier that is in the table, and a
 * reservation is kept only as long as the sum of those that are kept fits the capacity of the time
 * when it was given.
 */
export class Policies {
  /** The table as it was set, and what it says. */
  words = builtInTable();
  readonly capacity: CardCapacity;
  private shares: Shares = sharesOf(this.words) ?? [];
  private readonly tierOf: Uint8Array;
  /** Its reservation did not fit; the rest of its tier holds. */
  private readonly isBestEffort: Uint8Array;

  constructor(clientCount: number, capacity: CardCapacity) {
    this.tierOf = new Uint8Array(clientCount);
    this.isBestEffort = new Uint8Array(clientCount);
    this.capacity = capacity;
  }

  /** Whether any client has another tier than best effort. */
  get hasAny(): boolean {
    return this.tierOf.some((tier) => tier !== qosBestEffortIndex);
  }

  /** Units per second that are promised, and that may be. */
  get promised(): number {
    return this.reserved(this.shares);
  }

  get available(): number {
    return this.capacity.available(this.strictestNs(this.shares));
  }

  tier(client: number): number {
    return this.tierOf[client]!;
  }

  /** Whether a client has a reservation in its tier that is not kept. */
  lacksReservation(client: number): boolean {
    return this.isBestEffort[client] === 1;
  }

  share(client: number): Share {
    const share = this.shares[this.tierOf[client]!] ?? shareOf(bestEffort);
    return this.isBestEffort[client] === 1 ? { ...share, reservation: 0 } : share;
  }

  /** @returns 0 or the status of a table that cannot be */
  checkTable(words: Uint32Array): number {
    const shares = sharesOf(words);
    if (shares === null) return Status.invalidField;
    if (this.tierOf.some((tier) => shares[tier] == null)) return Status.invalidField;
    const available = this.capacity.available(this.strictestNs(shares));
    return this.reserved(shares) > available ? QosStatus.overcommitted : 0;
  }

  setTable(words: Uint32Array): void {
    const shares = sharesOf(words);
    if (shares === null) return;
    this.words = words;
    this.shares = shares;
    // A reset brought back a table without the tier of somebody: it has what everybody has.
    this.tierOf.forEach((tier, client) => {
      if (shares[tier] == null) this.tierOf[client] = qosBestEffortIndex;
    });
  }

  /** @returns 0 or the status of an assignment that cannot be */
  checkTier(client: number, tier: number, takesBestEffort: boolean): number {
    if (this.shares[tier] == null) return Status.invalidField;
    return takesBestEffort || this.fits(client, tier) ? 0 : QosStatus.overcommitted;
  }

  /** Without its reservation where that does not fit: only a reset can ask for such a thing. */
  setTier(client: number, tier: number): void {
    const given = this.shares[tier] == null ? qosBestEffortIndex : tier;
    this.isBestEffort[client] = this.fits(client, given) ? 0 : 1;
    this.tierOf[client] = given;
  }

  private fits(client: number, tier: number): boolean {
    const share = this.shares[tier]!;
    if (share.reservation === 0) return true;
    const own = this.isBestEffort[client] === 1 ? 0 : this.shareOfTier(client);
    const others = this.reserved(this.shares) - own;
    const latencyNs = Math.min(share.latencyTargetNs, this.strictestNs(this.shares, client));
    return others + share.reservation <= this.capacity.available(latencyNs);
  }

  private shareOfTier(client: number): number {
    return this.shares[this.tierOf[client]!]?.reservation ?? 0;
  }

  private reserved(shares: Shares): number {
    let sum = 0;
    for (let client = 0; client < this.tierOf.length; client++) {
      if (this.isBestEffort[client] === 1) continue;
      sum += shares[this.tierOf[client]!]?.reservation ?? 0;
    }
    return sum;
  }

  /** The least latency that one with a reservation asks for. */
  private strictestNs(shares: Shares, except = -1): number {
    let strictest = Number.POSITIVE_INFINITY;
    for (let client = 0; client < this.tierOf.length; client++) {
      const share = shares[this.tierOf[client]!];
      if (share == null || share.reservation === 0 || client === except) continue;
      if (this.isBestEffort[client] === 0) strictest = Math.min(strictest, share.latencyTargetNs);
    }
    return strictest;
  }
}
