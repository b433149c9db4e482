import { PerformanceObserver } from 'node:perf_hooks';
import { serveCard } from '../sdk/serve.js';

/**
 * The served card of the benchmark, in a process of its own: `process.argv` has the address and the
 * folder; each message is answered with the counters.
 */
const [address = '', folder = ''] = process.argv.slice(2);
const card = await serveCard(address, folder, { timeScale: 'free' });

let collections = 0;
const observer = new PerformanceObserver((list) => {
  collections += list.getEntries().length;
});
observer.observe({ entryTypes: ['gc'] });

process.on('message', () => {
  const { completedCount, busyNs, dmaFaultCount, reportCount } = card.status();
  const { user, system } = process.cpuUsage();
  const faults = dmaFaultCount + reportCount;
  process.send?.({ completedCount, busyNs, cpuUs: user + system, faults, collections });
});
process.on('disconnect', () => {
  void card.close();
});
process.send?.({ completedCount: 0, busyNs: 0, cpuUs: 0, faults: 0, collections: 0 });
