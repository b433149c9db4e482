import type { DmaRegion } from '../../../../sdk/device.js';
import {
  RawCommand,
  type RawCompletion,
  type RawCompletionQueue,
  RawController,
  type RawSubmissionQueue,
} from '../../../../sdk/nvme/raw.js';
import type { Bits, U64 } from '../../../../sdk/spec/layout.js';
import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  GetFeatures,
  GetLogPage,
  Identify,
  SetFeatures,
  setLogDwords,
} from '../../../../sdk/spec/nvme/admin-command.js';
import { ErrorEntry, LogPage } from '../../../../sdk/spec/nvme/logs.js';
import { Read } from '../../../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { StatusFlag, statusKind } from '../../../../sdk/spec/nvme/status.js';
import type { SimCard } from '../../../../sim/card.js';
import { openSimulated } from '../../../../sim/open.js';
import { World } from '../../../../sim/world.js';

export type FieldValue = readonly [field: Bits | U64, value: number];

export interface Outcome {
  /** Without Do Not Retry and More. */
  readonly status: number;
  readonly hasMore: boolean;
  readonly isFinal: boolean;
  readonly dw0: number;
}

export interface Request {
  readonly opcode: number;
  readonly nsid?: number;
  readonly fields?: readonly FieldValue[];
  readonly data?: DmaRegion;
  readonly cid?: number;
}

export const pageBytes = 4096;

/** A whole simulated card, its controller driven command by command. */
export class AdminBench {
  readonly card: SimCard;
  readonly raw: RawController;
  readonly page: DmaRegion;
  private pair: { readonly sq: RawSubmissionQueue; readonly cq: RawCompletionQueue } | null = null;

  private constructor(card: SimCard, raw: RawController) {
    this.card = card;
    this.raw = raw;
    this.page = raw.fn.dma.allocate(pageBytes);
  }

  /** An enabled controller. @param address as in 'simple?controller.abortLimit=1' */
  static async open(address = 'simple'): Promise<AdminBench> {
    const card = openSimulated(`sim:${address}`, { world: new World({ seed: 1 }) });
    const fn = card.open();
    startMastering(fn);
    const raw = new RawController(fn);
    await raw.enable();
    return new AdminBench(card, raw);
  }

  /** A second controller of the same card, on one of its virtual functions. */
  static async openFunction(card: SimCard, index: number): Promise<AdminBench> {
    const fn = card.open(index);
    startMastering(fn);
    const raw = new RawController(fn);
    await raw.enable();
    return new AdminBench(card, raw);
  }

  get nowNs(): number {
    return this.raw.fn.clock.nowNs();
  }

  commandOf(request: Request): RawCommand {
    const command = new RawCommand(request.opcode, request.nsid ?? 0);
    for (const [field, value] of request.fields ?? []) command.set(field, value);
    if (request.data !== undefined) {
      command.prp(request.data, this.raw.fn.dma, pageBytes);
    }
    if (request.cid !== undefined) command.cid(request.cid);
    return command;
  }

  /** Post without waiting. @returns the command identifier */
  post(request: Request): number {
    const cid = this.raw.adminSq.post(this.commandOf(request));
    this.raw.adminSq.ring();
    return cid;
  }

  async waitFor(cid: number): Promise<Outcome> {
    return outcomeOf(await this.raw.waitFor(this.raw.adminCq, { sqid: 0, cid }));
  }

  /** Whether the command has ended after `ns` more. */
  async hasEnded(cid: number, ns = 1_000_000): Promise<boolean> {
    await this.raw.elapse(ns);
    return this.raw.adminCq.find(0, cid) !== undefined;
  }

  async run(request: Request): Promise<Outcome> {
    return outcomeOf(await this.raw.admin(this.commandOf(request)));
  }

  /** @throws Error when the command fails */
  async must(request: Request): Promise<number> {
    const outcome = await this.run(request);
    if (outcome.status !== 0) throw new Error(`status 0x${outcome.status.toString(16)}`);
    return outcome.dw0;
  }

  /** The page that Identify returns. */
  async identify(cns: number, nsid = 0, fields: readonly FieldValue[] = []): Promise<Uint32Array> {
    this.page.words.fill(0xa5a5_a5a5);
    await this.must({
      opcode: AdminOpcode.identify,
      nsid,
      fields: [[Identify.cns, cns], ...fields],
      data: this.page,
    });
    return this.page.words.slice(0, pageBytes / 4);
  }

  /** @param ask offset, RAE, LSP and LSI besides */
  async getLog(lid: number, bytes: number, ask: readonly FieldValue[] = []): Promise<LogAnswer> {
    const region = this.raw.fn.dma.allocate(Math.max(bytes, pageBytes));
    region.words.fill(0xa5a5_a5a5);
    const command = this.commandOf({
      opcode: AdminOpcode.getLogPage,
      fields: [[GetLogPage.lid, lid], ...ask],
      data: region,
    });
    setLogDwords(command.words, 0, bytes / 4);
    const outcome = outcomeOf(await this.raw.admin(command));
    const words = region.words.slice(0, bytes / 4);
    this.raw.fn.dma.free(region);
    return { ...outcome, words };
  }

