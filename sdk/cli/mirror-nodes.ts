import type { BlockDevice, LinkedBlockDevice } from '../block/device.js';
import { MemoryStore } from '../cluster/memory-store.js';
import type { ClusterStore } from '../cluster/store.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { LinkedAssociation } from '../mirror/linked-association.js';
import { Mirror } from '../mirror/mirror.js';
import { createMirror } from '../mirror/options.js';
import type { MemberPort } from '../mirror/port.js';
import { MemberShelf } from '../node/member-shelf.js';
import { regionBytesOf } from '../node/records.js';
import { NvmeController } from '../nvme/controller.js';
import type { NodeCard, OpenNodes } from '../open.js';
import { TestPrng } from '../testing/prng.js';
import { msNs, secondNs, usNs } from '../units.js';
import { Pool } from '../volume/pool.js';

/** 100 Gbit/s, and what a message takes to another node. */
export const link = { latencyNs: 10 * usNs, bytesPerNs: 12.5 } as const;
/** For a commit or a read of the cluster store. */
export const storeNs = msNs;
/** For how long a confirmed writer serves reads: a taker waits for it when a member is missing. */
export const leaseNs = secondNs / 2;

const bootLimitNs = 10 * secondNs;
const allOnes = 0xffff_ffff;
const clusterId = 'c'.repeat(32);
const volumeId = 'a'.repeat(32);

interface Node {
  readonly name: string;
  readonly memberId: string;
  readonly card: NodeCard;
  readonly links: { lose(): void }[];
  isUp: boolean;
  /** How often it has come up. */
  lives: number;
  pool: Pool;
  shelf: MemberShelf;
  controller: NvmeController;
}

/** Simulated nodes, each with a card, a pool on it, and a member of one mirrored volume. */
export class MirrorNodes {
  readonly clock: Clock;
  readonly nodes: Node[] = [];
  private readonly open: OpenNodes;
  private readonly store: ClusterStore;
  private readonly chance: TestPrng;

  private constructor(open: OpenNodes, seed: number) {
    this.open = open;
    this.clock = open.clock;
    this.chance = new TestPrng(seed);
    this.store = new MemoryStore(open.clock);
  }

  /** Make pools, members of so many bytes and the mirror. **Overwrites the cards.** */
  static async make(open: OpenNodes, seed: number, bytes: number): Promise<MirrorNodes> {
    const nodes = new MirrorNodes(open, seed);
    for (const card of open.cards) await nodes.add(card, bytes);
    const { data, header } = nodes.member(0);
    const { blockBytes } = data;
    const memberIds = nodes.nodes.map(({ memberId }) => memberId);
    const geometry = { blockBytes, blockCount: header.blockCount };
    const { regionBlocks } = header;
    const spec = { clusterId, volumeId, memberIds, ...geometry, regionBlocks };
    await createMirror(nodes.store, spec);
    return nodes;
  }

