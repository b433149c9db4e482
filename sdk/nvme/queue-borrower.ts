import { assert } from '../assert.js';
import type { Bar, Clock, DmaRegion, PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { allOnes, Csts, Register } from '../spec/nvme/registers.js';
import { msNs, secondNs } from '../units.js';
import type { BadCompletion } from './completion-queue.js';
import {
  type BorrowerKind,
  ControlWord,
  controlBytes,
  isFromLender,
  type LenderMessage,
  type LoanPort,
  type Terms,
} from './loan-messages.js';
import { Namespace } from './namespace.js';
import { badCompletionKinds } from './queue-lender.js';
import { buildPair, freePair, type PairHost } from './queue-making.js';
import type { QueuePair } from './queue-pair.js';

export interface BorrowOptions {
  /** The function as this thread has it; the rings and all buffers lie in its memory. */
  readonly fn: PciFunction;
  /** Leads to the thread that called `lendQueuePairs`. */
  readonly port: LoanPort;
  readonly nsid: number;
  /** Entries of the submission queue; as the controller was opened when left out. */
  readonly entries?: number;
  /** Longest time that the lender may take for an answer; 60 s when left out. */
  readonly timeoutNs?: number;
}

/**
 * A namespace on a queue pair that another thread's controller lends.
 *
 * @throws UltimaError of the lender's refusal, CONTROLLER_TIMEOUT without an answer, DMA_EXHAUSTED
 */
export async function borrowNamespace(options: BorrowOptions): Promise<BorrowedNamespace> {
  const { fn, nsid, entries = 0, timeoutNs = 60 * secondNs } = options;
  const line = new Line(options.port, fn.clock, timeoutNs);
  try {
    line.say('ask', { nsid, entries });
    const borrowed = new BorrowedNamespace(fn, line, await line.agreed());
    await line.until(() => borrowed.isOpen);
    return borrowed;
  } catch (error) {
    // Rings that the controller may know of stay where they are.
    line.say('close', {});
    line.close();
    throw error;
  }
}

/**
 * The borrower's end of a loan. `namespace` is a block device like any other: after a reset of the
 * controller, commands in flight have ended as unknown and the same object goes on; after the
 * controller or the lender is gone, nothing is executed any more.
 */
export class BorrowedNamespace implements PairHost {
  readonly namespace: Namespace;
  readonly fn: PciFunction;
  readonly clock: Clock;
  readonly pageBytes: number;
  readonly registers: { readonly bar: Bar };
  readonly capabilities: { readonly doorbellStride: number };
  private readonly line: Line;
  private readonly terms: Terms;
  private readonly pair: QueuePair;
  private readonly control: DmaRegion;
  private state: 'asked' | 'open' | 'over' | 'closed' = 'asked';
  /** The epoch that the rings were sent for, or are open in. */
  private epoch = 0;
  private stuckId = -1;
  private askAgainNs = 0;
  private closing: Promise<void> | null = null;

  constructor(fn: PciFunction, line: Line, terms: Terms) {
    this.fn = fn;
    this.clock = fn.clock;
    this.line = line;
    this.terms = terms;
    this.pageBytes = terms.pageBytes;
    this.registers = { bar: fn.bar(0) };
    this.capabilities = { doorbellStride: terms.doorbellStride };
    this.control = fn.dma.allocate(controlBytes);
    this.control.words[ControlWord.epoch] = 1;
    const { queueId, entries, limits, settings, format, listPages } = terms;
    this.pair = buildPair(this, {
      id: queueId,
      entries,
      completionEntries: entries,
      mode: 'polling',
      vector: 0,
      priority: 0,
      listPages,
      sglAlignment: limits.sglAlignment,
    });
    this.pair.submission.isOpen = false;
    const abort = (_queueId: number, commandId: number): void => line.say('abort', { commandId });
    const controller = { limits, settings, abort };
    this.namespace = new Namespace({ pair: this.pair, format, controller });
    line.onLook = () => this.look();
    this.look();
  }

  /** Whether the controller has the queues now. */
  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** The controller or the lender is gone for good: close, and borrow from another. */
  get isOver(): boolean {
    return this.state === 'over' || this.state === 'closed';
  }

  get isRecovering(): boolean {
    return this.state === 'asked';
  }

  get isRemoved(): boolean {
    return this.fn.isRemoved;
  }

  tick(nowNs: number): void {
    this.look();
    if (this.state !== 'open') return;
    this.watchController();
    this.watchCommands(nowNs);
  }

  misbehaved(bad: BadCompletion): void {
    const { value, words } = bad;
    const [dw0 = 0, dw1 = 0, dw2 = 0, dw3 = 0] = words;
    const what = badCompletionKinds.indexOf(bad.what);
    this.line.say('misbehaved', { what, value, dw0, dw1, dw2, dw3 });
  }

  /**
   * Give the queue pair back. What is in flight ends. Idempotent.
   *
   * @throws UltimaError CONTROLLER_TIMEOUT when the lender does not answer; the rings stay then
   */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const { line, pair } = this;
    pair.submission.isOpen = false;
    if (this.state !== 'over') {
      line.say('close', {});
      await line.until(() => line.isClosed || this.isOver);
    }
    this.lose(true, this.epoch);
    this.state = 'closed';
    line.close();
    this.namespace.close();
    freePair(this, pair);
    this.fn.dma.free(this.control);
  }

  /** What the lender says about the queues, in memory that both see. */
  private look(): void {
    if (this.isOver) return;
    const { words } = this.control;
    const epoch = Atomics.load(words, ControlWord.epoch);
    if (Atomics.load(words, ControlWord.isOver) === 1) this.lose(true, epoch);
    else if (epoch !== this.epoch) this.lose(false, epoch);
    else if (this.state === 'asked' && Atomics.load(words, ControlWord.opened) === epoch) {
      this.state = 'open';
      this.pair.submission.isOpen = true;
    }
  }

  /** The controller reaches the rings no more: everything in flight ends. */
  private lose(isFinal: boolean, epoch: number): void {
    const { submission, completion } = this.pair;
    this.state = isFinal ? 'over' : 'asked';
    this.epoch = epoch;
    submission.isOpen = false;
    submission.isDead = isFinal;
    // A completion that is already in memory says more than "unknown".
    completion.drain();
    submission.endAll();
    // What waited for a slot ends as not executed.
    if (isFinal) this.namespace.poll();
    if (isFinal || this.closing !== null) return;
    submission.rewind();
    completion.rewind();
    this.line.say('rings', {
      epoch,
      submission: submission.region.iova,
      completion: completion.region.iova,
      control: this.control.iova,
    });
  }

  /** All-ones, a fatal error or a controller that is not ready are the lender's to deal with. */
  private watchController(): void {
    const csts = this.registers.bar.read32(Register.csts);
    const isWell = csts !== allOnes && Csts.rdy.of(csts) === 1 && Csts.cfs.of(csts) === 0;
    if (!isWell) this.line.say('look', {});
  }

  /** First the lender is asked to abort a command that is late, then to reset the controller. */
  private watchCommands(nowNs: number): void {
    const { submission } = this.pair;
    const { commandTimeoutNs, abortTimeoutNs } = this.terms.settings;
    const slot = submission.lateSlot(nowNs, commandTimeoutNs);
    if (slot === -1) return;
    const commandId = submission.cidOf(slot);
    const isSecond = commandId === this.stuckId;
    if (isSecond && nowNs < this.askAgainNs) return;
    this.stuckId = commandId;
    this.askAgainNs = nowNs + abortTimeoutNs;
    const waitedNs = commandTimeoutNs;
    this.line.say('stuck', { commandId, waitedNs, isSecond: isSecond ? 1 : 0 });
  }
}

