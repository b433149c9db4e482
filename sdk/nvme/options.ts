import { hostIdBytes } from '../spec/nvme/features.js';
import { msNs, secondNs } from '../units.js';
import type { EventListener } from './events.js';
import type { QuirkName } from './quirks.js';

/** How completions are found. Hybrid spins for a learnt time, then sleeps on the interrupt. */
export type CompletionMode = 'polling' | 'interrupt' | 'hybrid';

export type Arbitration = 'round robin' | 'weighted round robin';

/** When data is described by SGLs: never, when PRPs cannot express it, or always. */
export type SglUse = 'never' | 'when needed' | 'always';

export interface ControllerOptions {
  /** Entries of the admin queues, 2..4096; 64 when left out. */
  readonly adminEntries?: number;
  /** Entries of an I/O queue pair when `createQueuePair` does not say; at most what CAP allows. */
  readonly queueEntries?: number;
  /** I/O queue pairs asked for with the Number of Queues feature, 1..65535. */
  readonly queuePairs?: number;
  readonly completionMode?: CompletionMode;
  readonly arbitration?: Arbitration;
  readonly sgl?: SglUse;
  /** Shadow doorbells when the controller offers them (Doorbell Buffer Config). */
  readonly shadowDoorbells?: boolean;
  /** Largest data transfer of one command, a limit below MDTS; 2 MiB when left out. */
  readonly maxTransferBytes?: number;
  /** An I/O command that takes longer is stuck: the recovery ladder starts. */
  readonly commandTimeoutNs?: number;
  readonly adminTimeoutNs?: number;
  /** Time that an Abort gets before the controller is reset. */
  readonly abortTimeoutNs?: number;
  /** Asynchronous event requests kept armed, at most what AERL allows; 4 when left out. */
  readonly eventRequests?: number;
  /**
   * 16 bytes that name this host, set whenever the controller comes up: by them reservations tell
   * hosts apart, so each process that writes by itself needs its own. None when left out: another
   * host after each reset.
   */
  readonly hostIdentifier?: Uint8Array | null;
  /** Forced quirks, in addition to those of the table. */
  readonly quirks?: readonly QuirkName[];
  /**
   * Quirks, events, misbehaviour and recovery, as they are seen: while something polls a queue or
   * waits for a promise, or `controller.poll` is called now and then.
   */
  readonly onEvent?: EventListener;
}

export type Settings = Required<Omit<ControllerOptions, 'onEvent'>> & {
  readonly onEvent: EventListener | null;
};

/** Largest queue that leaves a command identifier room for a sequence tag of four bits. */
export const maxQueueEntries = 4096;

const defaults = {
  adminEntries: 64,
  queueEntries: 1024,
  queuePairs: 64,
  completionMode: 'polling',
  arbitration: 'round robin',
  sgl: 'when needed',
  shadowDoorbells: false,
  maxTransferBytes: 2 * 1024 * 1024,
  commandTimeoutNs: 30 * secondNs,
  adminTimeoutNs: 60 * secondNs,
  abortTimeoutNs: 5 * secondNs,
  eventRequests: 4,
  hostIdentifier: null,
  quirks: [],
} as const satisfies Omit<Settings, 'onEvent'>;

/** Fill in what was left out. @throws RangeError for a value outside its range */
export function settingsOf(options: ControllerOptions): Settings {
  const settings: Settings = { ...defaults, ...options, onEvent: options.onEvent ?? null };
  inRange('adminEntries', settings.adminEntries, [2, maxQueueEntries]);
  inRange('queueEntries', settings.queueEntries, [2, maxQueueEntries]);
  inRange('queuePairs', settings.queuePairs, [1, 65535]);
  inRange('maxTransferBytes', settings.maxTransferBytes, [512, 1024 * 1024 * 1024]);
  inRange('commandTimeoutNs', settings.commandTimeoutNs, [1000, Number.MAX_SAFE_INTEGER]);
  inRange('adminTimeoutNs', settings.adminTimeoutNs, [1000, Number.MAX_SAFE_INTEGER]);
  inRange('abortTimeoutNs', settings.abortTimeoutNs, [1000, Number.MAX_SAFE_INTEGER]);
  inRange('eventRequests', settings.eventRequests, [0, 16]);
  const { hostIdentifier } = settings;
  if (hostIdentifier !== null) checkHostIdentifier(hostIdentifier);
  return settings;
}

function checkHostIdentifier(bytes: Uint8Array): void {
  if (bytes.length === hostIdBytes.extended && bytes.some((byte) => byte !== 0)) return;
  throw new RangeError(`a host identifier of ${bytes.length} bytes; 16, not all of them zero`);
}

export function inRange(name: string, value: number, range: readonly [number, number]): void {
  if (Number.isSafeInteger(value) && value >= range[0] && value <= range[1]) return;
  throw new RangeError(`${name} is ${value}; it must be an integer ${range[0]}..${range[1]}`);
}

/** Between two looks at a register that the controller changes. */
export const registerPollNs = 10_000;

/** How often a polled queue looks at time-outs and at the controller's status. */
export const checkIntervalNs = 20 * msNs;
