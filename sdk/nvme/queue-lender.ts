import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { BadCompletion } from './completion-queue.js';
import type { Core } from './core.js';
import { listPagesFor } from './data-pointer.js';
import { LentPair } from './lent-pair.js';
import {
  type BorrowerMessage,
  isFromBorrower,
  type LenderMessage,
  type LoanPort,
  type Terms,
} from './loan-messages.js';
import type { NamespaceFormat } from './namespace-format.js';
import { inRange } from './options.js';
import { Procedure, type Steps } from './procedure.js';
import { freeId, mostEntries } from './queue-making.js';
import { abort } from './recovery.js';

/**
 * Queue pairs for another thread. The thread polls rings in its own memory and rings its own
 * doorbells; whatever needs the admin queue is asked for over a port and done here.
 *
 * What always holds: the controller reaches lent memory only while a pair `isKnown`, and `end`
 * resolves when none is. It ends by itself when the port closes or the worker behind it exits,
 * whatever was in flight then; other threads' pairs go on.
 */
export class QueueLender {
  private readonly core: Core;
  private readonly port: LoanPort;
  private readonly memory: DmaRegion;
  private readonly format: (nsid: number) => Promise<NamespaceFormat>;
  private readonly ended: () => void;
  private readonly loans = new Map<number, Loan>();
  private isOver = false;
  private ending: Promise<void> | null = null;
  private readonly onMessage = (value: unknown): void => {
    if (isFromBorrower(value)) this.hear(value);
  };
  private readonly onGone = (): void => {
    // Whoever waits for the end hears of a failure; the next call tries again.
    this.end().catch(() => {});
  };

  constructor(parts: LenderParts) {
    this.core = parts.core;
    this.port = parts.port;
    this.memory = parts.memory;
    this.format = parts.format;
    this.ended = parts.ended;
    this.port.on('message', this.onMessage);
    for (const event of goneEvents) this.port.on(event, this.onGone);
  }

  /** Queue pairs lent now. */
  get count(): number {
    return this.loans.size;
  }

  /**
   * Take all queue pairs back. Commands in flight end in the borrower's thread: as the controller
   * says, or as unknown. Resolves when the controller uses nothing of the lent memory any more.
   * Idempotent.
   *
   * @throws UltimaError CONTROLLER_TIMEOUT when the controller neither deletes the queues nor lets
   *   itself be reset; the memory must stay as it is then
   */
  end(): Promise<void> {
    this.isOver = true;
    this.ending ??= this.endAll().catch((error: unknown) => {
      this.ending = null;
      throw error;
    });
    return this.ending;
  }

