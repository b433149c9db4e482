import { BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { KiB } from '../units.js';
import type { MirrorGeometry } from './member-header.js';
import type { MirrorOp } from './mirror-op.js';

/** What every member must take at once, so that any of them can be added at any time. */
export const memberTransferBytes = 128 * KiB;
/** Members of a mirror, at most. */
export const mostMembers = 3;

/** What the data path tells the control path; neither may answer from inside. */
export interface MirrorEvents {
  /** A member did not do what it was asked: it must go. */
  failed(index: number, why: string): void;
  /** Members could not read it, and others gave it. */
  unreadable(lba: number, blockCount: number): void;
  /** No member could read it as a whole; ends with `gathered`. */
  scattered(op: MirrorOp): void;
  /** Somebody wants regions that are not reconciled yet. */
  urgent(region: number): void;
  /** At the end of each poll. */
  polled(nowNs: number): void;
}

export interface MirrorIoOptions {
  readonly geometry: MirrorGeometry;
  readonly memory: DmaSpace;
  readonly clock: Clock;
  readonly events: MirrorEvents;
  /** Of users, in flight or waiting. */
  readonly requestCount: number;
  /** A member that has not answered for so long has failed. */
  readonly ioTimeoutNs: number;
}

/** The member is not there, or has another writer. */
export function isLoss(status: BlockStatus): boolean {
  return (
    status === BlockStatus.unknown ||
    status === BlockStatus.notExecuted ||
    status === BlockStatus.accessDenied
  );
}

export function full(limit: number): UltimaError {
  return new UltimaError(
    ErrorCode.queueFull,
    `${limit} requests are in flight or wait, which is all; poll, and ask canSubmit first`,
    { limit },
  );
}
