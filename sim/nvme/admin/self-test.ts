import { DeviceSelfTest, SelfTestCode } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import { SelfTestOutcome } from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { AdminContext } from './context.js';

/** [NVMe-2.0 §5.9 Device Self-test]: ends at once, the test goes on in the background. */
export function selfTest(context: AdminContext, command: Command): number {
  const code = DeviceSelfTest.stc.get(command.words, 0);
  const operation = context.selfTest;
  if (code === SelfTestCode.abort) {
    operation.end(SelfTestOutcome.aborted);
    return 0;
  }
  if (code !== SelfTestCode.short && code !== SelfTestCode.extended) {
    return context.refuse(Status.invalidField, DeviceSelfTest.stc);
  }
  const status = checkNamespace(context, command.nsid);
  if (status !== 0) return context.refuse(status, Sqe.nsid);
  if (operation.isRunning) return Status.selfTestInProgress;
  const { selfTestShortNs, selfTestExtendedNs } = context.profile.firmware;
  const ns = code === SelfTestCode.short ? selfTestShortNs : selfTestExtendedNs;
  operation.start({ code, nsid: command.nsid, ns });
  return 0;
}

/** 0 tests the controller alone, all-ones every attached namespace. */
function checkNamespace(context: AdminContext, nsid: number): number {
  if (nsid === Nsid.none || nsid === Nsid.broadcast) return 0;
  if (!context.subsystem.isValidNsid(nsid)) return Status.invalidNamespaceOrFormat;
  const namespace = context.subsystem.active(nsid, context.controllerId);
  return namespace === undefined ? Status.invalidField : 0;
}
