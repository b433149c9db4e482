import { AsyncEventResult } from '../../../sdk/spec/nvme/completion.js';
import type { Command } from '../command.js';

/** Asynchronous event types [NVMe-2.0 §5.2.1]. */
export const EventType = { error: 0, health: 1, notice: 2, commandSpecific: 6, vendor: 7 } as const;

export const HealthEvent = { reliability: 0, temperature: 1, spare: 2 } as const;

export const Notice = {
  namespaceChanged: 0x00,
  firmwareActivation: 0x01,
  telemetryChanged: 0x02,
  anaChanged: 0x03,
  shutdown: 0x05,
} as const;

export const SpecificEvent = {
  reservation: 0x00,
  sanitizeCompleted: 0x01,
  sanitizeUnexpected: 0x02,
} as const;

export const ErrorEvent = {
  diagnosticFailure: 2,
  persistentInternal: 3,
  transientInternal: 4,
  firmwareLoad: 5,
} as const;

interface Pending {
  readonly type: number;
  readonly information: number;
  readonly logPage: number;
}

/**
 * Asynchronous events of one controller [NVMe-2.0 §5.2]. Requests wait for events, events wait for
 * requests. After a report the type is masked until its log page is read; what happens meanwhile is
 * kept, once each, so that the queue has as many entries as there are kinds of events at most.
 */
export class EventQueue {
  private readonly requests: Command[] = [];
  private readonly pending: Pending[] = [];
  /** Types that were reported, with the log page that clears each. */
  private readonly masked = new Map<number, number>();
  private readonly answer: (command: Command, dw0: number) => void;
  private readonly word = new Uint32Array(1);

  constructor(answer: (command: Command, dw0: number) => void) {
    this.answer = answer;
  }

  get requestCount(): number {
    return this.requests.length;
  }

  request(command: Command): void {
    this.requests.push(command);
    this.match();
  }

  /** An Abort took the request back. */
  withdraw(command: Command): void {
    const at = this.requests.indexOf(command);
    if (at >= 0) this.requests.splice(at, 1);
  }

  post(type: number, information: number, logPage: number): void {
    const isKnown = this.pending.some(
      (event) =>
        event.type === type && event.information === information && event.logPage === logPage,
    );
    if (!isKnown) this.pending.push({ type, information, logPage });
    this.match();
  }

  /** The log page was read without Retain Asynchronous Event. */
  clear(logPage: number): void {
    for (const [type, page] of this.masked) if (page === logPage) this.masked.delete(type);
    this.match();
  }

  /** What a log page would have explained is out of date: forget events and masks about it. */
  retract(logPage: number): void {
    const kept = this.pending.filter((event) => event.logPage !== logPage);
    this.pending.length = 0;
    this.pending.push(...kept);
    this.clear(logPage);
  }

  /** A reset: requests, events and masks are gone. */
  forget(): void {
    this.requests.length = 0;
    this.pending.length = 0;
    this.masked.clear();
  }

  private match(): void {
    while (this.requests.length > 0) {
      const at = this.pending.findIndex((event) => !this.masked.has(event.type));
      if (at < 0) return;
      const [event] = this.pending.splice(at, 1);
      const command = this.requests.shift();
      if (event === undefined || command === undefined) return;
      this.masked.set(event.type, event.logPage);
      this.answer(command, this.resultOf(event));
    }
  }

  private resultOf(event: Pending): number {
    this.word[0] = 0;
    AsyncEventResult.type.set(this.word, 0, event.type);
    AsyncEventResult.info.set(this.word, 0, event.information);
    AsyncEventResult.logPage.set(this.word, 0, event.logPage);
    return this.word[0]!;
  }
}
