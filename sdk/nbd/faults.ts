import { BlockStatus } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { NbdError } from '../spec/nbd/transmission.js';

/** Why a request fails: the number that the protocol has for it, and what a person can read. */
export interface NbdFault {
  readonly error: number;
  readonly text: Uint8Array;
}

const encoder = new TextEncoder();

function fault(error: number, text: string): NbdFault {
  return { error, text: encoder.encode(text) };
}

export const faults = {
  command: fault(NbdError.invalid, 'no such command here'),
  flags: fault(NbdError.invalid, 'a flag that the command does not take'),
  readOnly: fault(NbdError.permission, 'the export is read-only'),
  empty: fault(NbdError.invalid, 'a length of 0'),
  alignment: fault(NbdError.invalid, 'offset or length is not a multiple of the block size'),
  beyond: fault(NbdError.invalid, 'beyond the end of the export'),
  writeBeyond: fault(NbdError.noSpace, 'beyond the end of the export'),
  length: fault(NbdError.invalid, 'more than the maximum block size'),
  cutShort: fault(NbdError.invalid, 'the data of the write never came'),
  flushRange: fault(NbdError.invalid, 'a flush has offset 0 and length 0'),
  noContext: fault(NbdError.invalid, 'no metadata context was negotiated'),
  contextChoice: fault(NbdError.invalid, 'contexts that were not negotiated, or one twice'),
  resizeRange: fault(NbdError.invalid, 'a resize has length 0, and the new size as its offset'),
  shrink: fault(NbdError.invalid, 'an export cannot become smaller'),
  slowZero: fault(NbdError.notSupported, 'zeroing would be no faster than writing'),
  memory: fault(NbdError.noMemory, 'no memory that the device can reach'),
} as const;

/** By the status of the device; nothing stands at 0, which is success. */
const deviceFaults: readonly (NbdFault | null)[] = byStatus();

/** What the status of a device is to a client; null for success. */
export function faultOf(status: BlockStatus): NbdFault | null {
  return deviceFaults[status]!;
}

/** What a text may have; more is cut off [NBD §Conventions]. */
const longestReason = 256;
const errorNumbers = new Map<string, number>([
  [ErrorCode.poolFull, NbdError.noSpace],
  [ErrorCode.poolReadOnly, NbdError.permission],
]);

/** What is told of a value that cannot be, or of the world; what is ours to mend goes on. */
export function faultOfError(error: unknown): NbdFault {
  if (error instanceof RangeError) {
    return fault(NbdError.invalid, error.message.slice(0, longestReason));
  }
  if (!(error instanceof UltimaError)) throw error;
  const number = errorNumbers.get(error.code) ?? NbdError.io;
  return fault(number, error.message.slice(0, longestReason));
}

function byStatus(): (NbdFault | null)[] {
  const list: (NbdFault | null)[] = [null];
  list[BlockStatus.mediaError] = fault(NbdError.io, 'the device could not read or write there');
  list[BlockStatus.integrityError] = fault(NbdError.io, 'stored data failed its check');
  list[BlockStatus.invalidRequest] = fault(NbdError.invalid, 'the device refuses the range');
  list[BlockStatus.accessDenied] = fault(NbdError.permission, 'the device is write-protected');
  list[BlockStatus.outOfSpace] = fault(NbdError.noSpace, 'no space left');
  list[BlockStatus.deviceError] = fault(NbdError.io, 'the device reported an error');
  list[BlockStatus.notExecuted] = fault(NbdError.io, 'the device is gone; nothing has changed');
  list[BlockStatus.unknown] = fault(NbdError.io, 'the device was lost on the way');
  return list;
}
