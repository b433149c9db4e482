import { ErrorCode, UltimaError } from '../errors.js';
import { countText } from '../observe/scale.js';
import type { BenchJob } from './bench-job.js';
import { type BenchOptions, stallNs } from './bench-options.js';
import type { Terminal } from './terminal.js';

/** Turns of the loop between two looks at other tasks of the thread. */
const sliceTurns = 2048;

/**
 * Run all jobs to their ends in one loop: submit, poll, and let the clock go on when nothing came.
 *
 * @throws UltimaError COMMAND_TIMEOUT when the device stops answering
 */
export async function runJobs(
  jobs: readonly BenchJob[],
  options: BenchOptions,
  terminal: Terminal,
): Promise<void> {
  const [first] = jobs;
  if (first === undefined) return;
  const { clock } = first.device;
  const startNs = clock.nowNs();
  for (const job of jobs) job.start(startNs);
  let lastNs = startNs;
  while (jobs.some((job) => !job.isDone)) {
    lastNs = runSlice(jobs, lastNs);
    if (clock.nowNs() - lastNs > stallNs) throw stalled(jobs);
    terminal.progress(progressLine(jobs, options, clock.nowNs() - startNs));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** @returns when a request last ended */
function runSlice(jobs: readonly BenchJob[], since: number): number {
  const { clock } = jobs[0]!.device;
  let lastNs = since;
  for (let turn = 0; turn < sliceTurns; turn++) {
    const nowNs = clock.nowNs();
    let ended = 0;
    let inFlight = 0;
    for (let i = 0; i < jobs.length; i++) {
      ended += jobs[i]!.step(nowNs);
      inFlight += jobs[i]!.inFlight;
    }
    if (ended > 0) {
      lastNs = clock.nowNs();
      continue;
    }
    if (inFlight === 0 || nowNs - lastNs > stallNs) break;
    clock.idle(nowNs + stallNs);
  }
  return lastNs;
}

function stalled(jobs: readonly BenchJob[]): UltimaError {
  const inFlight = jobs.reduce((sum, job) => sum + job.inFlight, 0);
  return new UltimaError(
    ErrorCode.commandTimeout,
    `no request ended for ${stallNs / 1e9} s of the card's time; ${inFlight} are in flight`,
    { inFlight, waitedNs: stallNs },
  );
}

/** fio's line of estimates. */
function progressLine(jobs: readonly BenchJob[], options: BenchOptions, elapsedNs: number): string {
  let ended = 0;
  for (const { read, write, trim } of jobs) {
    ended += read.clat.count + write.clat.count + trim.clat.count;
  }
  const rate = countText(ended / Math.max(1e-9, elapsedNs / 1e9));
  const share = options.runtimeNs === null ? 0 : elapsedNs / (options.runtimeNs + options.rampNs);
  const percent = `${Math.min(100, share * 100).toFixed(0)}%`;
  const done = `${countText(ended)} done`;
  return `Jobs: ${jobs.length} [${options.rw}] [${percent}] [${rate} IOPS] [${done}]`;
}
