import type {
  Bar,
  Clock,
  ConfigSpace,
  FunctionReset,
  Interrupts,
  PciFunction,
} from '../../../sdk/device.js';
import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  DeleteSubmissionQueue,
  Identify,
  SetFeatures,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Cqe } from '../../../sdk/spec/nvme/completion.js';
import { Feature, QueueCountFeature } from '../../../sdk/spec/nvme/features.js';
import { Cns } from '../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../../sdk/spec/nvme/identify-namespace.js';
import { AdminOpcode, NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Aqa, Cap, Cc, Csts, doorbellBase, Register } from '../../../sdk/spec/nvme/registers.js';
import { CapabilityHeader, CapabilityId, Header } from '../../../sdk/spec/pcie/header.js';
import { FakeMemory } from './fake-memory.js';

/** A command as the fake device fetched it. */
export interface Fetched {
  readonly queueId: number;
  readonly opcode: number;
  readonly cid: number;
  readonly nsid: number;
  readonly words: Uint32Array;
}

/** What the fake does with a command: answer with a status, say nothing, or answer twice. */
export type Verdict = number | 'drop' | 'twice';

interface FakeQueue {
  base: number;
  entries: number;
  head: number;
  tail: number;
  phase: number;
  cqId: number;
}

/**
 * A register-level NVMe controller that does what a test tells it: the smallest thing that brings a
 * driver up, with a place to go wrong at every step. It reads the standard for itself and shares
 * only tables with the driver.
 */
export class FakeFunction implements PciFunction {
  readonly address = 'fake:nvme#0';
  readonly dma = new FakeMemory();
  readonly config: ConfigSpace;
  readonly interrupts: Interrupts;
  readonly clock: Clock;
  isRemoved = false;
  isClosed = false;
  /** Everything that was written, in order: 'config 0x4 = 6', 'bar 0x14 = 1'. */
  readonly trace: string[] = [];
  readonly fetched: Fetched[] = [];
  /** Decides over each command; success when left out. */
  judge: (command: Fetched) => Verdict = () => 0;
  /** Changes a register as it is read. */
  onRead: (offset: number, value: number) => number = (_, value) => value;
  /** Changes Identify data before it goes out. */
  onIdentify: (cns: number, page: Uint32Array) => void = () => {};
  /** RDY follows EN after this time. */
  readyDelayNs = 1000;
  isStuck = false;
  resets: FunctionReset[] = [];
  queuesGranted = 8;
  nowNs = 1_000_000_000;
  sqhdOf: (queueId: number, head: number) => number = (_, head) => head;
  readonly cap = Uint32Array.of(0, 0);
  private readonly space = new Uint32Array(1024);
  private cc = 0;
  private enabledAtNs = Number.POSITIVE_INFINITY;
  private csts = 0;
  private readonly registers = new Map<number, number>();
  private readonly submission = new Map<number, FakeQueue>();
  private readonly completion = new Map<number, FakeQueue>();
  /** Blocks of 512 bytes by address. */
  readonly medium = new Map<number, Uint8Array>();

  constructor() {
    Cap.mqes.set(this.cap, 0, 1024);
    Cap.to.set(this.cap, 0, 2);
    Cap.cqr.set(this.cap, 0, 1);
    Cap.cssNvm.set(this.cap, 0, 1);
    this.fillConfig();
    this.config = this.makeConfig();
    this.interrupts = makeInterrupts();
    this.clock = this.makeClock();
  }

  get cfgWords(): Uint32Array {
    return this.space;
  }

  get status(): number {
    return this.csts;
  }

  bar(index: number): Bar {
    if (index !== 0) throw new RangeError('only BAR 0');
    return {
      index: 0,
      length: 0x4000,
      read32: (offset) => this.read(offset),
      write32: (offset, value) => this.write(offset, value),
    };
  }

