import type { BlockDevice, BlockLimits } from '../../sdk/block/device.js';
import { MemorySpace } from '../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import type { Clock, DmaRegion, DmaSpace } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { LocalMember, type MemberDevices } from '../../sdk/mirror/local-member.js';
import type { Mirror } from '../../sdk/mirror/mirror.js';
import type {
  MemberAssociation,
  MemberCopies,
  MemberPort,
  MemberVolume,
} from '../../sdk/mirror/port.js';
import { decodeVerb } from '../../sdk/mirror/verbs.js';
import { QosGate } from '../../sdk/qos/gate.js';
import { StormDisk } from './mirror-disk.js';
import type { StormNet } from './mirror-net.js';
import { type StormStore, StormStoreClient } from './mirror-store.js';
import type { StormWorld } from './mirror-world.js';

export const geometry = { blockBytes: 8, blockCount: 64, regionBlocks: 4 } as const;
/** As far as a storm lets a volume grow. */
export const mostBlocks = 128;
const metaBlockBytes = 512;
const metaBlocks = LocalMember.metaBytes(metaBlockBytes, geometry) / metaBlockBytes;

/** A node: a clock of its own, a disk, a member on it, and perhaps the mirror's writer. */
export class StormNode {
  readonly index: number;
  readonly world: StormWorld;
  readonly net: StormNet;
  readonly memory = new MemorySpace();
  readonly clock: Clock;
  readonly meta: StormDisk;
  readonly data: StormDisk;
  readonly store: StormStoreClient;
  readonly memberId: string;
  /** By the identity under which the member has them. */
  readonly snapshots = new Map<string, Uint8Array>();
  member: LocalMember | null = null;
  mirror: Mirror | null = null;
  /** All of this life: those that have stopped still answer what was under way. */
  mirrors: Mirror[] = [];
  isUp = true;
  /** Rises when the process dies: what belonged to it never goes on. */
  life = 0;
  /** The clock has jumped so far ahead. */
  jumpedNs = 0;
  private pausedUntilNs = 0;
  private readonly skew: number;
  private isPolling = false;

  constructor(index: number, world: StormWorld, net: StormNet, store: StormStore) {
    this.index = index;
    this.world = world;
    this.net = net;
    this.memberId = String(index + 1).padStart(32, '0');
    this.skew = 0.98 + 0.04 * world.chance.unit();
    const base = Math.floor(world.chance.unit() * 1e9);
    this.clock = {
      nowNs: () => base + this.jumpedNs + Math.floor(world.nowNs * this.skew),
      idle: () => {},
      turn: (untilNs) => this.turn(untilNs),
    };
    const common = { world, clock: this.clock, memory: this.memory, onEnded: () => this.wake() };
    this.meta = new StormDisk({ ...common, blockBytes: metaBlockBytes, blockCount: metaBlocks });
    const { blockBytes, blockCount } = geometry;
    this.data = new StormDisk({ ...common, blockBytes, blockCount, mostBlocks });
    this.store = new StormStoreClient(world, store, () => {
      const { life } = this;
      return (action) => this.deliver(life, action);
    });
    this.tick();
  }

  get isPaused(): boolean {
    return this.world.nowNs < this.pausedUntilNs;
  }

  /** Do something for a process of this node: later if it stands still, never if it has died. */
  deliver(life: number, action: () => void): void {
    if (life !== this.life || !this.isUp) return;
    if (this.isPaused) {
      this.world.after(this.pausedUntilNs - this.world.nowNs, () => this.deliver(life, action));
      return;
    }
    action();
  }

  wake(): void {
    const { life } = this;
    this.deliver(life, () => this.poll());
  }

  private poll(): void {
    if (this.isPolling) return;
    this.isPolling = true;
    this.member?.poll();
    for (const mirror of this.mirrors) mirror.device.poll();
    this.isPolling = false;
  }

  private tick(): void {
    this.world.after(250_000, () => this.tick());
    if (this.isUp && !this.isPaused) this.poll();
  }

  private turn(untilNs: number): Promise<void> {
    const ns = Math.max(1_000, Math.min(100_000, untilNs - this.clock.nowNs()));
    const { life } = this;
    return new Promise((resolve) => {
      this.world.after(ns, () => this.deliver(life, resolve));
    });
  }

  pause(ns: number): void {
    this.pausedUntilNs = Math.max(this.pausedUntilNs, this.world.nowNs + ns);
  }

  async boot(): Promise<void> {
    const { life } = this;
    this.isUp = true;
    try {
      const member = await LocalMember.open(this.devices());
      if (life === this.life) this.member = member;
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      // A dead disk: the node is up without a member, and tries again.
      this.world.after(2e6, () => {
        if (life === this.life && this.member === null) void this.boot();
      });
    }
  }

