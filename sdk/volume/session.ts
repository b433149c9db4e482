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
  let isStarted = false;
  let isDone = false;
  await core.pump.until(() => {
    if (!isStarted && core.checkpointer.start()) {
      isStarted = true;
      // Not later: whoever else polls may bring it to its end.
      core.checkpointer.onDone(() => {
        isDone = true;
      });
    }
    return isDone || (core.isFailed && !isStarted);
  });
}
