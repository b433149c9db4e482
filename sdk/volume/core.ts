import { Catalog } from './catalog.js';
import { Checkpointer, type PoolIdentity } from './checkpointer.js';
import { Committer } from './committer.js';
import type { Finding } from './findings.js';
import { cellsPerUnit, unitBytes } from './format.js';
import { Journal } from './journal.js';
import { NodeArena } from './nodes.js';
import { Pager } from './pager.js';
import { Pins } from './pins.js';
import { ControlIo, type Port, Pump } from './port.js';
import { Reaper } from './reaper.js';
import { SlotSpace } from './slot-space.js';
import type { SpaceWatch } from './space-watch.js';
import { Trees } from './trees.js';
import { DeferredReleases, UnitSpace } from './unit-space.js';
import { VolumeIo } from './volume-io.js';

/** Nodes taken apart with each poll: about 5 us. */
const reapedPerPoll = 4;
/** Rounds of one poll: a flush, the journal behind it, and what waited for them. */
const mostTurns = 4;
/** Changed nodes at which a checkpoint starts, at the latest: 16 MiB to write. */
const mostDirtyNodes = 4096;
/** Units that only what frees space may use up. */
const slackUnits = 4;

/** Finds a key of 64 bytes by its name; null when it is not there. */
export type KeyFinder = (keyId: string) => Uint8Array | null;

export interface CoreOptions {
  readonly ports: readonly Port[];
  readonly identity: PoolIdentity;
  /** Memory for nodes of maps; all of them stay in memory when left out. */
  readonly mapCacheBytes?: number;
}

/**
 * The parts of an open pool and how they hold together. `poll` drives all of it: devices, I/O,
 * commits, checkpoints and the release of space. Nothing here waits or needs a timer.
 */
export class PoolCore {
  readonly ports: Port[];
  readonly identity: PoolIdentity;
  readonly nodes = new NodeArena();
  readonly units: UnitSpace;
  readonly slots: SlotSpace;
  readonly deferred = new DeferredReleases();
  readonly trees: Trees;
  readonly reaper: Reaper;
  readonly pins: Pins;
  readonly catalog: Catalog;
  readonly committer: Committer;
  readonly checkpointer: Checkpointer;
  readonly pager: Pager;
  readonly io: VolumeIo;
  readonly pump: Pump;
  readonly control: ControlIo;
  keyOf: KeyFinder = () => null;
  /** What was found wrong on the devices. */
  readonly findings: Finding[] = [];
  /** Nodes that were lost, and are empty now. */
  readonly badNodes = new Set<number>();
  /** Why nothing can be written any more; '' while all is well. */
  failure = '';
  /** Who wants to know how full the pool is. */
  watch: SpaceWatch | null = null;
  /** A journal that is never written: what a pool opened for reading has. */
  journal: Journal;
  /** The journal is being replayed, which takes maps apart itself, and counts as it goes. */
  isLoading = false;
  /** Nothing more is taken apart. */
  isClosing = false;
  /** Requests of users that ended, ever. */
  ended = 0;
  private readonly mostDirty: number;
  private attempts: (() => boolean)[] = [];
  private readonly releaseUnit: (unit: number) => void;
  private readonly dropNode: (id: number) => void;

  constructor(options: CoreOptions) {
    this.ports = [...options.ports];
    this.identity = options.identity;
    this.units = new UnitSpace(this.layOut());
    this.slots = new SlotSpace(this.units);
    const { nodes, units } = this;
    this.trees = new Trees({ nodes, units, releases: this.deferred });
    this.reaper = new Reaper({ nodes, units });
    this.pins = new Pins(this);
    this.catalog = new Catalog(nodes);
    this.releaseUnit = (unit) => units.release(unit);
    this.dropNode = (id) => this.reaper.drop(id);
    this.pump = new Pump(this.ports, () => this.poll());
    this.control = new ControlIo(this.pump);
    this.journal = this.openJournal(0, 0, true);
    this.committer = new Committer(this);
    this.checkpointer = new Checkpointer(this);
    this.pager = new Pager(this);
    if (options.mapCacheBytes !== undefined) this.pager.limit(options.mapCacheBytes);
    this.mostDirty = Math.min(mostDirtyNodes, Math.max(8, Math.floor(this.pager.mostNodes / 2)));
    this.io = new VolumeIo(this);
  }

  get isFailed(): boolean {
    return this.failure !== '';
  }

  /** All devices compare what they read with protection information. */
  get isCompared(): boolean {
    return this.ports.every(({ device }) => device.limits.hasProtection === true);
  }

