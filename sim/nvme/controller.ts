import {
  ArbitrationMechanism,
  Cc,
  Csts,
  doorbellBase,
  nssrReset,
  Register,
  ShutdownNotification,
  ShutdownStatus,
} from '../../sdk/spec/nvme/registers.js';
import type { Checker, CheckerRule } from '../checker.js';
import type { Endpoint, EndpointReset, HostLink } from '../pcie/endpoint.js';
import type { Profile } from '../profiles/profile.js';
import type { World } from '../world.js';
import { Arbiter } from './arbiter.js';
import { ControllerMemoryBuffer } from './cmb.js';
import type { CommandAudit } from './command-audit.js';
import type { CommandJudge } from './command-fault.js';
import { CommandPool, commandSlots } from './command-pool.js';
import { ControllerCore } from './controller-core.js';
import { DataPointer } from './data-pointer.js';
import { Dma } from './dma.js';
import { Doorbells } from './doorbells.js';
import type { AdminExecutor, ControllerServices, Executor } from './executor.js';
import { Fetcher, type FetchLimit } from './fetcher.js';
import { type FirmwareTiming, FixedFirmware } from './firmware-timing.js';
import { InterruptSource } from './interrupt-source.js';
import { type CommandObserver, Poster } from './poster.js';
import { Queues, type QueueWatcher } from './queues.js';
import { enableFault, memoryBufferBar, Registers } from './registers.js';
import { ShadowDoorbells, strideBytesOf } from './shadow-doorbells.js';

export interface ControllerOptions {
  readonly world: World;
  readonly link: HostLink;
  readonly checker: Checker;
  readonly profile: Profile;
  readonly controllerId: number;
  /** Software that controllers share; times of the profile, of its own, when left out. */
  readonly firmware?: FirmwareTiming;
  /** None when left out. */
  readonly fetchLimit?: FetchLimit | null;
  /** NSSR was written: reset every controller of the subsystem with `subsystemReset`. */
  readonly onSubsystemReset?: () => void;
}

/** Off: CSTS.RDY is 0 and CC.EN too. Failed: CSTS.CFS is 1, and only a reset helps. */
type Life = 'off' | 'enabling' | 'on' | 'disabling' | 'failed';

/**
 * An NVMe controller behind a PCIe function: its registers, and the life that they drive
 * [NVMe-2.0 §3.1.3, §3.5, §3.6, §3.7].
 *
 *   off ──EN=1──▶ enabling ──readyNs──▶ on ──EN=0──▶ disabling ──disableNs──▶ off
 *                    └─ bad settings, unreachable queues ─▶ failed ──EN=0──▶ off
 */
export class Controller implements Endpoint {
  readonly controllerId: number;
  /** A secondary controller that its primary holds offline fails when it is enabled. */
  isOnline = true;
  /** What the command sets build on. */
  readonly services: ControllerServices;
  readonly memoryBuffer: ControllerMemoryBuffer | null;
  private readonly world: World;
  private readonly checker: Checker;
  private readonly profile: Profile;
  private readonly registers: Registers;
  private readonly queues: Queues;
  private readonly arbiter: Arbiter;
  private readonly dataPointer: DataPointer;
  private readonly shadow: ShadowDoorbells;
  private readonly doorbells: Doorbells;
  private readonly interrupts: InterruptSource;
  private readonly fetcher: Fetcher;
  private readonly poster: Poster;
  private readonly core: ControllerCore;
  private readonly pool: CommandPool;
  private readonly onSubsystemReset: () => void;
  private admin: AdminExecutor | null = null;
  private life: Life = 'off';
  private isShutDown = false;
  /** It went down by itself, or with its bus: no host can know before it looks. */
  private isSurprise = false;
  /** Counts changes of life: a timer of an earlier one finds nothing to do. */
  private epoch = 0;
  private readonly onReady: number;
  private readonly onDisabled: number;
  private readonly onShutdown: number;

