import { BlockStatus } from '../block/request.js';
import { Status, statusKind } from '../spec/nvme/status.js';
import { SlotEnd } from './submission-queue.js';

const ok = BlockStatus.ok;

/** By status kind (SC | SCT << 8), 11 bits; what is not named is a device error. */
const byKind = new Uint8Array(2048).fill(BlockStatus.deviceError);
byKind[Status.success] = ok;
for (const kind of [
  Status.writeFault,
  Status.unrecoveredReadError,
  Status.deallocatedOrUnwrittenBlock,
  Status.unrecoveredError,
]) {
  byKind[kind] = BlockStatus.mediaError;
}
for (const kind of [
  Status.guardCheckError,
  Status.applicationTagCheckError,
  Status.referenceTagCheckError,
  Status.storageTagCheckError,
]) {
  byKind[kind] = BlockStatus.integrityError;
}
for (const kind of [
  Status.invalidField,
  Status.invalidOpcode,
  Status.lbaOutOfRange,
  Status.invalidNamespaceOrFormat,
  Status.atomicWriteUnitExceeded,
  Status.commandSizeLimitExceeded,
  Status.invalidProtectionInformation,
]) {
  byKind[kind] = BlockStatus.invalidRequest;
}
for (const kind of [
  Status.accessDenied,
  Status.operationDenied,
  Status.namespaceWriteProtected,
  Status.reservationConflict,
  Status.writeToReadOnlyRange,
]) {
  byKind[kind] = BlockStatus.accessDenied;
}
byKind[Status.capacityExceeded] = BlockStatus.outOfSpace;
// Aborted by us or with its queue: the controller says that it did not complete, not how far it
// came, so a write may have happened in part.
for (const kind of [
  Status.abortRequested,
  Status.abortedSqDeletion,
  Status.abortedPowerLoss,
  Status.commandInterrupted,
]) {
  byKind[kind] = BlockStatus.unknown;
}
// Refused before anything happened.
for (const kind of [Status.abortedFailedFused, Status.abortedMissingFused]) {
  byKind[kind] = BlockStatus.notExecuted;
}

/** The word of waist 2 for how a command ended. */
export function blockStatusOf(end: SlotEnd, status: number): BlockStatus {
  if (end === SlotEnd.completed) return known(byKind[statusKind(status)]!);
  return end === SlotEnd.notExecuted ? BlockStatus.notExecuted : BlockStatus.unknown;
}

const values: readonly BlockStatus[] = Object.values(BlockStatus);

function known(value: number): BlockStatus {
  return values[value]!;
}

/**
 * How a request ended of which several commands were made. One unknown part makes all unknown; a
 * failure is a failure; and when some parts were carried out and others were not, the whole is
 * neither completed nor "nothing happened".
 */
export function combine(first: BlockStatus, second: BlockStatus): BlockStatus {
  if (first === second) return first;
  if (first === BlockStatus.unknown || second === BlockStatus.unknown) return BlockStatus.unknown;
  const isFirstFailed = first !== ok && first !== BlockStatus.notExecuted;
  if (isFirstFailed) return first;
  const isSecondFailed = second !== ok && second !== BlockStatus.notExecuted;
  return isSecondFailed ? second : BlockStatus.unknown;
}
