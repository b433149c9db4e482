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
}

interface Pair {
  readonly users: QosDevice;
  readonly background: QosDevice;
}

const mostMembers = 1024;
/** A megabyte under way keeps disks busy; what is behind the gate is in no order any more. */
const depthUnits = 256;

/** One gate before all members of a pool, which share its devices. */
export class PoolShares {
  private readonly gate: QosGate;
  private readonly shares: MemberShares;
  private readonly pairs = new Map<string, Pair>();
  /** Of members that are gone, with requests that still wait. */
  private leaving: QosDevice[] = [];

  /** @throws RangeError for shares that cannot be */
  constructor(pool: Pool, shares: MemberShares) {
    checkShare(shares.users);
    checkShare(shares.background);
    this.shares = shares;
    this.gate = new QosGate(new PoolLoop(pool), { clientCount: 2 * mostMembers, depthUnits });
  }

  /** @throws UltimaError QUEUE_FULL for more members than 1,024 */
  open(memberId: string, data: BlockDevice): Pair {
    // An attempt to make it may have failed.
    this.close(memberId);
    const { users, background } = this.shares;
    const pair = {
      users: this.gate.open(users, data),
      background: this.gate.open(background, data),
    };
    this.pairs.set(memberId, pair);
    return pair;
  }

  /** The member is gone. */
  close(memberId: string): void {
    const pair = this.pairs.get(memberId);
    this.pairs.delete(memberId);
    if (pair !== undefined) this.leaving.push(pair.users, pair.background);
    this.sweep();
  }

  counts(memberId: string): MemberCounts | null {
    const pair = this.pairs.get(memberId);
    return pair ? { users: pair.users.counts, background: pair.background.counts } : null;
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
