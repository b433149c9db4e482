import type { DmaRegion, PciFunction } from '../../sdk/device.js';
import {
  RawCommand,
  type RawCompletion,
  type RawCompletionQueue,
  type RawSubmissionQueue,
} from '../../sdk/nvme/raw.js';
import { putSglDescriptor } from '../../sdk/nvme/raw-command.js';
import * as admin from '../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { PrpEntry, prpEntryBytes, sglDescriptorBytes } from '../../sdk/spec/nvme/data-pointer.js';
import { EventFeature, Feature } from '../../sdk/spec/nvme/features.js';
import { Read } from '../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Csts, completionDoorbell, submissionDoorbell } from '../../sdk/spec/nvme/registers.js';
import { createCq, createSq } from '../../sdk/testing/queue.js';
import { Rig } from '../../sdk/testing/rig.js';
import { type Facts, readFacts } from './facts.js';
import {
  type CommandStep,
  dataBytes,
  type Ending,
  type RegisterStep,
  sandboxBytes,
  windowBlocks,
} from './step.js';

export const poisonWord = 0xdead_10cc;
const queueEntries = 16;
const commandLimitNs = 2_000_000_000;
/** Above what either controller measures. */
const warningKelvin = 0x190;
const settleNs = 20_000_000;
const startLimitNs = 100_000_000;

/** What can be seen of one step. */
export interface Outcome {
  /** Null when the command has no completion. */
  readonly completion: RawCompletion | null;
  /** A register, or CSTS after the step. */
  readonly register: number;
}

/** Features that a sequence may change, with what they have at its start. */
const startValues: readonly {
  readonly fid: number;
  readonly value: number;
  readonly nsid?: number;
}[] = [
  { fid: Feature.temperatureThreshold, value: warningKelvin },
  { fid: Feature.errorRecovery, value: 0, nsid: 1 },
  { fid: Feature.volatileWriteCache, value: 1 },
  { fid: Feature.asynchronousEvents, value: EventFeature.namespace.put(0, 1) },
];

/** One controller, brought to the same state before every sequence and driven step by step. */
export class CrossBench {
  readonly rig: Rig;
  readonly sandbox: DmaRegion;
  facts!: Facts;
  private readonly rings: { readonly sq: DmaRegion; readonly cq: DmaRegion };
  private sq!: RawSubmissionQueue;
  private cq!: RawCompletionQueue;
  private events: number[] = [];

  private constructor(fn: PciFunction) {
    this.rig = new Rig(fn, { deadlineNs: commandLimitNs });
    this.sandbox = fn.dma.allocate(sandboxBytes);
    this.rings = { sq: fn.dma.allocate(4096), cq: fn.dma.allocate(4096) };
  }

  static async open(fn: PciFunction): Promise<CrossBench> {
    const bench = new CrossBench(fn);
    // With MSI-X off, every vector but 0 would be wrong.
    fn.interrupts.enable(fn.interrupts.vectorCount);
    await bench.rig.enable();
    bench.facts = await readFacts(bench.rig);
    return bench;
  }

  /** Reset, enable, one I/O queue pair, known features and known blocks in both windows. */
  async begin(seed: number): Promise<void> {
    const { rig } = this;
    const { controller } = rig;
    const old = [controller.adminSq.region, controller.adminCq.region];
    controller.write('cc', 0);
    await controller.waitStatus(Csts.rdy, 0, startLimitNs);
    for (const region of old) rig.fn.dma.free(region);
    await rig.enable();
    this.events = [];
    for (const value of startValues) await rig.setFeature(value);
    this.rings.sq.words.fill(0);
    this.rings.cq.words.fill(0);
    const memory = { entries: queueEntries };
    this.cq = controller.completionQueue(1, { ...memory, region: this.rings.cq });
    this.sq = controller.submissionQueue(1, { ...memory, region: this.rings.sq });
    await rig.adminOk(createCq(rig, this.cq));
    await rig.adminOk(createSq(rig, this.sq, { cqid: 1, priority: 0 }));
    for (const [lba, count] of this.windows()) {
      this.fill(seed % 2 === 0 ? 0 : null);
      await rig.succeeded(await this.block(NvmOpcode.write, lba, count));
    }
  }

  /** First block and number of blocks of what the sequences read and write. */
  windows(): [number, number][] {
    const { start, end } = windowBlocks;
    return [
      [0, start],
      [this.facts.blocks - end, end],
    ];
  }

  readWindow(lba: number, count: number): Promise<RawCompletion> {
    this.fill(null);
    return this.block(NvmOpcode.read, lba, count);
  }

  /** Write zeroes to one block, behind the other controller's back. */
  zeroBlock(lba: number): Promise<RawCompletion> {
    this.sandbox.words.fill(0);
    return this.block(NvmOpcode.write, lba, 1);
  }

  async command(step: CommandStep): Promise<Outcome> {
    this.prepare(step);
    const command = new RawCommand(0);
    command.words.set(step.words);
    const { iova } = this.sandbox;
    if (step.prp1 !== null) Sqe.prp1.set(command.words, 0, iova + step.prp1);
    if (step.prp2 !== null) Sqe.prp2.set(command.words, 0, iova + step.prp2);
    return this.outcome(step.queue, command);
  }