  async reset(kind: FunctionReset): Promise<void> {
    this.resets.push(kind);
    this.isStuck = false;
    this.stop();
    this.csts = 0;
    this.cc = 0;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  setFatal(): void {
    this.csts = Csts.cfs.put(this.csts, 1);
  }

  /** Put an entry into a completion queue by hand. */
  postEntry(
    cqId: number,
    entry: Partial<Record<'cid' | 'sqid' | 'sqhd' | 'status' | 'dw0', number>>,
  ) {
    const queue = this.completion.get(cqId);
    if (queue === undefined) return;
    const words = this.dma.words(queue.base + queue.tail * 16, 4);
    if (words === null) return;
    Cqe.dw0.set(words, 0, entry.dw0 ?? 0);
    Cqe.sqhd.set(words, 0, entry.sqhd ?? 0);
    Cqe.sqid.set(words, 0, entry.sqid ?? cqId);
    Cqe.status.set(words, 0, entry.status ?? 0);
    Cqe.cid.set(words, 0, entry.cid ?? 0);
    Cqe.p.set(words, 0, queue.phase);
    queue.tail++;
    if (queue.tail === queue.entries) {
      queue.tail = 0;
      queue.phase = 1 - queue.phase;
    }
  }

  /** Answer a command that was dropped before. */
  answer(command: Fetched, status = 0, dw0 = 0): void {
    const queue = this.submission.get(command.queueId);
    if (queue === undefined) return;
    const sqhd = this.sqhdOf(command.queueId, queue.head);
    const { queueId: sqid, cid } = command;
    this.postEntry(queue.cqId, { cid, sqid, sqhd, status, dw0 });
  }

  private read(offset: number): number {
    if (this.isRemoved) return 0xffff_ffff;
    this.follow();
    return this.onRead(offset, this.readRaw(offset));
  }

  private readRaw(offset: number): number {
    if (offset === Register.cap) return this.cap[0]!;
    if (offset === Register.cap + 4) return this.cap[1]!;
    if (offset === Register.vs) return 0x0001_0400;
    if (offset === Register.cc) return this.cc;
    if (offset === Register.csts) return this.csts;
    return this.registers.get(offset) ?? 0;
  }

  private write(offset: number, value: number): void {
    this.trace.push(`bar 0x${offset.toString(16)} = ${value}`);
    if (this.isRemoved) return;
    if (offset === Register.cc) this.writeCc(value);
    else if (offset >= doorbellBase) this.ring((offset - doorbellBase) / 4, value);
    else this.registers.set(offset, value);
  }

  private writeCc(value: number): void {
    const wasOn = Cc.en.of(this.cc) === 1;
    const isOn = Cc.en.of(value) === 1;
    this.cc = value;
    if (isOn && !wasOn) this.enabledAtNs = this.nowNs + this.readyDelayNs;
    if (!isOn && wasOn) this.stop();
    if (Cc.shn.of(value) !== 0) this.csts = Csts.shst.put(this.csts, 2);
    else this.csts = Csts.shst.put(this.csts, 0);
  }

  private stop(): void {
    if (this.isStuck) return;
    this.enabledAtNs = Number.POSITIVE_INFINITY;
    this.csts = 0;
    this.submission.clear();
    this.completion.clear();
  }

  private follow(): void {
    if (this.nowNs < this.enabledAtNs || Csts.rdy.of(this.csts) === 1 || this.isStuck) return;
    this.csts = Csts.rdy.put(this.csts, 1);
    const aqa = this.registers.get(Register.aqa) ?? 0;
    const low = (at: number) => this.registers.get(at) ?? 0;
    const base = (at: number) => low(at + 4) * 2 ** 32 + low(at);
    this.submission.set(0, queue(base(Register.asq), Aqa.asqs.of(aqa), 0));
    this.completion.set(0, queue(base(Register.acq), Aqa.acqs.of(aqa), 0));
  }

  private ring(index: number, value: number): void {
    const id = Math.floor(index / 2);
    if (index % 2 === 1) return;
    const queue = this.submission.get(id);
    if (queue !== undefined) queue.tail = value;
  }

  /** Fetch and answer what has been handed over. */
  work(): boolean {
    let hasWorked = false;
    for (const [id, queue] of this.submission) {
      while (queue.head !== queue.tail && !this.isRemoved && Csts.cfs.of(this.csts) === 0) {
        const words = this.dma.words(queue.base + queue.head * 64, 16);
        queue.head = (queue.head + 1) % queue.entries;
        if (words === null) break;
        this.execute(id, words.slice());
        hasWorked = true;
      }
    }
    return hasWorked;
  }

  private execute(queueId: number, words: Uint32Array): void {
    const command: Fetched = {
      queueId,
      words,
      opcode: Sqe.opc.get(words, 0),
      cid: Sqe.cid.get(words, 0),
      nsid: Sqe.nsid.get(words, 0),
    };
    this.fetched.push(command);
    const verdict = this.judge(command);
    if (verdict === 'drop') return;
    if (queueId === 0 && command.opcode === AdminOpcode.asynchronousEventRequest) return;
    const status = verdict === 'twice' ? 0 : verdict;
    const dw0 = status !== 0 ? 0 : queueId === 0 ? this.admin(command) : this.io(command);
    this.answer(command, status, dw0);
    if (verdict === 'twice') this.answer(command, status, dw0);
  }

  private admin({ opcode, words, nsid }: Fetched): number {
    const base = Sqe.prp1.get(words, 0);
    if (opcode === AdminOpcode.createCompletionQueue) {
      const entries = CreateCompletionQueue.qsize.get(words, 0);
      this.completion.set(CreateCompletionQueue.qid.get(words, 0), queue(base, entries, 0));
    } else if (opcode === AdminOpcode.createSubmissionQueue) {
      const entries = CreateSubmissionQueue.qsize.get(words, 0);
      const cqId = CreateSubmissionQueue.cqid.get(words, 0);
      this.submission.set(CreateSubmissionQueue.qid.get(words, 0), queue(base, entries, cqId));
    } else if (opcode === AdminOpcode.deleteSubmissionQueue) {
      this.submission.delete(DeleteSubmissionQueue.qid.get(words, 0));
    } else if (opcode === AdminOpcode.deleteCompletionQueue) {
      this.completion.delete(DeleteSubmissionQueue.qid.get(words, 0));
    } else if (opcode === AdminOpcode.setFeatures) {
      if (SetFeatures.fid.get(words, 0) === Feature.numberOfQueues) {
        const value = QueueCountFeature.nsq.put(0, this.queuesGranted);
        return QueueCountFeature.ncq.put(value, this.queuesGranted);
      }
    } else if (opcode === AdminOpcode.identify) this.identify(words, base, nsid);
    else if (opcode === AdminOpcode.abort) return 1;
    return 0;
  }

  private identify(words: Uint32Array, base: number, nsid: number): void {
    const page = this.dma.words(base, 1024);
    if (page === null) return;
    const cns = Identify.cns.get(words, 0);
    if (cns === Cns.controller) fillController(page);
    else if (cns === Cns.namespace) fillNamespace(page);
    else if (cns === Cns.activeNamespaces && nsid < 1) page[0] = 1;
    this.onIdentify(cns, page);
  }

  private io({ opcode, words }: Fetched): number {
    if (opcode !== NvmOpcode.read && opcode !== NvmOpcode.write) return 0;
    const lba = words[11]! * 2 ** 32 + words[10]!;
    const count = (words[12]! % 65536) + 1;
    let at = 0;
    for (const piece of this.pieces(words, count * 512)) {
      for (let i = 0; i < piece.length; i++, at++) {
        const number = lba + Math.floor(at / 512);
        const block = this.medium.get(number) ?? new Uint8Array(512);
        this.medium.set(number, block);
        if (opcode === NvmOpcode.write) block[at % 512] = piece[i]!;
        else piece[i] = block[at % 512]!;
      }
    }
    return 0;
  }

  /** What the data pointer names [NVMe-2.0 §4.1.1 PRP], [NVMe-2.0 §4.1.2 SGL]. */
  pieces(words: Uint32Array, length: number): Uint8Array[] {
    return Sqe.psdt.get(words, 0) === 0 ? this.byPrp(words, length) : this.bySgl(words, length);
  }

  private byPrp(words: Uint32Array, length: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    const first = Sqe.prp1.get(words, 0);
    const second = Sqe.prp2.get(words, 0);
    let left = length;
    const push = (address: number) => {
      const piece = Math.min(left, 4096 - (address % 4096));
      const bytes = this.dma.bytes(address, piece);
      if (bytes !== null) found.push(bytes);
      left -= piece;
    };
    push(first);
    if (left > 0 && left <= 4096) push(second);
    let list = second;
    while (left > 0) {
      const entries = this.dma.words(list, (4096 - (list % 4096)) / 4);
      if (entries === null) break;
      let i = 0;
      for (; i < entries.length && left > 0; i += 2) {
        const address = entries[i + 1]! * 2 ** 32 + entries[i]!;
        const isLastOfPage = i + 2 === entries.length;
        if (isLastOfPage && left > 4096) list = address;
        else push(address);
      }
    }
    return found;
  }

  private bySgl(words: Uint32Array, length: number): Uint8Array[] {
    const [low, high, bytes, kind] = words.subarray(6, 10);
    const address = high! * 2 ** 32 + low!;
    if (kind! >>> 28 === 0) return [this.dma.bytes(address, Math.min(bytes!, length))!];
    const list = this.dma.words(address, bytes! / 4) ?? new Uint32Array(0);
    const found: Uint8Array[] = [];
    for (let i = 0; i < list.length; i += 4) {
      const piece = this.dma.bytes(list[i + 1]! * 2 ** 32 + list[i]!, list[i + 2]!);
      if (piece !== null) found.push(piece);
    }
    return found;
  }

  private fillConfig(): void {
    const words = this.space;
    Header.vendorId.set(words, 0, 0x1234);
    Header.deviceId.set(words, 0, 0x0001);
    Header.baseClass.set(words, 0, 0x01);
    Header.subClass.set(words, 0, 0x08);
    Header.programmingInterface.set(words, 0, 0x02);
    Header.capabilitiesList.set(words, 0, 1);
    Header.capabilitiesPointer.set(words, 0, 0x40);
    CapabilityHeader.capabilityId.set(words, 0x40 / 4, CapabilityId.pciExpress);
    CapabilityHeader.nextPointer.set(words, 0x40 / 4, 0x80);
    CapabilityHeader.capabilityId.set(words, 0x80 / 4, CapabilityId.msix);
  }

  private makeConfig(): ConfigSpace {
    const bytes = new Uint8Array(this.space.buffer);
    const read = (offset: number, count: number): number => {
      let value = 0;
      for (let i = 0; i < count; i++) {
        value += (this.isRemoved ? 0xff : bytes[offset + i]!) * 256 ** i;
      }
      return value;
    };
    const write = (offset: number, count: number, value: number): void => {
      this.trace.push(`config 0x${offset.toString(16)} = ${value}`);
      for (let i = 0; i < count; i++) bytes[offset + i] = Math.floor(value / 256 ** i) % 256;
    };
    return {
      read8: (offset) => read(offset, 1),
      read16: (offset) => read(offset, 2),
      read32: (offset) => read(offset, 4),
      write8: (offset, value) => write(offset, 1, value),
      write16: (offset, value) => write(offset, 2, value),
      write32: (offset, value) => write(offset, 4, value),
    };
  }

  private makeClock(): Clock {
    const idle = (untilNs: number): void => {
      this.nowNs += 100;
      if (!this.work() && untilNs > this.nowNs) this.nowNs = untilNs;
    };
    return {
      nowNs: () => this.nowNs,
      idle,
      turn: async (untilNs) => {
        await new Promise((resolve) => setImmediate(resolve));
        idle(untilNs);
      },
    };
  }
}

function queue(base: number, entries: number, cqId: number): FakeQueue {
  return { base, entries, head: 0, tail: 0, phase: 1, cqId };
}

function makeInterrupts(): Interrupts {
  return {
    vectorCount: 4,
    enable() {},
    take: () => false,
    mask() {},
    unmask() {},
    wait: async () => false,
  };
}

function fillController(page: Uint32Array): void {
  const id = IdentifyController;
  id.sn.setText(page, 0, 'FAKE1');
  id.mn.setText(page, 0, 'Fake controller');
  id.fr.setText(page, 0, '1');
  id.mdts.set(page, 0, 5);
  id.nn.set(page, 0, 4);
  id.sqesRequired.set(page, 0, 6);
  id.sqesMaximum.set(page, 0, 6);
  id.cqesRequired.set(page, 0, 4);
  id.cqesMaximum.set(page, 0, 4);
  id.oncsDatasetManagement.set(page, 0, 1);
  id.oncsWriteZeroes.set(page, 0, 1);
  id.vwcPresent.set(page, 0, 1);
  id.aerl.set(page, 0, 4);
  id.acl.set(page, 0, 4);
}

function fillNamespace(page: Uint32Array): void {
  const id = IdentifyNamespace;
  id.nsze.set(page, 0, 2 ** 32 + 1_000_000);
  id.ncap.set(page, 0, 2 ** 32 + 1_000_000);
  id.nuse.set(page, 0, 0);
  id.lbaf.item.lbads.set(page, id.lbaf.at(0, 0), 9);
}
