import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import { LinkedAssociation } from '../../../sdk/mirror/linked-association.js';
import { LocalMember, type MemberDevices } from '../../../sdk/mirror/local-member.js';
import { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror, type MirrorOptions } from '../../../sdk/mirror/options.js';
import type { MemberPort } from '../../../sdk/mirror/port.js';
import { MemberShelf } from '../../../sdk/node/member-shelf.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { MiB, msNs, secondNs } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { SimCard } from '../../../sim/card.js';
import { LinkedDevice } from '../../../sim/net/linked-device.js';
import { defineProfile } from '../../../sim/profiles/index.js';
import { simple } from '../../../sim/profiles/simple.js';
import { World } from '../../../sim/world.js';
import { clusterId, idOf, volumeId } from './rig.js';

const regionBytes = 65536;
const poolBytes = MiB / 4;
/** Long beside everything that a card does, short for a test. */
const answerNs = 5 * msNs;
const linkNs = 10_000;

/** Something under way: how it has ended, if it has. */
export interface Followed<T> {
  isOver: boolean;
  value: T | null;
  error: unknown;
}

interface CardNode {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly member: LocalMember;
}

/** Nodes with a simulated card and a member on it each; the mirror's writer is on the first. */
export class CardRig {
  readonly world = new World({ seed: 1 });
  readonly nodes: CardNode[] = [];
  readonly store = new MemoryStore(this.world.clock);
  private seed = 0;

  /** @param isPool  members are volumes of pools; else they have a namespace each */
  static async open(count: number, isPool: boolean): Promise<CardRig> {
    const rig = new CardRig();
    for (let i = 0; i < count; i++) rig.nodes.push(await rig.addNode(idOf(i), isPool));
    const { blockBytes, blockCount, regionBlocks } = rig.nodes[0]!.member.header;
    const memberIds = rig.nodes.map((_, i) => idOf(i));
    const geometry = { blockBytes, blockCount, regionBlocks };
    await createMirror(rig.store, { clusterId, volumeId, memberIds, ...geometry });
    return rig;
  }

  private async addNode(memberId: string, isPool: boolean): Promise<CardNode> {
    const [namespace] = simple.namespaces;
    const sizes = isPool ? [32 * MiB] : [MiB, MiB];
    const namespaces = sizes.map((bytes) => ({ ...namespace!, bytes }));
    const small = { ...simple.controller, memoryBufferBytes: 0 };
    const profile = defineProfile(simple, { namespaces, controller: small });
    const card = new SimCard({ profile, world: this.world });
    const controller = await NvmeController.open(card.open(), { queueEntries: 64 });
    const member = isPool
      ? await this.poolMember(controller, memberId)
      : await this.plainMember(controller, memberId);
    return { card, controller, member };
  }

  private async plainMember(controller: NvmeController, memberId: string): Promise<LocalMember> {
    const [meta, data] = [await controller.namespace(1), await controller.namespace(2)];
    const devices: MemberDevices = { meta, data };
    const regionBlocks = regionBytes / data.blockBytes;
    const identity = { clusterId, volumeId, memberId };
    await LocalMember.format(devices, identity, regionBlocks, { isBlank: true });
    return LocalMember.open(devices);
  }

  private async poolMember(controller: NvmeController, memberId: string): Promise<LocalMember> {
    const device = await controller.namespace(1);
    const pool = await Pool.create([device], { random: this.random, mapCacheBytes: MiB });
    const shelf = await MemberShelf.open(pool);
    const { blockBytes } = device;
    return shelf.make({ clusterId, volumeId, memberId, bytes: poolBytes, blockBytes, regionBytes });
  }

  private readonly random = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = ++this.seed;
  };

  port(target: number): MemberPort {
    const { member } = this.nodes[target]!;
    const { memory } = this.nodes[0]!.controller;
    const connect = async (): Promise<ReturnType<LocalMember['associate']>> => {
      const association = member.associate();
      if (target === 0) return association;
      const { world } = this;
      const options = { world, memory, latencyNs: linkNs, bytesPerNs: 12.5, requestCount: 64 };
      return new LinkedAssociation(association, {
        link: (far) => new LinkedDevice(far, options),
        clock: world.clock,
        latencyNs: linkNs,
      });
    };
    return { id: idOf(target), isLocal: target === 0, connect };
  }

  attach(more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const { clock } = this.world;
    return Mirror.attach({
      ...{ store: this.store, volumeId, writer: 'one', clock, random: this.random },
      ...{ memory: this.nodes[0]!.controller.memory, isForced: true },
      ports: this.nodes.map((_, target) => this.port(target)),
      ...{ requestCount: 16, leaseNs: secondNs, answerNs, retryNs: msNs, cleanNs: msNs },
      ...more,
    });
  }

  /** Everybody looks once, and the world goes on to what can be seen next. */
  async turn(mirror: Mirror | null): Promise<void> {
    const { clock } = this.world;
    for (const { member } of this.nodes) member.poll();
    mirror?.device.poll();
    await clock.turn(clock.nowNs() + 100_000);
  }

  async until(mirror: Mirror, isSo: () => boolean): Promise<void> {
    for (let i = 0; i < 20_000 && !isSo(); i++) await this.turn(mirror);
    assert.ok(isSo(), JSON.stringify(mirror.status));
  }

  /** Attach, and wait until all members are equal. */
  async attachWhole(): Promise<Mirror> {
    let mirror: Mirror | null = null;
    const attaching = this.attach().then((attached) => {
      mirror = attached;
    });
    while (mirror === null) await this.turn(null);
    await attaching;
    const attached: Mirror = mirror;
    await this.until(attached, () => {
      const { state, unreconciledRegions } = attached.status;
      return state === 'serving' && unreconciledRegions === 0;
    });
    return attached;
  }

  /** As long as members come back; one whose card is gone never does. */
  async settled(mirror: Mirror): Promise<void> {
    const { clock } = this.world;
    const lateNs = clock.nowNs() + 20 * msNs;
    while (mirror.status.state === 'degraded' && clock.nowNs() < lateNs) {
      await clock.turn(clock.nowNs() + 100_000);
    }
  }

  /** What becomes of something that is under way. */
  follow<T>(work: Promise<T>): Followed<T> {
    const followed: Followed<T> = { isOver: false, value: null, error: null };
    work.then(
      (value) => Object.assign(followed, { isOver: true, value }),
      (error: unknown) => Object.assign(followed, { isOver: true, error }),
    );
    return followed;
  }

  /** As `request`, when memory may be gone by now. */
  async tryRequest(mirror: Mirror, op: BlockOp, lba: number, blockCount: number): Promise<number> {
    return this.request(mirror, op, lba, blockCount);
  }

  /** One request; its end is a status. */
  request(mirror: Mirror, op: BlockOp, lba: number, blockCount: number): Promise<number> {
    const { device } = mirror;
    return new Promise((resolve) => {
      const request = new BlockRequest(() => resolve(request.status));
      request.op = op;
      request.lba = lba;
      request.blockCount = op === BlockOp.flush ? 0 : blockCount;
      const bytes = blockCount * device.blockBytes;
      if (op === BlockOp.read || op === BlockOp.write) {
        request.setData(device.memory.allocate(bytes), 0, bytes);
      }
      device.submit(request);
    });
  }
}
