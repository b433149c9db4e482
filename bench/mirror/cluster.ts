import type { BlockDevice } from '../../sdk/block/device.js';
import { BlockOp, BlockRequest } from '../../sdk/block/request.js';
import { MemoryStore } from '../../sdk/cluster/memory-store.js';
import type { ClusterStore } from '../../sdk/cluster/store.js';
import { LinkedAssociation } from '../../sdk/mirror/linked-association.js';
import { LocalMember } from '../../sdk/mirror/local-member.js';
import { Mirror } from '../../sdk/mirror/mirror.js';
import { createMirror, type MirrorOptions } from '../../sdk/mirror/options.js';
import type { MemberPort } from '../../sdk/mirror/port.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import { Histogram } from '../../sdk/observe/histogram.js';
import { unitBytes } from '../../sdk/qos/cost.js';
import { QosGate } from '../../sdk/qos/gate.js';
import type { Share } from '../../sdk/qos/scheduler.js';
import { SimCard } from '../../sim/card.js';
import { LinkedDevice, Wire } from '../../sim/net/linked-device.js';
import { Prng } from '../../sim/prng.js';
import { findProfile } from '../../sim/profiles/index.js';
import { World } from '../../sim/world.js';
import { SliceDevice } from './slice-device.js';

export const linkLatencyNs = 10_000;
const bytesPerNs = 12.5; // 100 Gbit/s
/** Requests of a member that are on the way. */
const linkDepth = 768;
export const regionBytes = 64 * 1024;
export const dataBytes = 64 * 1024 * 1024;
const metaBytes = 1024 * 1024;
const storeNs = 1_000_000;
const clusterId = 'c'.repeat(32);
export const volumeId = 'a'.repeat(32);

const none = Number.POSITIVE_INFINITY;
const userShare: Share = { reservation: 0, limit: none, weight: 100 };
/** A reservation, because what is copied is held meanwhile, and a limit. */
const backgroundShare: Share = {
  reservation: 50e6 / unitBytes,
  limit: 1e9 / unitBytes,
  weight: 1,
};
const gateOptions = { depthUnits: 64, pieceBytes: 32 * 1024 };

/** Nodes with a simulated card each, in one world. The first is where the writer begins. */
export class BenchCluster {
  readonly world = new World({ seed: 1 });
  readonly members: LocalMember[] = [];
  readonly namespaces: Namespace[] = [];
  readonly metas: SliceDevice[] = [];
  readonly links: (LinkedAssociation | null)[] = [];
  readonly store: ClusterStore;
  private readonly controllers: NvmeController[] = [];
  private readonly cards: SimCard[] = [];

  private constructor() {
    const table = new MemoryStore(this.world.clock);
    const { clock } = this.world;
    const wait = async (): Promise<void> => {
      const untilNs = clock.nowNs() + storeNs;
      while (clock.nowNs() < untilNs) await clock.turn(untilNs);
    };
    this.store = {
      read: async (key) => wait().then(() => table.read(key)),
      list: async (prefix) => wait().then(() => table.list(prefix)),
      commit: async (conditions, changes) => wait().then(() => table.commit(conditions, changes)),
      watch: (...given) => table.watch(...given),
      grantLease: (ttlMs) => table.grantLease(ttlMs),
      close: () => table.close(),
    };
  }

  /** @param isGated each card is behind a gate that knows users and background work */
  static async open(count: number, isGated = false): Promise<BenchCluster> {
    const cluster = new BenchCluster();
    for (let i = 0; i < count; i++) await cluster.addNode(i, isGated);
    const memberIds = cluster.members.map(({ header }) => header.memberId);
    const { blockBytes, blockCount, regionBlocks } = cluster.members[0]!.header;
    const geometry = { blockBytes, blockCount, regionBlocks };
    await createMirror(cluster.store, { clusterId, volumeId, memberIds, ...geometry });
    return cluster;
  }

  private async addNode(index: number, isGated: boolean): Promise<void> {
    const card = new SimCard({ profile: findProfile('ultima-g2'), world: this.world });
    const controller = await NvmeController.open(card.open());
    const queuePair = await controller.createQueuePair({ entries: 1024 });
    const namespace = await controller.namespace(1, { queuePair });
    const { blockBytes } = namespace;
    const gate = isGated ? new QosGate(namespace, gateOptions) : null;
    const sliceOf = (share: Share): SliceDevice =>
      new SliceDevice(gate?.open(share) ?? namespace, 0, dataBytes / blockBytes);
    const data = sliceOf(userShare);
    const meta = new SliceDevice(namespace, dataBytes / blockBytes, metaBytes / blockBytes);
    const memberId = String(index + 1).padStart(32, '0');
    const devices = { meta, data, ...(isGated ? { background: sliceOf(backgroundShare) } : {}) };
    const identity = { clusterId, volumeId, memberId };
    await LocalMember.format(devices, identity, regionBytes / blockBytes);
    this.members.push(await LocalMember.open(devices));
    this.namespaces.push(namespace);
    this.metas.push(meta);
    this.controllers.push(controller);
    this.cards.push(card);
    this.links.push(null);
  }

