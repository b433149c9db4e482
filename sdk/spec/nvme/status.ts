import { StatusField } from './completion.js';

/**
 * Status of a completion as one number: SC | SCT << 8 (plus the flags below); 0 is success.
 * Generic, command specific, media and data integrity, and path related
 * [NVMe-2.0 §3.3.3.2.1 STATUS], [NVM-1.0 §3.1].
 */
export const GenericStatus = {
  success: 0x000,
  invalidOpcode: 0x001,
  invalidField: 0x002,
  commandIdConflict: 0x003,
  dataTransferError: 0x004,
  abortedPowerLoss: 0x005,
  internalError: 0x006,
  abortRequested: 0x007,
  abortedSqDeletion: 0x008,
  abortedFailedFused: 0x009,
  abortedMissingFused: 0x00a,
  invalidNamespaceOrFormat: 0x00b,
  commandSequenceError: 0x00c,
  invalidSglSegmentDescriptor: 0x00d,
  invalidSglDescriptorCount: 0x00e,
  dataSglLengthInvalid: 0x00f,
  metadataSglLengthInvalid: 0x010,
  sglDescriptorTypeInvalid: 0x011,
  invalidUseOfCmb: 0x012,
  prpOffsetInvalid: 0x013,
  atomicWriteUnitExceeded: 0x014,
  operationDenied: 0x015,
  sglOffsetInvalid: 0x016,
  hostIdentifierInconsistentFormat: 0x018,
  keepAliveTimerExpired: 0x019,
  keepAliveTimeoutInvalid: 0x01a,
  abortedPreemptAndAbort: 0x01b,
  sanitizeFailed: 0x01c,
  sanitizeInProgress: 0x01d,
  sglDataBlockGranularityInvalid: 0x01e,
  notSupportedForQueueInCmb: 0x01f,
  namespaceWriteProtected: 0x020,
  commandInterrupted: 0x021,
  transientTransportError: 0x022,
  prohibitedByLockdown: 0x023,
  adminCommandMediaNotReady: 0x024,
  lbaOutOfRange: 0x080,
  capacityExceeded: 0x081,
  namespaceNotReady: 0x082,
  reservationConflict: 0x083,
  formatInProgress: 0x084,
  invalidValueSize: 0x085,
  invalidKeySize: 0x086,
  keyDoesNotExist: 0x087,
  unrecoveredError: 0x088,
  keyExists: 0x089,
} as const;

export const CommandSpecificStatus = {
  completionQueueInvalid: 0x100,
  invalidQueueIdentifier: 0x101,
  invalidQueueSize: 0x102,
  abortLimitExceeded: 0x103,
  asynchronousEventLimitExceeded: 0x105,
  invalidFirmwareSlot: 0x106,
  invalidFirmwareImage: 0x107,
  invalidInterruptVector: 0x108,
  invalidLogPage: 0x109,
  invalidFormat: 0x10a,
  firmwareNeedsConventionalReset: 0x10b,
  invalidQueueDeletion: 0x10c,
  featureNotSaveable: 0x10d,
  featureNotChangeable: 0x10e,
  featureNotNamespaceSpecific: 0x10f,
  firmwareNeedsSubsystemReset: 0x110,
  firmwareNeedsControllerReset: 0x111,
  firmwareNeedsMaximumTime: 0x112,
  firmwareActivationProhibited: 0x113,
  overlappingRange: 0x114,
  namespaceInsufficientCapacity: 0x115,
  namespaceIdentifierUnavailable: 0x116,
  namespaceAlreadyAttached: 0x118,
  namespaceIsPrivate: 0x119,
  namespaceNotAttached: 0x11a,
  thinProvisioningNotSupported: 0x11b,
  controllerListInvalid: 0x11c,
  selfTestInProgress: 0x11d,
  bootPartitionWriteProhibited: 0x11e,
  invalidControllerIdentifier: 0x11f,
  invalidSecondaryControllerState: 0x120,
  invalidControllerResourceCount: 0x121,
  invalidResourceIdentifier: 0x122,
  sanitizeProhibitedWhilePmrEnabled: 0x123,
  anaGroupIdentifierInvalid: 0x124,
  anaAttachFailed: 0x125,
  insufficientCapacity: 0x126,
  namespaceAttachmentLimitExceeded: 0x127,
  prohibitionNotSupported: 0x128,
  commandSetNotSupported: 0x129,
  commandSetNotEnabled: 0x12a,
  commandSetCombinationRejected: 0x12b,
  invalidCommandSet: 0x12c,
  identifierUnavailable: 0x12d,
  streamResourceAllocationFailed: 0x17f,
  conflictingAttributes: 0x180,
  invalidProtectionInformation: 0x181,
  writeToReadOnlyRange: 0x182,
  commandSizeLimitExceeded: 0x183,
} as const;

export const MediaStatus = {
  writeFault: 0x280,
  unrecoveredReadError: 0x281,
  guardCheckError: 0x282,
  applicationTagCheckError: 0x283,
  referenceTagCheckError: 0x284,
  compareFailure: 0x285,
  accessDenied: 0x286,
  deallocatedOrUnwrittenBlock: 0x287,
  storageTagCheckError: 0x288,
} as const;

export const PathStatus = {
  internalPathError: 0x300,
  asymmetricAccessPersistentLoss: 0x301,
  asymmetricAccessInaccessible: 0x302,
  asymmetricAccessTransition: 0x303,
  controllerPathingError: 0x360,
  hostPathingError: 0x370,
  abortedByHost: 0x371,
} as const;

export const Status = {
  ...GenericStatus,
  ...CommandSpecificStatus,
  ...MediaStatus,
  ...PathStatus,
} as const;

export type Status = (typeof Status)[keyof typeof Status];

/** Flags of a status number, to be or-ed in by `withFlags`. */
export const StatusFlag = { more: 1 << 13, doNotRetry: 1 << 14 } as const;

/** The status with Do Not Retry set: the same command will fail again. */
export function doNotRetry(status: number): number {
  return status | StatusFlag.doNotRetry;
}

/** The status with More set: the error log has an entry about it. */
export function withMore(status: number): number {
  return status | StatusFlag.more;
}

/** Status code and type without CRD, M and DNR: comparable with `Status`. */
export function statusKind(status: number): number {
  return status & 0x7ff;
}

export function isRetryable(status: number): boolean {
  return (status & StatusFlag.doNotRetry) === 0;
}

const statusNames = new Map<number, string>(
  Object.entries(Status).map(([name, value]) => [value, words(name)]),
);

/** Words for a status: 'invalid field (SCT 0, SC 0x02, DNR)'. */
export function statusText(status: number): string {
  const sct = StatusField.sct.of(status);
  const sc = StatusField.sc.of(status);
  const crd = StatusField.crd.of(status);
  const name = statusNames.get(statusKind(status)) ?? fallback(sct, sc);
  const parts = [`SCT ${sct}`, `SC 0x${sc.toString(16).padStart(2, '0')}`];
  if (crd !== 0) parts.push(`CRD ${crd}`);
  if (StatusField.m.of(status) === 1) parts.push('more');
  if (StatusField.dnr.of(status) === 1) parts.push('DNR');
  return `${name} (${parts.join(', ')})`;
}

function fallback(sct: number, sc: number): string {
  return sct === 7 || sc >= 0xc0 ? 'vendor status' : 'unknown status';
}

function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
