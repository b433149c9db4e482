import { BlockOp, type BlockRequest } from '../../sdk/block/request.js';
import type { Mirror } from '../../sdk/mirror/mirror.js';
import type { MemberAssociation, MemberPort } from '../../sdk/mirror/port.js';
import { decodeRecord, type MirrorRecord } from '../../sdk/mirror/record.js';
import { isEqual, isMarked, isSameAt, valueIn } from './mirror-content.js';
import { geometry, type StormNode } from './mirror-node.js';
import { StormSnapshots } from './mirror-snapshots.js';
import type { StormStore } from './mirror-store.js';
import type { StormWorld } from './mirror-world.js';

export interface AuditParts {
  readonly world: StormWorld;
  readonly nodes: readonly StormNode[];
  readonly store: StormStore;
  readonly volumeId: string;
}

/** What must hold of a mirror at every instant, looked at from outside: store, media, reads. */
export class MirrorAudit {
  readonly snapshots: StormSnapshots;
  private readonly parts: AuditParts;
  private decoded: { readonly bytes: Uint8Array; readonly record: MirrorRecord } | null = null;

  constructor(parts: AuditParts) {
    this.parts = parts;
    this.snapshots = new StormSnapshots(parts.nodes);
  }

  /** What the store says now; null before there is a mirror. */
  record(): MirrorRecord | null {
    const { store, volumeId, world } = this.parts;
    const { current } = store;
    if (current === null) return null;
    if (this.decoded?.bytes === current) return this.decoded.record;
    try {
      this.decoded = { bytes: current, record: decodeRecord(current, volumeId) };
      return this.decoded.record;
    } catch {
      // As when no member at all is in sync.
      world.violate('nobody can use the record any more');
      return null;
    }
  }

  inSync(): StormNode[] {
    const listed = this.record()?.members.filter(({ isInSync }) => isInSync) ?? [];
    return this.parts.nodes.filter((node) => listed.some(({ id }) => id === node.memberId));
  }

  /** A port whose reads are compared with what the store lists. */
  watched(node: StormNode, target: StormNode): MemberPort {
    const port = node.portTo(target);
    const connect = async (): Promise<MemberAssociation> => {
      const association = await port.connect();
      for (const device of new Set([association.device, association.background!])) {
        const submit = device.submit.bind(device);
        device.submit = (request: BlockRequest) => {
          if (request.op === BlockOp.read) this.watchRead(node, target);
          submit(request);
        };
      }
      return association;
    };
    return { id: port.id, isLocal: port.isLocal, connect };
  }

  private watchRead(node: StormNode, target: StormNode): void {
    const record = this.record();
    if (record === null || record.epoch !== node.mirror?.status.epoch) return;
    const isListed = record.members.some(({ id, isInSync }) => id === target.memberId && isInSync);
    if (isListed) return;
    this.parts.world.violate(`node ${node.index} reads ${target.index}, out of sync`);
  }

  /** Where members that are in sync differ, also on their media, one of them has a mark. */
  check(mirrors: Iterable<Mirror>): void {
    const { world } = this.parts;
    const members = this.inSync();
    if (members.length === 0) return;
    const first = members[0]!.data.content;
    const record = this.record();
    const wrong = record === null ? null : this.snapshots.check(record);
    if (wrong !== null) world.violate(wrong);
    const { blockCount = 0, epoch } = record ?? {};
    for (const mirror of mirrors) {
      const served = mirror.device.blockCount;
      if (mirror.status.epoch !== epoch || served <= blockCount) continue;
      world.violate(`${served} blocks are served, and the store says ${blockCount}`);
    }
    for (let block = 0; block < blockCount; block++) {
      const at = block * geometry.blockBytes;
      const isSame = members.every(({ data }) => {
        return isSameAt(data.content, first, at) && isSameAt(data.durable, first, at);
      });
      if (isSame) continue;
      const region = Math.floor(block / geometry.regionBlocks);
      if (members.some(({ meta }) => isMarked(meta.durable, region))) continue;
      const values = members.map(({ data }) => `${valueIn(data.content, block)}`).join(' ');
      world.violate(`members differ in block ${block} (${values}), which nobody has marked`);
    }
  }

  /** Everybody has everything, and nothing is under way. */
  checkAtRest(): void {
    const { world } = this.parts;
    const contents = this.inSync().map(({ data }) => data.content);
    if (contents.some((each) => !isEqual(each, contents[0]!))) {
      world.violate('members differ although everything is in sync and at rest');
    }
    const lacking = this.snapshots.lacking(this.record()!, this.inSync());
    if (lacking !== null) world.violate(lacking);
  }
}
