import { assert } from '../../sdk/assert.js';
import type { Bar, Clock, ConfigSpace, FunctionReset, PciFunction } from '../../sdk/device.js';
import { Express, resetSettleNs } from '../../sdk/spec/pcie/express.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { PowerManagement, PowerState } from '../../sdk/spec/pcie/power-management.js';
import type { Checker } from '../checker.js';
import type { HostProfile, IdentityProfile, LinkProfile } from '../profiles/profile.js';
import type { World } from '../world.js';
import { type BarTarget, PostedWrites, SimBar } from './bar.js';
import type { BarShape } from './capabilities.js';
import {
  buildConfig,
  express,
  header,
  msix,
  powerManagement,
  setBarAddress,
} from './capabilities.js';
import type { ConfigRegisters } from './config-space.js';
import {
  type DeviceMemory,
  type DmaFault,
  type ForeignHost,
  ruleOfFault,
} from './device-memory.js';
import { SimDmaSpace } from './dma-space.js';
import type { Endpoint, EndpointReset, HostLink } from './endpoint.js';
import { recordFailedFetch, recordUnsupported } from './error-records.js';
import { hostClock } from './host-clock.js';
import { type ConfigTarget, HostConfigSpace } from './host-config-space.js';
import { HostInterrupts } from './host-interrupts.js';
import { HostMemory } from './host-memory.js';
import type { LinkTiming } from './link.js';
import { MsixTable } from './msix.js';
import { type EndpointBar, placeMsix, shapeOf } from './windows.js';

const gone = 0xffff_ffff;

interface PlatformCopy {
  readonly words: Uint32Array;
  readonly table: Uint32Array;
}

export interface SimFunctionOptions {
  readonly world: World;
  readonly checker: Checker;
  readonly link: LinkTiming;
  /** 'sim:simple#0' */
  readonly address: string;
  /** Counts the functions of a world: device addresses and windows of two never overlap. */
  readonly ordinal: number;
  readonly identity: IdentityProfile;
  readonly linkProfile: LinkProfile;
  readonly host: HostProfile;
  readonly bars: readonly EndpointBar[];
  readonly vectors: number;
  readonly virtualFunctions: number;
  readonly isVirtual: boolean;
  /** Memory that can be mapped at one time; the default of HostMemory when left out. */
  readonly dmaLimitBytes?: number;
  /** Who takes the place of a driver in this process; `dma` and `interrupts` lead nowhere then. */
  readonly foreignHost?: ForeignHost;
}

/**
 * A simulated PCIe function: towards the driver a PciFunction, towards the device a HostLink. It
 * answers while it is open, powered, linked, present and not in reset; else every read gives
 * all-ones, every write is lost, and the device reaches neither memory nor interrupts.
 */
export class SimFunction implements PciFunction, HostLink, BarTarget, ConfigTarget {
  readonly address: string;
  readonly config: ConfigSpace;
  /** What the device reaches: memory of the host in this process, or of the foreign one. */
  readonly memory: DeviceMemory;
  readonly hostMemory: HostMemory;
  readonly dma: SimDmaSpace;
  readonly interrupts: HostInterrupts;
  readonly clock: Clock;
  readonly vectorCount: number;
  readonly postedNs: number;
  readonly nonPostedNs: number;
  /** The device's side of configuration space. */
  readonly registers: ConfigRegisters;
  isRemoved = false;
  isBusMaster = false;
  /** A reset of the bus hits every function of the card: the card sets this. */
  onBusReset: (() => void) | null = null;
  /** The host gave the function back. The card sets this. */
  onClose: (() => void) | null = null;
  /** Configuration went back to its defaults: virtual functions go with it. The card sets this. */
  onStateLost: (() => void) | null = null;

  private readonly world: World;
  private readonly checker: Checker;
  private readonly link: LinkTiming;
  private readonly foreignHost: ForeignHost | undefined;
  private readonly bars: readonly SimBar[];
  private readonly shapes: readonly BarShape[];
  private readonly endpointBars: readonly EndpointBar[];
  /** Counts the functions of a world, in the order in which they were made. */
  readonly ordinal: number;
  private readonly msixTable: MsixTable;
  private readonly writes: PostedWrites;
  private readonly endReset: number;
  private endpoint: Endpoint | null = null;
  private isOpen = true;
  private isPowered = true;
  private isLinkUp = true;
  private isPresent = true;
  private isResetting = false;
  /** Ends of resets that were overtaken by a newer one find another number here. */
  private resetGeneration = 0;
  private isDecoding = false;
  /** What the platform puts back when the reset that it asked for is over. */
  private platformCopy: PlatformCopy | null = null;
  /** Nothing was asked of the device since its last reset: any DMA is for work of before. */
  private isFresh = false;
  private readonly isVirtual: boolean;
  private readonly virtualIdentifiers: number;
  /** VF MSE of the physical function. */
  private virtualDecoding = false;

