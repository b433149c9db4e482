import { ErrorCode, UltimaError } from '../errors.js';
import { Abort } from '../spec/nvme/admin-command.js';
import { AbortResult } from '../spec/nvme/completion.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import {
  Cc,
  Csts,
  nssrReset,
  Register,
  ShutdownNotification,
  ShutdownStatus,
} from '../spec/nvme/registers.js';
import { msNs, secondNs } from '../units.js';
import { command } from './admin-queue.js';
import { configure, disable, enable, pause } from './bring-up.js';
import type { Core } from './core.js';
import type { RecoveryStepName } from './events.js';
import { registerPollNs } from './options.js';
import { setBusMaster } from './pci-probe.js';
import { type Steps, until } from './procedure.js';
import { announcePair } from './queue-making.js';
import type { QueuePair } from './queue-pair.js';

/** A command that was not completed in its time. */
export interface Stuck {
  readonly pair: QueuePair;
  readonly slot: number;
  readonly commandId: number;
}

/** Time that a function reset of the platform gets. */
const functionResetNs = 10 * secondNs;

/** Time between a subsystem reset and the first look at registers. */
const subsystemSettleNs = 100 * msNs;

/**
 * The ladder. Each step has its own deadline; the next step follows when one fails:
 *
 * 1. Abort the stuck command. When the controller completes it, nothing else is touched.
 * 2. Controller reset (CC.EN). All commands in flight end: those never handed over as not executed,
 *    all others as unknown, because the controller may have carried them out.
 * 3. NVM subsystem reset (NSSR) where the controller has it.
 * 4. Function reset by the platform.
 * 5. Given up: the function loses bus mastering, all commands end, the controller is failed.
 *
 * Commands end only when the function can no longer reach memory: their buffers are the caller's
 * again from then on. Queues, doorbells and namespaces stay the objects they were.
 */
export function* climb(core: Core, cause: string, stuck: Stuck | null): Steps<void> {
  if (stuck !== null && (yield* abortStuck(core, stuck, cause))) return;
  core.state = 'resetting';
  core.setOpen(false);
  const steps: [RecoveryStepName, () => Steps<void>][] = [
    ['controller reset', () => controllerReset(core)],
  ];
  if (core.capabilities.hasSubsystemReset) {
    steps.push(['subsystem reset', () => subsystemReset(core)]);
  }
  steps.push(['function reset', () => functionReset(core)]);
  for (const [step, run] of steps) {
    try {
      yield* run();
      core.emit({ kind: 'recovery', step, isSuccess: true, cause });
      return;
    } catch (error) {
      if (isRemoved(core, error)) {
        leave(core, 'recovery');
        return;
      }
      core.emit({ kind: 'recovery', step, isSuccess: false, cause: String(error) });
    }
  }
  giveUp(core, cause);
}

/** A reset that somebody asked for: the ladder without its first step, an error at its end. */
export function* reset(core: Core): Steps<void> {
  yield* climb(core, 'asked for', null);
  if (core.state !== 'ready') throw core.notUsable();
}

/** The function is gone. Nothing of it reaches memory any more. */
export function leave(core: Core, during: string): void {
  if (core.state === 'removed') return;
  core.state = 'removed';
  core.setDead();
  core.endAllCommands();
  core.emit({ kind: 'removed', state: during });
}

function isRemoved(core: Core, error: unknown): boolean {
  if (core.fn.isRemoved) return true;
  return error instanceof UltimaError && error.code === ErrorCode.deviceRemoved;
}

/** @returns whether the command has ended */
function* abortStuck(core: Core, stuck: Stuck, cause: string): Steps<boolean> {
  const { pair, slot, commandId } = stuck;
  const hasEnded = () => !pair.submission.isBusy(slot) || pair.submission.cidOf(slot) !== commandId;
  const csts = core.registers.status();
  if (csts === null || Csts.cfs.of(csts) === 1 || core.quirks.names.has('no abort')) return false;
  // Something reset the controller behind our back: there is nobody to abort anything.
  if (Csts.rdy.of(csts) === 0) return false;
  const deadlineNs = core.clock.nowNs() + core.settings.abortTimeoutNs;
  try {
    const isAborted = yield* abort(core, pair.id, commandId);
    // "Not aborted" may mean that it has just been completed: look before climbing on.
    const poll = { clock: core.clock, deadlineNs, intervalNs: registerPollNs };
    const isOver = yield* until(() => {
      pair.poll();
      return hasEnded() || !isAborted;
    }, poll);
    const isSuccess = isOver && hasEnded();
    core.emit({ kind: 'recovery', step: 'abort', isSuccess, cause });
    return isSuccess;
  } catch (error) {
    core.emit({ kind: 'recovery', step: 'abort', isSuccess: false, cause: String(error) });
    return false;
  }
}

