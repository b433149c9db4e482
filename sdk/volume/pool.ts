import type { BlockDevice } from '../block/device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import type { CatalogChange, CatalogObject } from './catalog.js';
import { checkPool, repairPool } from './check.js';
import type { KeyFinder, PoolCore } from './core.js';
import { createPool, type PoolOptions } from './create.js';
import { type ChangedRange, changedRanges, type Sides, streamedRanges } from './diff.js';
import type { Finding } from './findings.js';
import { unitBytes } from './format.js';
import { addDevice, destroyPool, type GrowOptions, growDevices } from './grow.js';
import { type LoadedPool, loadPool } from './load.js';
import { PoolChanges } from './pool-changes.js';
import {
  type CreatedOptions,
  checkNewVolume,
  type GroupMember,
  type NewVolume,
  nameOf,
  type ObjectName,
  PoolNames,
  type RestoreOptions,
  type SnapshotOptions,
  type SnapshotResult,
} from './pool-names.js';
import { type ScrubOptions, type ScrubResult, scrubVolume, wayTo } from './scrub.js';
import { beginSession, runCheckpoint } from './session.js';
import { type ObjectSpace, objectSpace, type PoolSpace, poolSpace } from './space.js';
import { type SpaceListener, SpaceWatch } from './space-watch.js';
import type { LongWork } from './steps.js';
import { demandItsKey, isReadOnly, Volume } from './volume.js';

export interface PoolOpenOptions {
  /** Nothing is written, not even what recovery finds; false when left out. */
  readonly isReadOnly?: boolean;
  /** Where the keys of encrypted volumes come from; none when left out. */
  readonly keys?: KeyFinder;
  /** As in `PoolOptions`. */
  readonly mapCacheBytes?: number;
}

const defaultPauseNs = 20 * msNs;

/**
 * A pool over one or more block devices: thin volumes, and snapshots that share what has not
 * changed.
 *
 * What always holds
 *   - What was acknowledged as durable (a flush, a write with FUA, any control operation here) is
 *     there after a power cut, over devices whose caches reorder, lose and tear at their atomic
 *     unit. What was not acknowledged is there or not, cell by cell; a control operation is there
 *     as a whole or not at all.
 *   - The content of a snapshot never changes, whatever is written, deleted or restored, and in
 *     whatever order snapshots go.
 *   - A unit is free, or belongs to the pool itself, or is named by exactly the map entries that
 *     `refs` counts. A unit that was given up is used again only when the record of that is durable
 *     and nothing under way can still read it.
 *
 * What may fail, and what is then done
 *   - A data device fails a read or write: that request ends with its status, nothing else changes.
 *   - A flush or the journal fails: nothing later is acknowledged; the pool is read-only, `failure`
 *     says why. What is durable is as the last commit left it.
 *   - No space: the request that needs space ends with `outOfSpace`; reads, writes in place,
 *     discards and deletions go on.
 *   - Metadata is not as it was written: one wrong bit is mended and named; a lost node costs the
 *     volumes and snapshots whose maps need it (read-only, by name); a hole in the journal opens
 *     the pool for reading, as it was before the hole. `check` explains, `repair` mends.
 *
 * All of it runs inside `poll` of any volume; the methods here poll for as long as they wait.
 */
export class Pool {
  readonly core: PoolCore;
  private readonly open = new Map<number, Volume>();
  private readonly names: PoolNames;
  /** Why the pool cannot be written; '' when it can. */
  private blocked: string;
  /** What opening has found, for repair. */
  private readonly loaded: LoadedPool | null;
  private isClosed = false;
  private readonly work: PoolChanges;

  private constructor(core: PoolCore, loaded: LoadedPool | null) {
    this.core = core;
    this.loaded = loaded;
    this.blocked = core.failure;
    this.names = new PoolNames(core.catalog);
    this.work = new PoolChanges(core);
  }