  constructor(options: SimFunctionOptions) {
    this.world = options.world;
    this.checker = options.checker;
    this.link = options.link;
    this.address = options.address;
    this.ordinal = options.ordinal;
    this.foreignHost = options.foreignHost;
    this.isVirtual = options.isVirtual;
    this.isPresent = !options.isVirtual;
    this.virtualIdentifiers = identifiersOf(options.identity);
    this.clock = hostClock(options.world, options.host.completeNs);
    this.vectorCount = options.vectors;
    this.postedNs = options.link.postedNs;
    this.nonPostedNs = options.link.nonPostedNs;
    this.endpointBars = options.bars;
    const place = placeMsix(options.bars, options.vectors);
    this.shapes = options.bars.map((bar) => shapeOf(bar, place, options.vectors));
    this.registers = buildConfig({
      identity: options.identity,
      link: options.linkProfile,
      bars: this.shapes,
      msixCount: options.vectors,
      msixPlace: place,
      virtualFunctions: options.virtualFunctions,
      isVirtual: options.isVirtual,
    });
    this.hostMemory = new HostMemory({
      baseIova: (options.ordinal + 1) * 2 ** 40,
      ...(options.dmaLimitBytes === undefined ? {} : { limitBytes: options.dmaLimitBytes }),
    });
    this.memory = options.foreignHost?.memory ?? this.hostMemory;
    this.memory.onFault((fault, iova) => this.reportFault(fault, iova));
    this.dma = new SimDmaSpace(this.hostMemory);
    this.interrupts = new HostInterrupts({
      world: options.world,
      clock: this.clock,
      config: this.registers,
      table: () => this.msixTable,
      memory: this.hostMemory,
      vectorCount: options.vectors,
      delayNs: options.host.interruptNs,
    });
    this.msixTable = new MsixTable({
      count: options.vectors,
      place,
      config: this.registers,
      capability: msix,
      send: (address, data) => this.interrupts.receive(address, data),
    });
    this.writes = new PostedWrites(options.world, this, this.postedNs);
    this.bars = this.shapes.map(
      (shape) =>
        new SimBar({
          index: shape.index,
          length: shape.bytes,
          world: options.world,
          target: this,
          writes: this.writes,
          postedNs: this.postedNs,
          nonPostedNs: this.nonPostedNs,
          storeNs: options.host.submitNs + options.host.storeNs,
        }),
    );
    this.config = new HostConfigSpace(options.world, this, this.nonPostedNs);
    this.endReset = options.world.register((generation) => this.finishReset(generation));
    this.registers.onWrite(header, Header.busMasterEnable, () => this.refresh());
    this.registers.onWrite(powerManagement, PowerManagement.powerState, () => this.refresh());
    this.registers.onWrite(express, Express.initiateFunctionReset, () => this.seeFunctionReset());
    this.enumerate();
  }

  /** The device behind the function. Once, at assembly. */
  attach(endpoint: Endpoint): void {
    assert(this.endpoint === null, 'a function has one endpoint');
    this.endpoint = endpoint;
  }

  // PciFunction: the host's side.

  bar(index: number): Bar {
    const bar = this.bars.find((candidate) => candidate.index === index);
    if (bar === undefined) {
      const known = this.bars.map((candidate) => candidate.index).join(', ');
      throw new RangeError(`${this.address} has no BAR ${index}; it has ${known}`);
    }
    return bar;
  }

  /** Bytes of a window, 0 when the function has none of that index. */
  barBytes(index: number): number {
    return this.bars.find((candidate) => candidate.index === index)?.length ?? 0;
  }

  /**
   * Saves what the platform had programmed, resets, waits as the standard asks, and restores it:
   * bus mastering and interrupts work again after it, as after a reset through VFIO.
   */
  async reset(kind: FunctionReset): Promise<void> {
    this.saveProgrammed();
    if (kind === 'bus' && this.onBusReset !== null) this.onBusReset();
    else this.startReset(kind);
    const untilNs = this.clock.nowNs() + resetSettleNs;
    while (this.clock.nowNs() < untilNs) await this.clock.turn(untilNs);
  }

