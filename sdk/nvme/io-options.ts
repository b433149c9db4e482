import { BlockStatus, outcomeOf, type BlockStatus as Status } from '../block/request.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { statusText } from '../spec/nvme/status.js';
import type { DmaSlice } from './admin-queue.js';

/**
 * Data of a transfer. Device-visible memory is used in place, scattered or not; a plain Uint8Array
 * is copied through memory of the driver's.
 */
export type Data = DmaRegion | DmaSlice | readonly DmaSlice[] | Uint8Array;

/** End-to-end protection of one command [NVM-1.0 §5.2]. */
export interface Protection {
  /** PRACT: the controller inserts or strips the information itself. */
  readonly action?: boolean;
  readonly checkGuard?: boolean;
  readonly checkReference?: boolean;
  readonly checkApplication?: boolean;
  /** The low dword of the first block's address when left out. */
  readonly referenceTag?: number;
  readonly applicationTag?: number;
  readonly applicationMask?: number;
}

export interface IoOptions {
  /** Aborts the command. The promise settles when the controller is done with the memory. */
  readonly signal?: AbortSignal;
  /** Time of the device's clock after which the command is aborted. */
  readonly deadlineNs?: number;
}

export interface TransferOptions extends IoOptions {
  /** Durable when it completes (writes), read from the medium (reads). */
  readonly isFua?: boolean;
  readonly isLimitedRetry?: boolean;
  readonly protection?: Protection;
  /** Separate metadata buffer of the command. */
  readonly metadata?: DmaSlice;
  /** Stream identifier of the streams directive, for writes. */
  readonly stream?: number;
}

/** Plain memory is copied; everything else is used in place. */
export interface Staged {
  readonly slices: readonly DmaSlice[];
  /** Memory to be freed at the end, with where its content goes after a read. */
  readonly copy: { readonly region: DmaRegion; readonly bytes: Uint8Array } | null;
}

export function stage(data: Data, memory: DmaSpace, direction: 'read' | 'write'): Staged {
  if (data instanceof Uint8Array) {
    const region = memory.allocate(data.length);
    if (direction === 'write') region.bytes.set(data);
    const slice = { region, offset: 0, length: data.length };
    return { slices: [slice], copy: { region, bytes: data } };
  }
  if ('region' in data) return { slices: [data], copy: null };
  if ('iova' in data) {
    return { slices: [{ region: data, offset: 0, length: data.length }], copy: null };
  }
  return { slices: data, copy: null };
}

/** Give back what `stage` took. */
export function unstage(staged: Staged, memory: DmaSpace, isRead: boolean): void {
  if (staged.copy === null) return;
  const { region, bytes } = staged.copy;
  if (isRead) bytes.set(region.bytes.subarray(0, bytes.length));
  memory.free(region);
}

export type AbortCause = 'none' | 'signal' | 'deadline';
/** Why I/O did not come to its own end: somebody's wish, or the loss of the device. */
type EndCause = AbortCause | 'removal';

export function endCause(cause: AbortCause, isRemoved: boolean): EndCause {
  return cause === 'none' && isRemoved ? 'removal' : cause;
}

/** What a promise is rejected with. */
export function ioError(what: string, facts: IoFailure): UltimaError {
  const { status, detail, cause } = facts;
  const outcome = outcomeOf(status);
  const words = detail === 0 ? statusWords(status) : statusText(detail);
  let code: ErrorCode = ErrorCode.commandFailed;
  if (cause === 'deadline') code = ErrorCode.commandTimeout;
  else if (cause === 'removal' && outcome !== 'failed') code = ErrorCode.deviceRemoved;
  else if (cause === 'signal' || outcome !== 'failed') code = ErrorCode.commandAborted;
  const why = whys[cause];
  return new UltimaError(code, `${what}: ${words}${why}; outcome: ${outcome}`, {
    status: detail,
    outcome,
    blockStatus: status,
  });
}

const whys = {
  none: '',
  signal: ' after its signal',
  deadline: ' after its deadline',
  removal: ' because the device is gone',
} as const satisfies Record<EndCause, string>;

export interface IoFailure {
  readonly status: Status;
  readonly detail: number;
  readonly cause: EndCause;
}

function statusWords(status: Status): string {
  const found = Object.entries(BlockStatus).find(([, value]) => value === status);
  const name = found?.[0] ?? `status ${status}`;
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
