import { BlockStatus } from '../block/request.js';
import { Status } from '../spec/nvme/status.js';

/** What a controller's status means for the layers above. */
export function blockStatusOf(kind: number): BlockStatus {
  switch (kind) {
    case 0:
      return BlockStatus.ok;
    case Status.writeFault:
    case Status.unrecoveredReadError:
      return BlockStatus.mediaError;
    case Status.guardCheckError:
    case Status.applicationTagCheckError:
    case Status.referenceTagCheckError:
      return BlockStatus.integrityError;
    case Status.invalidField:
    case Status.lbaOutOfRange:
    case Status.invalidOpcode:
      return BlockStatus.invalidRequest;
    case Status.accessDenied:
    case Status.namespaceWriteProtected:
    case Status.reservationConflict:
      return BlockStatus.accessDenied;
    case Status.capacityExceeded:
      return BlockStatus.outOfSpace;
    // What the controller did not begin.
    case Status.namespaceNotReady:
    case Status.asymmetricAccessInaccessible:
    case Status.asymmetricAccessPersistentLoss:
    case Status.asymmetricAccessTransition:
    case Status.invalidNamespaceOrFormat:
    case Status.abortedSqDeletion:
      return BlockStatus.notExecuted;
    case Status.internalPathError:
    case Status.hostPathingError:
    case Status.transientTransportError:
      return BlockStatus.unknown;
    default:
      return BlockStatus.deviceError;
  }
}
