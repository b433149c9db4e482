import { cellBytes, maxVolumeBytes } from './format.js';
import type { NodeArena } from './nodes.js';
import type { Releases } from './trees.js';

/** A volume or a snapshot, as the image and the journal have it in JSON. */
export interface CatalogObject {
  readonly id: number;
  readonly kind: 'volume' | 'snapshot';
  name: string;
  /** Size, a multiple of 4,096. */
  bytes: number;
  readonly blockBytes: 512 | 4096;
  /** Snapshot: the volume whose past it is. Volume: 0. */
  readonly volumeId: number;
  /** Clone: what it was made from, 0 for none; that may be gone since. */
  readonly originId: number;
  /** Equal for what descends from one volume: only such maps can be compared. */
  readonly familyId: number;
  /** Equal for snapshots that were taken at one instant; 0 for one taken alone. */
  readonly groupId: number;
  /** Milliseconds since 1970 as the caller said, 0 when he did not. */
  readonly createdMs: number;
  attributes: Readonly<Record<string, string>>;
  /** Name of the tier that limits its I/O, '' for none; the gate in front of it knows the tier. */
  qosTier: string;
  /** Reference to the key that its data is encrypted with, '' for none. Never the key. */
  readonly keyId: string;
  /** What tells another key from it, '' for a volume without one, or from before that was kept. */
  readonly keyCheck: string;
  /** Each cell has a CRC32C that every read compares. */
  readonly hasChecks: boolean;
  /** The devices compare each block with its protection information instead. */
  readonly isProtected: boolean;
  /** Why it is read-only for ever: metadata that was lost. '' for none. */
  damage: string;
  /** Root node of its map, 0 for none. Only the image has it. */
  root: number;
}

/** One change of the catalog: what the journal records and replay repeats. */
export type CatalogChange =
  | { readonly op: 'create'; readonly object: CatalogObject }
  | { readonly op: 'copy'; readonly from: number; readonly object: CatalogObject }
  | { readonly op: 'snapshot'; readonly made: readonly SnapshotMade[] }
  | {
      readonly op: 'restore';
      readonly id: number;
      readonly from: number;
      readonly kept: CatalogObject;
    }
  | { readonly op: 'delete'; readonly ids: readonly number[] }
  | { readonly op: 'change'; readonly id: number; readonly to: ObjectChange };

export interface SnapshotMade {
  readonly of: number;
  readonly object: CatalogObject;
}

export interface ObjectChange {
  readonly name?: string;
  readonly bytes?: number;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly qosTier?: string;
}

/** The volumes and snapshots of a pool by identity and by name. */
export class Catalog {
  readonly objects = new Map<number, CatalogObject>();
  /** Identity of the next object; none is given twice. */
  nextId = 1;
  private readonly nodes: NodeArena;
  private readonly names = new Map<string, CatalogObject>();

  constructor(nodes: NodeArena) {
    this.nodes = nodes;
  }

  volumes(): CatalogObject[] {
    return [...this.objects.values()].filter(({ kind }) => kind === 'volume');
  }

  snapshots(): CatalogObject[] {
    return [...this.objects.values()].filter(({ kind }) => kind === 'snapshot');
  }

  /** Snapshots of a volume, oldest first. */
  snapshotsOf(volumeId: number): CatalogObject[] {
    return this.snapshots()
      .filter((object) => object.volumeId === volumeId)
      .sort((a, b) => a.id - b.id);
  }

  /** As users write it: a snapshot's name is its own only beside that of its volume. */
  fullName({ kind, name, volumeId }: CatalogObject): string {
    if (kind === 'volume') return name;
    return `${this.objects.get(volumeId)?.name ?? `(volume ${volumeId})`}@${name}`;
  }

  volume(name: string): CatalogObject | undefined {
    return this.names.get(name);
  }

  snapshot(volumeId: number, name: string): CatalogObject | undefined {
    return this.names.get(`${volumeId}@${name}`);
  }

  add(object: CatalogObject): void {
    this.objects.set(object.id, object);
    this.names.set(keyOf(object), object);
    this.nextId = Math.max(this.nextId, object.id + 1);
  }

