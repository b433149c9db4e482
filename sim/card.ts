import { assert } from '../sdk/assert.js';
import type { FaultPlan } from '../sdk/faults/plan.js';
import { doorbellBase } from '../sdk/spec/nvme/registers.js';
import { Sriov } from '../sdk/spec/pcie/sriov.js';
import { Checker } from './checker.js';
import { CardFaults, demandPlaces } from './faults/card-faults.js';
import { FaultInjector, type FaultOutcome } from './faults/injector.js';
import type { MakeDrive } from './inside/drive-kinds.js';
import { makeInside, paceOf } from './inside/make-inside.js';
import { AdminSet } from './nvme/admin/admin-set.js';
import type { CardInside } from './nvme/card-inside.js';
import { Controller } from './nvme/controller.js';
import type { AdminExecutor, Executor } from './nvme/executor.js';
import { makeIoSet } from './nvme/io/subsystem-controller.js';
import { Medium } from './nvme/medium.js';
import { memoryBufferBar } from './nvme/registers.js';
import { strideBytesOf } from './nvme/shadow-doorbells.js';
import { Subsystem } from './nvme/subsystem.js';
import { sriov } from './pcie/capabilities.js';
import type { ForeignHost } from './pcie/device-memory.js';
import { SimFunction } from './pcie/function.js';
import { LinkTiming } from './pcie/link.js';
import type { RootPort } from './pcie/root-port.js';
import type { EndpointBar } from './pcie/windows.js';
import type { Profile } from './profiles/profile.js';
import { type AddTracks, type SpanSink, Tracks } from './spans.js';
import { FileStore } from './store/file-store.js';
import { pageDataBytes } from './store/page-pool.js';
import { MemoryStore, NoStore } from './store/page-store.js';
import { World } from './world.js';

/** The command sets of one controller, made and wired to it. */
export type MakeCommandSets = (parts: {
  readonly controller: Controller;
  readonly subsystem: Subsystem;
  readonly checker: Checker;
}) => { readonly admin: AdminExecutor; readonly io: Executor };

export interface SimCardOptions {
  readonly profile: Profile;
  /** Several cards on one clock; a world of its own when left out. */
  readonly world?: World;
  /** Port of the root complex that other cards of the world use too; none limits when left out. */
  readonly rootPort?: RootPort;
  /** Of the world that is made; 1 when left out. */
  readonly seed?: number;
  /** Keep namespaces in files: the first in this one, the n-th in the same with '.ns<n>'. */
  readonly file?: string;
  /** False: what is written is forgotten and reads as zeroes, only its time counts. */
  readonly carriesData?: boolean;
  /** What goes wrong, and when. */
  readonly faults?: FaultPlan;
  /** Who takes the place of a driver in this process, for the physical function. */
  readonly foreignHost?: ForeignHost;
  /** Other drives than those of the profile: for tests of what is above them. */
  readonly makeDrive?: MakeDrive;
  /** Other command sets than the card's own: for tests of the card itself. */
  readonly commandSets?: MakeCommandSets;
}

/**
 * A simulated storage card: a PCIe function and the NVMe controller behind it, virtual functions
 * with theirs, and the subsystem that they share. `open` gives what a driver wants; the rest is for
 * rigs that pull cables.
 */
export class SimCard {
  readonly world: World;
  readonly profile: Profile;
  readonly checker: Checker;
  readonly subsystem: Subsystem;
  readonly link: LinkTiming;
  /** Media and firmware cores. */
  readonly inside: CardInside;
  /** The physical function, then the virtual ones that were ever enabled. */
  readonly functions: SimFunction[] = [];
  readonly controllers: Controller[] = [];
  readonly ordinal: number;
  readonly rootPort: RootPort | null;
  /** Null when its driver lives in this process. */
  readonly foreignHost: ForeignHost | null;
  /** Null without a fault plan. */
  readonly faults: FaultPlan | null;
  private readonly file: string | null;
  readonly carriesData: boolean;
  private readonly injector: FaultInjector | null;
  private readonly onPowerCut: number;
  private readonly commandSets: MakeCommandSets;
  private readonly hasForeignDrives: boolean;
  private isPowered = true;

