import { ErrorCode, UltimaError } from '../errors.js';
import { type Catalog, type CatalogObject, isName, type SnapshotMade } from './catalog.js';
import { keyCheckOf, VolumeCipher } from './cipher.js';
import type { KeyFinder } from './core.js';
import { cellBytes, maxSnapshots, maxVolumeBytes, maxVolumes } from './format.js';

export interface NewVolume {
  readonly name: string;
  /** A multiple of 4,096, up to 16 TiB. */
  readonly bytes: number;
  /** 4096 when left out. */
  readonly blockBytes?: 512 | 4096;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly createdMs?: number;
  /** Name of the tier that limits its I/O; none when left out. */
  readonly qosTier?: string;
  /** Name of the key that its data is encrypted with; not at all when left out. */
  readonly keyId?: string;
  /**
   * Compare every 4 KiB with a checksum on every read; false when left out. Where all devices have
   * protection information, they do that. Otherwise the pool keeps a CRC32C, and such a volume
   * never writes in place: each write is recorded, and what is overwritten often takes two places.
   */
  readonly hasChecks?: boolean;
}

export interface CreatedOptions {
  /** Milliseconds since 1970, to be listed; nothing depends on it. */
  readonly createdMs?: number;
}

export interface RestoreOptions extends CreatedOptions {
  /** Whether nobody minds, asked when writes are held back already. */
  readonly demand?: () => void;
}

export interface SnapshotOptions extends CreatedOptions {
  /** Called at the instant that the snapshots show; for those who keep a model of their own. */
  readonly atInstant?: () => void;
  /** How long writes may be held back until those under way have ended; 20 ms when left out. */
  readonly mostPauseNs?: number;
}

export interface SnapshotResult {
  /** How long writes were held back. */
  readonly pauseNs: number;
  readonly snapshots: readonly CatalogObject[];
}

export interface GroupMember {
  readonly volume: string;
  /** Of the snapshot. */
  readonly name: string;
}

/** A volume, or one of its snapshots. */
export interface ObjectName {
  readonly volume: string;
  readonly snapshot?: string;
}

export function nameOf({ volume, snapshot }: ObjectName): string {
  return snapshot === undefined ? volume : `${volume}@${snapshot}`;
}

const mostAttributeBytes = 4096;

/** @throws RangeError naming the value and the limit */
export function checkNewVolume(wanted: NewVolume): void {
  const { name, bytes, blockBytes, attributes, qosTier } = wanted;
  checkName(name);
  if (qosTier !== undefined && qosTier !== '') checkName(qosTier);
  if (!Number.isSafeInteger(bytes) || bytes < cellBytes || bytes > maxVolumeBytes) {
    throw new RangeError(`a volume has ${cellBytes} to ${maxVolumeBytes} bytes, not ${bytes}`);
  }
  if (bytes % cellBytes !== 0) {
    throw new RangeError(`the size of a volume is a multiple of ${cellBytes}; ${bytes} is not`);
  }
  if (blockBytes !== undefined && blockBytes !== 512 && blockBytes !== 4096) {
    throw new RangeError(`blocks of a volume have 512 or 4096 bytes, not ${blockBytes}`);
  }
  const size = JSON.stringify(attributes ?? {}).length;
  if (size > mostAttributeBytes) {
    throw new RangeError(`${size} bytes of attributes; at most ${mostAttributeBytes}`);
  }
}

function checkName(name: string): void {
  if (isName(name)) return;
  throw new RangeError(
    `'${name}' cannot be a name: 1 to 128 letters, digits and any of . _ - : / are`,
  );
}

/** Finds objects by name and makes the rows of new ones. */
export class PoolNames {
  private readonly catalog: Catalog;

  constructor(catalog: Catalog) {
    this.catalog = catalog;
  }

  volume(name: string): CatalogObject {
    const object = this.catalog.volume(name);
    if (object !== undefined) return object;
    const facts = { name };
    throw new UltimaError(ErrorCode.notFound, `there is no volume ${name} in this pool`, facts);
  }

