import type { Bar, DmaRegion, DmaSpace, PciFunction } from '../device.js';
import { UltimaError } from '../errors.js';
import type { Bits } from '../spec/layout.js';
import { commandSizeExponent } from '../spec/nvme/command.js';
import { completionSizeExponent } from '../spec/nvme/completion.js';
import {
  Acq,
  Aqa,
  Asq,
  allOnes,
  Cap,
  Cc,
  Csts,
  completionDoorbell,
  pageShiftBase,
  Register,
  type RegisterName,
  ShutdownNotification,
  ShutdownStatus,
  submissionDoorbell,
  timeoutUnitMs,
} from '../spec/nvme/registers.js';
import { msNs, secondNs } from '../units.js';
import type { RawCommand } from './raw-command.js';
import {
  type RawCompletion,
  RawCompletionQueue,
  type RawObserver,
  RawSubmissionQueue,
} from './raw-queue.js';

export {
  RawCommand,
  type RawData,
  type SglEntry,
  writePrpList,
  writeSglSegment,
} from './raw-command.js';
export {
  type RawCompletion,
  RawCompletionQueue,
  type RawObserver,
  RawSubmissionQueue,
} from './raw-queue.js';

export interface RawOptions {
  /** How long a wait lasts on the function's clock when the caller gives no other limit. */
  readonly deadlineNs?: number;
  readonly observer?: RawObserver;
  /** Where rings are allocated; the function's own space when left out. */
  readonly dma?: DmaSpace;
}

export interface EnableOptions {
  /** Admin queue entries; 32 when left out. */
  readonly adminEntries?: number;
  /** CC.AMS; round robin when left out. */
  readonly arbitration?: number;
  /** CC.CSS; the NVM command set when left out. */
  readonly commandSets?: number;
}

export interface QueueMemory {
  readonly entries: number;
  /** Memory for the ring; allocated when left out. */
  readonly region?: DmaRegion;
  /** Byte offset of the ring inside `region`. */
  readonly offset?: number;
}

/**
 * A controller with nothing in between: registers by name, queues in memory of the caller's choice,
 * any 64 bytes as a command, any value in a doorbell. For test rigs. It allocates freely, keeps no
 * promise about misuse and shares no code with the driver, so that neither hides the other's
 * mistakes. Every wait has a deadline on the function's clock.
 */
export class RawController {
  readonly fn: PciFunction;
  readonly bar: Bar;
  readonly deadlineNs: number;
  readonly observer: RawObserver | undefined;
  private readonly dma: DmaSpace;
  adminSq!: RawSubmissionQueue;
  adminCq!: RawCompletionQueue;
  private nextCid = 1;
  private capWords: Uint32Array | undefined;

  constructor(fn: PciFunction, options: RawOptions = {}) {
    this.fn = fn;
    this.bar = fn.bar(0);
    this.deadlineNs = options.deadlineNs ?? 20 * secondNs;
    this.observer = options.observer;
    this.dma = options.dma ?? fn.dma;
  }

  /** The dword at a register; the low one of a 64-bit register. */
  read(name: RegisterName): number {
    return this.bar.read32(Register[name]);
  }

  readHigh(name: RegisterName): number {
    return this.bar.read32(Register[name] + 4);
  }

  write(name: RegisterName, value: number): void {
    this.bar.write32(Register[name], value);
  }

  writeHigh(name: RegisterName, value: number): void {
    this.bar.write32(Register[name] + 4, value);
  }

  /** A field of CAP, which is read once and again at every `enable`. */
  cap(field: Bits): number {
    this.capWords ??= new Uint32Array([this.read('cap'), this.readHigh('cap')]);
    return field.get(this.capWords, 0);
  }

  /** Bytes of the smallest memory page, which is the one that `enable` selects. */
  get pageBytes(): number {
    return 2 ** (pageShiftBase + this.cap(Cap.mpsmin));
  }

  /** What CAP.TO allows for a change of CSTS.RDY. */
  get readyTimeoutNs(): number {
    return Math.max(1, this.cap(Cap.to)) * timeoutUnitMs * msNs;
  }

  /** Memory for a submission queue and its doorbell; the device knows nothing of it yet. */
  submissionQueue(id: number, memory: QueueMemory): RawSubmissionQueue {
    const region = memory.region ?? this.ring(memory.entries, commandSizeExponent);
    const doorbell = submissionDoorbell(id, this.cap(Cap.dstrd));
    return new RawSubmissionQueue(this, { id, ...memory, region, doorbell });
  }

  completionQueue(id: number, memory: QueueMemory): RawCompletionQueue {
    const region = memory.region ?? this.ring(memory.entries, completionSizeExponent);
    const doorbell = completionDoorbell(id, this.cap(Cap.dstrd));
    return new RawCompletionQueue(this, { id, ...memory, region, doorbell });
  }

  /** [NVMe-2.0 §3.5.1] Fresh admin queues, CC.EN = 1, and wait for CSTS.RDY = 1. */
  async enable(options: EnableOptions = {}): Promise<void> {
    const entries = options.adminEntries ?? 32;
    this.capWords = undefined;
    this.adminSq = this.submissionQueue(0, { entries });
    this.adminCq = this.completionQueue(0, { entries });
    this.write('aqa', Aqa.acqs.put(Aqa.asqs.put(0, entries), entries));
    this.writeAddress('asq', this.adminSq.iova);
    this.writeAddress('acq', this.adminCq.iova);
    await this.enableWith(this.configuration(options));
  }

