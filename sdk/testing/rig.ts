import type { PciFunction } from '../device.js';
import { UltimaError } from '../errors.js';
import {
  type EnableOptions,
  RawCommand,
  type RawCompletion,
  RawController,
  type RawData,
} from '../nvme/raw.js';
import type { Bits, U64 } from '../spec/layout.js';
import * as admin from '../spec/nvme/admin-command.js';
import { Feature, QueueCountFeature } from '../spec/nvme/features.js';
import { Cns, identifyBytes } from '../spec/nvme/identify.js';
import { IdentifyController } from '../spec/nvme/identify-controller.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import { Cap } from '../spec/nvme/registers.js';
import { statusKind, statusText } from '../spec/nvme/status.js';
import { type Pattern, poison, TestBuffer } from './buffer.js';
import { CommandLog } from './command-log.js';
import { type NamespaceFixture, readNamespace } from './namespace.js';
import { QueueFixture } from './queue.js';
import { TrackedSpace } from './tracked-space.js';
import { Unsupported } from './unsupported.js';

export interface RigOptions {
  /** How long any one wait may last on the function's clock. */
  readonly deadlineNs?: number;
}

export interface IdentifyOptions {
  readonly nsid?: number;
  readonly csi?: number;
  readonly cntid?: number;
  readonly specific?: number;
}

export interface LogOptions {
  readonly lid: number;
  readonly bytes: number;
  readonly nsid?: number;
  readonly offset?: number;
  readonly lsp?: number;
  readonly lsi?: number;
  readonly retain?: boolean;
}

export interface FeatureOptions {
  readonly fid: number;
  readonly nsid?: number;
  readonly select?: number;
  readonly value?: number;
  readonly cdw12?: number;
  readonly save?: boolean;
  readonly data?: TestBuffer;
}

/**
 * Fixture: a function with an enabled controller, as a test finds it and leaves it. Queues, buffers
 * and namespaces come from here; `close` gives everything back in reverse.
 */
export class Rig {
  readonly fn: PciFunction;
  readonly controller: RawController;
  /** Memory that lasts as long as this rig. */
  readonly dma: TrackedSpace;
  readonly log = new CommandLog();
  private identity: Uint32Array | undefined;
  private nextQueueId = 1;
  private grantedQueues = 0;

  constructor(fn: PciFunction, options: RigOptions = {}) {
    this.fn = fn;
    this.dma = new TrackedSpace(fn.dma);
    this.controller = new RawController(fn, { ...options, dma: this.dma, observer: this.log });
  }

  get pageBytes(): number {
    return this.controller.pageBytes;
  }

  /** Bring the controller from any state to enabled, with fresh admin queues. */
  async enable(options: EnableOptions = {}): Promise<void> {
    await this.controller.disable();
    this.enableBusMaster();
    await this.controller.enable(options);
    this.identity = undefined;
    this.nextQueueId = 1;
    this.grantedQueues = 0;
  }

  /**
   * Disable the controller, give memory back and stay open: the next rig on this function finds it
   * as after a reset.
   *
   * @returns false when the function is gone or does not answer: it is of no use any more
   */
  async leave(): Promise<boolean> {
    if (this.fn.isRemoved) return false;
    try {
      await this.controller.disable();
    } catch (error) {
      if (error instanceof UltimaError) return false;
      throw error;
    }
    // Not before: a controller that is enabled may still write.
    this.dma.freeAll();
    return true;
  }

  async close(): Promise<void> {
    await this.leave();
    await this.fn.close();
  }

  /** @throws Unsupported: 'the card does not offer `what`' */
  needs(fact: boolean, what: string): void {
    if (!fact) throw new Unsupported(what);
  }

  buffer(length: number, pattern: Pattern = poison): TestBuffer {
    return TestBuffer.allocate(this.dma, length, this.pageBytes).fill(pattern);
  }

  /** A command whose data is one piece of memory, described with PRP entries. */
  command(opcode: number, nsid = 0, data?: RawData): RawCommand {
    const command = new RawCommand(opcode, nsid);
    return data === undefined ? command : command.prp(data, this.dma, this.pageBytes);
  }

  admin(command: RawCommand, limitNs?: number): Promise<RawCompletion> {
    return this.controller.admin(command, limitNs);
  }

  /** An admin command that must succeed. */
  async adminOk(command: RawCommand, limitNs?: number): Promise<RawCompletion> {
    return this.succeeded(await this.admin(command, limitNs));
  }

  /** @throws Error with the status in words when a command failed */
  succeeded(completion: RawCompletion): RawCompletion {
    if (completion.status !== 0)
      throw new Error(`command failed: ${statusText(completion.status)}`);
    return completion;
  }

  /** @throws Error unless the status is one of those named; flags (More, DNR) are not compared */
  refused(completion: RawCompletion, ...expected: readonly number[]): void {
    const kind = statusKind(completion.status);
    if (expected.includes(kind)) return;
    const wanted = expected.map((status) => statusText(status)).join(' or ');
    throw new Error(`expected ${wanted}, got ${statusText(completion.status)}`);
  }

