import type { ClusterStore, StoreChange, StoreCondition, StoreEntry } from '../cluster/store.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { mostRegions } from '../mirror/member-header.js';
import {
  decodeRecord as decodeMirror,
  encodeRecord as encodeMirror,
  recordKey,
} from '../mirror/record.js';
import { type Candidate, placeMembers } from './placement.js';
import {
  type AliveRecord,
  checkName,
  decodeAlive,
  decodeCluster,
  decodeNode,
  decodeVolume,
  encodeRecord,
  keys,
  mostMirrors,
  type NodeRecord,
  type PlacedMember,
  regionBytesOf,
  type VolumeRecord,
} from './records.js';

export interface NodeView extends NodeRecord {
  /** null while the node does not answer. */
  readonly alive: AliveRecord | null;
}

export interface NewClusterVolume {
  readonly name: string;
  readonly bytes: number;
  /** 512 or 4096; 4096 when left out. */
  readonly blockBytes?: 512 | 4096;
  /** Members, 1 to 3; 3 when left out. */
  readonly mirrors?: number;
  /** The node that will use it: it gets the first member. */
  readonly preferred?: string;
}

/** With the revision that the next change of it must name. */
export interface Versioned<T> {
  readonly record: T;
  readonly revision: number;
}

/** Is listed as the writer of a volume that goes: no node has such a name. */
const nobody = '(deleted)';
/** A change that met another one begins anew, this often. */
const mostTries = 16;

/**
 * The cluster's list of nodes and volumes, as anybody who reaches the cluster store sees it. It
 * writes down what shall be; the nodes make it so. Every change names the revision that it was
 * decided on, so that of two at once one is decided again.
 */
export class ClusterDirectory {
  private readonly store: ClusterStore;
  private readonly random: (bytes: Uint8Array) => void;

  /** @param random  fills bytes with chance, for identities */
  constructor(store: ClusterStore, random: (bytes: Uint8Array) => void) {
    this.store = store;
    this.random = random;
  }

  /** The cluster's identity, drawn by whoever asks first. */
  async clusterId(): Promise<string> {
    for (;;) {
      const entry = await this.store.read(keys.cluster);
      if (entry !== null) return decodeCluster(entry.value).clusterId;
      const drawn = { key: keys.cluster, value: encodeRecord({ clusterId: this.newId() }) };
      // Whether it was this one or another's that came first: read again.
      await this.store.commit([{ key: keys.cluster, revision: 0 }], [drawn]);
    }
  }

  /** A node joins, or says again that it is one. @throws UltimaError NAME_TAKEN by another pool */
  async join(node: NodeRecord): Promise<void> {
    checkName('node', node.name);
    const key = keys.nodes + node.name;
    for (let tries = 0; tries < mostTries; tries++) {
      const entry = await this.store.read(key);
      const known = entry === null ? null : decodeNode(key, entry.value);
      if (known !== null && known.poolId !== node.poolId) {
        throw new UltimaError(
          ErrorCode.nameTaken,
          `node ${node.name} has pool ${known.poolId}, not ${node.poolId}: give this one another ` +
            'name, or remove the old one from the cluster first',
          { node: node.name, poolId: node.poolId, knownPoolId: known.poolId },
        );
      }
      if (known !== null && known.zone === node.zone) return;
      const conditions = [{ key, revision: entry?.revision ?? 0 }];
      if (await this.apply(conditions, [{ key, value: encodeRecord(node) }])) return;
    }
    throw busy(`node ${node.name}`);
  }

  /**
   * A node leaves for good. One that is lost cannot take away what it has of former members and of
   * volumes that are deleted: the list does without it.
   *
   * @throws UltimaError VOLUME_BUSY while it has members, NOT_FOUND
   */
  async removeNode(name: string, options: { readonly isLost?: boolean } = {}): Promise<void> {
    const key = keys.nodes + name;
    const entry = await this.store.read(key);
    if (entry === null) throw notFound('node', name);
    if (options.isLost === true) await this.forgetLost(name);
    const volumes = (await this.volumes()).filter((volume) => hasMemberOn(volume, name));
    if (volumes.length > 0) {
      const names = volumes.map((volume) => volume.name).join(', ');
      throw new UltimaError(
        ErrorCode.volumeBusy,
        `node ${name} has members of ${names}; replace them first`,
        { node: name, volumes: volumes.length },
      );
    }
    await this.apply([{ key, revision: entry.revision }], [{ key, value: null }]);
    if ((await this.store.read(key)) !== null) throw busy(`node ${name}`);
  }

