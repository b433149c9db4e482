import { readdirSync, readFileSync } from 'node:fs';

/** Threads of this process, by the kernel's numbers. Empty where /proc does not tell. */
export function threadsOfProcess(): readonly string[] {
  try {
    return readdirSync('/proc/self/task');
  } catch {
    return [];
  }
}

/** The thread that runs JavaScript. */
export const mainThread = `${process.pid}`;

/**
 * Nanoseconds that a thread was ready to run while other threads had the processor.
 *
 * @param owner  its process, this one when left out
 */
export function waitedNs(thread: string, owner: number | 'self' = 'self'): number {
  // Time on a processor, time waiting for one, turns [Linux sched-stats].
  const [, waited] = text(`/proc/${owner}/task/${thread}/schedstat`).split(' ');
  return Number(waited ?? 0);
}

/** The processor that a thread runs on, or ran on last. @param owner as for `waitedNs` */
export function processorOf(thread: string, owner: number | 'self' = 'self'): number {
  const fields = text(`/proc/${owner}/task/${thread}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
  // Field 39, counted from 1 with the two before the bracket [Linux proc_pid_stat].
  return Number(fields[36] ?? -1);
}

/** How two processors stand to each other. */
export function distance(one: number, two: number): string {
  if (one === two) return 'one processor';
  const path = `/sys/devices/system/cpu/cpu${one}/topology/thread_siblings_list`;
  const siblings = new Set(text(path).trim().split(/[,-]/).map(Number));
  return siblings.has(two) ? 'two threads of one core' : 'two cores';
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