  /** Post an event request and see, behind another command, whether it is refused at once. */
  async event(): Promise<Outcome> {
    const { controller } = this.rig;
    const { adminSq, adminCq } = controller;
    const cid = adminSq.post(new RawCommand(AdminOpcode.asynchronousEventRequest));
    adminSq.ring();
    const probe = new RawCommand(AdminOpcode.getFeatures).set(
      admin.GetFeatures.fid,
      Feature.numberOfQueues,
    );
    await controller.execute(adminSq, adminCq, { command: probe });
    const completion = adminCq.find(0, cid) ?? null;
    if (completion === null) this.events.push(cid);
    return { completion, register: this.status() };
  }

  register(step: RegisterStep): Outcome {
    const { controller } = this.rig;
    if (step.write !== null) controller.write(step.name, step.write);
    return { completion: null, register: controller.read(step.name) };
  }

  async end(ending: Ending): Promise<Outcome> {
    const { controller } = this.rig;
    if (ending.kind === 'shutdown') {
      await controller.shutdown(ending.how);
      return { completion: null, register: this.status() };
    }
    if (ending.kind === 'doorbell') {
      const doorbell = ending.side === 'submission' ? submissionDoorbell : completionDoorbell;
      controller.bar.write32(doorbell(ending.queue, 0), ending.value);
      const completion = await this.nextEvent();
      return { completion, register: this.status() };
    }
    controller.write('cc', 0);
    await controller.waitStatus(Csts.rdy, 0, startLimitNs);
    controller.write('aqa', ending.aqa);
    controller.write('cc', ending.cc);
    await this.settle();
    return { completion: null, register: this.status() };
  }

  private async nextEvent(): Promise<RawCompletion | null> {
    const { controller } = this.rig;
    const { clock } = this.rig.fn;
    const untilNs = clock.nowNs() + settleNs;
    for (;;) {
      for (const cid of this.events) {
        const found = controller.adminCq.find(0, cid);
        if (found !== undefined) return found;
      }
      if (clock.nowNs() >= untilNs) return null;
      await clock.turn(untilNs);
    }
  }

  private async settle(): Promise<void> {
    const { clock } = this.rig.fn;
    const untilNs = clock.nowNs() + startLimitNs;
    while (clock.nowNs() < untilNs) {
      const csts = this.status();
      if (Csts.rdy.of(csts) === 1 || Csts.cfs.of(csts) === 1) return;
      await clock.turn(Math.min(untilNs, clock.nowNs() + 1_000_000));
    }
  }

  private async outcome(queue: 0 | 1, command: RawCommand): Promise<Outcome> {
    const { controller } = this.rig;
    const sq = queue === 0 ? controller.adminSq : this.sq;
    const cq = queue === 0 ? controller.adminCq : this.cq;
    const cid = sq.post(command);
    sq.ring();
    const { clock } = this.rig.fn;
    const untilNs = clock.nowNs() + commandLimitNs;
    let completion = cq.find(sq.id, cid);
    while (completion === undefined && clock.nowNs() < untilNs) {
      await clock.turn(untilNs);
      completion = cq.find(sq.id, cid);
    }
    return { completion: completion ?? null, register: this.status() };
  }

  private status(): number {
    return this.rig.controller.read('csts');
  }

  private async block(opcode: number, lba: number, count: number): Promise<RawCompletion> {
    const { rig } = this;
    const data = { iova: this.sandbox.iova, length: count * this.facts.blockBytes };
    const command = new RawCommand(opcode, 1).set(Read.slba, lba).set(Read.nlb, count);
    const list = this.sandbox.iova + dataBytes;
    const pages = Math.ceil(data.length / rig.pageBytes);
    for (let i = 1; i < pages; i++) this.putPrp(dataBytes, i - 1, i * rig.pageBytes);
    command.prps(data.iova, pages > 2 ? list : data.iova + rig.pageBytes);
    const { completion } = await this.outcome(1, command);
    if (completion === null) throw new Error('a block of the window has no completion');
    return completion;
  }

  private prepare(step: CommandStep): void {
    this.fill(step.seed);
    this.sandbox.words.set(step.payload);
    const { list } = step;
    if (list === null) return;
    const { iova, words } = this.sandbox;
    list.entries.forEach((entry, i) => {
      if (typeof entry === 'number') this.putPrp(list.at, i, entry);
      else {
        const at = list.at / 4 + (i * sglDescriptorBytes) / 4;
        putSglDescriptor(words, at, { ...entry, address: iova + entry.place });
      }
    });
  }

  /** A list that starts at no dword is read from the dword before by nobody: put it there. */
  private putPrp(at: number, index: number, place: number): void {
    const { iova, words } = this.sandbox;
    PrpEntry.pbao.set(words, Math.floor(at / 4) + (index * prpEntryBytes) / 4, iova + place);
  }

  private fill(seed: number | null): void {
    const { words } = this.sandbox;
    if (seed === null) words.fill(poisonWord);
    else words.set(pattern(seed));
  }
}

const patterns = new Map<number, Uint32Array>();

/** Seed 0 has equal blocks, so that a compare may succeed; in the others every dword differs. */
function pattern(seed: number): Uint32Array {
  const known = patterns.get(seed);
  if (known !== undefined) return known;
  const made = Uint32Array.from({ length: sandboxBytes / 4 }, (_, i) =>
    Math.imul((seed === 0 ? i % 128 : i) + 1, 0x9e37_79b1 + 2 * seed),
  );
  patterns.set(seed, made);
  return made;
}
