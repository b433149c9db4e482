import { assert } from '../../sdk/assert.js';
import { AnaState, SanitizeStatus } from '../../sdk/spec/nvme/logs.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { GiB } from '../../sdk/units.js';
import type { NamespaceProfile, Profile } from '../profiles/profile.js';
import type { World } from '../world.js';
import type { PowerStateFacts } from './admin/power-states.js';
import type { CardInside } from './card-inside.js';
import { commandSlots } from './command-pool.js';
import { ControllerRecord } from './controller-record.js';
import { FirmwareSlots, ResetStrength } from './firmware-slots.js';
import { Health } from './health.js';
import type { MediaModel } from './io/media-model.js';
import type { Medium } from './medium.js';
import {
  type AtomicUnits,
  Namespace,
  type NamespaceFormat,
  namespaceIdentifiers,
} from './namespace.js';
import { CardQos } from './qos/card-qos.js';
import { Sanitizer, type SanitizeTarget } from './sanitizer.js';
import { SecondaryControllers } from './secondary-controllers.js';

export interface SubsystemOptions {
  readonly world: World;
  readonly profile: Profile;
  /** Behind all controllers. */
  readonly inside: CardInside;
  /** Makes the blocks of a namespace. */
  readonly medium: (nsid: number) => Medium;
  /** CNTLID of the primary controller; 0 when left out. */
  readonly primaryId?: number;
}

/** What a host asks for when it makes a namespace. */
export interface NamespaceRequest {
  readonly sizeBlocks: number;
  readonly capacityBlocks: number;
  readonly format: NamespaceFormat;
  readonly isShared: boolean;
}

/** The one ANA group, NVM set and endurance group of this card. */
export const onlyGroup = 1;

/**
 * The NVM subsystem: what its controllers share and what outlives their resets. Namespaces and the
 * pool that they come from, firmware, health, the sanitize operation, secondary controllers.
 *
 * What always holds: the allocated bytes are the sum over the namespaces and never exceed the pool;
 * a namespace is attached to known controllers only.
 */
export class Subsystem implements SanitizeTarget {
  readonly world: World;
  readonly profile: Profile;
  readonly health: Health;
  readonly firmware: FirmwareSlots;
  readonly sanitizer: Sanitizer;
  readonly secondaries: SecondaryControllers;
  /** The media serve all controllers: what one asks for keeps the others waiting. */
  readonly media: MediaModel;
  /** Null on a card without. */
  readonly qos: CardQos | null;
  /** 0, or the status of every command that would touch the media: sanitize runs or has failed. */
  mediaStatus = 0;
  private readonly inside: CardInside;
  private readonly medium: (nsid: number) => Medium;
  private readonly byNsid = new Map<number, Namespace>();
  private readonly records = new Map<number, ControllerRecord>();
  private readonly anaStates = new Map<number, number>();
  private readonly formats = new Map<number, { readonly startNs: number; readonly ns: number }>();
  private madeNamespaces = 0;
  private writesAtSanitize = 0;
  /** Changes of ANA state since power came. */
  anaChanges = 0;

  constructor(options: SubsystemOptions) {
    const { world, profile } = options;
    this.world = world;
    this.profile = profile;
    this.medium = options.medium;
    this.inside = options.inside;
    this.media = options.inside.media;
    this.qos = makeQos(options);
    if (this.qos !== null) this.qos.onShortfall = () => this.tell((one) => one.qosChanged());
    this.health = new Health(world, profile.subsystem.capacityBytes, () => this.media.wear());
    this.health.onChange(() => {
      this.inside.paceChanged();
      this.tell((listener) => listener.healthChanged());
    });
    this.inside.onWear = () => this.health.wearChanged();
    const { firmwareSlots, virtualFunctions, queuePairs, vectors } = profile.controller;
    this.firmware = new FirmwareSlots(firmwareSlots, profile.identity.firmwareRevision);
    const gigabytes = profile.subsystem.capacityBytes / GiB;
    const firmwareNs = Math.ceil(gigabytes * profile.firmware.formatNsPerGiB);
    const passNs = Math.max(firmwareNs, this.media.eraseAllNs);
    this.sanitizer = new Sanitizer(world, this, passNs);
    this.secondaries = new SecondaryControllers({
      primaryId: options.primaryId ?? 0,
      count: virtualFunctions,
      primaryQueues: queuePairs + 1,
      primaryVectors: vectors,
    });
    const { primaryId } = this.secondaries;
    for (let i = 0; i <= virtualFunctions; i++) {
      const id = primaryId + i;
      this.records.set(id, new ControllerRecord(id, profile.controller.errorLogEntries));
    }
    for (const [index, entry] of profile.namespaces.entries()) this.makeFactory(index + 1, entry);
  }