  /** Volumes and snapshots that rely on that. */
  reliantNames(): string[] {
    const { catalog } = this;
    const objects = [...catalog.objects.values()];
    return objects.filter(({ isProtected }) => isProtected).map((one) => catalog.fullName(one));
  }

  /** Try now and with every poll, until it says that it is done. */
  atInstant(attempt: () => boolean): void {
    if (!attempt()) this.attempts.push(attempt);
  }

  /** Start the journal behind what recovery has read. */
  startJournal(seq: number, block: number): void {
    this.journal.close();
    this.journal = this.openJournal(seq, block, false);
  }

  /** Give the device memory back. Nothing may be under way, and nothing may follow. */
  close(): void {
    this.journal.close();
    this.io.close();
    this.pager.close();
  }

  /** @returns requests of users that ended */
  poll(): number {
    const before = this.ended;
    this.turn();
    // What was submitted on the way goes to the devices now, not when somebody polls again.
    for (let i = 0; i < mostTurns && this.isSilent(); i++) this.turn();
    const { units, watch } = this;
    if (watch !== null) {
      watch.look(units.unitCount - units.freeCount, units.unitCount, unitBytes);
    }
    return this.ended - before;
  }

  private turn(): void {
    this.io.issueReads();
    for (let i = 0; i < this.ports.length; i++) this.ports[i]!.poll();
    if (this.attempts.length > 0) this.attempts = this.attempts.filter((attempt) => !attempt());
    this.io.turn();
    this.units.turn();
    if (!this.reaper.isIdle && !this.isClosing && !this.isLoading) this.reap();
    if (this.journal.fullness > 0.5) this.committer.want();
    if (this.needsCheckpoint()) this.checkpointer.start();
    this.committer.turn();
    this.checkpointer.turn();
    this.pager.turn();
  }

  private reap(): void {
    const absent = this.reaper.step(reapedPerPoll, this.releaseUnit);
    // What a lost node names stays taken until the pool is opened again.
    if (absent !== 0 && !this.pager.want(absent)) this.reaper.skip();
  }

  private isSilent(): boolean {
    if (this.io.hasFresh) return true;
    for (let i = 0; i < this.ports.length; i++) if (this.ports[i]!.isSilent) return true;
    return false;
  }

  settle(seq: number): void {
    this.deferred.settle(seq, this.releaseUnit, this.dropNode);
  }

  fail(what: string): void {
    if (this.failure === '') this.failure = what;
  }

  /** Units that a checkpoint of the present state would take, now and with a few changes more. */
  get reservedUnits(): number {
    const nodes = Math.max(0, this.nodes.dirtyCount + cellsPerUnit - this.slots.spareCount);
    return Math.ceil(nodes / cellsPerUnit) + this.imageUnits + slackUnits;
  }

  /** Space may become free without anybody doing anything. */
  get awaitsSpace(): boolean {
    return this.deferred.pending > 0 || this.units.waitingCount > 0 || !this.reaper.isIdle;
  }

  /** Whether the part of the reserve that only frees may use still allows for a change of maps. */
  get canChangeMaps(): boolean {
    return this.units.freeCount + slackUnits > this.reservedUnits + 1;
  }

  /** @returns a unit for data with one name, 0 when data must not take another one */
  allocateUnit(): number {
    const { units } = this;
    if (units.freeCount <= this.reservedUnits) return 0;
    const unit = units.allocate();
    if (unit !== 0) units.refs[unit] = 1;
    return unit;
  }

  portOf(unit: number): Port {
    const { ports } = this;
    let port = ports[0]!;
    for (let i = 1; i < ports.length && unit >= ports[i]!.firstUnit; i++) port = ports[i]!;
    return port;
  }

  /** Number the units of all devices. @returns how many there are */
  layOut(): number {
    let unit = 0;
    for (const port of this.ports) {
      port.firstUnit = unit;
      unit += port.unitCount;
    }
    return unit;
  }

  private needsCheckpoint(): boolean {
    if (this.checkpointer.isRunning || this.isFailed) return false;
    if (this.nodes.dirtyCount > this.mostDirty || this.journal.ringUse > 0.5) return true;
    return this.journal.hasRecords && !this.journal.fitsRing;
  }

  /** Units of both copies of the next image, a little generously. */
  private get imageUnits(): number {
    const bytes = this.nodes.end * 8 + this.catalog.objects.size * 512;
    return 2 * (Math.ceil(bytes / unitBytes) + 1);
  }

  private openJournal(seq: number, block: number, isClosed: boolean): Journal {
    const { journalUnits, session, poolId } = this.identity;
    const { memory } = this.ports[0]!.device;
    return new Journal({ journalUnits, seq, block, session, poolId, memory, isClosed });
  }
}