  /**
   * Carry out a change. A map that nothing needs any more goes through `releases`.
   *
   * @returns null, or in words why it cannot be: then nothing has changed
   */
  apply(change: CatalogChange, releases: Releases): string | null {
    const fault = this.faultOf(change);
    if (fault !== null) return fault;
    switch (change.op) {
      case 'create':
        this.add({ ...change.object, root: 0 });
        break;
      case 'copy':
        this.share(change.from, change.object);
        break;
      case 'snapshot':
        for (const { of, object } of change.made) this.share(of, object);
        break;
      case 'restore': {
        const volume = this.objects.get(change.id)!;
        const kept = { ...change.kept, root: volume.root, damage: volume.damage };
        const from = this.objects.get(change.from)!;
        volume.root = from.root;
        volume.damage = from.damage;
        if (volume.root !== 0) this.nodes.share(volume.root);
        this.add(kept);
        break;
      }
      case 'delete':
        for (const id of change.ids) {
          const object = this.objects.get(id)!;
          this.objects.delete(id);
          this.names.delete(keyOf(object));
          if (object.root !== 0) releases.deferNode(object.root);
          object.root = 0;
        }
        break;
      case 'change':
        this.alter(this.objects.get(change.id)!, change.to);
        break;
    }
    return null;
  }

  private share(from: number, object: CatalogObject): void {
    const { root, damage } = this.objects.get(from)!;
    if (root !== 0) this.nodes.share(root);
    this.add({ ...object, root, damage });
  }

  private alter(object: CatalogObject, to: ObjectChange): void {
    this.names.delete(keyOf(object));
    object.name = to.name ?? object.name;
    object.bytes = to.bytes ?? object.bytes;
    object.attributes = to.attributes ?? object.attributes;
    object.qosTier = to.qosTier ?? object.qosTier;
    this.names.set(keyOf(object), object);
  }

  /** @returns null, or in words why it cannot be added */
  faultOfNew(object: CatalogObject): string | null {
    if (this.objects.has(object.id)) return `identity ${object.id} is taken`;
    return this.names.has(keyOf(object)) ? `the name ${object.name} is taken` : null;
  }

  private faultOf(change: CatalogChange): string | null {
    const { needed, made } = partsOf(change);
    for (const id of needed) {
      if (!this.objects.has(id)) return `there is no volume or snapshot ${id}`;
    }
    for (const object of made) {
      const fault = this.faultOfNew(object);
      if (fault !== null) return fault;
    }
    if (change.op !== 'change' || change.to.name === undefined) return null;
    const object = this.objects.get(change.id)!;
    const holder = this.names.get(keyOf({ ...object, name: change.to.name }));
    return holder === undefined || holder === object ? null : `the name ${holder.name} is taken`;
  }
}

function partsOf(change: CatalogChange): {
  readonly needed: readonly number[];
  readonly made: readonly CatalogObject[];
} {
  switch (change.op) {
    case 'create':
      return { needed: [], made: [change.object] };
    case 'copy':
      return { needed: [change.from], made: [change.object] };
    case 'snapshot':
      return {
        needed: change.made.map(({ of }) => of),
        made: change.made.map(({ object }) => object),
      };
    case 'restore':
      return { needed: [change.id, change.from], made: [change.kept] };
    case 'delete':
      return { needed: change.ids, made: [] };
    case 'change':
      return { needed: [change.id], made: [] };
  }
}

function keyOf({ kind, volumeId, name }: CatalogObject): string {
  return kind === 'volume' ? name : `${volumeId}@${name}`;
}

