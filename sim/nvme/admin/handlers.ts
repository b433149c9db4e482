import { AdminOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import type { AdminContext, AdminHandler } from './context.js';
import { abort, keepAlive, requestEvent } from './control.js';
import { hasSecondaries } from './controller-page.js';
import { receiveDirective, sendDirective } from './directives.js';
import { getFeatures, setFeatures } from './features.js';
import { commitFirmware, downloadFirmware, finishActivation } from './firmware.js';
import { abandonFormats, cancelFormat, finishFormat, formatNvm } from './format.js';
import { identify } from './identify.js';
import { getLogPage } from './log-page.js';
import { attachNamespace, manageNamespace } from './namespace-management.js';
import * as queues from './queues.js';
import { sanitize } from './sanitize.js';
import { receiveSecurity, sendSecurity } from './security.js';
import { selfTest } from './self-test.js';
import { manageVirtualization } from './virtualization.js';

/** One admin command: its code and the rules that hold before it. */
export interface AdminEntry {
  readonly handler: AdminHandler;
  /** NSID means something; otherwise it is 0 [NVMe-2.0 §3.3.3.1 NSID]. */
  readonly usesNsid?: boolean;
  /** Runs while a sanitize operation does, or has failed [NVMe-2.0 §8.21.1]. */
  readonly isAllowedInSanitize?: boolean;
  /** Its opcode exists on this card. */
  readonly isThere?: (context: AdminContext) => boolean;
  /** The time that the handler asked for has passed. */
  readonly finish?: AdminHandler;
  /** The command is ended from outside. */
  readonly cancel?: AdminHandler;
  /** All commands are gone: a reset. */
  readonly abandon?: (context: AdminContext) => void;
}

function hasManagement({ profile }: AdminContext): boolean {
  return profile.subsystem.hasNamespaceManagement;
}

/** Commands that a sanitize operation does not stop. */
function always(handler: AdminHandler): AdminEntry {
  return { handler, isAllowedInSanitize: true };
}

/** Commands that a sanitize operation does not stop and that name a namespace. */
function alwaysNamed(handler: AdminHandler): AdminEntry {
  return { handler, isAllowedInSanitize: true, usesNsid: true };
}

function named(handler: AdminHandler): AdminEntry {
  return { handler, usesNsid: true };
}

/** Admin commands of this card by opcode. */
export const adminEntries: ReadonlyMap<number, AdminEntry> = new Map<number, AdminEntry>([
  [AdminOpcode.deleteSubmissionQueue, always(queues.deleteSubmissionQueue)],
  [AdminOpcode.createSubmissionQueue, always(queues.createSubmissionQueue)],
  [AdminOpcode.deleteCompletionQueue, always(queues.deleteCompletionQueue)],
  [AdminOpcode.createCompletionQueue, always(queues.createCompletionQueue)],
  [AdminOpcode.abort, always(abort)],
  [AdminOpcode.asynchronousEventRequest, always(requestEvent)],
  [AdminOpcode.keepAlive, always(keepAlive)],
  [AdminOpcode.sanitize, always(sanitize)],
  [AdminOpcode.identify, alwaysNamed(identify)],
  [AdminOpcode.setFeatures, alwaysNamed(setFeatures)],
  [AdminOpcode.getFeatures, alwaysNamed(getFeatures)],
  [AdminOpcode.getLogPage, alwaysNamed(getLogPage)],
  [AdminOpcode.namespaceManagement, { ...named(manageNamespace), isThere: hasManagement }],
  [AdminOpcode.namespaceAttachment, { ...named(attachNamespace), isThere: hasManagement }],
  [AdminOpcode.deviceSelfTest, named(selfTest)],
  [AdminOpcode.directiveSend, named(sendDirective)],
  [AdminOpcode.directiveReceive, named(receiveDirective)],
  [AdminOpcode.securitySend, named(sendSecurity)],
  [AdminOpcode.securityReceive, named(receiveSecurity)],
  [AdminOpcode.firmwareDownload, { handler: downloadFirmware }],
  [AdminOpcode.firmwareCommit, { handler: commitFirmware, finish: finishActivation }],
  [
    AdminOpcode.formatNvm,
    {
      ...named(formatNvm),
      finish: finishFormat,
      cancel: cancelFormat,
      abandon: abandonFormats,
    },
  ],
  [
    AdminOpcode.virtualizationManagement,
    { handler: manageVirtualization, isThere: hasSecondaries },
  ],
  [
    AdminOpcode.doorbellBufferConfig,
    {
      handler: queues.configureDoorbellBuffer,
      isThere: ({ profile }) => profile.controller.hasDoorbellBuffer,
    },
  ],
]);