  /** The CC value that `enable` writes. */
  configuration(options: EnableOptions = {}): number {
    let cc = Cc.en.put(0, 1);
    cc = Cc.css.put(cc, options.commandSets ?? 0);
    cc = Cc.ams.put(cc, options.arbitration ?? 0);
    cc = Cc.mps.put(cc, this.cap(Cap.mpsmin));
    cc = Cc.iosqes.put(cc, commandSizeExponent);
    return Cc.iocqes.put(cc, completionSizeExponent);
  }

  /** Write CC and wait for CSTS.RDY = 1. */
  async enableWith(cc: number): Promise<void> {
    this.write('cc', cc);
    await this.waitStatus(Csts.rdy, 1, this.readyTimeoutNs);
  }

  /** A controller reset: CC.EN = 0 and wait for CSTS.RDY = 0. Queues are gone after it. */
  async disable(): Promise<void> {
    this.write('cc', Cc.en.put(this.read('cc'), 0));
    await this.waitStatus(Csts.rdy, 0, this.readyTimeoutNs);
  }

  /** Ask for a shutdown and wait for CSTS.SHST = complete. */
  async shutdown(kind: 'normal' | 'abrupt'): Promise<void> {
    this.write('cc', Cc.shn.put(this.read('cc'), ShutdownNotification[kind]));
    await this.waitStatus(Csts.shst, ShutdownStatus.complete, this.deadlineNs);
  }

  /**
   * Wait until a field of CSTS has a value.
   *
   * @throws UltimaError DEVICE_REMOVED when the registers read as all-ones, CONTROLLER_TIMEOUT
   */
  async waitStatus(field: Bits, value: number, limitNs: number): Promise<void> {
    const { clock } = this.fn;
    const untilNs = clock.nowNs() + limitNs;
    for (;;) {
      const csts = this.read('csts');
      if (csts === allOnes) throw new UltimaError('DEVICE_REMOVED', 'CSTS reads as all-ones');
      if (field.of(csts) === value) return;
      const nowNs = clock.nowNs();
      if (nowNs >= untilNs) {
        throw new UltimaError('CONTROLLER_TIMEOUT', `CSTS: ${field.doc} is not ${value}`, { csts });
      }
      await clock.turn(Math.min(untilNs, nowNs + msNs / 10));
    }
  }

  /** Let `durationNs` of the function's clock pass. */
  async elapse(durationNs: number): Promise<void> {
    const { clock } = this.fn;
    const untilNs = clock.nowNs() + durationNs;
    while (clock.nowNs() < untilNs) await clock.turn(untilNs);
  }

  /** A command identifier that was not given out lately; never FFFFh. */
  takeCid(): number {
    const cid = this.nextCid;
    this.nextCid = cid >= 0xfffe ? 1 : cid + 1;
    return cid;
  }

  /** Post one admin command, ring, wait, take the completion and ring its head. */
  admin(command: RawCommand, limitNs?: number): Promise<RawCompletion> {
    return this.execute(this.adminSq, this.adminCq, { command, ...limitOf(limitNs) });
  }

  /** The same on any pair of queues. Completions of other commands are kept for their own wait. */
  async execute(
    sq: RawSubmissionQueue,
    cq: RawCompletionQueue,
    work: { readonly command: RawCommand; readonly limitNs?: number },
  ): Promise<RawCompletion> {
    const cid = sq.post(work.command);
    sq.ring();
    return this.waitFor(cq, { sqid: sq.id, cid, ...limitOf(work.limitNs) });
  }

  /** Wait for the completion of one command and ring the head doorbell for all that were taken. */
  async waitFor(
    cq: RawCompletionQueue,
    wanted: { readonly sqid: number; readonly cid: number; readonly limitNs?: number },
  ): Promise<RawCompletion> {
    const found = await this.until(
      () => cq.find(wanted.sqid, wanted.cid),
      wanted.limitNs ?? this.deadlineNs,
    );
    if (found !== undefined) return found;
    throw new UltimaError('COMMAND_TIMEOUT', 'no completion for the command', {
      sqid: wanted.sqid,
      cid: wanted.cid,
      csts: this.read('csts'),
    });
  }

  /** Wait for the next completion of a queue; undefined at the limit. */
  next(cq: RawCompletionQueue, limitNs = this.deadlineNs): Promise<RawCompletion | undefined> {
    return this.until(() => cq.next(), limitNs);
  }

  private async until<T>(look: () => T | undefined, limitNs: number): Promise<T | undefined> {
    const { clock } = this.fn;
    const untilNs = clock.nowNs() + limitNs;
    for (;;) {
      const found = look();
      if (found !== undefined || clock.nowNs() >= untilNs) return found;
      await clock.turn(untilNs);
    }
  }

  private ring(entries: number, exponent: number): DmaRegion {
    return this.dma.allocate(entries * 2 ** exponent, { alignment: this.pageBytes });
  }

  private writeAddress(name: 'asq' | 'acq', iova: number): void {
    const words = new Uint32Array(2);
    if (name === 'asq') Asq.asqb.set(words, 0, iova);
    else Acq.acqb.set(words, 0, iova);
    this.write(name, words[0]!);
    this.writeHigh(name, words[1]!);
  }
}

function limitOf(limitNs: number | undefined): { readonly limitNs?: number } {
  return limitNs === undefined ? {} : { limitNs };
}
