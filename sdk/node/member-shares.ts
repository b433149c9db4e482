import { assert } from '../assert.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import type { Clock, DmaSpace } from '../device.js';
import { type GateCounts, type QosDevice, QosGate } from '../qos/gate.js';
import { checkShare, type Share } from '../qos/scheduler.js';
import type { Pool } from '../volume/pool.js';

/** What the members of a node's pool may take of it, each of them. */
export interface MemberShares {
  /** What applications wait for. */
  readonly users: Share;
  /** What nobody waits for: copies for members that come back, comparisons. */
  readonly background: Share;
}

const none = Number.POSITIVE_INFINITY;

/**
 * An eighth of what users have, as long as both want all they can get; and some MB/s whatever users
 * do, because what is copied is held against them meanwhile.
 */
export const defaultShares: MemberShares = {
  users: { reservation: 0, limit: none, weight: 8 },
  background: { reservation: 1_000, limit: none, weight: 1 },
};

/** What the two shares of one member did. */
export interface MemberCounts {
  readonly users: GateCounts;
  readonly background: GateCounts;
  /** Units of what it had sealed that were read for copies, as background work too. */
  readonly copiedUnits: number;
}

interface SharedMember {
  readonly users: QosDevice;
  readonly background: QosDevice;
  /** What is copied of what it has sealed, and the way to it. */
  sealed: BlockDevice | null;
  copies: QosDevice | null;
  /** Of ways that were taken before. */
  copiedUnits: number;
}

const mostMembers = 1024;
/** A megabyte under way keeps disks busy; what is behind the gate is in no order any more. */
const depthUnits = 256;

/** One gate before all members of a pool, which share its devices. */
export class PoolShares {
  private readonly gate: QosGate;
  private readonly shares: MemberShares;
  private readonly members = new Map<string, SharedMember>();
  /** Of members that are gone, with requests that still wait. */
  private leaving: QosDevice[] = [];

  /** @throws RangeError for shares that cannot be */
  constructor(pool: Pool, shares: MemberShares) {
    checkShare(shares.users);
    checkShare(shares.background);
    this.shares = shares;
    this.gate = new QosGate(new PoolLoop(pool), { clientCount: 4 * mostMembers, depthUnits });
  }

  /** @throws UltimaError QUEUE_FULL for more members than 1,024 */
  open(memberId: string, data: BlockDevice): SharedMember {
    // An attempt to make it may have failed.
    this.close(memberId);
    const { users, background } = this.shares;
    const devices = {
      users: this.gate.open(users, data),
      background: this.gate.open(background, data),
      sealed: null,
      copies: null,
      copiedUnits: 0,
    };
    this.members.set(memberId, devices);
    return devices;
  }

  /** The way to what a member has sealed, for a copy: one such share for each member. */
  copyOf(memberId: string, sealed: BlockDevice): BlockDevice {
    const member = this.members.get(memberId);
    if (member === undefined) return sealed;
    const { copies } = member;
    if (copies !== null && member.sealed === sealed) return copies;
    if (copies !== null) {
      member.copiedUnits += copies.counts.servedUnits;
      this.leaving.push(copies);
    }
    this.sweep();
    const fresh = this.gate.open(this.shares.background, sealed);
    member.sealed = sealed;
    member.copies = fresh;
    return fresh;
  }

  /** The member is gone. */
  close(memberId: string): void {
    const member = this.members.get(memberId);
    this.members.delete(memberId);
    if (member !== undefined) {
      const { users, background, copies } = member;
      this.leaving.push(users, background, ...(copies === null ? [] : [copies]));
    }
    this.sweep();
  }

  counts(memberId: string): MemberCounts | null {
    const member = this.members.get(memberId);
    if (member === undefined) return null;
    const { users, background, copies } = member;
    const copiedUnits = member.copiedUnits + (copies?.counts.servedUnits ?? 0);
    return { users: users.counts, background: background.counts, copiedUnits };
  }

  private sweep(): void {
    this.leaving = this.leaving.filter((device) => {
      if (device.isWaiting) return true;
      device.close();
      return false;
    });
  }
}

/** What all volumes of a pool have in common, as the gate sees it: room, and what drives them. */
class PoolLoop implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount = 1;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly pool: Pool;

  constructor(pool: Pool) {
    const { device } = pool.core.ports[0]!;
    this.pool = pool;
    this.blockBytes = device.blockBytes;
    this.limits = device.limits;
    this.clock = device.clock;
    this.memory = device.memory;
  }

  canSubmit(): boolean {
    return this.pool.core.io.canSubmit;
  }

  submit(): void {
    assert(false, 'each share of the gate has a volume of its own');
  }

  poll(): number {
    return this.pool.core.poll();
  }
}