/** An object of JSON from a disk, field by field. @returns null for anything else */
export function parseObject(value: unknown): CatalogObject | null {
  if (!isRecord(value)) return null;
  const { kind, name, blockBytes, attributes, keyId, damage } = value;
  const bytes = integerOf(value.bytes, maxVolumeBytes);
  const id = integerOf(value.id, 0xffff_ffff);
  const volumeId = integerOf(value.volumeId, 0xffff_ffff);
  const originId = integerOf(value.originId, 0xffff_ffff);
  const familyId = integerOf(value.familyId, 0xffff_ffff);
  const groupId = integerOf(value.groupId, 0xffff_ffff);
  const createdMs = integerOf(value.createdMs, Number.MAX_SAFE_INTEGER);
  const root = integerOf(value.root, 0x7fff_ffff);
  if (kind !== 'volume' && kind !== 'snapshot') return null;
  if (blockBytes !== 512 && blockBytes !== 4096) return null;
  if (typeof name !== 'string' || !isName(name)) return null;
  if (typeof keyId !== 'string' || typeof damage !== 'string') return null;
  const { hasChecks, qosTier } = value;
  if (typeof hasChecks !== 'boolean' || typeof qosTier !== 'string') return null;
  // Pools from before these were known do not have them.
  const isProtected = value.isProtected === true;
  const keyCheck = typeof value.keyCheck === 'string' ? value.keyCheck : '';
  if (bytes === null || !isSize(bytes) || id === null || id === 0) return null;
  if (volumeId === null || originId === null || groupId === null || root === null) return null;
  if (createdMs === null || familyId === null || !isTexts(attributes)) return null;
  return {
    id,
    kind,
    name,
    bytes,
    blockBytes,
    volumeId,
    originId,
    familyId,
    groupId,
    createdMs,
    attributes,
    qosTier,
    keyId,
    keyCheck,
    hasChecks,
    isProtected,
    damage,
    root,
  };
}

/** A change of the catalog from a journal. @returns null for anything else */
export function parseChange(value: unknown): CatalogChange | null {
  if (!isRecord(value)) return null;
  const { op } = value;
  const id = integerOf(value.id, 0xffff_ffff);
  const from = integerOf(value.from, 0xffff_ffff);
  const object = parseObject(value.object);
  if (op === 'create' && object !== null) return { op, object };
  if (op === 'copy' && object !== null && from !== null) return { op, from, object };
  if (op === 'snapshot' && Array.isArray(value.made)) {
    const made = value.made.map(parseMade);
    const good = made.filter((one) => one !== null);
    return good.length === made.length ? { op, made: good } : null;
  }
  if (op === 'restore' && id !== null && from !== null) {
    const kept = parseObject(value.kept);
    return kept === null ? null : { op, id, from, kept };
  }
  if (op === 'delete' && Array.isArray(value.ids)) {
    const ids = value.ids.map((one) => integerOf(one, 0xffff_ffff));
    const good = ids.filter((one) => one !== null);
    return good.length === ids.length ? { op, ids: good } : null;
  }
  if (op === 'change' && id !== null && isRecord(value.to)) {
    const to = parseObjectChange(value.to);
    return to === null ? null : { op, id, to };
  }
  return null;
}

function parseMade(value: unknown): SnapshotMade | null {
  if (!isRecord(value)) return null;
  const of = integerOf(value.of, 0xffff_ffff);
  const object = parseObject(value.object);
  return of === null || object === null ? null : { of, object };
}

function parseObjectChange(value: Record<string, unknown>): ObjectChange | null {
  const { name, attributes, qosTier } = value;
  const bytes = value.bytes === undefined ? undefined : integerOf(value.bytes, maxVolumeBytes);
  if (bytes === null || (bytes !== undefined && !isSize(bytes))) return null;
  if (name !== undefined && (typeof name !== 'string' || !isName(name))) return null;
  if (attributes !== undefined && !isTexts(attributes)) return null;
  if (qosTier !== undefined && typeof qosTier !== 'string') return null;
  return {
    ...(name === undefined ? {} : { name }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(qosTier === undefined ? {} : { qosTier }),
  };
}

/** Letters, digits, '.', '_', '-', ':' and '/', at most 128; '@' separates a snapshot's name. */
export function isName(name: string): boolean {
  return /^[\w.:/-]{1,128}$/.test(name);
}

function isSize(bytes: number): boolean {
  return bytes > 0 && bytes % cellBytes === 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === 'string');
}

function integerOf(value: unknown, limit: number): number | null {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return null;
  return value >= 0 && value <= limit ? value : null;
}
