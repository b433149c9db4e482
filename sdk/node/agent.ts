import type { ClusterStore, Lease, StoreWatch } from '../cluster/store.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { NvmeTcpTarget } from '../fabric/target.js';
import type { MutualTls } from '../sockets/node-sockets.js';
import type { Pool } from '../volume/pool.js';
import { ClusterDirectory } from './directory.js';
import { MemberService, memberNqn } from './member-service.js';
import { defaultShares, type MemberCounts, type MemberShares } from './member-shares.js';
import { MemberShelf } from './member-shelf.js';
import {
  decodeVolume,
  encodeRecord,
  keys,
  type PlacedMember,
  type VolumeRecord,
} from './records.js';

export interface NodeAgentOptions {
  readonly name: string;
  /** What fails together has one zone; the name of the node when left out. */
  readonly zone?: string;
  /** The node's pool. The agent uses it alone. */
  readonly pool: Pool;
  readonly store: ClusterStore;
  readonly random: (bytes: Uint8Array) => void;
  /** 'HOST:PORT' for the members; port 0 takes any that is free. */
  readonly listen: string;
  /** What others connect to, when it is not where we listen. */
  readonly address?: string;
  readonly tls?: MutualTls;
  /** What each member may take of the pool's devices; `defaultShares` when left out. */
  readonly shares?: MemberShares;
  /** A node that says nothing for so long is away: 10 s when left out. */
  readonly leaseMs?: number;
  /** Something that a person should know; the agent goes on. */
  readonly onTrouble?: (what: string) => void;
}

const defaultLeaseMs = 10_000;
const retryMs = 500;

/**
 * A node of the cluster: it has the members that the cluster's list gives to it, serves them to
 * whoever writes, and says that it is alive.
 *
 * It makes a member when the list names one that it does not have, and takes one away only when the
 * list says so by name. A list that is empty, unreadable or gone takes nothing away.
 */
export class NodeAgent {
  readonly name: string;
  private readonly options: NodeAgentOptions;
  private readonly directory: ClusterDirectory;
  private readonly shelf: MemberShelf;
  private readonly target: NvmeTcpTarget;
  private readonly clusterId: string;
  private lease: Lease | null = null;
  private watch: StoreWatch | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private work: Promise<void> = Promise.resolve();
  private isClosed = false;

  /** @throws UltimaError STORE_UNREACHABLE, NAME_TAKEN, ADDRESS_INVALID, DEVICE_BUSY */
  static async start(options: NodeAgentOptions): Promise<NodeAgent> {
    const directory = new ClusterDirectory(options.store, options.random);
    const { name, zone = name, pool, shares = defaultShares } = options;
    const poolId = Buffer.from(pool.id).toString('hex');
    const clusterId = await directory.clusterId();
    await directory.join({ name, zone, poolId });
    const shelf = await MemberShelf.open(pool, shares);
    const services = [...shelf.members].map(([id, member]) => new MemberService(member, id));
    const own = { nqn: `nqn.2026-11.io.ultima:node:${name}` };
    const target = await NvmeTcpTarget.start({
      listen: [options.listen],
      subsystems: [own, ...services.map((service) => service.subsystem)],
      ...(options.tls === undefined ? {} : { tls: options.tls }),
    });
    const agent = new NodeAgent(options, { directory, shelf, target, clusterId });
    await agent.sayAlive();
    agent.follow();
    return agent;
  }

  private constructor(
    options: NodeAgentOptions,
    parts: {
      readonly directory: ClusterDirectory;
      readonly shelf: MemberShelf;
      readonly target: NvmeTcpTarget;
      readonly clusterId: string;
    },
  ) {
    this.options = options;
    this.name = options.name;
    this.directory = parts.directory;
    this.shelf = parts.shelf;
    this.target = parts.target;
    this.clusterId = parts.clusterId;
  }

  /** Where this node's members are served. */
  get address(): string {
    const [place] = this.target.places;
    return this.options.address ?? `${place!.host}:${place!.port}`;
  }

  get memberCount(): number {
    return this.shelf.members.size;
  }

