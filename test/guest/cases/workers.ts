import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { type Loan, lend } from '../../../native/index.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { QueueLender } from '../../../sdk/nvme/queue-lender.js';
import { MiB } from '../../../sdk/units.js';
import { address, type GuestCase } from '../case.js';
import type { Progress, Task } from '../loan-worker.js';
import { withFunction } from './function.js';

const script = new URL('../loan-worker.js', import.meta.url);

const started: Worker[] = [];

/** Worker threads with a queue pair each, over the arena of one function. */
export const workersCases: readonly GuestCase[] = [
  {
    title: 'a worker terminated in the middle of I/O leaves the others and the memory intact',
    run: () => withWorkers(terminateOne),
  },
  {
    title: 'a reset in the main thread ends the workers commands, and the workers go on',
    run: () => withWorkers(resetUnderWorkers),
  },
  {
    title: 'a controller that is closed under a worker ends its I/O and not the process',
    run: () => withWorkers(closeUnderWorker),
  },
];

function withWorkers(use: (controller: NvmeController) => Promise<void>): Promise<void> {
  return withFunction(address.plain, async (fn) => {
    const controller = await NvmeController.open(fn, { queuePairs: 4 });
    try {
      await use(controller);
    } finally {
      // None outlives its case, however that ended.
      await Promise.all(started.splice(0).map((worker) => worker.terminate()));
      await controller.close();
    }
  });
}

async function terminateOne(controller: NvmeController): Promise<void> {
  const threads = [0, 1, 2].map((i) => new Thread(controller, i));
  await Promise.all(threads.map((thread) => thread.rounds(1)));
  const [doomed, ...others] = threads;
  assert.is(controller.queuePairs.length, 0, 'the queues are the workers own');
  await doomed!.worker.terminate();
  await doomed!.lender.end();
  assert.is(doomed!.loan.isBorrowed, false);
  doomed!.loan.giveBack();
  await Promise.all(others.map((thread) => thread.rounds(2)));
  const next = new Thread(controller, 3);
  assert.is(next.loan.memory.iova, doomed!.loan.memory.iova, 'the same memory serves again');
  await next.rounds(2);
  for (const thread of [next, ...others]) {
    await thread.stop();
    assert.is(thread.last.lost, 0, 'nobody noticed');
    thread.loan.giveBack();
  }
}

async function resetUnderWorkers(controller: NvmeController): Promise<void> {
  const threads = [0, 1].map((i) => new Thread(controller, i));
  await Promise.all(threads.map((thread) => thread.rounds(1)));
  await controller.reset();
  await Promise.all(threads.map((thread) => thread.rounds(2)));
  for (const thread of threads) {
    await thread.stop();
    assert.ok(thread.last.lost <= 1, `one reset, ${thread.last.lost} rounds lost`);
    thread.loan.giveBack();
  }
}

async function closeUnderWorker(controller: NvmeController): Promise<void> {
  const thread = new Thread(controller, 0);
  await thread.rounds(1);
  await controller.close();
  await thread.stop();
  assert.ok(thread.last.lost >= 1);
}

/** A worker, what it was lent, and how far it is. */
class Thread {
  readonly worker: Worker;
  readonly loan: Loan;
  readonly lender: QueueLender;
  last: Progress = { round: 0, lost: 0, isEnded: false };
  private failure: Error | null = null;
  private wake: () => void = () => {};

  constructor(controller: NvmeController, i: number) {
    this.loan = lend(controller.fn, 4 * MiB);
    const task: Task = { loan: this.loan.description, firstLba: 10_000 * i };
    this.worker = new Worker(script, { workerData: task });
    started.push(this.worker);
    this.lender = controller.lendQueuePairs(this.worker, this.loan.memory);
    this.worker.on('message', (message: unknown) => {
      if (isProgress(message)) this.last = message;
      this.wake();
    });
    this.worker.on('error', (error) => {
      this.failure = error;
      this.wake();
    });
  }

  /** Wait for rounds that begin after this and end well. */
  async rounds(count: number): Promise<void> {
    const good = ({ round, lost }: Progress): number => round - lost;
    // The round under way may have begun before.
    const wanted = good(this.last) + count + 1;
    await this.until(() => good(this.last) >= wanted);
  }

  async stop(): Promise<void> {
    const exit = new Promise((resolve) => this.worker.once('exit', resolve));
    this.worker.postMessage('stop');
    await this.until(() => this.last.isEnded);
    await exit;
    await this.lender.end();
  }

  private async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.failure !== null) throw this.failure;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

function isProgress(message: unknown): message is Progress {
  return typeof message === 'object' && message !== null && 'round' in message;
}