  // Controllers.

  /** @throws AssertionFailure for an identifier that the card does not have */
  controller(id: number): ControllerRecord {
    const record = this.records.get(id);
    assert(record !== undefined, 'no controller with this identifier');
    return record;
  }

  /** Ascending. */
  get controllerIds(): number[] {
    return [...this.records.keys()].sort((a, b) => a - b);
  }

  hasController(id: number): boolean {
    return this.records.has(id);
  }

  // Namespaces.

  /** An allocated namespace, attached or not. */
  namespace(nsid: number): Namespace | undefined {
    return this.byNsid.get(nsid);
  }

  /** The namespace when it is active for the controller, else undefined. */
  active(nsid: number, controllerId: number): Namespace | undefined {
    const namespace = this.byNsid.get(nsid);
    return namespace?.attached.has(controllerId) ? namespace : undefined;
  }

  /** All allocated namespaces, ascending. */
  get namespaces(): Namespace[] {
    return [...this.byNsid.values()].sort((a, b) => a.nsid - b.nsid);
  }

  /** An NSID that could exist on this card. */
  isValidNsid(nsid: number): boolean {
    return nsid >= 1 && nsid <= this.profile.subsystem.maxNamespaces;
  }

  /** Bytes that a namespace takes from the pool. */
  allocatedBytes(namespace: Namespace): number {
    return this.roundUp(namespace.sizeBlocks * namespace.dataBytes);
  }

  get unallocatedBytes(): number {
    let used = 0;
    for (const namespace of this.byNsid.values()) used += this.allocatedBytes(namespace);
    return this.profile.subsystem.capacityBytes - used;
  }

  roundUp(bytes: number): number {
    const unit = this.profile.subsystem.allocationBytes;
    return Math.ceil(bytes / unit) * unit;
  }

  /** Lowest NSID that is free, 0 when there is none. */
  freeNsid(): number {
    const { maxNamespaces } = this.profile.subsystem;
    for (let nsid = 1; nsid <= maxNamespaces; nsid++) if (!this.byNsid.has(nsid)) return nsid;
    return 0;
  }

  /** The caller has checked capacity, format and identifier. */
  create(nsid: number, request: NamespaceRequest): Namespace {
    assert(!this.byNsid.has(nsid), 'namespace identifier in use');
    const { profile } = this;
    const namespace = new Namespace({
      nsid,
      sizeBlocks: request.sizeBlocks,
      capacityBlocks: request.capacityBlocks,
      formats: profile.lbaFormats,
      format: request.format,
      atomicity: atomicityOf(profile),
      copyLimits,
      optimalBoundaryBlocks: 0,
      isShared: request.isShared,
      anaGroupId: onlyGroup,
      nvmSetId: onlyGroup,
      enduranceGroupId: onlyGroup,
      identifiers: namespaceIdentifiers({
        seed: this.world.seed >>> 0,
        nsid,
        salt: this.madeNamespaces,
      }),
      medium: this.medium(nsid),
    });
    this.madeNamespaces++;
    namespace.reservations.listen((host, notice) => this.tellHost(host, nsid, notice));
    this.byNsid.set(nsid, namespace);
    this.media.place(namespace);
    return namespace;
  }

  /** A namespace of one block, whose every property is about to be overwritten. */
  createBlank(nsid: number): void {
    const format = { formatIndex: 0, isMetadataExtended: false, protectionType: 0 };
    this.create(nsid, {
      sizeBlocks: 1,
      capacityBlocks: 1,
      format: { ...format, isProtectionFirst: false },
      isShared: false,
    });
  }