  /** What a lost node would have taken away counts as taken away. */
  private async forgetLost(node: string): Promise<void> {
    if ((await this.store.read(keys.alive + node)) !== null) {
      const message = `node ${node} is there: stop it first, or let it leave without --lost`;
      throw new UltimaError(ErrorCode.volumeBusy, message, { node });
    }
    for (const record of await this.volumes()) {
      const isGoing = record.state === 'deleting';
      const going = isGoing ? [...record.members, ...record.retired] : record.retired;
      for (const { id } of going.filter((member) => member.node === node)) {
        await this.store.commit([], [{ key: keys.members + id, value: null }]);
      }
      if (isGoing) await this.forgetDeleted(record);
      else await this.unlist(record.name, node);
    }
  }

  /** A deleted volume goes when no node has a member of it any more. */
  async forgetDeleted({ name, volumeId, members, retired }: VolumeRecord): Promise<void> {
    const left = await Promise.all(
      [...members, ...retired].map(({ id }) => this.store.read(keys.members + id)),
    );
    if (left.every((entry) => entry === null)) await this.forget(name, volumeId);
  }

  async nodes(): Promise<NodeView[]> {
    const { entries } = await this.store.list(keys.nodes);
    const alive = await this.store.list(keys.alive);
    return entries.map((entry) => {
      const node = decodeNode(entry.key, entry.value);
      const key = keys.alive + node.name;
      const sign = alive.entries.find((each) => each.key === key);
      return { ...node, alive: sign === undefined ? null : decodeAlive(key, sign.value) };
    });
  }

  async volumes(): Promise<VolumeRecord[]> {
    const { entries } = await this.store.list(keys.volumes);
    return entries.map(({ key, value }) => decodeVolume(key, value));
  }

  /** @throws UltimaError NOT_FOUND */
  async volume(name: string): Promise<Versioned<VolumeRecord>> {
    checkName('volume', name);
    const key = keys.volumes + name;
    const entry = await this.store.read(key);
    if (entry === null) throw notFound('volume', name);
    return { record: decodeVolume(key, entry.value), revision: entry.revision };
  }

  /**
   * Write down a volume and the nodes of its members, which then make them.
   *
   * @throws UltimaError NAME_TAKEN, PLACEMENT_IMPOSSIBLE; RangeError
   */
  async createVolume(wanted: NewClusterVolume): Promise<VolumeRecord> {
    const { name, bytes, blockBytes = 4096, mirrors = mostMirrors, preferred } = wanted;
    checkName('volume', name);
    checkSize(bytes, mirrors);
    const key = keys.volumes + name;
    if ((await this.store.read(key)) !== null) throw nameTaken(name);
    const wish = { count: mirrors, bytes: 0, taken: [], preferred };
    const places = placeMembers((await this.nodes()).map(candidateOf), wish);
    const members = places.map((node) => ({ id: this.newId(), node }));
    const identity = { name, volumeId: this.newId() };
    const regionBytes = regionBytesOf(bytes);
    const shape = { bytes, blockBytes, regionBytes, state: 'creating' as const };
    const record: VolumeRecord = { ...identity, ...shape, members, leaving: [], retired: [] };
    const change = { key, value: encodeRecord(record) };
    await this.apply([{ key, revision: 0 }], [change]);
    // Ours or another's: the identity that was drawn for it tells.
    const { record: found } = await this.volume(name);
    if (found.volumeId !== record.volumeId) throw nameTaken(name);
    return found;
  }

