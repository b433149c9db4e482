/**
 * A vfio-user server of its own reading: it is written from the text of the protocol with plain
 * offsets, and shares nothing with the tables that the client uses. It runs in a worker thread,
 * because the client holds its thread while it waits. What it does wrong is told by `Plan`.
 */
import { Worker } from 'node:worker_threads';
import type { Plan, Report } from './fake-plan.js';
import type { Told } from './fake-server-worker.js';

export class FakeServer {
  private readonly worker: Worker;
  readonly path: string;

  private constructor(worker: Worker, path: string) {
    this.worker = worker;
    this.path = path;
  }

  /** It listens at `path` until `close`. */
  static async start(path: string): Promise<FakeServer> {
    const worker = new Worker(new URL('./fake-server-worker.js', import.meta.url), {
      workerData: path,
    });
    const server = new FakeServer(worker, path);
    await server.answer();
    return server;
  }

  /** What the next connections meet. Forgets what was heard. */
  async plan(plan: Plan): Promise<void> {
    await this.tell({ plan });
  }

  /** What came since `plan`. Only between connections. */
  async report(): Promise<Report> {
    const report = await this.tell('report');
    if (isReport(report)) return report;
    throw new Error('the server reports something else');
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private tell(told: Told): Promise<unknown> {
    this.worker.postMessage(told);
    return this.answer();
  }

  private answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.worker.once('error', reject);
      this.worker.once('message', (message: unknown) => {
        this.worker.off('error', reject);
        resolve(message);
      });
    });
  }
}

function isReport(value: unknown): value is Report {
  return typeof value === 'object' && value !== null && 'heard' in value;
}