  /** The newest entry of the error log. */
  async lastError(): Promise<LastError> {
    const { words } = await this.getLog(LogPage.error, ErrorEntry.layout.bytes);
    return {
      count: ErrorEntry.count.get(words, 0),
      status: statusKind(ErrorEntry.status.get(words, 0)),
      byte: ErrorEntry.byte.get(words, 0),
      bit: ErrorEntry.bit.get(words, 0),
      cid: ErrorEntry.cid.get(words, 0),
      sqid: ErrorEntry.sqid.get(words, 0),
      nsid: ErrorEntry.nsid.get(words, 0),
      specific: ErrorEntry.commandSpecific.get(words, 0),
    };
  }

  setFeature(fid: number, word: number, more: Partial<Request> = {}): Promise<Outcome> {
    const fields: FieldValue[] = [[SetFeatures.fid, fid]];
    return this.run({
      ...more,
      opcode: AdminOpcode.setFeatures,
      fields: [...fields, [SetFeatures.value, word], ...(more.fields ?? [])],
    });
  }

  getFeature(fid: number, select = 0, more: Partial<Request> = {}): Promise<Outcome> {
    const fields: FieldValue[] = [[GetFeatures.fid, fid]];
    return this.run({
      ...more,
      opcode: AdminOpcode.getFeatures,
      fields: [...fields, [GetFeatures.sel, select], ...(more.fields ?? [])],
    });
  }

  /** A controller reset: queues are new, features as after a reset. */
  async reset(): Promise<void> {
    this.pair = null;
    await this.raw.disable();
    await this.raw.enable();
  }

  /** Power goes and comes back; the controller is enabled again. */
  async powerCycle(): Promise<void> {
    this.pair = null;
    this.card.powerCut();
    await this.raw.elapse(1_000_000_000);
    this.card.restore();
    await this.raw.elapse(1_000_000_000);
    startMastering(this.raw.fn);
    await this.raw.enable();
  }

  /** Write or read blocks of a namespace through an I/O queue pair. */
  async io(request: {
    readonly opcode: number;
    readonly nsid: number;
    readonly lba: number;
    readonly data: DmaRegion;
    readonly blocks?: number;
  }): Promise<number> {
    const { sq, cq } = await this.ioPair();
    const command = this.commandOf({ ...request, fields: [[Read.slba, request.lba]] });
    Read.nlb.set(command.words, 0, request.blocks ?? 1);
    const done = await this.raw.execute(sq, cq, { command });
    return statusKind(done.status);
  }

  write(nsid: number, lba: number, data: DmaRegion): Promise<number> {
    return this.io({ opcode: NvmOpcode.write, nsid, lba, data });
  }

  read(nsid: number, lba: number, data: DmaRegion): Promise<number> {
    return this.io({ opcode: NvmOpcode.read, nsid, lba, data });
  }

  /** The I/O queue pair 1, made when it is first asked for. */
  async ioPair(): Promise<{ readonly sq: RawSubmissionQueue; readonly cq: RawCompletionQueue }> {
    if (this.pair !== null) return this.pair;
    const cq = this.raw.completionQueue(1, { entries: 64 });
    const sq = this.raw.submissionQueue(1, { entries: 64 });
    await this.must({
      opcode: AdminOpcode.createCompletionQueue,
      fields: [
        [CreateCompletionQueue.qid, 1],
        [CreateCompletionQueue.qsize, 64],
        [CreateCompletionQueue.pc, 1],
      ],
      data: cq.region,
    });
    await this.must({
      opcode: AdminOpcode.createSubmissionQueue,
      fields: [
        [CreateSubmissionQueue.qid, 1],
        [CreateSubmissionQueue.qsize, 64],
        [CreateSubmissionQueue.pc, 1],
        [CreateSubmissionQueue.cqid, 1],
      ],
      data: sq.region,
    });
    this.pair = { sq, cq };
    return this.pair;
  }

  buffer(length = pageBytes): DmaRegion {
    return this.raw.fn.dma.allocate(length);
  }
}

export interface LogAnswer extends Outcome {
  readonly words: Uint32Array;
}

export interface LastError {
  readonly count: number;
  readonly status: number;
  readonly byte: number;
  readonly bit: number;
  readonly cid: number;
  readonly sqid: number;
  readonly nsid: number;
  readonly specific: number;
}

function outcomeOf(completion: RawCompletion): Outcome {
  const { status, dw0 } = completion;
  return {
    status: statusKind(status),
    hasMore: (status & StatusFlag.more) !== 0,
    isFinal: (status & StatusFlag.doNotRetry) !== 0,
    dw0,
  };
}

/** Memory space and bus mastering on [PCIe-4.0 §7.5.1.1.3 Command]. */
function startMastering(fn: { readonly config: ConfigWriter }): void {
  fn.config.write16(0x04, fn.config.read16(0x04) | 0x06);
}

interface ConfigWriter {
  read16(offset: number): number;
  write16(offset: number, value: number): void;
}