  constructor(options: ControllerOptions) {
    const { world, link, checker, profile } = options;
    this.controllerId = options.controllerId;
    this.world = world;
    this.checker = checker;
    this.profile = profile;
    this.onSubsystemReset = options.onSubsystemReset ?? (() => this.subsystemReset());
    const shape = profile.controller;
    const bufferBytes = shape.memoryBufferBytes;
    this.memoryBuffer = bufferBytes > 0 ? new ControllerMemoryBuffer(bufferBytes) : null;
    const dma = new Dma(link.memory, this.memoryBuffer);
    const pool = new CommandPool(commandSlots);
    const strideBytes = strideBytesOf(shape.doorbellStride);
    this.registers = new Registers(shape);
    this.queues = new Queues(
      {
        pairs: shape.queuePairs,
        entries: shape.queueEntries,
        mustBeContiguous: shape.isContiguousQueuesRequired,
        vectors: link.vectorCount,
      },
      dma,
    );
    const queues = this.queues;
    const arbiter = new Arbiter(shape.queuePairs + 1);
    const shadow = new ShadowDoorbells(dma, strideBytes);
    const dataPointer = new DataPointer(dma, checker, shape.hasSgl);
    const doorbells = new Doorbells({ world, checker, queues, arbiter, shadow, strideBytes });
    const firmware = options.firmware ?? new FixedFirmware(profile.firmware);
    const interrupts = new InterruptSource(world, link, firmware);
    const fetcher = new Fetcher({
      world,
      link,
      pool,
      dma,
      arbiter,
      doorbells,
      firmware,
      limit: options.fetchLimit ?? null,
    });
    const poster = new Poster({ world, link, pool, dma, doorbells, interrupts });
    const stages = { world, link, checker, pool, dma, dataPointer, fetcher, poster, firmware };
    this.core = new ControllerCore({ ...stages, queues, arbiter, doorbells, shadow, interrupts });
    this.core.onFatal = () => this.fail();
    this.services = this.core;
    this.pool = pool;
    this.arbiter = arbiter;
    this.shadow = shadow;
    this.interrupts = interrupts;
    this.dataPointer = dataPointer;
    this.doorbells = doorbells;
    this.fetcher = fetcher;
    this.poster = poster;
    this.onReady = world.register((epoch) => this.becomeReady(epoch));
    this.onDisabled = world.register((epoch) => this.becomeOff(epoch));
    this.onShutdown = world.register((epoch) => this.endShutdown(epoch));
  }

  /** The command sets; before the controller is enabled for the first time. */
  attach(admin: AdminExecutor, io: Executor): void {
    this.admin = admin;
    this.core.attach(admin, io);
  }

  /** Doorbells that somebody writes into memory: what this tells it about queues. */
  watchQueues(watcher: QueueWatcher | null): void {
    this.queues.watch(watcher);
  }

  /** What a pin shows: entries wait for the host, and vector 0 is not masked. */
  pinLevel(): boolean {
    this.doorbells.followHeads();
    return (this.interrupts.mask & 1) === 0 && this.queues.hasUnreleased;
  }

  /** Queue pairs for I/O that exist now. */
  get ioQueueCount(): number {
    return this.queues.ioCount;
  }

  /** Completion entries posted since the card was made. */
  get completedCount(): number {
    return this.poster.postedCount;
  }

  /** Commands fetched, completed and dropped, and whether they add up. */
  get audit(): CommandAudit {
    return this.pool.audit;
  }

  /** What does not add up of the commands so far, in words. */
  auditViolations(): string[] {
    return this.pool.audit.violations(this.world.nowNs, this.pool.held);
  }

  /** Sees every command when its completion entry is in host memory; null turns it off. */
  observe(observer: CommandObserver | null): void {
    this.poster.observer = observer;
  }

  /** A fault plan asks to see every command that was fetched. */
  judgeBy(judge: CommandJudge | null): void {
    this.core.judge = judge;
  }

  /** The controller stops by itself. @param code  of the crash log; null leaves none */
  crash(code: number | null): void {
    if (code !== null) this.admin?.crashed(code);
    this.isSurprise = true;
    this.fail();
  }

