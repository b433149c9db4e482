import { Abort } from '../../../sdk/spec/nvme/admin-command.js';
import { AbortResult } from '../../../sdk/spec/nvme/completion.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import { type AdminContext, held } from './context.js';

/** [NVMe-2.0 §5.1 Abort]: dword 0 says whether the command was stopped. */
export function abort(context: AdminContext, command: Command): number {
  const queueId = Abort.sqid.get(command.words, 0);
  const cid = Abort.cid.get(command.words, 0);
  const isSelf = queueId === 0 && cid === command.cid;
  const isAborted = !isSelf && context.services.abort(queueId, cid);
  command.dw0 = AbortResult.notAborted.put(0, isAborted ? 0 : 1);
  return 0;
}

/** [NVMe-2.0 §5.2 AER]: the request waits until there is something to report. */
export function requestEvent(context: AdminContext, command: Command): number {
  if (context.events.requestCount >= context.profile.controller.asyncEventLimit) {
    return Status.asynchronousEventLimitExceeded;
  }
  context.events.request(command);
  return held;
}

/** [NVMe-2.0 §5.18 Keep Alive] */
export function keepAlive(context: AdminContext): number {
  context.keepAlive.restart();
  return 0;
}