  private readonly random = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.chance.word();
  };

  private async add(card: NodeCard, wantedBytes: number): Promise<void> {
    const index = this.nodes.length;
    const controller = await NvmeController.open(card.fn);
    const device = await this.deviceOf(controller);
    const pool = await Pool.create([device], { random: this.random, overwrites: true });
    const shelf = await MemberShelf.open(pool);
    const memberId = String(index + 1).padStart(32, '0');
    const blockBytes = device.blockBytes === 512 ? 512 : 4096;
    const regionBytes = regionBytesOf(wantedBytes);
    const bytes = Math.ceil(wantedBytes / regionBytes) * regionBytes;
    await shelf.make({ clusterId, volumeId, memberId, bytes, blockBytes, regionBytes });
    const name = `node ${index + 1}`;
    this.nodes.push({
      name,
      memberId,
      card,
      links: [],
      isUp: true,
      lives: 1,
      pool,
      shelf,
      controller,
    });
  }

  /** A queue deep enough for a mirror's requests. */
  private async deviceOf(controller: NvmeController): Promise<BlockDevice> {
    const queuePair = await controller.createQueuePair({ entries: 1024 });
    return controller.namespace(1, { queuePair });
  }

  private member(index: number) {
    const { shelf, memberId } = this.nodes[index]!;
    return shelf.members.get(memberId)!;
  }

  /** Nodes do their part also for writers that are gone: what these began must end. */
  poll(): void {
    for (const { isUp, shelf } of this.nodes) {
      if (isUp) for (const member of shelf.members.values()) member.poll();
    }
  }

  /** Byte ranges of the volume in which a node has data. */
  *written(index: number): Generator<{ readonly byteOffset: number; readonly byteLength: number }> {
    const { pool, memberId } = this.nodes[index]!;
    for (const range of pool.changesNow(null, { volume: `member-${memberId}` })) {
      if (range.isData) yield range;
    }
  }

  /** What a node has of the volume, or of one of its snapshots. */
  content(index: number, snapshot?: string): BlockDevice {
    const { pool, memberId } = this.nodes[index]!;
    const volume = `member-${memberId}`;
    return snapshot === undefined ? pool.volume(volume) : pool.snapshot(volume, snapshot);
  }

  /**
   * A device on one node as somebody elsewhere has it, until the node is gone, or the one that has
   * it: null for a client that is on none of the nodes.
   */
  linkTo(
    index: number,
    from: number | null,
    { far, memory }: { readonly far: BlockDevice; readonly memory: DmaSpace },
  ): LinkedBlockDevice {
    const linked = this.open.link(far, memory, link);
    this.nodes[index]!.links.push(linked);
    if (from !== null) this.nodes[from]!.links.push(linked);
    return linked;
  }

  /** Become the writer on a node. */
  attach(index: number, isForced: boolean): Promise<Mirror> {
    const { name } = this.nodes[index]!;
    const { memory } = this.member(index).data;
    return Mirror.attach({
      ...{
        store: this.storeOf(index),
        volumeId,
        writer: name,
        clock: this.clock,
        memory,
        isForced,
      },
      ports: this.nodes.map((_, target) => this.port(index, target, memory)),
      ...{ random: this.random, leaseNs, answerNs: secondNs / 10 },
      ...{ retryNs: 20 * msNs, cleanNs: secondNs / 2 },
    });
  }

  /** The cluster store as a node reaches it: never again once the node is gone. */
  private storeOf(index: number): ClusterStore {
    const node = this.nodes[index]!;
    const { lives } = node;
    const ask = async <T>(call: () => Promise<T>): Promise<T> => {
      await pass(this.clock, storeNs);
      if (!node.isUp || node.lives !== lives) throw noStore(node.name);
      return call();
    };
    const { store } = this;
    return {
      read: (key) => ask(() => store.read(key)),
      list: (prefix) => ask(() => store.list(prefix)),
      commit: (conditions, changes) => ask(() => store.commit(conditions, changes)),
      watch: (...given) => store.watch(...given),
      grantLease: (ttlMs) => store.grantLease(ttlMs),
      close: () => store.close(),
    };
  }

  private port(writer: number, target: number, memory: DmaSpace): MemberPort {
    const node = this.nodes[target]!;
    return {
      id: node.memberId,
      isLocal: writer === target,
      connect: async () => {
        if (!node.isUp) throw away(node);
        const association = this.member(target).associate();
        if (writer === target) return association;
        return new LinkedAssociation(association, {
          link: (far) => this.linkTo(target, writer, { far, memory }),
          clock: this.clock,
          latencyNs: link.latencyNs,
          demand: () => {
            if (!node.isUp) throw away(node);
          },
        });
      },
    };
  }

  /** The power of a node goes: its card loses what was not flushed, its links break. */
  kill(index: number): void {
    const node = this.nodes[index]!;
    node.isUp = false;
    node.card.powerCut();
    for (const each of node.links.splice(0)) each.lose();
  }

  /** The node comes up again: driver, pool and member begin with what the card has kept. */
  async revive(index: number): Promise<void> {
    const node = this.nodes[index]!;
    const fn = node.card.powerOn();
    // The card boots: until then its registers read as all-ones.
    const lateNs = this.clock.nowNs() + bootLimitNs;
    while (fn.config.read32(0) === allOnes && this.clock.nowNs() < lateNs) {
      await pass(this.clock, msNs);
    }
    node.controller = await NvmeController.open(fn);
    node.pool = await Pool.open([await this.deviceOf(node.controller)]);
    node.shelf = await MemberShelf.open(node.pool);
    node.isUp = true;
    node.lives += 1;
  }

  async close(): Promise<void> {
    for (const { shelf, pool, controller } of this.nodes) {
      shelf.close();
      await pool.close();
      await controller.close();
    }
  }
}

async function pass(clock: Clock, ns: number): Promise<void> {
  const untilNs = clock.nowNs() + ns;
  while (clock.nowNs() < untilNs) await clock.turn(untilNs);
}

function noStore(name: string): UltimaError {
  return new UltimaError(ErrorCode.storeUnreachable, `${name} has no power`, { name });
}

function away({ name, memberId }: Node): UltimaError {
  return new UltimaError(ErrorCode.memberLost, `${name} is away`, { memberId });
}