  /**
   * Make a pool on devices. **Destroys what they hold.**
   *
   * @throws UltimaError DEVICE_UNSUPPORTED; VOLUME_BUSY for a device that is not blank, unless
   *   `overwrites` is set
   */
  static async create(devices: readonly BlockDevice[], options: PoolOptions): Promise<Pool> {
    return new Pool(await createPool(devices, options), null);
  }

  /**
   * Open a pool, in whatever state the last session has left it. The devices may come in any order.
   *
   * @throws UltimaError POOL_INVALID for devices that are not one pool, POOL_DAMAGED when nothing
   *   is left to start from
   */
  static async open(devices: readonly BlockDevice[], options: PoolOpenOptions = {}): Promise<Pool> {
    const loaded = await loadPool(devices, options.mapCacheBytes);
    const { core } = loaded;
    if (options.keys !== undefined) core.keyOf = options.keys;
    if (options.isReadOnly === true) core.failure = 'the pool was opened for reading';
    else if (loaded.blocked !== '') core.failure = loaded.blocked;
    else await beginSession(loaded);
    return new Pool(core, loaded);
  }

  /** Take the labels off devices, which are then no pool. @throws UltimaError POOL_INVALID */
  static async destroy(devices: readonly BlockDevice[]): Promise<void> {
    await destroyPool(devices);
  }

  /**
   * Take one more device into the pool. **Destroys what it holds.**
   *
   * @throws UltimaError DEVICE_UNSUPPORTED; VOLUME_BUSY for a device that is not blank
   */
  async addDevice(device: BlockDevice, options: GrowOptions): Promise<void> {
    await this.work.inTurn(() => {
      if (this.core.isFailed) throw this.work.readOnly();
      return addDevice(this.core, device, options);
    });
  }

  /**
   * Take into the pool what its devices have become larger by since.
   *
   * @returns bytes that were added, 0 when none is larger
   * @throws UltimaError POOL_INVALID for a device that has become smaller
   */
  async growDevices(): Promise<number> {
    return this.work.inTurn(async () => {
      if (this.core.isFailed) throw this.work.readOnly();
      return (await growDevices(this.core)) * unitBytes;
    });
  }

  get id(): Uint8Array {
    return this.core.identity.poolId;
  }

  /** Why nothing can be written any more; '' while all is well. */
  get failure(): string {
    return this.core.failure;
  }

  /** Why it takes no writes until it is repaired, as opening has found; '' when it does. */
  get damage(): string {
    return this.core.isFailed ? (this.loaded?.blocked ?? '') : '';
  }

  /** What was found wrong on the devices. */
  get findings(): readonly Finding[] {
    return this.core.findings;
  }

  /**
   * Everything that was acknowledged is durable, and opening again has nothing to replay. The
   * devices stay open. Idempotent.
   */
  async close(): Promise<void> {
    const { core } = this;
    if (this.isClosed) return;
    this.isClosed = true;
    await this.work.settled();
    await core.pump.until(() => core.io.isIdle);
    if (!core.isFailed) {
      await this.commit();
      await this.checkpoint();
    }
    core.isClosing = true;
    await core.pump.until(() => core.pager.isIdle);
    for (const volume of this.open.values()) volume.isGone = true;
    core.close();
  }

  volumes(): readonly Readonly<CatalogObject>[] {
    return this.core.catalog.volumes();
  }

  snapshots(volume: string): readonly Readonly<CatalogObject>[] {
    return this.core.catalog.snapshotsOf(this.names.volume(volume).id);
  }

  /**
   * A volume as a block device. Without its key an encrypted one refuses reads and writes.
   *
   * @throws UltimaError NOT_FOUND; VERIFY_FAILED for another key than it was made with
   */
  volume(name: string): Volume {
    return demandItsKey(this.deviceOf(this.names.volume(name)), name);
  }

  /** A snapshot as a block device that refuses writes. @throws as `volume` */
  snapshot(volume: string, name: string): Volume {
    return demandItsKey(this.deviceOf(this.names.snapshot(volume, name)), `${volume}@${name}`);
  }