  /** The same in no time: a foreign host does not wait for what is settled in its own time. */
  resetAtOnce(): void {
    if (!this.isUp) return;
    this.saveProgrammed();
    this.startReset('function');
    this.finishReset(this.resetGeneration);
  }

  /** What software has written until now is put back when the reset that follows is over. */
  private saveProgrammed(): void {
    // While another reset runs there is nothing left to save: its end enumerates the function.
    if (!this.isUp) return;
    this.platformCopy = { words: this.registers.words.slice(), table: this.msixTable.save() };
  }

  async close(): Promise<void> {
    if (!this.isOpen) return;
    if (this.isUp) {
      this.interrupts.enable(0);
      this.startReset('function');
      this.finishReset(this.resetGeneration);
    }
    this.isOpen = false;
    this.dma.close();
    this.refresh();
    this.onClose?.();
  }

  /** After `close`: the function as a fresh open finds it. */
  open(): void {
    this.dma.reopen();
    this.isOpen = true;
    if (this.isUp) this.enumerate();
    this.refresh();
  }

  // HostLink: the device's side.

  raise(vector: number): void {
    if (!this.isBusMaster) {
      if (this.isUp && this.msixTable.isEnabled) {
        this.checker.report(
          'dmaNotBusMaster',
          { value: vector },
          'an interrupt without bus master',
        );
      }
      return;
    }
    if (this.foreignHost === undefined) this.msixTable.raise(vector);
    else this.foreignHost.interrupt(vector);
  }

  reserveWrite(bytes: number, isReserved = false): number {
    return this.link.reserveWrite(bytes, isReserved);
  }

  reserveRead(bytes: number, isUrgent = false): number {
    return this.link.reserveRead(bytes, isUrgent);
  }

  fetchFailed(isPoisoned: boolean): void {
    recordFailedFetch(this.registers, isPoisoned);
  }

  // BarTarget: what arrives over the link.

  readDword(bar: number, offset: number): number {
    if (!this.isDecoding || this.endpoint === null) {
      this.reportNotDecoding(offset);
      return gone;
    }
    if (this.isEndpointOffset(bar, offset)) return this.endpoint.readBar(bar, offset) >>> 0;
    return this.msixTable.owns(bar, offset) ? this.msixTable.read(bar, offset) : 0;
  }

  writeDword(bar: number, offset: number, value: number): void {
    if (!this.isDecoding || this.endpoint === null) {
      this.reportNotDecoding(offset);
      return;
    }
    if (this.isEndpointOffset(bar, offset)) {
      if (this.isFresh) this.wake();
      this.endpoint.writeBar(bar, offset, value);
    } else if (!this.msixTable.owns(bar, offset)) {
      this.checker.report('registerReserved', { value: offset });
    } else if (!this.msixTable.write(bar, offset, value)) {
      this.checker.report('msixMisuse', { value: offset });
    }
  }

  // What rigs do to it, through the card.

  /** Powered, linked, present, open and not in reset. */
  get isUp(): boolean {
    const isThere = this.isPowered && this.isLinkUp && this.isPresent;
    return isThere && this.isOpen && !this.isResetting;
  }

  /** The supply goes away, with all volatile state. */
  powerOff(): void {
    if (!this.isPowered) return;
    this.isPowered = false;
    this.platformCopy = null;
    this.loseState('power');
  }

  /** @param bootNs until the function answers */
  powerOn(bootNs: number): void {
    if (this.isPowered) return;
    this.isPowered = true;
    this.endpoint?.powerOn();
    this.settle(bootNs);
  }

  linkDown(): void {
    if (!this.isLinkUp) return;
    this.isLinkUp = false;
    this.platformCopy = null;
    this.loseState('bus');
  }

  linkUp(): void {
    if (this.isLinkUp) return;
    this.isLinkUp = true;
    this.settle(0);
  }

  /** Pulled out: it never comes back, and the platform says so. */
  remove(): void {
    if (!this.isPresent) return;
    this.isPresent = false;
    this.isRemoved = true;
    this.loseState('power');
  }

  /** A hot reset reached the function; it answers again after the settling time. */
  startReset(kind: FunctionReset): void {
    if (!this.isUp) return;
    this.loseState(kind);
    this.settle(resetSettleNs);
  }

