import { usageError } from './arguments.js';
import type { ExportClients } from './served-users.js';
import type { Terminal } from './terminal.js';

/** What goes on beside the serving of devices, until it ends. */
export interface Surroundings {
  readonly terminal: Terminal;
  /**
   * Called when clients are served.
   *
   * @returns what ends it again, before the serving does
   */
  readonly beside: (clients: ExportClients) => Promise<() => Promise<void>>;
  /** Give the devices back. */
  readonly close: () => Promise<void>;
}

/** Until somebody wants the server to end. @returns the signal */
export function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
}

/** Milliseconds of `--status`; null without it. */
export function secondsOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0.1 && seconds <= 86_400) return Math.round(seconds * 1000);
  throw usageError(`--status is ${text}; it must be seconds, 0.1 to 86400`);
}
