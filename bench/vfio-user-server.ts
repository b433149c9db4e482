import { serveCard } from '../sdk/serve.js';
import { Collections } from './collections.js';

/**
 * The served card of the benchmark, in a process of its own: `process.argv` has the address and the
 * folder. Each message is answered with the counters; 'mark' has the collections counted anew, and
 * 'count' tells them.
 */
const [address = '', folder = ''] = process.argv.slice(2);
const card = await serveCard(address, folder, { timeScale: 'free' });
const collections = new Collections();

async function answer(message: unknown): Promise<void> {
  if (message === 'mark') await collections.start();
  const counted = message === 'count' ? await collections.end() : 0;
  const { completedCount, busyNs, dmaFaultCount, reportCount } = card.status();
  const { user, system } = process.cpuUsage();
  const faults = dmaFaultCount + reportCount;
  process.send?.({ completedCount, busyNs, cpuUs: user + system, faults, collections: counted });
}

process.on('message', (message) => void answer(message));
process.on('disconnect', () => {
  void card.close();
});
await answer('start');
