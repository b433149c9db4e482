import { MonotonicClock } from '../native/vfio/clock.js';
import type {
  Bar,
  Clock,
  ConfigSpace,
  DmaOptions,
  DmaRegion,
  DmaSpace,
  Interrupts,
  PciFunction,
} from '../sdk/device.js';
import {
  CreateCompletionQueue,
  CreateSubmissionQueue,
  Identify,
} from '../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../sdk/spec/nvme/command.js';
import { Cqe } from '../sdk/spec/nvme/completion.js';
import { Cns } from '../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../sdk/spec/nvme/identify-namespace.js';
import { AdminOpcode } from '../sdk/spec/nvme/opcodes.js';
import { Aqa, Cap, Cc, doorbellBase, Register } from '../sdk/spec/nvme/registers.js';
import { Header } from '../sdk/spec/pcie/header.js';

/** Rings of one queue pair, as the null controller walks them. */
export interface NullQueue {
  readonly submission: Uint32Array;
  readonly completion: Uint32Array;
  readonly entries: number;
  readonly id: number;
  head: number;
  tail: number;
  /** The phase bit in place. */
  phase: number;
}

const cidDword = Cqe.cid.dword;
const headDword = Cqe.sqhd.dword;
const phaseOn = Cqe.p.put(0, 1);
const sqidOn = (id: number) => Cqe.sqid.put(0, id);

/**
 * The thinnest thing that completes entries: a controller in the same process and thread, behind
 * waist 1. A tail doorbell completes every entry at once, with success and without data. What a
 * loop over it costs is what the host side costs.
 */
export class NullFunction implements PciFunction {
  readonly address = 'null:0';
  readonly isRemoved = false;
  readonly dma: DmaSpace;
  readonly config: ConfigSpace;
  readonly interrupts: Interrupts = noInterrupts;
  readonly clock: Clock = new MonotonicClock();
  private readonly registers = new Uint32Array(doorbellBase / 4);
  private readonly queues: NullQueue[] = [];
  private readonly bar0: Bar;

  /** @param memory where rings and data live; the heap when left out */
  constructor(memory: (bytes: number) => ArrayBuffer = (bytes) => new ArrayBuffer(bytes)) {
    this.dma = new NullMemory(memory);
    Cap.mqes.set(this.registers, 0, 4096);
    Cap.to.set(this.registers, 0, 2);
    Cap.cssNvm.set(this.registers, 0, 1);
    this.config = configSpace();
    this.bar0 = new NullBar(this.registers, this.queues, (offset, value) => {
      if (offset === Register.cc && Cc.en.of(value) === 1) this.enable();
    });
  }

  bar(): Bar {
    return this.bar0;
  }

  /** Make a queue pair known without commands. */
  connect(queue: NullQueue): void {
    this.queues[queue.id] = queue;
  }

  async reset(): Promise<void> {}

  async close(): Promise<void> {}

  private enable(): void {
    const { registers } = this;
    const aqa = registers[Register.aqa / 4]!;
    const admin = this.queueOf({
      id: 0,
      entries: Aqa.asqs.of(aqa),
      submission: registers[Register.asq / 4]!,
      completion: registers[Register.acq / 4]!,
    });
    this.queues[0] = admin;
    this.admin = admin;
  }

  private admin: NullQueue | null = null;
  private completionAt = new Map<number, number>();

  private queueOf(parts: QueueParts): NullQueue {
    const { id, entries } = parts;
    const submission = memoryAt(this.dma, parts.submission);
    const completion = memoryAt(this.dma, parts.completion);
    return { id, entries, submission, completion, head: 0, tail: 0, phase: phaseOn };
  }

  /** Admin commands carry data and are carried out before they are completed. */
  carryOut(words: Uint32Array, at: number): void {
    const opcode = Sqe.opc.get(words, at);
    if (opcode === AdminOpcode.identify) {
      const page = memoryAt(this.dma, Sqe.prp1.get(words, at));
      const cns = Identify.cns.get(words, at);
      if (cns === Cns.controller) fillController(page);
      if (cns === Cns.namespace) fillNamespace(page);
    } else if (opcode === AdminOpcode.createCompletionQueue) {
      const id = CreateCompletionQueue.qid.get(words, at);
      this.completionAt.set(id, Sqe.prp1.get(words, at));
    } else if (opcode === AdminOpcode.createSubmissionQueue) {
      const id = CreateSubmissionQueue.qid.get(words, at);
      const entries = CreateSubmissionQueue.qsize.get(words, at);
      const submission = Sqe.prp1.get(words, at);
      const completion = this.completionAt.get(CreateSubmissionQueue.cqid.get(words, at)) ?? 0;
      this.connect(this.queueOf({ id, entries, submission, completion }));
    }
  }