  readBar(bar: number, offset: number): number {
    if (bar === 0) return this.registers.read(offset);
    return this.bufferAt(bar) ? this.bufferAt(bar)!.words[offset / 4]! : 0;
  }

  writeBar(bar: number, offset: number, value: number): void {
    if (bar === 0 && offset >= doorbellBase) {
      if (this.life === 'on' && !this.isShutDown) this.doorbells.ring(offset, value);
      else if (!this.isSurprise) {
        this.report(this.isShutDown ? 'shutdownIgnored' : 'doorbellDisabled', offset);
      }
    } else if (bar === 0) {
      this.writeRegister(offset, value >>> 0);
    } else {
      const buffer = this.bufferAt(bar);
      if (buffer !== null) buffer.words[offset / 4] = value;
    }
  }

  /** Function-level reset, bus reset, or the supply: all in flight is gone, at once. */
  reset(kind: EndpointReset): void {
    this.stop();
    this.life = 'off';
    this.isShutDown = false;
    this.isSurprise = kind !== 'function';
    this.registers.resetAll();
    if (this.memoryBuffer !== null) this.memoryBuffer.base = -1;
    if (kind !== 'power') return;
    this.registers.setSubsystemReset(0);
    this.memoryBuffer?.clear();
  }

  powerOn(): void {
    this.reset('bus');
  }

  /** NVM subsystem reset: as a bus reset, and CSTS says that it was one. */
  subsystemReset(): void {
    this.reset('bus');
    this.registers.setSubsystemReset(1);
    this.world.hostVisible();
  }

  // Registers.

  private writeRegister(offset: number, value: number): void {
    switch (offset) {
      case Register.intms:
        this.interrupts.setMask(value);
        this.registers.setInterruptMask(this.interrupts.mask);
        return;
      case Register.intmc:
        this.interrupts.clearMask(value);
        this.registers.setInterruptMask(this.interrupts.mask);
        return;
      case Register.cc:
        this.writeConfiguration(value);
        return;
      case Register.csts:
        if (Csts.nssro.of(value) === 1) this.registers.setSubsystemReset(0);
        return;
      case Register.nssr:
        if (value === nssrReset && this.profile.controller.hasSubsystemReset) {
          this.onSubsystemReset();
        }
        return;
      case Register.aqa:
      case Register.asq:
      case Register.asq + 4:
      case Register.acq:
      case Register.acq + 4:
        if (this.registers.isEnabled) this.report('registerWhileEnabled', offset);
        else this.registers.writeAdminQueue(offset, value);
        return;
      case Register.cmbmsc:
      case Register.cmbmsc + 4:
        this.placeBuffer(offset, value);
        return;
      default:
        this.report(readOnly.has(offset) ? 'registerReadOnly' : 'registerReserved', offset);
    }
  }

  /** CC: fields that count only when EN rises keep their values while it is 1. */
  private writeConfiguration(value: number): void {
    const registers = this.registers;
    const before = registers.configuration;
    const wasEnabled = Cc.en.of(before) === 1;
    let next = value;
    if (wasEnabled && Cc.en.of(value) === 1) {
      for (const field of [Cc.css, Cc.mps, Cc.ams]) {
        if (field.of(next) !== field.of(before)) this.report('registerWhileEnabled', Register.cc);
        next = field.put(next, field.of(before));
      }
    }
    registers.configuration = next;
    this.queues.configure(registers.configuration, registers.pageBytes);
    if (!wasEnabled && registers.isEnabled) this.enable();
    else if (wasEnabled && !registers.isEnabled) this.disable();
    const shutdown = Cc.shn.of(next);
    if (shutdown !== Cc.shn.of(before) && shutdown !== ShutdownNotification.none) {
      this.startShutdown(shutdown === ShutdownNotification.abrupt);
    }
  }

  private placeBuffer(offset: number, value: number): void {
    const buffer = this.memoryBuffer;
    if (buffer === null) {
      this.report('registerReserved', offset);
      return;
    }
    const registers = this.registers;
    registers.writeMemorySpaceControl(offset, value);
    buffer.base = -1;
    const isWrong =
      registers.isBufferPlaced && !buffer.place(registers.bufferBaseLow, registers.bufferBaseHigh);
    registers.setBufferBaseInvalid(isWrong ? 1 : 0);
  }