  /** A virtual function appears, decodes and goes as its physical one says. */
  setVirtual(state: { readonly isPresent: boolean; readonly isDecoding: boolean }): void {
    this.virtualDecoding = state.isDecoding;
    if (state.isPresent !== this.isPresent) {
      this.isPresent = state.isPresent;
      if (!state.isPresent) this.loseState('function');
    }
    this.refresh();
  }

  private wake(): void {
    this.isFresh = false;
    this.refresh();
  }

  private loseState(kind: EndpointReset): void {
    this.isFresh = true;
    this.endpoint?.reset(kind);
    this.writes.dropAll();
    this.registers.reset(kind !== 'power');
    this.msixTable.reset();
    this.refresh();
    this.onStateLost?.();
    this.world.hostVisible();
  }

  private settle(ns: number): void {
    this.isResetting = true;
    this.resetGeneration++;
    this.refresh();
    this.world.schedule(ns, this.endReset, this.resetGeneration);
  }

  private finishReset(generation: number): void {
    if (generation !== this.resetGeneration || !this.isResetting) return;
    this.isResetting = false;
    const copy = this.platformCopy;
    this.platformCopy = null;
    if (this.isUp) this.enumerate();
    if (this.isUp && copy !== null) {
      this.registers.restoreWritable(copy.words);
      this.msixTable.restore(copy.table);
      this.refresh();
    }
    this.world.hostVisible();
  }

  private seeFunctionReset(): void {
    if (this.registers.get(express, Express.initiateFunctionReset) === 1) {
      this.startReset('function');
    }
  }

  /** What a platform does with a function that it finds: addresses, and memory decoding on. */
  private enumerate(): void {
    let address = (this.ordinal + 1) * 2 ** 32;
    for (const shape of this.isVirtual ? [] : this.shapes) {
      address = Math.ceil(address / shape.bytes) * shape.bytes;
      setBarAddress(this.registers, shape.index, address);
      address += shape.bytes;
    }
    this.registers.set(header, Header.memorySpaceEnable, 1);
    this.refresh();
  }

  /** A foreign host that other cards were made for meanwhile is this one's now. */
  claimHost(): void {
    this.memory.onFault((fault, iova) => this.reportFault(fault, iova));
    this.refresh();
  }

  /** Work out what link, power and configuration let through. */
  private refresh(): void {
    const registers = this.registers;
    const isAwake = registers.get(powerManagement, PowerManagement.powerState) === PowerState.d0;
    const isActive = this.isUp && isAwake;
    const isEnabled = registers.get(header, Header.memorySpaceEnable) === 1;
    this.isDecoding = isActive && isEnabled && (!this.isVirtual || this.virtualDecoding);
    this.isBusMaster = isActive && registers.get(header, Header.busMasterEnable) === 1;
    this.memory.isReachable = this.isBusMaster && !this.isFresh;
  }

  private isEndpointOffset(bar: number, offset: number): boolean {
    const bars = this.endpointBars;
    for (let i = 0; i < bars.length; i++) {
      if (bars[i]!.index === bar) return offset < bars[i]!.bytes;
    }
    return false;
  }

  private reportNotDecoding(offset: number): void {
    if (!this.isUp) return;
    this.checker.report('memoryDisabled', { value: offset });
    recordUnsupported(this.registers);
  }

  private reportFault(fault: DmaFault, iova: number): void {
    const { queue, cid } = this.memory;
    const isLate = fault === 'notBusMaster' && this.isFresh;
    this.checker.report(isLate ? 'dmaAfterReset' : ruleOfFault[fault], {
      value: iova,
      ...(queue < 0 ? {} : { queue }),
      ...(cid < 0 ? {} : { cid }),
    });
  }

  // ConfigTarget: what arrives of configuration accesses.

  /**
   * The identifiers of a virtual function read as all-ones on the bus [PCIe-4.0 §9.3.4.1.1]; a
   * platform shows software those of its physical function instead.
   */
  readConfig(offset: number): number {
    if (this.isVirtual && offset < 4 && this.isUp) return this.virtualIdentifiers;
    return this.isUp ? this.registers.words[offset >>> 2]! : gone;
  }

  writeConfig(offset: number, value: number, byteMask: number): void {
    if (!this.isUp) return;
    if (!this.registers.isWritable(offset) && offset >= Header.layout.bytes) {
      this.checker.report('configReadOnly', { value: offset });
    }
    this.registers.write(offset, value, byteMask);
  }
}

function identifiersOf({ vendorId, deviceId }: IdentityProfile): number {
  return Header.deviceId.put(Header.vendorId.put(0, vendorId), deviceId);
}