  constructor(options: SimCardOptions) {
    this.profile = options.profile;
    this.world = options.world ?? new World({ seed: options.seed ?? 1 });
    this.ordinal = this.world.takeOrdinal('card');
    this.checker = new Checker(this.world);
    this.rootPort = options.rootPort ?? null;
    this.faults = options.faults ?? null;
    this.link = new LinkTiming(this.world, options.profile.link, this.rootPort);
    this.file = options.file ?? null;
    this.carriesData = options.carriesData ?? true;
    this.foreignHost = options.foreignHost ?? null;
    this.commandSets = options.commandSets ?? makeCommandSets;
    this.hasForeignDrives = options.makeDrive !== undefined;
    this.inside = makeInside({
      world: this.world,
      profile: options.profile,
      name: `card ${this.ordinal}`,
      pace: () => paceOf(this.subsystem, options.profile),
      ...(options.makeDrive === undefined ? {} : { makeDrive: options.makeDrive }),
    });
    this.subsystem = new Subsystem({
      world: this.world,
      profile: options.profile,
      inside: this.inside,
      medium: (nsid) => this.makeMedium(nsid),
    });
    this.onPowerCut = this.world.register(() => this.powerCut());
    const { world, ordinal } = this;
    const plan = options.faults;
    if (plan !== undefined) demandPlaces(plan, this);
    this.injector =
      plan === undefined
        ? null
        : new FaultInjector({ world, target: new CardFaults(this), plan, ordinal });
    this.addFunction(0);
    const physical = this.function.registers;
    physical.onWrite(sriov, Sriov.vfEnable, () => this.followVirtualFunctions());
    this.function.onStateLost = () => this.followVirtualFunctions();
    this.subsystem.secondaries.onChange((secondary) => {
      const controller = this.controllers[secondary.virtualFunction];
      if (controller === undefined) return;
      controller.isOnline = secondary.isOnline;
      if (!secondary.isOnline) controller.reset('function');
    });
    this.injector?.arm();
  }

  /** The physical function. */
  get function(): SimFunction {
    return this.functions[0]!;
  }

  /** The controller of the physical function. */
  get controller(): Controller {
    return this.controllers[0]!;
  }

  /** A function for a driver, as a fresh open finds it. @param index 0 the physical one */
  open(index = 0): SimFunction {
    const fn = this.functions[index];
    if (fn === undefined) {
      throw new RangeError(`function ${index}: the card has 0..${this.functions.length - 1} now`);
    }
    fn.open();
    return fn;
  }

  /**
   * The media as after one full write in order: reads cost what they cost on a drive in use, and
   * writes meet garbage soon. Before the first command; the blocks still read as unwritten.
   */
  fill(): void {
    this.subsystem.media.fill();
  }

  // Power and link. Each may be called at any moment, also between two events.

  /**
   * The supply goes away: all volatile state is lost, unflushed writes as the cache loses them.
   * Protected, capacitors carry the cache to the media first.
   */
  powerCut(options: { readonly isProtected?: boolean } = {}): void {
    if (!this.isPowered) return;
    this.isPowered = false;
    if (options.isProtected === true) {
      for (const namespace of this.subsystem.namespaces) namespace.medium.flush();
    }
    for (const fn of this.functions) fn.powerOff();
    this.subsystem.powerLost(options.isProtected === true);
    this.link.reset();
  }

  /** Power is back: after the boot time the function answers as after a reset of the bus. */
  restore(): void {
    if (this.isPowered) return;
    this.isPowered = true;
    this.subsystem.powerRestored();
    for (const fn of this.functions) fn.powerOn(this.profile.firmware.bootNs);
  }

  /** Cut the power just before event number `eventNumber` of the world runs. */
  powerCutAtEvent(eventNumber: number): void {
    this.world.beforeEvent(eventNumber, this.onPowerCut);
  }

  /** The card is pulled out of its slot; it does not come back. */
  surpriseRemove(): void {
    this.powerCut();
    for (const fn of this.functions) fn.remove();
  }