  /** Detached from all controllers first, which are told. */
  delete(namespace: Namespace): void {
    const attached = [...namespace.attached];
    namespace.attached.clear();
    this.media.remove(namespace);
    namespace.erase();
    namespace.medium.close();
    namespace.reservations.listen(null);
    this.byNsid.delete(namespace.nsid);
    this.qos?.assign(namespace.nsid, 0);
    this.tellChanged(namespace.nsid, attached);
  }

  attach(namespace: Namespace, controllerId: number): void {
    assert(this.records.has(controllerId), 'attached to a controller that is not there');
    namespace.attached.add(controllerId);
    this.tellChanged(namespace.nsid, [controllerId]);
  }

  detach(namespace: Namespace, controllerId: number): void {
    namespace.attached.delete(controllerId);
    this.tellChanged(namespace.nsid, [controllerId]);
  }

  /** Something that Identify shows of the namespace has changed. */
  changed(namespace: Namespace): void {
    this.tellChanged(namespace.nsid, [...namespace.attached]);
  }

  // Format.

  /** Commands to the namespace end as Format In Progress from now on, for `ns`. */
  beginFormat(namespace: Namespace, ns: number): void {
    namespace.isReady = false;
    this.formats.set(namespace.nsid, { startNs: this.world.nowNs, ns });
  }

  /** The time of a format is over: its blocks are forgotten, and it has another format. */
  formatted(namespace: Namespace, format: NamespaceFormat): void {
    this.media.forget(namespace);
    namespace.format(format);
  }

  endFormat(namespace: Namespace): void {
    namespace.isReady = true;
    this.formats.delete(namespace.nsid);
    this.changed(namespace);
  }

  /** Per cent of a format that are still to be done, 0 when none runs. */
  formatRemaining(namespace: Namespace): number {
    const format = this.formats.get(namespace.nsid);
    if (format === undefined) return 0;
    const done = (this.world.nowNs - format.startNs) / Math.max(1, format.ns);
    return Math.ceil(100 * (1 - Math.min(1, done)));
  }

  // Asymmetric access.

  /** One of `AnaState`. */
  anaState(groupId: number): number {
    return this.anaStates.get(groupId) ?? AnaState.optimized;
  }

  setAnaState(groupId: number, state: number): void {
    if (this.anaState(groupId) === state) return;
    this.anaStates.set(groupId, state);
    this.anaChanges++;
    this.tell((listener) => listener.anaChanged());
  }

  // Sanitize.

  eraseAll(): void {
    this.mediaStatus = Status.sanitizeInProgress;
    for (const record of this.records.values()) {
      for (const namespace of this.byNsid.values()) {
        record.abortIo?.(namespace, Status.sanitizeInProgress);
      }
    }
    this.tell((listener) => listener.sanitizeStarted());
    for (const namespace of this.byNsid.values()) namespace.erase();
    this.media.eraseAll();
  }

  /** Global Data Erased: no user data was written since sanitize has succeeded. */
  get isErased(): boolean {
    const isUntouched = this.health.writeCommands === this.writesAtSanitize;
    return this.sanitizer.isErased && isUntouched && this.namespaces.every(isBlank);
  }

  sanitizeEnded(): void {
    this.refreshMediaStatus();
    this.writesAtSanitize = this.health.writeCommands;
    const isUnexpected = this.sanitizer.status === SanitizeStatus.completedNoDeallocate;
    const id = this.sanitizer.request?.controllerId ?? this.secondaries.primaryId;
    this.records.get(id)?.listener?.sanitizeEnded(isUnexpected);
    this.world.hostVisible();
  }

  refreshMediaStatus(): void {
    if (this.sanitizer.isRunning) this.mediaStatus = Status.sanitizeInProgress;
    else this.mediaStatus = this.sanitizer.hasFailed ? Status.sanitizeFailed : 0;
  }

  // Behind the controllers.

  /** The host, or the card's thermal management, asks for another pace. */
  paceChanged(): void {
    this.inside.paceChanged();
  }