  /** Every other node gives copying a share of its disk; the gate is part of the process. */
  devices(): MemberDevices {
    const common = { meta: this.meta, volume: this.volume() };
    if (this.index % 2 === 0) return { ...common, data: this.data };
    const gate = new QosGate(this.data, { clientCount: 2, requestCount: 256 });
    const share = { reservation: 20_000, limit: Number.POSITIVE_INFINITY, weight: 1 };
    return { ...common, data: gate.open({ ...share, weight: 50 }), background: gate.open(share) };
  }

  /** A volume whose snapshots are at once and durable. */
  private volume(): MemberVolume {
    return {
      seal: async (name) => {
        this.snapshots.set(name, this.data.content.slice());
      },
      restore: async (name) => {
        const content = this.snapshots.get(name);
        if (content === undefined) throw new UltimaError(ErrorCode.notFound, `no snapshot ${name}`);
        this.data.content.set(content);
        this.data.durable.set(content);
      },
      remove: async (name) => {
        this.snapshots.delete(name);
      },
      copies: copiesOf(this.snapshots),
      grow: async ({ dataBytes }) => {
        const blocks = dataBytes / geometry.blockBytes;
        this.data.blockCount = Math.max(this.data.blockCount, blocks);
      },
    };
  }

  /** The process dies; with the supply, also what stood in the caches of its disk. */
  die(hasPower: boolean): void {
    this.life++;
    this.isUp = false;
    this.member = null;
    this.mirror = null;
    this.mirrors = [];
    for (const disk of [this.meta, this.data]) {
      if (hasPower) disk.forgetOwner();
      else disk.powerCut();
    }
  }

  /** How this node reaches a member. */
  portTo(target: StormNode): MemberPort {
    if (target === this) {
      const connect = async (): Promise<MemberAssociation> => {
        if (this.member === null) throw lost();
        return this.member.associate();
      };
      return { id: target.memberId, isLocal: true, connect };
    }
    return {
      id: target.memberId,
      isLocal: false,
      connect: async () => new RemoteAssociation(this, target),
    };
  }
}

/** Changes are told block by block, and only some at a time. */
function copiesOf(snapshots: ReadonlyMap<string, Uint8Array>): MemberCopies {
  const find = (name: string): Uint8Array => {
    const content = snapshots.get(name);
    if (content === undefined) throw new UltimaError(ErrorCode.notFound, `no snapshot ${name}`);
    return content;
  };
  return {
    list: () => [...snapshots.keys()],
    changes: async function* (from, to, startByte) {
      const after = find(to);
      const before = from === null ? new Uint8Array(after.length) : find(from);
      const { blockBytes: byteLength } = geometry;
      for (let byteOffset = startByte; byteOffset < after.length; byteOffset += byteLength) {
        const block = after.subarray(byteOffset, byteOffset + byteLength);
        if (Buffer.compare(block, before.subarray(byteOffset, byteOffset + byteLength)) === 0)
          continue;
        const isData = block.some((byte) => byte > 0);
        yield { byteOffset, byteLength, isData };
      }
    },
    read: async (name, byteOffset, into) => {
      into.set(find(name).subarray(byteOffset, byteOffset + into.length));
    },
  };
}

function lost(): UltimaError {
  return new UltimaError(ErrorCode.memberLost, 'the member is out of reach');
}

/** What the longest transfer takes. */
const farBytes = mostBlocks * geometry.blockBytes;

interface Sent {
  readonly request: BlockRequest;
}

/** The data of a member at the other end of a connection. */
class RemoteDevice implements BlockDevice {
  readonly blockBytes = geometry.blockBytes;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly association: RemoteAssociation;

  constructor(association: RemoteAssociation, { clock, memory }: StormNode, limits: BlockLimits) {
    this.association = association;
    this.clock = clock;
    this.memory = memory;
    this.limits = limits;
  }

  get blockCount(): number {
    return this.association.knownBlocks;
  }

  canSubmit(): boolean {
    return true;
  }

  submit(request: BlockRequest): void {
    this.association.send(request, this);
  }

  poll(): number {
    return this.association.poll();
  }
}

/** A connection over the net: messages there, answers back, until one side is gone. */
class RemoteAssociation implements MemberAssociation {
  readonly device: BlockDevice;
  readonly background: BlockDevice;
  /** What this side has heard of the size. */
  knownBlocks = 0;
  private readonly node: StormNode;
  private readonly target: StormNode;
  private readonly life: number;
  /** The other side, once it has heard of us; another life of it does not know us. */
  private server: { readonly life: number; readonly association: MemberAssociation } | null = null;
  private isClosed = false;
  private readonly sent = new Map<number, Sent>();
  private readonly asked = new Map<number, (answer: Uint8Array | null) => void>();
  private nextTag = 0;
  private ended: BlockRequest[] = [];
  /** Memory of the other side that nobody uses. */
  private readonly far: DmaRegion[] = [];

