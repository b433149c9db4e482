import { Sanitize, SanitizeAction } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Feature, SanitizeFeature } from '../../../sdk/spec/nvme/features.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import { SanitizeMethod } from '../sanitizer.js';
import type { AdminContext } from './context.js';
import { adviceAtReset } from './firmware.js';

/** OWPASS 0 stands for this many passes. */
const mostPasses = 16;

/** [NVMe-2.0 §5.24 Sanitize]: ends at once, the operation goes on in the background. */
export function sanitize(context: AdminContext, command: Command): number {
  const { words } = command;
  const { subsystem } = context;
  const { sanitizer } = subsystem;
  const action = Sanitize.sanact.get(words, 0);
  const isExit = action === SanitizeAction['exit failure mode'];
  const isMethod = action >= SanitizeMethod.block && action <= SanitizeMethod.crypto;
  if (!isExit && !isMethod) return context.refuse(Status.invalidField, Sanitize.sanact);
  if (sanitizer.isRunning) return Status.sanitizeInProgress;
  if (isExit) {
    const isAllowed = sanitizer.exitFailure();
    subsystem.refreshMediaStatus();
    return isAllowed ? 0 : Status.sanitizeFailed;
  }
  const status = checkStart(context, words);
  if (status !== 0) return status;
  const passes = Sanitize.owpass.get(words, 0);
  const isOverwrite = action === SanitizeMethod.overwrite;
  sanitizer.start({
    controllerId: context.controllerId,
    method: action,
    isUnrestricted: Sanitize.ause.get(words, 0) === 1,
    passes: isOverwrite ? passes || mostPasses : 1,
    wantsNoDeallocate: Sanitize.ndas.get(words, 0) === 1,
    cdw10: Sqe.cdw10.get(words, 0),
  });
  return 0;
}

function checkStart(context: AdminContext, words: Uint32Array): number {
  const { subsystem } = context;
  const { sanitizer } = subsystem;
  const isUnrestricted = Sanitize.ause.get(words, 0) === 1;
  // After a failure in restricted mode only another restricted operation helps.
  const wasRestricted = sanitizer.hasFailed && sanitizer.request?.isUnrestricted === false;
  if (wasRestricted && isUnrestricted) return Status.sanitizeFailed;
  if (subsystem.namespaces.some((namespace) => namespace.isWriteProtected)) {
    return Status.namespaceWriteProtected;
  }
  const { firmware } = subsystem;
  if (firmware.next !== 0) {
    // The status of the commit that is waiting for its reset [NVMe-2.0 §5.24 Sanitize].
    return adviceAtReset(firmware.needsOf(firmware.next)) || Status.firmwareNeedsControllerReset;
  }
  const mode = context.features.current(`${Feature.sanitizeConfig}.0@0`) ?? 0;
  const isNoDeallocate = Sanitize.ndas.get(words, 0) === 1;
  // This card always deallocates: it refuses, or warns when the host prefers that.
  if (isNoDeallocate && SanitizeFeature.nodrm.of(mode) === 0) {
    return context.refuse(Status.invalidField, Sanitize.ndas);
  }
  return 0;
}
