import type { PowerStateFacts } from './admin/power-states.js';
import { ErrorLog, type ErrorReport } from './error-log.js';
import type { Namespace } from './namespace.js';
import { Streams } from './streams.js';

/** What a controller hears from its subsystem. Implemented by the admin command set. */
export interface ControllerListener {
  /** A namespace that this controller sees, or saw until now, has changed. */
  namespaceChanged(nsid: number): void;
  /** Report an asynchronous event, subject to its masks. */
  postEvent(type: number, information: number, logPage: number): void;
  /** Temperature or another reason for a critical warning has changed. */
  healthChanged(): void;
  anaChanged(): void;
  /** The media keep another part of the reservations. */
  qosChanged(): void;
  reservationNotice(nsid: number, notice: number): void;
  /** All media are being erased: what is not allowed meanwhile ends. */
  sanitizeStarted(): void;
  /** The operation that this controller started has ended. */
  sanitizeEnded(isUnexpected: boolean): void;
  powerLost(): void;
  powerRestored(): void;
}

/**
 * What a subsystem knows of one of its controllers, and what lasts over resets of that controller.
 */
export class ControllerRecord {
  readonly id: number;
  readonly errors: ErrorLog;
  /** The Streams directive of this controller. */
  readonly streams = new Streams();
  /** Host identifier in hexadecimal, '' while it is zero. */
  hostId = '';
  /** CC.EN was 1 since power came. */
  wasEnabled = false;
  /** Virtual time from which on a power cut is safe: a shutdown has been completed. */
  safeFromNs = Number.POSITIVE_INFINITY;
  /** The power state that the controller is in: set by the admin command set. */
  powerState: (() => PowerStateFacts | null) | null = null;
  listener: ControllerListener | null = null;
  /** End the I/O commands to a namespace with a status: set by the I/O command set. */
  abortIo: ((namespace: Namespace, status: number) => void) | null = null;

  constructor(id: number, errorEntries: number) {
    this.id = id;
    this.errors = new ErrorLog(errorEntries);
  }

  /** The host as reservations know it: without identifier each controller has a host of its own. */
  get hostName(): string {
    return this.hostId === '' ? `host of controller ${this.id}` : this.hostId;
  }

  logError(report: ErrorReport): void {
    this.errors.add(report);
  }
}