  private async endAll(): Promise<void> {
    const loans = [...this.loans.entries()];
    const results = await Promise.allSettled(loans.map(([id, loan]) => this.remove(id, loan)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    this.port.off('message', this.onMessage);
    for (const event of goneEvents) this.port.off(event, this.onGone);
    this.ended();
  }

  private hear(message: BorrowerMessage): void {
    const { ultimaLoan: id, kind, values } = message;
    if (kind === 'ask') {
      this.ask(message).catch((error: unknown) => this.refuse(id, error));
      return;
    }
    const loan = this.loans.get(id);
    if (loan === undefined) {
      // It was taken back while the borrower asked.
      if (kind === 'close') this.say({ ultimaLoan: id, kind: 'closed' });
      return;
    }
    if (kind === 'rings') this.rings(id, loan, values);
    else if (kind === 'close') {
      this.remove(id, loan).then(
        () => this.say({ ultimaLoan: id, kind: 'closed' }),
        (error: unknown) => this.refuse(id, error),
      );
    } else this.help(loan.pair, message);
  }

  private async ask({ ultimaLoan: id, values }: BorrowerMessage): Promise<void> {
    const { core } = this;
    if (core.shadow !== null) throw noShadow(core);
    core.demandReady();
    const format = await this.format(values.nsid ?? 0);
    if (this.isOver || this.loans.has(id)) return;
    const most = mostEntries(core);
    const asked = values.entries ?? 0;
    const entries = asked === 0 ? Math.min(core.settings.queueEntries, most) : asked;
    inRange('entries', entries, [2, most]);
    const queueId = freeId(core);
    const nudge = (): void => this.say({ ultimaLoan: id, kind: 'look' });
    const pair = new LentPair({ core, memory: this.memory, id: queueId, entries, nudge });
    core.lent.add(pair);
    this.loans.set(id, { pair, work: Promise.resolve() });
    this.say({ ultimaLoan: id, kind: 'terms', terms: this.terms(pair, format) });
  }

  private terms(pair: LentPair, format: NamespaceFormat): Terms {
    const { capabilities, pageBytes, settings } = this.core;
    const limits = this.core.limitsNow();
    const { sgl, commandTimeoutNs, abortTimeoutNs } = settings;
    return {
      queueId: pair.id,
      entries: pair.entries,
      pageBytes,
      doorbellStride: capabilities.doorbellStride,
      listPages: listPagesFor(limits.maxTransferBytes, pageBytes),
      format,
      limits,
      settings: { sgl, commandTimeoutNs, abortTimeoutNs },
    };
  }

  private rings(id: number, loan: Loan, values: BorrowerMessage['values']): void {
    const { epoch = 0, submission = 0, completion = 0, control = 0 } = values;
    const rings = { epoch, submission, completion, control };
    const { pair } = loan;
    this.inTurn(loan, () => pair.announce(rings)).catch((error: unknown) => {
      this.remove(id, loan).catch(() => {});
      this.refuse(id, error);
    });
  }

  /** Make the controller forget a pair, then forget it here. */
  private async remove(id: number, loan: Loan): Promise<void> {
    const { pair } = loan;
    pair.isOver = true;
    await this.inTurn(loan, () => pair.remove());
    pair.finish();
    this.core.lent.delete(pair);
    this.loans.delete(id);
  }

  /** What a borrower cannot do by itself when its queue does not move. */
  private help(pair: LentPair, { kind, values }: BorrowerMessage): void {
    const { core } = this;
    const { commandId = 0, waitedNs = 0, isSecond = 0 } = values;
    if (kind === 'look') core.tick(core.clock.nowNs());
    else if (kind === 'abort') this.abort(pair, commandId);
    else if (kind === 'misbehaved') core.misbehaved(badCompletion(pair.id, values));
    else if (kind === 'stuck') {
      core.emit({ kind: 'command stuck', queueId: pair.id, commandId, waitedNs });
      if (isSecond === 0 && !core.quirks.names.has('no abort')) this.abort(pair, commandId);
      else core.recover('a command of a lent queue pair was not completed in its time');
    }
  }

  /** The borrower sees whether the command ends; if it does not, it asks once more. */
  private abort(pair: LentPair, commandId: number): void {
    const isCommandId = commandId >= 0 && commandId <= mostCommandId;
    if (!isCommandId || !pair.isKnown) return;
    this.run(abort(this.core, pair.id, commandId)).catch(() => {});
  }

  /** One change of a loan at a time. */
  private inTurn(loan: Loan, steps: () => Steps<void>): Promise<void> {
    const work = loan.work.then(() => this.run(steps()));
    loan.work = work.catch(() => {});
    return work;
  }

  private run<T>(steps: Steps<T>): Promise<T> {
    return new Procedure(steps).run((untilNs) => this.core.sleep(untilNs));
  }

  private refuse(id: number, error: unknown): void {
    const code = error instanceof UltimaError ? error.code : ErrorCode.usage;
    this.say({ ultimaLoan: id, kind: 'refused', code, text: messageOf(error) });
  }

  private say(message: LenderMessage): void {
    this.port.postMessage(message);
  }
}

interface Loan {
  readonly pair: LentPair;
  /** Settles when the last change that was asked for is over; never rejects. */
  work: Promise<void>;
}

/** A `MessagePort` closes with the thread at its other end, a `Worker` exits. */
const goneEvents = ['close', 'exit'] as const;

const mostCommandId = 0xffff;

/** What may be wrong with a completion, in the order in which messages number it. */
export const badCompletionKinds = [
  'queue identifier',
  'command identifier',
  'queue head',
] as const satisfies readonly BadCompletion['what'][];

function badCompletion(queueId: number, values: BorrowerMessage['values']): BadCompletion {
  const { what = 0, value = 0, dw0 = 0, dw1 = 0, dw2 = 0, dw3 = 0 } = values;
  const kind = badCompletionKinds[what] ?? 'command identifier';
  return { queueId, what: kind, value, words: [dw0, dw1, dw2, dw3] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function noShadow(core: Core): UltimaError {
  const { address } = core.fn;
  return new UltimaError(
    ErrorCode.deviceUnsupported,
    `${address} was opened with shadow doorbells, whose memory belongs to one thread; open it ` +
      'without them to lend queue pairs',
    { address },
  );
}

export interface LenderParts {
  readonly core: Core;
  readonly port: LoanPort;
  readonly memory: DmaRegion;
  readonly format: (nsid: number) => Promise<NamespaceFormat>;
  readonly ended: () => void;
}