  private bufferAt(bar: number): ControllerMemoryBuffer | null {
    return bar === memoryBufferBar && this.registers.areBufferRegistersShown
      ? this.memoryBuffer
      : null;
  }

  // Life.

  private enable(): void {
    const registers = this.registers;
    // Nothing is in flight: CC.EN was 0, and its falling edge stopped everything.
    if (this.life === 'disabling') this.report('sequence', Register.cc);
    this.epoch = (this.epoch + 1) | 0;
    this.isShutDown = false;
    this.isSurprise = false;
    registers.setReady(0);
    registers.setShutdown(ShutdownStatus.none);
    const fault = enableFault(registers) ?? (this.isOnline ? null : 'the controller is offline');
    if (fault !== null) {
      this.checker.report('sequence', { controller: this.controllerId }, fault);
      this.fail();
      return;
    }
    this.life = 'enabling';
    this.dataPointer.pageBytes = registers.pageBytes;
    this.queues.createAdmin({
      submissionAddress: registers.submissionAddress,
      submissionEntries: registers.submissionEntries,
      completionAddress: registers.completionAddress,
      completionEntries: registers.completionEntries,
    });
    const mechanism = Cc.ams.of(registers.configuration);
    this.arbiter.reset(mechanism === ArbitrationMechanism['weighted round robin with urgent']);
    this.admin?.enabled();
    this.world.schedule(this.profile.firmware.readyNs, this.onReady, this.epoch);
  }

  private becomeReady(epoch: number): void {
    if (epoch !== this.epoch) return;
    this.life = 'on';
    this.registers.setReady(1);
    this.fetcher.start();
    this.world.hostVisible();
  }

  /** Controller reset: nothing in flight survives, and no DMA follows. */
  private disable(): void {
    this.stop();
    this.isShutDown = false;
    this.registers.resetController();
    this.life = 'disabling';
    const delayNs = this.registers.isReady ? this.profile.firmware.disableNs : 0;
    this.world.schedule(delayNs, this.onDisabled, this.epoch);
  }

  private becomeOff(epoch: number): void {
    if (epoch !== this.epoch) return;
    this.life = 'off';
    this.registers.setReady(0);
    this.world.hostVisible();
  }

  /** Normal or abrupt shutdown [NVMe-2.0 §3.6]: also possible while the controller is disabled. */
  private startShutdown(isAbrupt: boolean): void {
    this.registers.setShutdown(ShutdownStatus.occurring);
    const ns = Math.max(this.profile.firmware.shutdownNs, this.admin?.shutdown(isAbrupt) ?? 0);
    this.world.schedule(ns, this.onShutdown, this.epoch);
  }

  private endShutdown(epoch: number): void {
    if (epoch !== this.epoch || this.isShutDown) return;
    this.isShutDown = true;
    this.fetcher.stop();
    this.admin?.shutdownOver();
    this.registers.setShutdown(ShutdownStatus.complete);
    this.world.hostVisible();
  }

  /** The controller cannot go on: CSTS.CFS, and silence until a reset. */
  private fail(): void {
    this.stop();
    this.life = 'failed';
    this.registers.setFatal(1);
    this.world.hostVisible();
  }

  /** Every stage stops, every queue and command is gone; timers of before find nothing. */
  private stop(): void {
    this.epoch = (this.epoch + 1) | 0;
    this.fetcher.stop();
    this.core.abandon();
    this.queues.clear();
    this.arbiter.reset(false);
    this.shadow.reset();
    this.interrupts.reset();
  }

  private report(rule: CheckerRule, value: number): void {
    this.checker.report(rule, { controller: this.controllerId, value });
  }
}

const readOnly = new Set<number>([
  Register.cap,
  Register.cap + 4,
  Register.vs,
  Register.cmbloc,
  Register.cmbsz,
  Register.bpinfo,
  Register.cmbsts,
  Register.cmbebs,
  Register.cmbswtp,
  Register.crto,
]);
