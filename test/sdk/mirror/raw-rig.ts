import * as assert from 'uvu/assert';
import type { SharedBlockDevice } from '../../../sdk/block/reservations.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { MirrorGeometry } from '../../../sdk/mirror/member-header.js';
import { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror, type MirrorOptions } from '../../../sdk/mirror/options.js';
import { RawMember } from '../../../sdk/mirror/raw-member.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import { defineProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import { simple } from '../../../sim/profiles/simple.js';
import { clusterId, idOf, volumeId } from './rig.js';

const sriovControl = 0x168;
const numVfs = 0x170;
export const namespaceBytes = 2 * MiB;
/** Half of a namespace: the other half is for header and map. */
export const rawGeometry = { blockBytes: 512, blockCount: 2048, regionBlocks: 16 } as const;

/** One host: its own controller of the card, its own identifier. */
export interface RawHost {
  readonly name: string;
  readonly controller: NvmeController;
  readonly namespaces: readonly Namespace[];
  /** One for each namespace. */
  readonly members: RawMember[];
}

/** A card with two namespaces, and hosts at functions of it. */
export class RawRig {
  readonly card: SimCard;
  readonly store: MemoryStore;
  readonly hosts: RawHost[] = [];
  private seed = 0;

  private constructor(card: SimCard) {
    this.card = card;
    this.store = new MemoryStore(card.function.clock);
  }

  static async open(hostCount = 2, subsystem: ProfileChanges['subsystem'] = {}): Promise<RawRig> {
    const [namespace] = simple.namespaces;
    const namespaces = [1, 2].map(() => ({ ...namespace!, bytes: namespaceBytes }));
    const controller = { ...simple.controller, virtualFunctions: 2 };
    const profile = defineProfile(simple, { namespaces, controller, subsystem });
    const rig = new RawRig(new SimCard({ profile }));
    rig.hosts.push(await rig.openHost(0));
    if (hostCount > 1) rig.card.function.config.write16(numVfs, hostCount - 1);
    if (hostCount > 1) rig.card.function.config.write16(sriovControl, 0x0009);
    for (let index = 1; index < hostCount; index++) rig.hosts.push(await rig.addHost(index));
    return rig;
  }

  private async addHost(index: number): Promise<RawHost> {
    const { admin } = this.hosts[0]!.controller;
    const controllerId = index;
    await admin.virtualization('secondary assign', { controllerId, count: 2 });
    const interrupts = { controllerId, resource: 'interrupt', count: 2 } as const;
    await admin.virtualization('secondary assign', interrupts);
    await admin.virtualization('secondary online', { controllerId });
    for (const nsid of [1, 2]) await admin.attachNamespace(nsid, [controllerId]);
    return this.openHost(index);
  }

  /** @param as  whose name and identifier the host has; its own when left out */
  async openHost(index: number, as?: RawHost): Promise<RawHost> {
    const number = as === undefined ? index : this.hosts.indexOf(as);
    const hostIdentifier = new Uint8Array(16).fill(number + 1);
    const options = { hostIdentifier, queueEntries: 64 };
    const controller = await NvmeController.open(this.card.open(index), options);
    const namespaces = [await controller.namespace(1), await controller.namespace(2)];
    const members = namespaces.map((namespace, i) => new RawMember({ id: idOf(i), namespace }));
    return { name: `host ${number}`, controller, namespaces, members };
  }

  /** Members on the first so many namespaces, and the record of their mirror. */
  async create(memberCount: number): Promise<void> {
    const { namespaces } = this.hosts[0]!;
    const used = namespaces.slice(0, memberCount);
    for (const [i, namespace] of used.entries()) {
      assert.equal(await this.format(namespace, i), rawGeometry);
    }
    const memberIds = used.map((_, i) => idOf(i));
    await createMirror(this.store, { clusterId, volumeId, memberIds, ...rawGeometry });
  }

  format(namespace: SharedBlockDevice, index: number): Promise<MirrorGeometry> {
    const known = { clusterId, volumeId, memberId: idOf(index) };
    return RawMember.format(namespace, known, rawGeometry.regionBlocks);
  }

  /** A host attaches the mirror, taking it from whoever writes. */
  attach(host: RawHost, more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const { memory, clock } = host.namespaces[0]!;
    const { name: writer, members: ports } = host;
    return Mirror.attach({
      ...{ store: this.store, volumeId, writer, ports, memory, clock, isForced: true },
      ...{ random: (bytes: Uint8Array) => bytes.fill(++this.seed), requestCount: 4 },
      ...more,
    });
  }

  async until(mirror: Mirror, isSo: () => boolean): Promise<void> {
    const { clock } = mirror.device;
    for (let i = 0; i < 100_000 && !isSo(); i++) {
      mirror.device.poll();
      await clock.turn(clock.nowNs() + 1e6);
    }
    assert.ok(isSo(), JSON.stringify(mirror.status));
  }

  whole(mirror: Mirror): Promise<void> {
    return this.until(mirror, () => {
      const { state, unreconciledRegions } = mirror.status;
      return state === 'serving' && unreconciledRegions === 0;
    });
  }

  /** Until members have noted what they were told when it was attached. */
  settle(mirror: Mirror): Promise<void> {
    const untilNs = mirror.device.clock.nowNs() + 100e6;
    return this.until(mirror, () => mirror.device.clock.nowNs() >= untilNs);
  }

  async detach(mirror: Mirror): Promise<void> {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    const work = mirror.detach();
    work.then(end, end);
    await this.until(mirror, () => isOver);
    await work;
  }

  async close(): Promise<void> {
    this.card.checker.demandNone();
    for (const { controller } of [...this.hosts].reverse()) await controller.close();
  }
}
