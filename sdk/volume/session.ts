import type { PoolCore } from './core.js';
import type { LoadedPool } from './load.js';

/** A new session, so that no batch of the last one is ever taken for one of this. */
export async function beginSession({ core, nextSeq, nextBlock }: LoadedPool): Promise<void> {
  core.identity.session++;
  core.startJournal(nextSeq, nextBlock);
  await runCheckpoint(core);
}

export async function runCheckpoint(core: PoolCore): Promise<void> {
  // One that runs already does not hold what has changed since.
  await core.pump.until(() => !core.checkpointer.isRunning);
  let isDone = false;
  await core.pump.until(() => core.checkpointer.start() || core.isFailed);
  if (core.isFailed) return;
  core.checkpointer.onDone(() => {
    isDone = true;
  });
  await core.pump.until(() => isDone);
}