  /** @throws UltimaError NAME_TAKEN, POOL_FULL; RangeError for a size or name that cannot be */
  async createVolume(wanted: NewVolume): Promise<Volume> {
    checkNewVolume(wanted);
    const keyCheck = this.names.checkKey(wanted, this.core.keyOf);
    return this.work.inTurn(async () => {
      this.names.demandFree(wanted.name);
      const object = this.names.newVolume(wanted, keyCheck, this.core.isCompared);
      await this.work.change({ op: 'create', object });
      return this.deviceOf(this.core.catalog.objects.get(object.id)!);
    });
  }

  /**
   * Delete a volume. Returns when that is durable; its space becomes free in the background.
   *
   * @throws UltimaError NOT_FOUND; VOLUME_BUSY when it has snapshots, unless they may go, too
   */
  async deleteVolume(
    name: string,
    options: { readonly withSnapshots?: boolean } = {},
  ): Promise<void> {
    await this.work.inTurn(async () => {
      const object = this.names.volume(name);
      const snapshots = this.core.catalog.snapshotsOf(object.id);
      if (snapshots.length > 0 && options.withSnapshots !== true) {
        throw new UltimaError(
          ErrorCode.volumeBusy,
          `volume ${name} has snapshots (${snapshots.length}): delete them first, or with it`,
          { name, snapshots: snapshots.length },
        );
      }
      await this.deleteObjects([object, ...snapshots]);
    });
  }

  /** @throws UltimaError NOT_FOUND, NAME_TAKEN; RangeError for a name that cannot be */
  async renameVolume(name: string, to: string): Promise<void> {
    await this.work.inTurn(async () => {
      const { id } = this.names.volume(name);
      this.names.demandFree(to);
      await this.work.change({ op: 'change', id, to: { name: to } });
    });
  }

  /** Make a volume larger; what is new reads as zeroes. @throws RangeError for a smaller size */
  async growVolume(name: string, bytes: number): Promise<void> {
    checkNewVolume({ name, bytes });
    await this.work.inTurn(async () => {
      const object = this.names.volume(name);
      if (bytes < object.bytes) {
        const has = `volume ${name} has ${object.bytes} bytes`;
        throw new RangeError(`${has}; it cannot shrink to ${bytes}`);
      }
      await this.work.change({ op: 'change', id: object.id, to: { bytes } });
    });
  }

  /** Let a volume's I/O be limited by another tier; '' for none. */
  async setQosTier(name: string, qosTier: string): Promise<void> {
    checkNewVolume({ name, bytes: this.names.volume(name).bytes, qosTier });
    await this.work.inTurn(async () => {
      const { id } = this.names.volume(name);
      await this.work.change({ op: 'change', id, to: { qosTier } });
    });
  }

  /** Replace the attributes of a volume. */
  async setAttributes(name: string, attributes: Readonly<Record<string, string>>): Promise<void> {
    checkNewVolume({ name, bytes: this.names.volume(name).bytes, attributes });
    await this.work.inTurn(async () => {
      const { id } = this.names.volume(name);
      await this.work.change({ op: 'change', id, to: { attributes } });
    });
  }

  /**
   * Snapshot one or several volumes at one instant: writes are held back, those under way end, all
   * maps are sealed, writes go on. Returns when that is durable.
   *
   * @throws UltimaError NOT_FOUND, NAME_TAKEN; COMMAND_TIMEOUT when the writes under way take
   *   longer than may be: then there is no snapshot of any
   */
  async takeSnapshot(
    members: readonly GroupMember[],
    options: SnapshotOptions = {},
  ): Promise<SnapshotResult> {
    return this.work.inTurn(async () => {
      const made = this.names.newSnapshots(members, options.createdMs ?? 0);
      const { objects } = this.core.catalog;
      const volumes = made.map(({ of }) => this.deviceOf(objects.get(of)!));
      const { mostPauseNs = defaultPauseNs, atInstant } = options;
      const change: CatalogChange = { op: 'snapshot', made };
      const pauseNs = await this.work.changeGated(change, volumes, { mostPauseNs, atInstant });
      return { pauseNs, snapshots: made.map(({ object }) => objects.get(object.id)!) };
    });
  }