  /** What the shares of a member did since the agent has started; null for one not of this node. */
  counts(memberId: string): MemberCounts | null {
    return this.shelf.counts(memberId);
  }

  /** Nothing is under way any more: for orderly ends, and tests. */
  async settled(): Promise<void> {
    let seen: Promise<void>;
    do {
      seen = this.work;
      await seen;
    } while (seen !== this.work);
  }

  private async sayAlive(): Promise<void> {
    const { store, pool, leaseMs = defaultLeaseMs } = this.options;
    try {
      if (this.lease !== null) await this.lease.keepAlive();
      else this.lease = await store.grantLease(leaseMs);
      const { totalBytes, freeBytes } = pool.space();
      const trouble = pool.failure;
      const said = { address: this.address, poolBytes: totalBytes, freeBytes, trouble };
      const key = keys.alive + this.name;
      await store.commit([], [{ key, value: encodeRecord(said), lease: this.lease }]);
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      // A lease that has ended is not kept; the next time there is another.
      if (error.code === ErrorCode.notFound) this.lease = null;
      this.options.onTrouble?.(error.message);
    }
    if (this.isClosed) return;
    this.timer = setTimeout(() => void this.sayAlive(), leaseMs / 4);
  }

  /** Look at the whole list, then at each change of it. */
  private follow(): void {
    if (this.isClosed) return;
    const { store } = this.options;
    void store.list(keys.volumes).then(
      ({ entries, revision }) => {
        if (this.isClosed) return;
        for (const { key, value } of entries) this.see(key, value);
        this.watch = store.watch(keys.volumes, revision, {
          changed: (events) => {
            for (const { key, value } of events) if (value !== null) this.see(key, value);
          },
          failed: (error) => {
            this.options.onTrouble?.(error.message);
            this.followLater();
          },
        });
      },
      (error: Error) => {
        this.options.onTrouble?.(error.message);
        this.followLater();
      },
    );
  }

  private followLater(): void {
    setTimeout(() => this.follow(), retryMs);
  }

  /** One volume after the other, and each as often as its record changes. */
  private see(key: string, value: Uint8Array): void {
    this.work = this.work.then(async () => {
      try {
        if (!this.isClosed) await this.makeSo(decodeVolume(key, value));
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        this.options.onTrouble?.(`${key}: ${text}`);
        if (!this.isClosed) setTimeout(() => this.see(key, value), retryMs);
      }
    });
  }

  private async makeSo(record: VolumeRecord): Promise<void> {
    const isGoing = record.state === 'deleting';
    for (const member of record.members) {
      if (member.node !== this.name) continue;
      if (isGoing) await this.remove(member);
      else await this.make(record, member);
    }
    const retired = record.retired.filter((member) => member.node === this.name);
    for (const member of retired) await this.remove(member);
    if (isGoing) await this.directory.forgetDeleted(record);
    else if (retired.length > 0) await this.directory.unlist(record.name, this.name);
  }

  private async make(record: VolumeRecord, { id }: PlacedMember): Promise<void> {
    const { volumeId, bytes, blockBytes, regionBytes, name } = record;
    if (!this.shelf.members.has(id)) {
      const { clusterId } = this;
      const spec = { clusterId, volumeId, memberId: id, bytes, blockBytes, regionBytes };
      const member = await this.shelf.make(spec);
      this.target.addSubsystem(new MemberService(member, id).subsystem);
    }
    const key = keys.members + id;
    if ((await this.options.store.read(key)) !== null) return;
    const value = encodeRecord({ node: this.name, volume: name });
    await this.options.store.commit([], [{ key, value }]);
  }

  private async remove({ id }: PlacedMember): Promise<void> {
    if (this.shelf.members.has(id)) {
      await this.target.removeSubsystem(memberNqn(id));
      await this.shelf.remove(id);
    }
    await this.options.store.commit([], [{ key: keys.members + id, value: null }]);
  }

  /** The members are not served any more; the pool stays open. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.watch?.close();
    await this.settled();
    await this.target.close();
    this.shelf.close();
    await this.lease?.revoke().catch(() => {});
  }
}