/**
 * Ask the controller to abort a command on a queue of ours.
 *
 * @returns whether it says that it has
 * @cite    [NVMe-2.0 §5.1 Abort]
 */
export function* abort(core: Core, queueId: number, commandId: number): Steps<boolean> {
  const words = command(AdminOpcode.abort);
  Abort.sqid.set(words, 0, queueId);
  Abort.cid.set(words, 0, commandId);
  const timeoutNs = core.settings.abortTimeoutNs;
  const result = yield* core.adminQueue().execute(words, { timeoutNs, allowsFailure: true });
  return result.status === 0 && AbortResult.notAborted.of(result.dw0) === 0;
}

function* controllerReset(core: Core): Steps<void> {
  const admin = core.adminQueue();
  admin.pair.submission.isOpen = false;
  yield* disable(core);
  yield* comeBack(core);
}

function* subsystemReset(core: Core): Steps<void> {
  core.registers.presentStatus('resetting the NVM subsystem');
  core.registers.write32(Register.nssr, nssrReset);
  // Registers may read as all-ones for a while after this: that is not removal yet.
  yield* pause(core, subsystemSettleNs);
  yield* reappear(core);
  yield* disable(core);
  yield* comeBack(core);
}

function* functionReset(core: Core): Steps<void> {
  let isOver = false;
  let failure: unknown;
  core.fn.reset('function').then(
    () => {
      isOver = true;
    },
    (error: unknown) => {
      failure = error;
      isOver = true;
    },
  );
  const deadlineNs = core.clock.nowNs() + functionResetNs;
  const poll = { clock: core.clock, deadlineNs, intervalNs: registerPollNs };
  const hasReturned = yield* until(() => isOver, poll);
  if (!hasReturned) throw late(core, 'the function reset');
  if (failure !== undefined) throw failure;
  yield* reappear(core);
  yield* disable(core);
  yield* comeBack(core);
}

function* reappear(core: Core): Steps<void> {
  const deadlineNs = core.clock.nowNs() + core.capabilities.timeoutNs;
  const poll = { clock: core.clock, deadlineNs, intervalNs: registerPollNs };
  const isThere = yield* until(() => core.registers.status() !== null, poll);
  if (!isThere) core.registers.presentStatus('coming back from a reset');
}

/** The controller is disabled: end everything, enable it, make the queues again. */
function* comeBack(core: Core): Steps<void> {
  const admin = core.adminQueue();
  core.endAllCommands();
  yield* enable(core, admin);
  yield* configure(core, admin);
  for (const pair of core.pairs) yield* announcePair(core, pair);
  core.state = 'ready';
  core.setOpen(true);
  core.rearm();
}

function giveUp(core: Core, cause: string): void {
  const { registers } = core;
  // It is told to stop as well; one that does not listen is stopped by the platform.
  if (registers.status() !== null) {
    registers.write32(Register.cc, Cc.en.put(registers.read32(Register.cc), 0));
  }
  setBusMaster(core.fn, false);
  core.state = 'failed';
  core.setDead();
  core.endAllCommands();
  core.emit({ kind: 'recovery', step: 'given up', isSuccess: false, cause });
}

/**
 * Normal shutdown: caches reach the medium, then the controller is disabled.
 *
 * @throws UltimaError CONTROLLER_TIMEOUT, DEVICE_REMOVED
 * @cite   [NVMe-2.0 §3.6.1 Memory-based Controller Shutdown]
 */
export function* shutDown(core: Core, isAbrupt: boolean): Steps<void> {
  const { registers } = core;
  registers.presentStatus('shutting down');
  core.setOpen(false);
  // 1. No further commands; what is in flight may end.
  // 2. The I/O queues are deleted by the disable at the end: their memory stays until then.
  // 3. Set CC.SHN.
  const how = isAbrupt ? ShutdownNotification.abrupt : ShutdownNotification.normal;
  registers.write32(Register.cc, Cc.shn.put(registers.read32(Register.cc), how));
  // 4. Wait for CSTS.SHST = complete, for as long as RTD3 Entry Latency says it may take.
  const deadlineNs = core.clock.nowNs() + core.limitsNow().shutdownNs;
  const poll = { clock: core.clock, deadlineNs, intervalNs: registerPollNs };
  const isComplete = yield* until(() => {
    for (const pair of core.pairs) pair.poll();
    return Csts.shst.of(registers.presentStatus('shutting down')) === shutdownComplete;
  }, poll);
  yield* disable(core);
  core.state = 'shut down';
  core.setDead();
  core.endAllCommands();
  if (!isComplete) throw late(core, 'the shutdown (CSTS.SHST)');
}

const shutdownComplete = ShutdownStatus.complete;

function late(core: Core, what: string): UltimaError {
  return new UltimaError(
    ErrorCode.controllerTimeout,
    `${core.fn.address}: ${what} did not end in its time`,
    { address: core.fn.address, what },
  );
}