  /**
   * A volume shall be larger: whoever has it attached sees to it.
   *
   * @throws RangeError for a smaller size, or one that it cannot have; UltimaError NOT_FOUND,
   *   VOLUME_BUSY while it is being deleted, or was never attached
   */
  async growVolume(name: string, bytes: number): Promise<void> {
    await this.change(name, (record) => {
      if (record.state !== 'ready') {
        const why = record.state === 'deleting' ? 'is being deleted' : 'was never attached';
        const message = `volume ${name} ${why}: it cannot grow`;
        throw new UltimaError(ErrorCode.volumeBusy, message, { name, state: record.state });
      }
      const has = `volume ${name} has ${record.bytes} bytes`;
      if (bytes < record.bytes) throw new RangeError(`${has}; it cannot shrink to ${bytes}`);
      const most = mostRegions * record.regionBytes;
      if (!(bytes % 4096 === 0 && bytes <= most)) {
        throw new RangeError(`${has}; it can have ${most}, in steps of 4096, not ${bytes}`);
      }
      return bytes === record.bytes ? record : { ...record, bytes };
    });
  }

  /**
   * Its nodes take the members away, then the volume is gone. Nobody attaches it any more.
   *
   * @throws UltimaError NOT_FOUND; VOLUME_BUSY while somebody has it attached
   */
  async deleteVolume(name: string): Promise<void> {
    const key = keys.volumes + name;
    for (let tries = 0; tries < mostTries; tries++) {
      const { record, revision } = await this.volume(name);
      if (record.state === 'deleting') return;
      const conditions = [{ key, revision }];
      const changes = [{ key, value: encodeRecord({ ...record, state: 'deleting' }) }];
      const mirror = await this.store.read(recordKey(record.volumeId));
      if (mirror !== null) {
        const { key: mirrorKey, value } = closedMirror(name, record, mirror);
        conditions.push({ key: mirrorKey, revision: mirror.revision });
        changes.push({ key: mirrorKey, value });
      }
      if (await this.apply(conditions, changes)) return;
    }
    throw busy(`volume ${name}`);
  }

  /**
   * A new member on a node that has none, in addition or in the place of another one. Whoever has
   * the volume attached gives it everything.
   *
   * @returns the member
   * @throws UltimaError PLACEMENT_IMPOSSIBLE, NOT_FOUND
   */
  async addMember(
    name: string,
    { node, instead }: { readonly node?: string; readonly instead?: string } = {},
  ): Promise<PlacedMember> {
    const id = this.newId();
    const nodes = (await this.nodes()).filter((each) => node === undefined || each.name === node);
    if (node !== undefined && nodes.length === 0) throw notFound('node', node);
    const changed = await this.change(name, (record) => {
      const leaving = instead === undefined ? record.leaving : withLeaving(record, instead);
      const { members, retired } = record;
      if (members.length - leaving.length >= mostMirrors) throw tooMany(name);
      const taken = [...members, ...retired].map((member) => member.node);
      const [chosen] = placeMembers(nodes.map(candidateOf), { count: 1, bytes: 0, taken });
      return { ...record, leaving, members: [...members, { id, node: chosen! }] };
    });
    return changed.members.find((member) => member.id === id)!;
  }

  /**
   * A member shall go, once the others have everything: whoever has the volume attached sees to it.
   *
   * @throws UltimaError NOT_FOUND; VOLUME_BUSY for the last one that stays
   */
  async leave(name: string, id: string): Promise<void> {
    await this.change(name, (record) => {
      const leaving = withLeaving(record, id);
      if (leaving.length === record.members.length) throw lastMember(name);
      return leaving.length === record.leaving.length ? record : { ...record, leaving };
    });
  }

  /** A member leaves the list, and its node removes it. Only once the mirror does without it. */
  async retireMember(name: string, id: string): Promise<void> {
    await this.change(name, (record) => {
      const gone = record.members.find((member) => member.id === id);
      if (gone === undefined) return record;
      const members = record.members.filter((member) => member !== gone);
      const leaving = record.leaving.filter((each) => each !== id);
      if (members.length === leaving.length) throw lastMember(name);
      return { ...record, members, leaving, retired: [...record.retired, gone] };
    });
  }

  /** The node has taken away what it had of former members. */
  async unlist(name: string, node: string): Promise<void> {
    await this.change(name, (record) => {
      const retired = record.retired.filter((member) => member.node !== node);
      return retired.length === record.retired.length ? record : { ...record, retired };
    });
  }

  /** The volume's members are gone, and so is it. Another one of that name stays. */
  private async forget(name: string, volumeId: string): Promise<void> {
    const key = keys.volumes + name;
    const entry = await this.store.read(key);
    if (entry === null || decodeVolume(key, entry.value).volumeId !== volumeId) return;
    const conditions = [{ key, revision: entry.revision }];
    const gone = [key, recordKey(volumeId)].map((each) => ({ key: each, value: null }));
    await this.apply(conditions, gone);
  }