  async deleteSnapshot(volume: string, name: string): Promise<void> {
    await this.work.inTurn(() => this.deleteObjects([this.names.snapshot(volume, name)]));
  }

  /**
   * Take a volume back to one of its snapshots, at once and without copying. What it held until now
   * stays as a snapshot under the name `kept`. File systems on it must not be in use.
   *
   * @param options.demand  asked at that instant; what it throws leaves everything as it is
   * @throws UltimaError NOT_FOUND, NAME_TAKEN
   */
  async restore(
    volume: string,
    snapshot: string,
    kept: string,
    { createdMs = 0, demand }: RestoreOptions = {},
  ): Promise<SnapshotResult> {
    return this.work.inTurn(async () => {
      const from = this.names.snapshot(volume, snapshot).id;
      const object = this.names.volume(volume);
      const [made] = this.names.newSnapshots([{ volume, name: kept }], createdMs);
      const device = this.deviceOf(object);
      const change: CatalogChange = { op: 'restore', id: object.id, from, kept: made!.object };
      const atInstant = (): void => {
        device.isReadOnly = object.damage !== '';
      };
      const pauseNs = await this.work.changeGated(change, [device], { demand, atInstant });
      return { pauseNs, snapshots: [this.core.catalog.objects.get(made!.object.id)!] };
    });
  }

  /** A writable volume that starts with the content of a volume or, if named, of its snapshot. */
  async clone(
    source: ObjectName,
    name: string,
    { createdMs = 0 }: CreatedOptions = {},
  ): Promise<Volume> {
    return this.work.inTurn(async () => {
      const from = this.names.object(source);
      this.names.demandFree(name);
      const object = this.names.newClone(from, name, createdMs);
      const gated = from.kind === 'volume' ? [this.deviceOf(from)] : [];
      const change: CatalogChange = { op: 'copy', from: from.id, object };
      await this.work.changeGated(change, gated);
      return this.deviceOf(this.core.catalog.objects.get(object.id)!);
    });
  }

  /**
   * What has changed from one volume or snapshot to another of its family: ascending ranges that do
   * not overlap, in time that follows from the change. Without `from`, all that is allocated. They
   * tell of the instant at which the first one is asked for, whatever happens afterwards.
   *
   * @param startByte  where to go on; 0 when left out
   * @throws UltimaError NOT_FOUND; POOL_INVALID for two that have no common past; on the way
   *   POOL_DAMAGED when a part of a map is lost
   */
  changes(from: ObjectName | null, to: ObjectName, startByte = 0): AsyncGenerator<ChangedRange> {
    return streamedRanges(this.core, this.sidesOf(from, to), startByte);
  }

  /** The same at once, for a pool whose maps are all in memory. @throws POOL_INVALID for another */
  changesNow(from: ObjectName | null, to: ObjectName, startByte = 0): Generator<ChangedRange> {
    return changedRanges(this.core, this.sidesOf(from, to), startByte);
  }

  /** What the pool has and what is free, in bytes. */
  space(): PoolSpace {
    return poolSpace(this.core);
  }

  /**
   * Be told when the share of units in use reaches one of these percentages, or falls below it
   * again. One listener; called from `poll`.
   *
   * @throws RangeError for a percentage outside 1..100
   */
  watchSpace(percents: readonly number[], listener: SpaceListener): void {
    this.core.watch = new SpaceWatch(percents, listener);
  }

  /**
   * What a volume or snapshot takes, alone and with others. Walks its map.
   *
   * @throws UltimaError NOT_FOUND; POOL_DAMAGED when a part of the map is lost
   */
  async spaceOf(name: ObjectName): Promise<ObjectSpace> {
    return objectSpace(this.core, this.names.object(name).root);
  }