  /** Admin entries that were handed over and not carried out yet. */
  serveAdmin(): void {
    const { admin } = this;
    if (admin === null) return;
    while (admin.head !== admin.tail) {
      this.carryOut(admin.submission, admin.head * 16);
      // Dword 0 is read for Set Features alone: as many queues as were asked for.
      admin.completion[admin.head * 4] = 0xffff_ffff;
      complete(admin, (admin.head + 1) % admin.entries);
    }
  }
}

interface QueueParts {
  readonly id: number;
  readonly entries: number;
  readonly submission: number;
  readonly completion: number;
}

/** Complete every entry up to `tail`. */
function complete(queue: NullQueue, tail: number): void {
  const { submission, completion, entries } = queue;
  const sqid = sqidOn(queue.id);
  let { head } = queue;
  while (head !== tail) {
    const cid = submission[head * 16]! >>> 16;
    // Completion and submission rings are of one size, and each command is completed in order.
    const at = head * 4;
    if (++head === entries) head = 0;
    completion[at + headDword] = sqid | head;
    completion[at + cidDword] = cid | queue.phase;
    if (head === 0) queue.phase ^= phaseOn;
  }
  queue.head = head;
}

class NullBar implements Bar {
  readonly index = 0;
  readonly length = doorbellBase + 4096;
  private readonly registers: Uint32Array;
  private readonly queues: NullQueue[];
  private readonly written: (offset: number, value: number) => void;

  constructor(
    registers: Uint32Array,
    queues: NullQueue[],
    written: (offset: number, value: number) => void,
  ) {
    this.registers = registers;
    this.queues = queues;
    this.written = written;
  }

  read32(offset: number): number {
    const value = this.registers[offset / 4]!;
    // RDY follows EN at once.
    return offset === Register.csts ? this.registers[Register.cc / 4]! & 1 : value;
  }

  write32(offset: number, value: number): void {
    if (offset < doorbellBase) {
      this.registers[offset / 4] = value;
      this.written(offset, value);
      return;
    }
    const index = (offset - doorbellBase) >>> 2;
    if ((index & 1) === 1) return;
    const queue = this.queues[index >>> 1]!;
    if (index === 0) queue.tail = value;
    else complete(queue, value);
  }
}

class NullMemory implements DmaSpace {
  readonly regions: DmaRegion[] = [];
  private next = 0x10_0000;
  private readonly make: (bytes: number) => ArrayBuffer;

  constructor(make: (bytes: number) => ArrayBuffer) {
    this.make = make;
  }

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = Math.max(4096, options.alignment ?? 4096);
    const iova = Math.ceil(this.next / alignment) * alignment;
    this.next = iova + Math.ceil(length / 4096) * 4096;
    const buffer = this.make(Math.ceil(length / 4) * 4);
    const region: DmaRegion = {
      bytes: new Uint8Array(buffer),
      words: new Uint32Array(buffer),
      iova,
      length,
      space: this,
      isFreed: false,
    };
    this.regions.push(region);
    return region;
  }

  free(): void {}
}

function memoryAt(space: DmaSpace, iova: number): Uint32Array {
  if (!(space instanceof NullMemory)) throw new TypeError('memory of another function');
  const found = space.regions.find((one) => iova >= one.iova && iova < one.iova + one.length);
  if (found === undefined) throw new RangeError(`no memory at ${iova}`);
  return found.words.subarray((iova - found.iova) / 4);
}

const noInterrupts: Interrupts = {
  vectorCount: 0,
  enable() {},
  take: () => false,
  mask() {},
  unmask() {},
  wait: async () => false,
};

function configSpace(): ConfigSpace {
  const words = new Uint32Array(1024);
  Header.vendorId.set(words, 0, 0x1234);
  Header.baseClass.set(words, 0, 0x01);
  Header.subClass.set(words, 0, 0x08);
  Header.programmingInterface.set(words, 0, 0x02);
  return {
    read8: () => 0,
    read16: (offset) => words[offset / 4]! % 65536,
    read32: (offset) => words[offset / 4]!,
    write8() {},
    write16(offset, value) {
      words[offset / 4] = value;
    },
    write32() {},
  };
}

function fillController(page: Uint32Array): void {
  IdentifyController.nn.set(page, 0, 1);
  IdentifyController.mdts.set(page, 0, 8);
  IdentifyController.sqesRequired.set(page, 0, 6);
  IdentifyController.cqesRequired.set(page, 0, 4);
}

function fillNamespace(page: Uint32Array): void {
  const table = IdentifyNamespace;
  table.nsze.set(page, 0, 2 ** 31);
  table.lbaf.item.lbads.set(page, table.lbaf.at(0, 0), 12);
}
