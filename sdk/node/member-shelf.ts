import { readBlocks } from '../block/promised.js';
import { LocalMember, type MemberDevices } from '../mirror/local-member.js';
import type { MemberCopies, MemberVolume } from '../mirror/port.js';
import { cellBytes } from '../volume/format.js';
import type { Pool } from '../volume/pool.js';
import { type MemberCounts, type MemberShares, PoolShares } from './member-shares.js';

/** What a member is made for. Identities are 32 hexadecimal digits. */
export interface MemberSpec {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly memberId: string;
  readonly bytes: number;
  readonly blockBytes: number;
  /** For one bit of the write-intent map. */
  readonly regionBytes: number;
}

/** Set in the attributes of a pool's volume when the member in it is whole. */
const wholeAttribute = 'mirror-member';

/**
 * The members in a node's pool: each is a thin volume for the data and a small one for what the
 * member says of itself. A member that was not made to its end, because the power went, is taken
 * away and made again; nothing else is ever taken away unasked.
 */
export class MemberShelf {
  readonly members = new Map<string, LocalMember>();
  private readonly pool: Pool;
  private readonly shares: PoolShares | null;

  private constructor(pool: Pool, shares: MemberShares | null) {
    this.pool = pool;
    this.shares = shares === null ? null : new PoolShares(pool, shares);
  }

  /**
   * @param shares  what each member may take of the pool's devices; first come, first served when
   *   left out
   * @throws UltimaError MEMBER_REFUSED for a member whose own words are damaged; RangeError for
   *   shares that cannot be
   */
  static async open(pool: Pool, shares: MemberShares | null = null): Promise<MemberShelf> {
    const shelf = new MemberShelf(pool, shares);
    for (const { name, attributes } of [...pool.volumes()]) {
      const memberId = attributes[wholeAttribute];
      if (memberId !== undefined && name === dataName(memberId)) {
        shelf.members.set(memberId, await LocalMember.open(shelf.devices(memberId)));
      }
    }
    return shelf;
  }

  /** Make a member, unless it is there. */
  async make(spec: MemberSpec): Promise<LocalMember> {
    const { clusterId, volumeId, memberId, bytes, blockBytes, regionBytes } = spec;
    const known = this.members.get(memberId);
    if (known !== undefined) return known;
    await this.clear(memberId);
    const size = blockBytes === 512 ? 512 : 4096;
    const regionBlocks = regionBytes / size;
    const geometry = { blockBytes: size, blockCount: bytes / size, regionBlocks };
    await this.pool.createVolume({ name: dataName(memberId), bytes, blockBytes: size });
    const metaBytes = LocalMember.metaBytes(cellBytes, geometry);
    await this.pool.createVolume({ name: metaName(memberId), bytes: metaBytes });
    const devices = this.devices(memberId);
    const identity = { clusterId, volumeId, memberId };
    await LocalMember.format(devices, identity, regionBlocks, { isBlank: true });
    await this.pool.setAttributes(dataName(memberId), { [wholeAttribute]: memberId });
    await this.pool.commit();
    const member = await LocalMember.open(devices);
    this.members.set(memberId, member);
    return member;
  }

  /** Take a member away with everything in it. */
  async remove(memberId: string): Promise<void> {
    this.members.get(memberId)?.close();
    this.members.delete(memberId);
    this.shares?.close(memberId);
    await this.clear(memberId);
  }

  /** What the shares of a member did; null for one that is not there, or without shares. */
  counts(memberId: string): MemberCounts | null {
    return this.shares?.counts(memberId) ?? null;
  }

  /** The one that says that the member is whole goes first. */
  private async clear(memberId: string): Promise<void> {
    for (const name of [dataName(memberId), metaName(memberId)]) {
      if (!this.pool.volumes().some((volume) => volume.name === name)) continue;
      await this.pool.deleteVolume(name, { withSnapshots: true });
    }
  }

  private devices(memberId: string): MemberDevices {
    const common = {
      meta: this.pool.volume(metaName(memberId)),
      volume: new PoolMemberVolume(this.pool, memberId, this.shares),
    };
    const data = this.pool.volume(dataName(memberId));
    if (this.shares === null) return { ...common, data };
    const { users, background } = this.shares.open(memberId, data);
    return { ...common, data: users, background };
  }

  close(): void {
    for (const member of this.members.values()) member.close();
    this.members.clear();
  }
}

function dataName(memberId: string): string {
  return `member-${memberId}`;
}

function metaName(memberId: string): string {
  return `${dataName(memberId)}-meta`;
}

/** Snapshots of a member are those of its volume, and it grows with that. */
class PoolMemberVolume implements MemberVolume {
  private readonly pool: Pool;
  private readonly memberId: string;
  private readonly volume: string;
  private readonly shares: PoolShares | null;

  constructor(pool: Pool, memberId: string, shares: PoolShares | null) {
    this.pool = pool;
    this.shares = shares;
    this.memberId = memberId;
    this.volume = dataName(memberId);
  }

  async seal(name: string): Promise<void> {
    // What nobody lists is left of an attempt that the mirror has given up.
    await this.remove(name);
    await this.pool.takeSnapshot([{ volume: this.volume, name }]);
  }

  async restore(name: string): Promise<void> {
    // Whoever wants to go back again has the mirror seal the state of now first.
    const kept = `until-${name}`.slice(0, 63);
    if (this.has(kept)) await this.pool.deleteSnapshot(this.volume, kept);
    await this.pool.restore(this.volume, name, kept);
    // It is restored, whatever becomes of what it was: the next restore looks again.
    await this.pool.deleteSnapshot(this.volume, kept).catch(() => {});
  }

  async remove(name: string): Promise<void> {
    if (this.has(name)) await this.pool.deleteSnapshot(this.volume, name);
  }

  readonly copies: MemberCopies = {
    list: () => this.pool.snapshots(this.volume).map(({ name }) => name),
    changes: (from, to, startByte) => {
      const { volume } = this;
      const base = from === null ? null : { volume, snapshot: from };
      return this.pool.changes(base, { volume, snapshot: to }, startByte);
    },
    read: async (name, byteOffset, into) => {
      const snapshot = this.pool.snapshot(this.volume, name);
      const way = this.shares?.copyOf(this.memberId, snapshot) ?? snapshot;
      await readBlocks(way, byteOffset / snapshot.blockBytes, into);
    },
  };

  async grow(to: { readonly dataBytes: number; readonly metaBytes: number }): Promise<void> {
    await this.growOne(metaName(this.memberId), to.metaBytes);
    await this.growOne(dataName(this.memberId), to.dataBytes);
  }

  private async growOne(name: string, bytes: number): Promise<void> {
    const { blockBytes, blockCount } = this.pool.volume(name);
    if (bytes > blockBytes * blockCount) await this.pool.growVolume(name, bytes);
  }

  private has(name: string): boolean {
    return this.pool.snapshots(this.volume).some((snapshot) => snapshot.name === name);
  }
}