  /** How the writer on a node reaches a member: at once on its own node, else over the link. */
  port(writer: number, target: number, isLocal = writer === target): MemberPort {
    const member = this.members[target]!;
    const { memory } = this.namespaces[writer]!;
    const connect = async (): Promise<ReturnType<LocalMember['associate']>> => {
      const association = member.associate();
      if (writer === target) return association;
      const { world } = this;
      const latencyNs = linkLatencyNs;
      const wire = new Wire();
      const options = { world, memory, latencyNs, bytesPerNs, requestCount: linkDepth, wire };
      const link = new LinkedAssociation(association, {
        link: (far) => new LinkedDevice(far, options),
        clock: world.clock,
        latencyNs,
      });
      this.links[target] = link;
      return link;
    };
    return { id: member.header.memberId, isLocal, connect };
  }

  async attach(writer: number, more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const prng = new Prng(1, 'token');
    const mirror = await Mirror.attach({
      ...{ store: this.store, volumeId, writer: `node ${writer}`, clock: this.world.clock },
      ports: this.members.map((_, target) => this.port(writer, target)),
      memory: this.namespaces[writer]!.memory,
      random: (bytes) => prng.fill(bytes),
      ...{ requestCount: 640, leaseNs: 60e9, retryNs: 5e6, cleanNs: 50e6, isForced: true },
      ...more,
    });
    return mirror;
  }

  /** Let the world go on until something is so. */
  async until(mirror: Mirror, isSo: () => boolean): Promise<void> {
    const { clock } = this.world;
    while (!isSo()) {
      // Each node drives its own card, whoever is connected to it.
      for (const member of this.members) member.poll();
      if (mirror.device.poll() === 0) await clock.turn(clock.nowNs() + 100_000);
    }
  }

  async attachWhole(writer: number, more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const mirror = await this.attach(writer, more);
    await this.until(mirror, () => {
      const { state, unreconciledRegions } = mirror.status;
      return state === 'serving' && unreconciledRegions === 0;
    });
    return mirror;
  }

  /** Wait until nothing is marked: no region was written for a while. */
  async calm(mirror: Mirror): Promise<void> {
    await this.until(mirror, () => mirror.status.markedRegions === 0);
  }

  async close(): Promise<void> {
    for (const controller of this.controllers) await controller.close();
    for (const card of this.cards) await card.close();
  }
}

export interface LoadShape {
  readonly depth: number;
  readonly readPercent: number;
  readonly bytes?: number;
}

/** A closed loop of random requests; what it needs of others goes on beside it. */
export class AsyncLoad {
  readonly reads = new Histogram();
  readonly writes = new Histogram();
  /** The longest time without a write that ended, and when it began. */
  longestGapNs = 0;
  gapStartNs = 0;
  ended = 0;
  failed = 0;
  isOver = false;
  private inFlight = 0;
  private lastNs: number;
  private readonly device: BlockDevice;
  private readonly prng = new Prng(1, 'load');
  private readonly shape: LoadShape;
  private readonly startedNs: Float64Array;

  constructor(device: BlockDevice, shape: LoadShape) {
    this.device = device;
    this.shape = shape;
    this.startedNs = new Float64Array(shape.depth);
    this.lastNs = device.clock.nowNs();
    const bytes = shape.bytes ?? 4096;
    for (let i = 0; i < shape.depth; i++) {
      const request = new BlockRequest((each) => this.over(each));
      request.tag = i;
      request.blockCount = bytes / device.blockBytes;
      request.setData(device.memory.allocate(bytes), 0, bytes);
      this.submit(request);
    }
  }

  private submit(request: BlockRequest): void {
    const isRead = this.prng.below(100) < this.shape.readPercent;
    request.op = isRead ? BlockOp.read : BlockOp.write;
    const places = Math.floor(this.device.blockCount / request.blockCount);
    request.lba = this.prng.below(places) * request.blockCount;
    this.startedNs[request.tag] = this.device.clock.nowNs();
    this.inFlight++;
    this.device.submit(request);
  }

  private over(request: BlockRequest): void {
    const nowNs = this.device.clock.nowNs();
    this.inFlight--;
    this.ended++;
    if (request.status !== 0) this.failed++;
    const histogram = request.op === BlockOp.read ? this.reads : this.writes;
    histogram.record(nowNs - this.startedNs[request.tag]!);
    if (request.op === BlockOp.write) {
      if (nowNs - this.lastNs > this.longestGapNs) {
        this.longestGapNs = nowNs - this.lastNs;
        this.gapStartNs = this.lastNs;
      }
      this.lastNs = nowNs;
    }
    if (!this.isOver) this.submit(request);
  }

  get isQuiet(): boolean {
    return this.inFlight === 0;
  }
}
