import { Worker } from 'node:worker_threads';
import type { Order } from './killer-worker.js';

/**
 * Kills a process at a moment that the thread which asked for it cannot choose: that one may be
 * waiting for an answer of just this process.
 */
export class Killer {
  private readonly worker = new Worker(new URL('./killer-worker.js', import.meta.url));

  /** Until it can be relied on. */
  static async start(): Promise<Killer> {
    const killer = new Killer();
    await killer.answer();
    return killer;
  }

  /** SIGKILL after so many microseconds. Resolves when it is sent. */
  async kill(pid: number, afterUs: number): Promise<void> {
    await this.obey({ pid, afterUs });
  }

  /**
   * The same, and start another process in its place, also while this thread waits.
   *
   * @param restart words for node
   */
  async killAndRestart(pid: number, afterUs: number, restart: readonly string[]): Promise<number> {
    return this.obey({ pid, afterUs, restart });
  }

  /** Kill what was started, until it has ended. */
  async endRestarted(): Promise<void> {
    await this.obey({ pid: 0, afterUs: 0 });
  }

  async close(): Promise<void> {
    await this.endRestarted();
    await this.worker.terminate();
  }

  private obey(order: Order): Promise<number> {
    const answered = this.answer();
    this.worker.postMessage(order);
    return answered;
  }

  private answer(): Promise<number> {
    return new Promise((resolve) => this.worker.once('message', resolve));
  }
}