  /** Decide on a volume's record, and again when it has changed meanwhile. */
  async change(
    name: string,
    decide: (record: VolumeRecord) => VolumeRecord | null,
  ): Promise<VolumeRecord> {
    const key = keys.volumes + name;
    for (let tries = 0; tries < mostTries; tries++) {
      const { record, revision } = await this.volume(name);
      const next = decide(record);
      if (next === record) return record;
      const change = { key, value: next === null ? null : encodeRecord(next) };
      if (await this.apply([{ key, revision }], [change])) return next ?? record;
    }
    throw busy(`volume ${name}`);
  }

  /** @returns false when a condition does not hold, or nobody knows whether it was applied */
  private async apply(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<boolean> {
    try {
      return (await this.store.commit(conditions, changes)).outcome === 'applied';
    } catch (error) {
      // Whoever asked reads the record again, and finds it changed by itself or not at all.
      if (error instanceof UltimaError && error.code === ErrorCode.storeUnknown) return false;
      throw error;
    }
  }

  newId(): string {
    const bytes = new Uint8Array(16);
    this.random(bytes);
    return Buffer.from(bytes).toString('hex');
  }
}

function candidateOf({ name, zone, alive }: NodeView): Candidate {
  const isFit = alive !== null && alive.trouble === '';
  return { name, zone, freeBytes: alive?.freeBytes ?? 0, isFit };
}

/** The mirror's record as it is when nobody may attach it. @throws UltimaError VOLUME_BUSY */
function closedMirror(name: string, { volumeId }: VolumeRecord, entry: StoreEntry) {
  const mirror = decodeMirror(entry.value, volumeId);
  if (mirror.writer !== null && mirror.writer !== nobody) {
    throw new UltimaError(
      ErrorCode.volumeBusy,
      `volume ${name} is attached by ${mirror.writer}; detach it first`,
      { name, writer: mirror.writer },
    );
  }
  const closed = { ...mirror, writer: nobody, epoch: mirror.epoch + 1, token: '' };
  return { key: entry.key, value: encodeMirror(closed) };
}

function hasMemberOn({ members, retired }: VolumeRecord, node: string): boolean {
  return [...members, ...retired].some((member) => member.node === node);
}

function checkSize(bytes: number, mirrors: number): void {
  if (!(Number.isInteger(mirrors) && mirrors >= 1 && mirrors <= mostMirrors)) {
    throw new RangeError(`${mirrors} members; 1 to ${mostMirrors}`);
  }
  if (!(Number.isSafeInteger(bytes) && bytes > 0 && bytes % 4096 === 0)) {
    throw new RangeError(`a volume of ${bytes} bytes; a multiple of 4096 from 4096 on`);
  }
}

function nameTaken(name: string): UltimaError {
  const message = `a volume named ${name} is there already; choose another name`;
  return new UltimaError(ErrorCode.nameTaken, message, { name });
}

/** @throws UltimaError NOT_FOUND */
function withLeaving({ name, members, leaving }: VolumeRecord, id: string): readonly string[] {
  if (leaving.includes(id)) return leaving;
  if (members.some((member) => member.id === id)) return [...leaving, id];
  throw new UltimaError(ErrorCode.notFound, `volume ${name} has no member ${id}`, { name, id });
}

function tooMany(name: string): UltimaError {
  const message = `volume ${name} has ${mostMirrors} members, which are the most`;
  return new UltimaError(ErrorCode.placementImpossible, message, { name, most: mostMirrors });
}

function lastMember(name: string): UltimaError {
  const message = `the last member of volume ${name} stays: add another one first`;
  return new UltimaError(ErrorCode.volumeBusy, message, { name });
}

function notFound(what: string, name: string): UltimaError {
  return new UltimaError(ErrorCode.notFound, `the cluster has no ${what} named ${name}`, { name });
}

function busy(what: string): UltimaError {
  const message = `${what} was changed by others ${mostTries} times in a row; try again`;
  return new UltimaError(ErrorCode.volumeBusy, message, { what, tries: mostTries });
}