  insideFacts(): Readonly<Record<string, number | string>> {
    return this.inside.facts();
  }

  /** The power state of the primary controller, which is the card's. */
  powerState(): PowerStateFacts | null {
    return this.records.get(this.secondaries.primaryId)?.powerState?.() ?? null;
  }

  // Power and resets of the whole subsystem.

  /** Power goes away now; call it after the controllers have been reset. */
  powerLost(isProtected = false): void {
    let wasClean = true;
    for (const record of this.records.values()) {
      if (record.wasEnabled && this.world.nowNs < record.safeFromNs) wasClean = false;
      record.wasEnabled = false;
      record.hostId = '';
      record.errors.forget();
    }
    for (const namespace of this.byNsid.values()) namespace.medium.cutPower();
    this.health.powerLost(wasClean);
    this.media.powerLost(isProtected);
    this.sanitizer.powerLost();
    this.tell((listener) => listener.powerLost());
  }

  powerRestored(): void {
    this.firmware.reset(ResetStrength.conventional);
    this.media.powerRestored();
    this.health.powerRestored();
    this.sanitizer.powerRestored();
    for (const namespace of this.byNsid.values()) namespace.powerOn();
    this.tell((listener) => listener.powerRestored());
  }

  /** A hot reset of the bus, after each controller was reset. */
  conventionalReset(): void {
    this.firmware.reset(ResetStrength.conventional);
  }

  /** NSSR, after each controller was reset. */
  subsystemReset(): void {
    this.firmware.reset(ResetStrength.subsystem);
    this.secondaries.limitTo(0);
  }

  private makeFactory(nsid: number, entry: NamespaceProfile): void {
    const format = this.profile.lbaFormats[entry.lbaFormat];
    assert(format !== undefined, 'a profile with a format that is not in its list');
    const blocks = Math.floor(entry.bytes / format.dataBytes);
    const namespace = this.create(nsid, {
      sizeBlocks: blocks,
      capacityBlocks: blocks,
      format: {
        formatIndex: entry.lbaFormat,
        isMetadataExtended: entry.isMetadataExtended,
        protectionType: entry.protectionType,
        isProtectionFirst: false,
      },
      isShared: entry.isShared,
    });
    namespace.attached.add(this.secondaries.primaryId);
  }

  private tellChanged(nsid: number, controllerIds: readonly number[]): void {
    for (const id of controllerIds) this.records.get(id)?.listener?.namespaceChanged(nsid);
  }

  private tellHost(host: string, nsid: number, notice: number): void {
    for (const record of this.records.values()) {
      const hears = record.hostName === host && this.active(nsid, record.id) !== undefined;
      if (hears) record.listener?.reservationNotice(nsid, notice);
    }
  }

  private tell(say: (listener: NonNullable<ControllerRecord['listener']>) => void): void {
    for (const record of this.records.values()) {
      if (record.listener !== null) say(record.listener);
    }
  }
}

function makeQos({ world, profile, inside }: SubsystemOptions): CardQos | null {
  if (profile.qos === null) return null;
  return new CardQos({
    world,
    profile: profile.qos,
    namespaceLimit: profile.subsystem.maxNamespaces,
    queueLimit: profile.controller.queuePairs,
    controllerCount: 1 + profile.controller.virtualFunctions,
    slots: commandSlots,
    drives: inside.drives,
  });
}

function isBlank(namespace: Namespace): boolean {
  return namespace.usedBlocks === 0;
}

/** Copy limits of this card: sixteen ranges of up to 4096 blocks. */
const copyLimits = {
  maxRangeBlocks: 4096, // guess
  maxBlocks: 16 * 4096, // guess
  maxRanges: 16, // guess
} as const;

function atomicityOf(profile: Profile): AtomicUnits {
  const { atomicBlocks, atomicPowerFailBlocks } = profile.subsystem;
  return {
    writeBlocks: atomicBlocks,
    powerFailBlocks: atomicPowerFailBlocks,
    compareWriteBlocks: atomicBlocks,
    boundaryBlocks: 0,
    boundaryOffset: 0,
    powerFailBoundaryBlocks: 0,
  };
}
