import { AdminOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import type { AdminContext, AdminHandler } from './context.js';
import { abort, keepAlive, requestEvent } from './control.js';
import { getFeatures, setFeatures } from './features.js';
import { identify } from './identify.js';
import {
  configureDoorbellBuffer,
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
} from './queues.js';

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

/** Admin commands of this card by opcode. */
export const adminEntries: ReadonlyMap<number, AdminEntry> = new Map<number, AdminEntry>([
  [AdminOpcode.deleteSubmissionQueue, always(deleteSubmissionQueue)],
  [AdminOpcode.createSubmissionQueue, always(createSubmissionQueue)],
  [AdminOpcode.deleteCompletionQueue, always(deleteCompletionQueue)],
  [AdminOpcode.createCompletionQueue, always(createCompletionQueue)],
  [AdminOpcode.abort, always(abort)],
  [AdminOpcode.asynchronousEventRequest, always(requestEvent)],
  [AdminOpcode.keepAlive, always(keepAlive)],
  [AdminOpcode.identify, { ...always(identify), usesNsid: true }],
  [AdminOpcode.setFeatures, { ...always(setFeatures), usesNsid: true }],
  [AdminOpcode.getFeatures, { ...always(getFeatures), usesNsid: true }],
  [
    AdminOpcode.doorbellBufferConfig,
    {
      handler: configureDoorbellBuffer,
      isThere: ({ profile }) => profile.controller.hasDoorbellBuffer,
    },
  ],
]);

/** Commands that a sanitize operation does not stop. */
function always(handler: AdminHandler): AdminEntry {
  return { handler, isAllowedInSanitize: true };
}
