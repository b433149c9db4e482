import type { Command } from '../command.js';
import type { AdminContext } from './context.js';

/** A log page: how it is made, and what reading it does. */
export interface LogSource {
  /** The whole page, or the status of a command that asks wrongly. */
  readonly build: (context: AdminContext, command: Command) => Uint8Array | number;
  /** It was read without Retain Asynchronous Event. */
  readonly wasRead?: (context: AdminContext) => void;
  /** Offset and length are multiples of this; a dword when left out. */
  readonly unitBytes?: number;
  /** Cannot be read while sanitize keeps the media. */
  readonly isHeldBySanitize?: boolean;
  readonly isThere?: (context: AdminContext) => boolean;
}
