import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parentPort } from 'node:worker_threads';

export interface Order {
  /** Who is killed; 0: the process that this thread has started last. */
  readonly pid: number;
  readonly afterUs: number;
  /** Words for node: a process that is started in its place. */
  readonly restart?: readonly string[];
}

const port = parentPort;
if (port === null) throw new Error('this runs in a worker thread');
const never = new Int32Array(new SharedArrayBuffer(4));
let child: ChildProcess | null = null;

async function obey({ pid, afterUs, restart }: Order): Promise<number> {
  Atomics.wait(never, 0, 0, afterUs / 1000);
  if (pid !== 0) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  } else if (child !== null && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  if (restart === undefined) return 0;
  child = spawn(process.execPath, [...restart], { stdio: 'ignore' });
  return child.pid ?? 0;
}

port.on('message', (order: Order) => {
  obey(order).then(
    (pid) => port.postMessage(pid),
    () => port.postMessage(-1),
  );
});
port.postMessage(0);