  /** Identify, without looking at the status. */
  async tryIdentify(
    cns: number,
    options: IdentifyOptions = {},
  ): Promise<[RawCompletion, TestBuffer]> {
    const data = this.buffer(identifyBytes);
    const command = this.command(AdminOpcode.identify, options.nsid ?? 0, data)
      .set(admin.Identify.cns, cns)
      .set(admin.Identify.cntid, options.cntid ?? 0)
      .set(admin.Identify.csi, options.csi ?? 0)
      .set(admin.Identify.cnssid, options.specific ?? 0);
    return [await this.admin(command), data];
  }

  async identify(cns: number, options: IdentifyOptions = {}): Promise<Uint32Array> {
    const [completion, data] = await this.tryIdentify(cns, options);
    this.succeeded(completion);
    return data.words;
  }

  /** Identify Controller, read once. */
  async controllerWords(): Promise<Uint32Array> {
    this.identity ??= await this.identify(Cns.controller);
    return this.identity;
  }

  /** A field of Identify Controller. */
  async id(field: Bits): Promise<number> {
    return field.get(await this.controllerWords(), 0);
  }

  /** The largest transfer in bytes; `limit` when the controller names none. */
  async maxTransferBytes(limit: number): Promise<number> {
    const mdts = await this.id(IdentifyController.mdts);
    return mdts === 0 ? limit : Math.min(limit, this.pageBytes * 2 ** mdts);
  }

  async tryLog(options: LogOptions): Promise<[RawCompletion, TestBuffer]> {
    const data = this.buffer(Math.ceil(options.bytes / 4) * 4);
    const command = this.command(AdminOpcode.getLogPage, options.nsid ?? 0xffff_ffff, data)
      .set(admin.GetLogPage.lid, options.lid)
      .set(admin.GetLogPage.lsp, options.lsp ?? 0)
      .set(admin.GetLogPage.lsi, options.lsi ?? 0)
      .set(admin.GetLogPage.rae, options.retain === true ? 1 : 0)
      .set(admin.GetLogPage.lpo, options.offset ?? 0);
    admin.setLogDwords(command.words, 0, data.length / 4);
    return [await this.admin(command), data];
  }

  async logPage(options: LogOptions): Promise<Uint32Array> {
    const [completion, data] = await this.tryLog(options);
    this.succeeded(completion);
    return data.words;
  }

  getFeature(options: FeatureOptions): Promise<RawCompletion> {
    const command = this.command(AdminOpcode.getFeatures, options.nsid ?? 0, options.data)
      .set(admin.GetFeatures.fid, options.fid)
      .set(admin.GetFeatures.sel, options.select ?? 0)
      .set(admin.GetFeatures.cdw11, options.value ?? 0);
    return this.admin(command);
  }

  setFeature(options: FeatureOptions): Promise<RawCompletion> {
    const command = this.command(AdminOpcode.setFeatures, options.nsid ?? 0, options.data)
      .set(admin.SetFeatures.fid, options.fid)
      .set(admin.SetFeatures.sv, options.save === true ? 1 : 0)
      .set(admin.SetFeatures.value, options.value ?? 0)
      .set(admin.SetFeatures.cdw12, options.cdw12 ?? 0);
    return this.admin(command);
  }

  /** The current value of a feature in completion dword 0. */
  async feature(
    fid: number,
    field: Bits,
    options: { readonly nsid?: number } = {},
  ): Promise<number> {
    const { dw0 } = this.succeeded(await this.getFeature({ fid, ...options }));
    return field.of(dw0);
  }

  /** How many queue pairs may be created; asks for the most, once per enable. */
  async queueCount(): Promise<number> {
    if (this.grantedQueues > 0) return this.grantedQueues;
    const value = QueueCountFeature.ncq.put(QueueCountFeature.nsq.put(0, 0xffff), 0xffff);
    const { dw0 } = this.succeeded(await this.setFeature({ fid: Feature.numberOfQueues, value }));
    this.grantedQueues = Math.min(QueueCountFeature.nsq.of(dw0), QueueCountFeature.ncq.of(dw0));
    return this.grantedQueues;
  }

  /** Create a queue pair: at most MQES entries, one vector when `vector` is given. */
  async queuePair(
    options: {
      readonly entries?: number;
      readonly vector?: number;
      readonly priority?: number;
    } = {},
  ): Promise<QueueFixture> {
    await this.queueCount();
    const limit = this.controller.cap(Cap.mqes);
    const entries = Math.min(options.entries ?? 64, limit);
    return QueueFixture.create(this, { ...options, entries, id: this.nextQueueId++ });
  }

  /** The first active namespace. @throws Unsupported when there is none */
  namespace(nsid?: number): Promise<NamespaceFixture> {
    return readNamespace(this, nsid);
  }

  private enableBusMaster(): void {
    const command = this.fn.config.read16(pciCommandOffset);
    this.fn.config.write16(pciCommandOffset, command | memoryAndBusMaster);
  }
}

/** Set a field when a value is given. */
export function setIf(
  command: RawCommand,
  field: Bits | U64,
  value: number | undefined,
): RawCommand {
  return value === undefined ? command : command.set(field, value);
}

const pciCommandOffset = 0x04;
const memoryAndBusMaster = 0x0006;