  snapshot(volume: string, name: string): CatalogObject {
    const object = this.catalog.snapshot(this.volume(volume).id, name);
    if (object !== undefined) return object;
    const message = `volume ${volume} has no snapshot ${name}`;
    throw new UltimaError(ErrorCode.notFound, message, { volume, name });
  }

  object({ volume, snapshot }: ObjectName): CatalogObject {
    return snapshot === undefined ? this.volume(volume) : this.snapshot(volume, snapshot);
  }

  demandFree(name: string): void {
    checkName(name);
    if (this.catalog.volume(name) === undefined) return;
    throw new UltimaError(ErrorCode.nameTaken, `there is a volume ${name} already`, { name });
  }

  /**
   * A volume is not made with a key that is not there, or is none.
   *
   * @returns what to remember of the key; '' for a volume without one
   */
  checkKey({ name, keyId, blockBytes }: NewVolume, keyOf: KeyFinder): string {
    if (keyId === undefined) return '';
    checkName(keyId);
    const key = keyOf(keyId);
    if (key === null) {
      const message = `there is no key ${keyId} to encrypt volume ${name} with`;
      throw new UltimaError(ErrorCode.notFound, message, { keyId });
    }
    new VolumeCipher(key, blockBytes ?? 4096);
    return keyCheckOf(key);
  }

  /** @param isCompared  the devices compare what they read themselves */
  newVolume(wanted: NewVolume, keyCheck: string, isCompared: boolean): CatalogObject {
    this.demandRoom(1, 0);
    const hasChecks = wanted.hasChecks ?? false;
    return {
      ...blank,
      id: this.catalog.nextId,
      familyId: this.catalog.nextId,
      kind: 'volume',
      name: wanted.name,
      bytes: wanted.bytes,
      blockBytes: wanted.blockBytes ?? 4096,
      createdMs: wanted.createdMs ?? 0,
      attributes: wanted.attributes ?? {},
      qosTier: wanted.qosTier ?? '',
      keyId: wanted.keyId ?? '',
      keyCheck,
      hasChecks: hasChecks && !isCompared,
      isProtected: hasChecks && isCompared,
    };
  }

  newClone(from: CatalogObject, name: string, createdMs: number): CatalogObject {
    this.demandRoom(1, 0);
    return {
      ...from,
      id: this.catalog.nextId,
      kind: 'volume',
      name,
      volumeId: 0,
      originId: from.id,
      groupId: 0,
      root: 0,
      createdMs,
    };
  }

  newSnapshots(members: readonly GroupMember[], createdMs: number): SnapshotMade[] {
    if (members.length === 0) throw new RangeError('a snapshot of no volume');
    this.demandRoom(0, members.length);
    const seen = new Set<number>();
    const groupId = members.length > 1 ? this.catalog.nextId : 0;
    return members.map(({ volume, name }, i) => {
      checkName(name);
      const of = this.volume(volume);
      if (seen.has(of.id)) throw new RangeError(`volume ${volume} is twice in the group`);
      seen.add(of.id);
      if (this.catalog.snapshot(of.id, name) !== undefined) {
        const message = `volume ${volume} has a snapshot ${name} already`;
        throw new UltimaError(ErrorCode.nameTaken, message, { volume, name });
      }
      const id = this.catalog.nextId + i;
      const kind = 'snapshot' as const;
      const row = { ...of, id, kind, name, volumeId: of.id, originId: 0, groupId, createdMs };
      return { of: of.id, object: { ...row, root: 0 } };
    });
  }

  private demandRoom(volumes: number, snapshots: number): void {
    const { catalog } = this;
    if (volumes > 0 && catalog.volumes().length + volumes > maxVolumes) {
      throw new RangeError(`a pool has at most ${maxVolumes} volumes`);
    }
    if (snapshots > 0 && catalog.snapshots().length + snapshots > maxSnapshots) {
      throw new RangeError(`a pool has at most ${maxSnapshots} snapshots`);
    }
  }
}

const blank = {
  volumeId: 0,
  originId: 0,
  groupId: 0,
  qosTier: '',
  keyId: '',
  keyCheck: '',
  hasChecks: false,
  isProtected: false,
  damage: '',
  root: 0,
} as const;
