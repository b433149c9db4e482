/** A worker thread with a watcher that is called at once, and then does what it was started for. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../native/load.js';

/** What the worker does in the callback of its watcher. */
export type Work = 'throw' | 'spin' | 'call';

const { kernel } = loadAddon();
if (parentPort === null || kernel === null) throw new Error('this runs in a worker with the addon');
const port = parentPort;
const work: Work = workerData;

const fd = kernel.eventfd();
kernel.signalEvent(fd);
const watcher = kernel.watch(fd, () => {
  watcher.close();
  if (work === 'throw') throw new RangeError('thrown where the event loop called');
  port.postMessage('called');
  if (work === 'spin') for (;;);
  // Each of these makes an object, which a worker that is being terminated cannot have.
  for (;;) {
    const other = kernel.watch(fd, () => {});
    other.close();
    const buffer = kernel.arena(4096, false);
    if (typeof buffer !== 'number') kernel.unmap(buffer);
  }
});
watcher.hold(true);