let loans = 0;

/** One loan's conversation on a port that may carry others. */
class Line {
  isClosed = false;
  onLook: () => void = () => {};
  private terms: Terms | null = null;
  private refusal: UltimaError | null = null;
  private readonly id: number;
  private readonly port: LoanPort;
  private readonly clock: Clock;
  private readonly timeoutNs: number;
  private readonly onMessage = (value: unknown): void => {
    if (isFromLender(value) && value.ultimaLoan === this.id) this.hear(value);
  };

  constructor(port: LoanPort, clock: Clock, timeoutNs: number) {
    this.id = ++loans;
    this.port = port;
    this.clock = clock;
    this.timeoutNs = timeoutNs;
    port.on('message', this.onMessage);
  }

  say(kind: BorrowerKind, values: Readonly<Record<string, number>>): void {
    this.port.postMessage({ ultimaLoan: this.id, kind, values });
  }

  close(): void {
    this.port.off('message', this.onMessage);
  }

  async agreed(): Promise<Terms> {
    await this.until(() => this.terms !== null);
    assert(this.terms !== null, 'the wait for terms ends with terms');
    return this.terms;
  }

  /** Wait for the lender. @throws UltimaError of its refusal, CONTROLLER_TIMEOUT */
  async until(condition: () => boolean): Promise<void> {
    const deadlineNs = this.clock.nowNs() + this.timeoutNs;
    while (!condition()) {
      if (this.refusal !== null) throw this.refusal;
      const nowNs = this.clock.nowNs();
      if (nowNs >= deadlineNs) throw this.noAnswer();
      await this.clock.turn(Math.min(deadlineNs, nowNs + msNs));
      this.onLook();
    }
  }

  private hear(message: LenderMessage): void {
    if (message.kind === 'look') this.onLook();
    else if (message.kind === 'terms') this.terms = message.terms;
    else if (message.kind === 'closed') this.isClosed = true;
    else this.refusal = refusalOf(message.code, message.text);
  }

  private noAnswer(): UltimaError {
    return new UltimaError(
      ErrorCode.controllerTimeout,
      'the thread that lends queue pairs does not answer: is it still running, and has it called ' +
        'lendQueuePairs for this port?',
      { waitedNs: this.timeoutNs },
    );
  }
}

function refusalOf(code: string, text: string): UltimaError {
  const known = Object.values(ErrorCode).find((one) => one === code) ?? ErrorCode.usage;
  return new UltimaError(known, text);
}