  /**
   * Read all data of a volume or snapshot. With checks every cell is compared with its CRC, without
   * them only what the devices say counts. Runs beside other requests.
   *
   * @param options.through  the way to read it, for instance a share of a gate over it
   * @param options.onStep   told of the byte that it has come to, and how many there are
   * @throws RangeError for a way that leads to something of another size
   */
  scrub(name: ObjectName, options: ScrubOptions = {}): Promise<ScrubResult> {
    const { volume, snapshot } = name;
    const device = snapshot === undefined ? this.volume(volume) : this.snapshot(volume, snapshot);
    const through = wayTo(device, options.through ?? device);
    return scrubVolume(through, this.changes(null, name), options.onStep);
  }

  /** Make durable everything that has completed, of all volumes. */
  commit(): Promise<void> {
    return this.work.commit();
  }

  /** Write the metadata out now, so that opening has nothing to replay. */
  async checkpoint(): Promise<void> {
    await runCheckpoint(this.core);
    if (this.core.isFailed) throw this.work.readOnly();
  }

  /** Wait until what was deleted is free, and no checkpoint runs. */
  settleSpace(): Promise<void> {
    return this.work.settleSpace();
  }

  /**
   * Read all metadata again and compare it. What was found when the pool was opened is in
   * `findings`; this is what is wrong now. The pool may be in use and change in any way: writes are
   * held back for one instant only, and other operations wait for no more than one piece of it.
   * What is deleted, or overwritten where it lay, meanwhile becomes free after the check.
   *
   * @param options.onStep  told of nodes that were looked at; each is looked at twice
   * @returns nothing for a sound pool
   */
  check({ onStep }: LongWork = {}): Promise<Finding[]> {
    return this.work.aside(() => checkPool(this.core, this.work, this.open, onStep));
  }

  /**
   * Write anew what `check` finds. A pool whose journal has a hole goes on as it was before the
   * hole; volumes and snapshots of which a part is lost stay read-only.
   *
   * @throws UltimaError POOL_READ_ONLY for a pool opened for reading, or whose device fails
   */
  async repair(): Promise<void> {
    const { core, loaded } = this;
    if (loaded !== null && loaded.blocked !== '' && core.failure === loaded.blocked) {
      core.failure = '';
      await beginSession(loaded);
      this.blocked = core.failure;
      for (const volume of this.open.values()) volume.isReadOnly = isReadOnly(volume.object);
    }
    if (core.isFailed) throw this.work.readOnly();
    await this.settleSpace();
    await repairPool(core);
    if (core.isFailed) throw this.work.readOnly();
  }

  private sidesOf(from: ObjectName | null, to: ObjectName): Sides {
    const sides: Sides = () => {
      const target = this.names.object(to);
      if (from === null) return { from: { root: 0, bytes: 0 }, to: target };
      const source = this.names.object(from);
      if (source.familyId !== target.familyId) {
        const message = `${nameOf(from)} and ${nameOf(to)} have no common past to compare`;
        throw new UltimaError(ErrorCode.poolInvalid, message, {});
      }
      return { from: source, to: target };
    };
    // What cannot be compared is refused now, not when somebody begins to read.
    sides();
    return sides;
  }

  private deviceOf(object: CatalogObject): Volume {
    let volume = this.open.get(object.id);
    if (volume === undefined) {
      volume = new Volume(this.core, object);
      if (this.blocked !== '') volume.isReadOnly = true;
      this.open.set(object.id, volume);
    }
    return volume;
  }

  private async deleteObjects(objects: readonly CatalogObject[]): Promise<void> {
    const devices = objects.map((object) => this.deviceOf(object));
    const change: CatalogChange = { op: 'delete', ids: objects.map(({ id }) => id) };
    const atInstant = (): void => {
      for (const device of devices) {
        device.isGone = true;
        this.open.delete(device.object.id);
      }
    };
    await this.work.changeGated(change, devices, { atInstant });
  }
}