  constructor(node: StormNode, target: StormNode) {
    this.node = node;
    this.target = target;
    this.life = node.life;
    this.device = new RemoteDevice(this, node, target.data.limits);
    this.background = new RemoteDevice(this, node, target.data.limits);
  }

  send(request: BlockRequest, way: BlockDevice): void {
    if (this.isClosed) {
      request.status = BlockStatus.notExecuted;
      this.ended.push(request);
      this.node.world.after(1_000, () => this.node.wake());
      return;
    }
    const tag = this.nextTag++;
    this.sent.set(tag, { request });
    const { op, flags, lba, blockCount } = request;
    const bytes = blockCount * geometry.blockBytes;
    const data =
      op === BlockOp.write
        ? request.region!.bytes.slice(request.offset, request.offset + bytes)
        : null;
    this.toServer(64 + (data?.length ?? 0), (association) => {
      const far = this.far.pop() ?? this.target.memory.allocate(farBytes, { alignment: 8 });
      const there = new BlockRequest(() => {
        const { status } = there;
        const isRead = op === BlockOp.read && status === BlockStatus.ok;
        const answer = isRead ? far.bytes.slice(0, bytes) : null;
        this.far.push(far);
        this.toClient(64 + (answer?.length ?? 0), () => this.answered(tag, status, answer));
      });
      there.op = op;
      there.flags = flags;
      there.lba = lba;
      there.blockCount = blockCount;
      if (op === BlockOp.read || op === BlockOp.write) this.attach(there, far, data, bytes);
      const isBackground = way === this.background;
      (isBackground ? association.background! : association.device).submit(there);
    });
  }

  private attach(
    there: BlockRequest,
    far: DmaRegion,
    data: Uint8Array | null,
    bytes: number,
  ): void {
    if (data !== null) far.bytes.set(data);
    there.setData(far, 0, bytes);
  }

  private answered(tag: number, status: BlockStatus, data: Uint8Array | null): void {
    const sent = this.sent.get(tag);
    if (sent === undefined) return;
    this.sent.delete(tag);
    const { request } = sent;
    if (data !== null) request.region!.bytes.set(data, request.offset);
    request.status = status;
    this.ended.push(request);
    this.node.wake();
  }

  poll(): number {
    const { ended } = this;
    if (ended.length === 0) return 0;
    this.ended = [];
    for (const request of ended) request.done(request);
    return ended.length;
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    if (this.isClosed) throw lost();
    const tag = this.nextTag++;
    const asked = new Promise<Uint8Array | null>((resolve) => this.asked.set(tag, resolve));
    this.toServer(message.length, async (association) => {
      const answer = await association.control(message);
      const { blockCount } = association.device;
      const isNews = decodeVerb(message)?.verb === 'grow';
      if (isNews) this.toClient(16, () => this.see(blockCount));
      this.toClient(answer.length, () => {
        if (!isNews) this.see(blockCount);
        this.asked.get(tag)?.(answer);
        this.asked.delete(tag);
        this.node.wake();
      });
    });
    const answer = await asked;
    if (answer === null) throw lost();
    return answer;
  }

  private see(blockCount: number): void {
    this.knownBlocks = Math.max(this.knownBlocks, blockCount);
  }

  close(): void {
    this.lose();
  }

  private lose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const { request } of this.sent.values()) {
      request.status = BlockStatus.unknown;
      this.ended.push(request);
    }
    this.sent.clear();
    for (const resolve of this.asked.values()) resolve(null);
    this.asked.clear();
    this.node.world.after(1_000, () => this.node.deliver(this.life, () => this.node.wake()));
  }

  private toServer(bytes: number, action: (association: MemberAssociation) => unknown): void {
    this.node.net.send(this.node.index, this.target.index, bytes, () => {
      const { target } = this;
      target.deliver(target.life, () => {
        if (this.server === null && target.member !== null) {
          this.server = { life: target.life, association: target.member.associate() };
        }
        // Not there, or there anew: it does not know this connection.
        if (this.server === null || this.server.life !== target.life || target.member === null) {
          this.toClient(32, () => this.lose());
          return;
        }
        action(this.server.association);
      });
    });
  }

  private toClient(bytes: number, action: () => void): void {
    this.node.net.send(this.target.index, this.node.index, bytes, () => {
      this.node.deliver(this.life, action);
    });
  }
}
