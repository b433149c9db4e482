import type { Limits } from './core.js';
import type { NamespaceFormat } from './namespace-format.js';
import type { Settings } from './options.js';

/**
 * What the thread that owns a controller and a thread that borrows a queue pair say to each other.
 *
 * ```
 *  borrower                                        lender
 *    ask {nsid, entries}                    →
 *                                           ←      terms, or refused
 *    rings {epoch, submission, …, control}  →      (admin commands create the queues)
 *                                           ←      look                  opened = epoch: I/O
 *    …
 *                                           ←      look                  epoch moved on: a reset
 *    rings {epoch}                          →                            made the controller forget
 *    …
 *    close                                  →      (admin commands delete the queues)
 *                                           ←      closed
 * ```
 *
 * The state itself lies in words of the lent memory, so that a thread that polls and never gives
 * its event loop a turn sees it too; `look` only says that they have changed.
 */
export const ControlWord = {
  /** Counts the times that the controller forgot the queues. */
  epoch: 0,
  /** The epoch in which the controller knows the queues. */
  opened: 1,
  /** 1 when the queues never come back. */
  isOver: 2,
} as const;

export const controlBytes = 64;

/** One end of a `MessageChannel`, `parentPort`, or a `Worker`. */
export interface LoanPort {
  postMessage(message: unknown): void;
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
}

const borrowerKinds = ['ask', 'rings', 'stuck', 'abort', 'misbehaved', 'look', 'close'] as const;

export type BorrowerKind = (typeof borrowerKinds)[number];

export interface BorrowerMessage {
  /** Which loan of the port; chosen by the borrower. */
  readonly ultimaLoan: number;
  readonly kind: BorrowerKind;
  /** Integers, each checked where it is used. */
  readonly values: Readonly<Record<string, number>>;
}

/** What a borrower needs to know about the controller to build rings. */
export interface Terms {
  readonly queueId: number;
  readonly entries: number;
  readonly pageBytes: number;
  readonly doorbellStride: number;
  readonly listPages: number;
  readonly format: NamespaceFormat;
  readonly limits: Limits;
  readonly settings: Pick<Settings, 'sgl' | 'commandTimeoutNs' | 'abortTimeoutNs'>;
}

export type LenderMessage = { readonly ultimaLoan: number } & (
  | { readonly kind: 'terms'; readonly terms: Terms }
  | { readonly kind: 'refused'; readonly code: string; readonly text: string }
  | { readonly kind: 'look' }
  | { readonly kind: 'closed' }
);

const lenderKinds = ['terms', 'refused', 'look', 'closed'] as const;

/** Other traffic of the port is none of ours. */
export function isFromBorrower(value: unknown): value is BorrowerMessage {
  if (!isEnvelope(value, borrowerKinds) || !('values' in value)) return false;
  const { values } = value;
  if (typeof values !== 'object' || values === null) return false;
  return Object.values(values).every((number) => Number.isSafeInteger(number));
}

export function isFromLender(value: unknown): value is LenderMessage {
  if (!isEnvelope(value, lenderKinds)) return false;
  if (value.kind === 'terms') return 'terms' in value && typeof value.terms === 'object';
  return value.kind !== 'refused' || ('code' in value && 'text' in value);
}

function isEnvelope(value: unknown, kinds: readonly string[]): value is { kind: string } {
  if (typeof value !== 'object' || value === null) return false;
  if (!('ultimaLoan' in value) || !('kind' in value)) return false;
  const { ultimaLoan, kind } = value;
  return Number.isSafeInteger(ultimaLoan) && typeof kind === 'string' && kinds.includes(kind);
}
