import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Entries are delivered from the event loop, some time after the collection. */
const deliveryMs = 50;

/** Garbage collections of this process between two marks. */
export class Collections {
  private count = 0;
  private readonly observer = new PerformanceObserver((list) => {
    this.count += list.getEntries().length;
  });

  async start(): Promise<void> {
    // A young generation that somebody else has half filled would be collected during the run.
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    await sleep(deliveryMs);
    this.count = 0;
    this.observer.observe({ entryTypes: ['gc'] });
  }

  async end(): Promise<number> {
    await sleep(deliveryMs);
    this.observer.disconnect();
    return this.count;
  }
}

/** Garbage collections while `body` runs. */
export async function collections(body: () => void): Promise<number> {
  const counted = new Collections();
  await counted.start();
  body();
  return counted.end();
}
