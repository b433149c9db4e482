/** Callbacks that the addon makes from the event loop: what they throw, and threads that end. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { loadAddon } from '../../native/load.js';
import { skip, suite } from '../support/suite.js';
import type { Work } from './watcher-worker.js';

const watcher = suite('native/watcher');
const { kernel, unavailableReason } = loadAddon();

function withWorkers(title: string, body: (start: (work: Work) => Worker) => Promise<void>): void {
  watcher(title, async () => {
    if (kernel === null) return skip(`native addon: ${unavailableReason}`);
    const script = new URL('./watcher-worker.js', import.meta.url);
    await body((workerData) => new Worker(script, { workerData }));
  });
}

withWorkers('what a callback throws is uncaught, not lost', async (start) => {
  const [thrown] = await once(start('throw'), 'error');
  assert.instance(thrown, RangeError);
  assert.is(thrown.message, 'thrown where the event loop called');
});

for (const work of ['spin', 'call'] as const) {
  const title = `a worker terminated in a callback that would ${work} for ever ends alone`;
  withWorkers(title, async (start) => {
    for (let round = 0; round < 4; round++) {
      const worker = start(work);
      await once(worker, 'message');
      assert.is(await worker.terminate(), 1);
    }
  });
}

watcher.run();
