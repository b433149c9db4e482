import { BlockStatus } from '../block/request.js';
import { Status } from '../spec/nvme/status.js';

const meanings: readonly (readonly [BlockStatus, readonly number[]])[] = [
  [BlockStatus.mediaError, [Status.writeFault, Status.unrecoveredReadError]],
  [
    BlockStatus.integrityError,
    [Status.guardCheckError, Status.applicationTagCheckError, Status.referenceTagCheckError],
  ],
  [BlockStatus.invalidRequest, [Status.invalidField, Status.lbaOutOfRange, Status.invalidOpcode]],
  [
    BlockStatus.accessDenied,
    [Status.accessDenied, Status.namespaceWriteProtected, Status.reservationConflict],
  ],
  [BlockStatus.outOfSpace, [Status.capacityExceeded]],
  // What the controller did not begin.
  [
    BlockStatus.notExecuted,
    [
      Status.namespaceNotReady,
      Status.asymmetricAccessInaccessible,
      Status.asymmetricAccessPersistentLoss,
      Status.asymmetricAccessTransition,
      Status.invalidNamespaceOrFormat,
      Status.abortedSqDeletion,
    ],
  ],
  [
    BlockStatus.unknown,
    [Status.internalPathError, Status.hostPathingError, Status.transientTransportError],
  ],
];

const known = new Map(meanings.flatMap(([means, kinds]) => kinds.map((kind) => [kind, means])));

/** What a controller's status means for the layers above: an error of the device unless named. */
export function blockStatusOf(kind: number): BlockStatus {
  return kind === 0 ? BlockStatus.ok : (known.get(kind) ?? BlockStatus.deviceError);
}
