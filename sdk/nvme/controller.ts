import type { DmaRegion, DmaSpace, PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { Identify } from '../spec/nvme/admin-command.js';
import { Cns, identifyBytes, NamespaceList } from '../spec/nvme/identify.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import { Admin } from './admin.js';
import { AdminQueue, command } from './admin-queue.js';
import { EventRequests } from './async-events.js';
import { configure, disable, enable } from './bring-up.js';
import { type ControllerState, Core } from './core.js';
import type { LoanPort } from './loan-messages.js';
import { Namespace } from './namespace.js';
import { formatOf, type NamespaceFormat } from './namespace-format.js';
import { type ControllerOptions, type Settings, settingsOf } from './options.js';
import { enableMemory, probe, setBusMaster } from './pci-probe.js';
import { Procedure, type Steps } from './procedure.js';
import { QueueLender } from './queue-lender.js';
import {
  buildAdminPair,
  createPair,
  deletePair,
  freePair,
  type QueuePairOptions,
} from './queue-making.js';
import type { QueuePair } from './queue-pair.js';
import { quirksOf } from './quirks.js';
import { abort, climb, leave, reset, type Stuck, shutDown } from './recovery.js';
import { type Capabilities, Registers, readCapabilities } from './registers.js';

/**
 * An NVM Express controller: its life, its queues, its admin commands.
 *
 * ```ts
 * const controller = await NvmeController.open(fn);
 * const namespace = await controller.namespace(1);
 * await namespace.write(0, buffer);
 * await controller.close();
 * ```
 */
export class NvmeController {
  /** Admin commands with typed results. */
  readonly admin: Admin;
  private readonly core: Core;
  private readonly events: EventRequests;
  private defaultPair: QueuePair | null = null;
  private makingPair: Promise<QueuePair> | null = null;
  private readonly opened: Namespace[] = [];
  private readonly lenders = new Set<QueueLender>();

  private constructor(core: Core, events: EventRequests) {
    this.core = core;
    this.events = events;
    this.admin = new Admin(core);
    core.recover = (cause) => this.recover(cause, null);
    core.watch = (nowNs) => this.watch(nowNs);
    core.rearm = () => this.events.arm();
  }

  /**
   * Probe and initialise the controller behind a PCI function. The function belongs to the
   * controller from now on; `close` gives it back, a failed `open` as well.
   *
   * @throws UltimaError DEVICE_REMOVED, DEVICE_UNSUPPORTED, CONTROLLER_TIMEOUT, CONTROLLER_FATAL,
   *   DMA_*, COMMAND_*; RangeError for options out of range
   */
  static async open(fn: PciFunction, options: ControllerOptions = {}): Promise<NvmeController> {
    const settings = settingsOf(options);
    const core = coreOf(fn, settings);
    const events = new EventRequests(core);
    const controller = new NvmeController(core, events);
    const start = new Procedure(controller.start());
    try {
      await start.run((untilNs) => core.sleep(untilNs));
      return controller;
    } catch (error) {
      core.state = core.state === 'removed' ? 'removed' : 'failed';
      await controller.abandon();
      throw error;
    }
  }

  get state(): ControllerState {
    return this.core.state;
  }

  get fn(): PciFunction {
    return this.core.fn;
  }

  get capabilities(): Capabilities {
    return this.core.capabilities;
  }

  /** Where data buffers for this controller come from. */
  get memory(): DmaSpace {
    return this.core.fn.dma;
  }

  /** I/O queue pairs that the controller gave. */
  get queuePairLimit(): number {
    return this.core.limitsNow().submissionQueues;
  }

  /** Largest data transfer of one command in bytes. */
  get maxTransferBytes(): number {
    return this.core.limitsNow().maxTransferBytes;
  }

  get queuePairs(): readonly QueuePair[] {
    return this.core.pairs;
  }

  /** @throws UltimaError QUEUE_FULL when all queues are in use; RangeError for options */
  async createQueuePair(options: QueuePairOptions = {}): Promise<QueuePair> {
    this.core.demandReady();
    return this.run(createPair(this.core, options));
  }

  /** Delete a queue pair; its commands in flight end first. */
  async deleteQueuePair(pair: QueuePair): Promise<void> {
    this.core.demandReady();
    if (pair === this.defaultPair) this.defaultPair = null;
    await this.run(deletePair(this.core, pair));
  }

  /** Identifiers of the active namespaces, ascending. */
  async namespaceIds(): Promise<readonly number[]> {
    this.core.demandReady();
    return this.run(activeNamespaces(this.core));
  }

  /**
   * A namespace as a block device.
   *
   * @param queuePair  the queue pair that carries its I/O; one that the controller makes when left
   *   out. A namespace may be opened several times, once per queue pair.
   * @throws UltimaError NAMESPACE_INVALID
   */
  async namespace(nsid: number, options: { queuePair?: QueuePair } = {}): Promise<Namespace> {
    this.demandNamespaceId(nsid);
    const pair = options.queuePair ?? (await this.ownPair());
    const format = await this.format(nsid);
    const controller = {
      limits: this.core.limitsNow(),
      settings: this.core.settings,
      abort: (queueId: number, commandId: number): void => {
        this.run(abort(this.core, queueId, commandId)).catch(() => {});
      },
    };
    const namespace = new Namespace({ pair, format, controller });
    this.opened.push(namespace);
    return namespace;
  }

  /** All active namespaces as block devices, ascending. */
  async namespaces(options: { queuePair?: QueuePair } = {}): Promise<readonly Namespace[]> {
    const found: Namespace[] = [];
    for (const nsid of await this.namespaceIds()) found.push(await this.namespace(nsid, options));
    return found;
  }

  /**
   * Lend queue pairs to another thread, for as long as its port stays open. The thread adopts
   * the memory and calls `borrowNamespace`, once per queue pair that it wants; give it a port of
   * its own. A reset here ends its commands in flight and its namespaces go on, as here.
   *
   * @param port    `Worker`, or one end of a `MessageChannel`
   * @param memory  of this function, lent to that thread: `lend(fn, bytes).memory`
   * @throws        TypeError for memory of another function
   */
  lendQueuePairs(port: LoanPort, memory: DmaRegion): QueueLender {
    const { core } = this;
    core.demandReady();
    if (memory.space !== core.fn.dma || memory.isFreed) {
      throw new TypeError('queue pairs are lent with memory of the same function');
    }
    const format = (nsid: number) => this.format(nsid);
    const ended = (): void => {
      this.lenders.delete(lender);
    };
    const lender = new QueueLender({ core, port, memory, format, ended });
    this.lenders.add(lender);
    return lender;
  }

  /** Poll all queues. @returns completion entries taken */
  poll(): number {
    let count = this.core.admin?.pair.poll() ?? 0;
    for (const pair of this.core.pairs) count += pair.poll();
    return count;
  }

  /**
   * Controller reset, with I/O in flight or not. Every command in flight ends; queue pairs and
   * namespaces can be used again afterwards.
   */
  async reset(): Promise<void> {
    await this.change(() => reset(this.core));
  }

  /** Normal or abrupt shutdown (CC.SHN). Only `close` is possible afterwards. */
  async shutdown(options: { isAbrupt?: boolean } = {}): Promise<void> {
    await this.change(() => shutDown(this.core, options.isAbrupt === true));
  }

  /**
   * Shut down when the controller is up, then give everything back: queues, memory, the function.
   * Idempotent, and works on a controller that failed or is gone.
   */
  async close(): Promise<void> {
    if (this.core.state === 'closed') return;
    await this.settled();
    await Promise.allSettled([...this.lenders].map((lender) => lender.end()));
    try {
      if (this.core.state === 'ready') await this.shutdown();
    } catch {
      // What could not be shut down is cut off below: bus mastering off, then memory.
    }
    await this.abandon();
  }

  /** Drive a procedure of the control path. */
  private run<T>(steps: Steps<T>): Promise<T> {
    return new Procedure(steps).run((untilNs) => this.core.sleep(untilNs));
  }

  /** Change the controller's life, once no other change is under way. */
  private async change(steps: () => Steps<void>): Promise<void> {
    // Several may have waited for the same end: the first goes on, the others wait for it in turn.
    do await this.settled();
    while (this.core.life !== null);
    this.core.demandReady();
    await this.core.live(steps()).run((untilNs) => this.core.sleep(untilNs));
  }

  private async settled(): Promise<void> {
    for (let life = this.core.life; life !== null; life = this.core.life) {
      await life.run((untilNs) => this.core.sleep(untilNs)).catch(() => {});
    }
  }

  private *start(): Steps<void> {
    const { core } = this;
    for (const { name, why } of core.quirks.reasons) core.emit({ kind: 'quirk', name, why });
    yield* disable(core);
    if (core.settings.completionMode !== 'polling') {
      core.vectorCount = Math.min(core.fn.interrupts.vectorCount, core.settings.queuePairs + 1);
      core.fn.interrupts.enable(core.vectorCount);
    }
    core.admin = new AdminQueue({
      pair: buildAdminPair(core),
      memory: core.fn.dma,
      timeoutNs: core.settings.adminTimeoutNs,
      stuck: (slot, waitedNs) => this.adminStuck(slot, waitedNs),
      isServed: () => {
        const csts = core.registers.presentStatus('waiting for an admin command');
        return core.registers.isReady(csts) && !core.registers.isFatal(csts);
      },
    });
    yield* enable(core, core.admin);
    yield* configure(core, core.admin);
    if (core.settings.shadowDoorbells && core.limitsNow().hasShadowDoorbells) {
      core.shadow = {
        shadow: core.fn.dma.allocate(core.pageBytes),
        eventIndex: core.fn.dma.allocate(core.pageBytes),
      };
      yield* configure(core, core.admin);
    }
    yield* this.events.configure();
    core.state = 'ready';
    this.events.arm();
  }

  private async format(nsid: number): Promise<NamespaceFormat> {
    this.demandNamespaceId(nsid);
    const words = await this.run(identifyNamespace(this.core, nsid));
    return formatOf(nsid, words, this.core.limitsNow().atomicWriteBlocks);
  }

  private demandNamespaceId(nsid: number): void {
    this.core.demandReady();
    const { namespaceCount } = this.core.limitsNow();
    const isInside = Number.isInteger(nsid) && nsid >= 1 && nsid <= namespaceCount;
    if (!isInside) throw noNamespace(nsid, namespaceCount);
  }

  /** The pair of those who brought none; those who ask at the same time get the same one. */
  private ownPair(): Promise<QueuePair> {
    if (this.defaultPair !== null) return Promise.resolve(this.defaultPair);
    this.makingPair ??= this.createQueuePair().then((pair) => {
      this.defaultPair = pair;
      return pair;
    });
    return this.makingPair.finally(() => {
      this.makingPair = null;
    });
  }

  /** Polling looks here every few milliseconds: status, time-outs, events. */
  private watch(nowNs: number): void {
    const { core } = this;
    const csts = core.registers.status();
    if (csts === null) {
      leave(core, 'running');
      return;
    }
    if (core.registers.isFatal(csts)) {
      this.recover('the controller reports a fatal error (CSTS.CFS)', null);
      return;
    }
    if (!core.registers.isReady(csts)) {
      this.recover('something else has reset the controller (CSTS.RDY = 0)', null);
      return;
    }
    core.admin?.pair.completion.poll();
    core.admin?.pair.submission.ring();
    for (const pair of core.pairs) {
      const waitedNs = core.settings.commandTimeoutNs;
      const slot = pair.submission.lateSlot(nowNs, waitedNs);
      if (slot === -1) continue;
      const commandId = pair.submission.cidOf(slot);
      core.emit({ kind: 'command stuck', queueId: pair.id, commandId, waitedNs });
      this.recover('a command was not completed in its time', { pair, slot, commandId });
      return;
    }
  }

  private adminStuck(slot: number, waitedNs: number): void {
    const commandId = this.core.adminQueue().pair.submission.cidOf(slot);
    this.core.emit({ kind: 'command stuck', queueId: 0, commandId, waitedNs });
    this.recover('an admin command was not completed in its time', null);
  }

  private recover(cause: string, stuck: Stuck | null): void {
    const { core } = this;
    if (core.life !== null || core.state !== 'ready') return;
    const life = core.live(climb(core, cause, stuck));
    // Never from here: this may be called from the middle of a poll. Polling steps it at its end,
    // and a task that nobody waits for sees to it when nobody polls.
    queueMicrotask(() => {
      life.run((untilNs) => core.sleep(untilNs)).catch(() => {});
    });
  }

  /** Cut the function off from memory, end what is left, give everything back. */
  private async abandon(): Promise<void> {
    const { core } = this;
    if (core.state !== 'shut down') await this.run(disable(core)).catch(() => {});
    setBusMaster(core.fn, false);
    core.setDead();
    core.endAllCommands();
    for (const namespace of this.opened.splice(0)) namespace.close();
    for (const pair of core.pairs.splice(0)) freePair(core, pair);
    if (core.admin !== null) freePair(core, core.admin.pair);
    if (core.shadow !== null) {
      core.fn.dma.free(core.shadow.shadow);
      core.fn.dma.free(core.shadow.eventIndex);
    }
    if (core.vectorCount > 0) core.fn.interrupts.enable(0);
    core.admin = null;
    core.shadow = null;
    core.state = 'closed';
    await core.fn.close();
  }
}

function coreOf(fn: PciFunction, settings: Settings): Core {
  const identity = probe(fn);
  enableMemory(fn);
  const registers = new Registers(fn);
  const capabilities = readCapabilities(fn, registers);
  const wantsWeights = settings.arbitration === 'weighted round robin';
  if (wantsWeights && !capabilities.hasWeightedRoundRobin) {
    throw unsupported(fn, 'weighted round robin arbitration (CAP.AMS)');
  }
  if (capabilities.maxQueueEntries < 2) throw unsupported(fn, 'queues of two entries (CAP.MQES)');
  return new Core({
    fn,
    settings,
    registers,
    identity,
    quirks: quirksOf(identity, settings.quirks),
    capabilities,
    pageBytes: Math.max(hostPageBytes, capabilities.minPageBytes),
  });
}

/** Pages that data buffers are aligned to. */
const hostPageBytes = 4096;

function* activeNamespaces(core: Core): Steps<readonly number[]> {
  const found: number[] = [];
  const most = core.limitsNow().namespaceCount;
  const entry = NamespaceList.entries;
  for (let after = 0; found.length < most; ) {
    const words = command(AdminOpcode.identify, after);
    Identify.cns.set(words, 0, Cns.activeNamespaces);
    const page = (yield* core.adminQueue().exchange(words, identifyBytes)).words;
    let count = 0;
    for (; count < entry.count; count++) {
      const nsid = entry.item.nsid.get(page, entry.at(0, count));
      if (nsid === 0) break;
      // Ascending, or the walk would have no end.
      if (nsid <= after) throw outOfOrder(core, nsid);
      found.push(nsid);
      after = nsid;
    }
    if (count < entry.count) break;
  }
  return found;
}

function* identifyNamespace(core: Core, nsid: number): Steps<Uint32Array> {
  const words = command(AdminOpcode.identify, nsid);
  Identify.cns.set(words, 0, Cns.namespace);
  return (yield* core.adminQueue().exchange(words, identifyBytes)).words;
}

function noNamespace(nsid: number, count: number): UltimaError {
  return new UltimaError(
    ErrorCode.namespaceInvalid,
    `namespace ${nsid} cannot be: the controller has identifiers 1..${count}`,
    { nsid, count },
  );
}

function outOfOrder(core: Core, nsid: number): UltimaError {
  return new UltimaError(
    ErrorCode.deviceMisbehaved,
    `${core.fn.address}: the list of namespaces is not ascending at ${nsid}`,
    { address: core.fn.address, nsid },
  );
}

function unsupported(fn: PciFunction, what: string): UltimaError {
  return new UltimaError(ErrorCode.deviceUnsupported, `${fn.address} does not have ${what}`, {
    address: fn.address,
    what,
  });
}