  /** The link is lost, the power is not. */
  linkDown(): void {
    for (const fn of this.functions) fn.linkDown();
    this.link.reset();
  }

  linkUp(): void {
    for (const fn of this.functions) fn.linkUp();
  }

  /** A hot reset of the bus reaches all functions. */
  busReset(): void {
    for (const fn of this.functions) fn.startReset('bus');
    this.subsystem.conventionalReset();
    this.link.reset();
  }

  /** What became of each fault of the plan so far. */
  get faultOutcomes(): readonly FaultOutcome[] {
    return this.injector?.outcomes ?? [];
  }

  /** Tell when link, cores, channels and dies are busy. @returns the names of the tracks */
  watch(sink: SpanSink): readonly string[] {
    const tracks: string[] = [];
    const addTracks: AddTracks = (names) => new Tracks(sink, tracks.push(...names) - names.length);
    this.link.watch(addTracks);
    this.inside.watch(addTracks);
    return tracks;
  }

  /** Work of all drives together; null without drives. */
  mediaWork(): { hostWriteUnits: number; mediaWriteUnits: number; gcUnits: number } | null {
    const { drives } = this.inside;
    if (drives.length === 0) return null;
    const sum = { hostWriteUnits: 0, mediaWriteUnits: 0, gcUnits: 0 };
    for (const { statistics } of drives) {
      sum.hostWriteUnits += statistics.hostWriteUnits;
      sum.mediaWriteUnits += statistics.mediaWriteUnits;
      sum.gcUnits += statistics.gcUnits;
    }
    return sum;
  }

  // What a checkpoint asks.

  /** Why the card cannot be saved, null when it can. */
  get unsavable(): string | null {
    if (this.foreignHost !== null) return 'serves a host outside the simulation';
    return this.unsavableInside;
  }

  /** The same, whoever its host is. */
  get unsavableInside(): string | null {
    if (this.file !== null) return `keeps its namespaces in ${this.file}`;
    const isOwn = this.commandSets === makeCommandSets && !this.hasForeignDrives;
    return isOwn ? null : 'has command sets or drives of a test';
  }

  /** Before it is saved: nothing of what follows can be seen from outside. */
  tidyUp(): void {
    for (const fn of this.functions) fn.hostMemory.clearFreed();
  }

  /** Make the parts that a running card had made by now; what they hold comes from a checkpoint. */
  grow(parts: { readonly functionCount: number; readonly nsids: readonly number[] }): void {
    while (this.functions.length < parts.functionCount) this.addFunction(this.functions.length);
    for (const nsid of parts.nsids) {
      if (this.subsystem.namespace(nsid) === undefined) this.subsystem.createBlank(nsid);
    }
  }

  /** Functions and files are given back. The content of file-backed namespaces stays. */
  async close(): Promise<void> {
    for (const fn of this.functions) await fn.close();
    this.audit();
    this.settle();
    for (const namespace of this.subsystem.namespaces) namespace.medium.close();
  }

  /**
   * Every command of the run has an end that is accounted for, Little's law holds, and nothing was
   * busy for longer than there was time. Runs whenever a function is closed.
   */
  audit(): void {
    for (const controller of this.controllers) {
      assert(controller.auditViolations().length === 0, 'commands of a run do not add up');
    }
    const { nowNs } = this.world;
    assert(this.inside.violations(nowNs).length === 0, 'a core was busy for longer than there was');
  }

  /** Nobody uses the card, and it has power: what its cache holds reaches the files. */
  private settle(): void {
    if (!this.isPowered || this.file === null) return;
    for (const namespace of this.subsystem.namespaces) namespace.medium.flush();
  }

  private addFunction(index: number): void {
    const { profile, world, checker } = this;
    const { controller } = profile;
    const isVirtual = index > 0;
    const suffix = isVirtual ? `.${index}` : '';
    const fn = new SimFunction({
      world,
      checker,
      link: this.link,
      address: `sim:${profile.name}#${this.ordinal}${suffix}`,
      ordinal: world.takeOrdinal('function'),
      identity: profile.identity,
      linkProfile: profile.link,
      host: profile.host,
      bars: barsOf(profile),
      vectors: controller.vectors,
      virtualFunctions: isVirtual ? 0 : controller.virtualFunctions,
      isVirtual,
      ...(isVirtual || this.foreignHost === null ? {} : { foreignHost: this.foreignHost }),
    });
    const nvme = new Controller({
      world,
      link: fn,
      checker,
      profile,
      controllerId: this.subsystem.secondaries.primaryId + index,
      firmware: this.inside.makeFirmware(),
      fetchLimit: this.subsystem.qos,
      onSubsystemReset: () => this.subsystemReset(),
    });
    const { admin, io } = this.commandSets({
      controller: nvme,
      subsystem: this.subsystem,
      checker,
    });
    nvme.attach(admin, io);
    nvme.judgeBy(this.injector?.judgeOf(index) ?? null);
    fn.attach(nvme);
    fn.onBusReset = () => this.busReset();
    fn.onClose = () => {
      this.audit();
      this.settle();
    };
    this.functions.push(fn);
    this.controllers.push(nvme);
    if (isVirtual) nvme.isOnline = this.subsystem.secondaries.list[index - 1]!.isOnline;
  }

  /** NSSR was written by one controller: all of them are reset. The link stays. */
  private subsystemReset(): void {
    for (const controller of this.controllers) controller.subsystemReset();
    this.subsystem.subsystemReset();
  }

  /** VF Enable, VF MSE and NumVFs of the physical function have changed, or may have. */
  private followVirtualFunctions(): void {
    const { registers } = this.function;
    const isEnabled = registers.get(sriov, Sriov.vfEnable) === 1;
    const isDecoding = registers.get(sriov, Sriov.vfMemoryEnable) === 1;
    const asked = Math.min(
      registers.get(sriov, Sriov.vfCount),
      registers.get(sriov, Sriov.totalVfs),
    );
    const count = isEnabled ? asked : 0;
    this.subsystem.secondaries.limitTo(count);
    while (this.functions.length <= count) this.addFunction(this.functions.length);
    for (const [index, fn] of this.functions.entries()) {
      if (index > 0) fn.setVirtual({ isPresent: index <= count, isDecoding });
    }
  }

  private makeMedium(nsid: number): Medium {
    const { cache, subsystem, namespaces } = this.profile;
    const bytes = namespaces[nsid - 1]?.bytes ?? subsystem.capacityBytes;
    const file = this.file === null ? null : nsid === 1 ? this.file : `${this.file}.ns${nsid}`;
    return new Medium({
      hasVolatileCache: cache.isVolatile,
      cacheBytes: cache.bytes,
      tear: {
        powerFailBlocks: subsystem.atomicPowerFailBlocks,
        boundaryBlocks: 0,
        boundaryOffset: 0,
      },
      chance: this.world.prng(`card ${this.ordinal} namespace ${nsid}`),
      openStore: (pool, isFresh) => {
        if (!this.carriesData) return new NoStore(pool);
        if (file === null) return new MemoryStore(pool);
        return new FileStore(pool, { path: file, pageCount: bytes / pageDataBytes, isFresh });
      },
    });
  }
}

/** BAR 0: registers and doorbells; BAR 2: the controller memory buffer. */
function barsOf(profile: Profile): readonly EndpointBar[] {
  const { queuePairs, doorbellStride, memoryBufferBytes } = profile.controller;
  const doorbells = 2 * (queuePairs + 1) * strideBytesOf(doorbellStride);
  const registers = { index: 0, bytes: doorbellBase + doorbells, isPrefetchable: false } as const;
  if (memoryBufferBytes === 0) return [registers];
  return [registers, { index: memoryBufferBar, bytes: memoryBufferBytes, isPrefetchable: true }];
}

/** What a card of this package does with admin and I/O commands. */
const makeCommandSets: MakeCommandSets = ({ controller, subsystem, checker }) => {
  const { services, controllerId } = controller;
  const parts = { services, subsystem, controllerId };
  return { admin: new AdminSet({ ...parts, checker }), io: makeIoSet(parts) };
};
