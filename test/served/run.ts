/**
 * `npm run test:served [-- filter...]`: the conformance suite against simulated cards that another
 * process serves, and part of it again for a client that shares no memory: each byte and each
 * doorbell is a message then. The last line sums the tests of all of them: `N passed, N failed[, N
 * skipped]`; filters choose the files of the suite instead of all, for the first card alone.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../native/load.js';
import { ServerProcess } from '../support/served/server-process.js';

interface Leg {
  readonly card: string;
  /** Of the client's address. */
  readonly options: string;
  /** Words that choose files; all of the suite without. */
  readonly files: readonly string[];
}

/**
 * They live in real time: what a real card takes minutes for, a format above all, is short, and
 * what a host shall see under way is long enough for a busy one. The first has everything, as the
 * card of the suite.
 */
const paced = 'firmware.formatNsPerGiB=50000&firmware.selfTestShortNs=2000000000';
const simple = `sim:simple?bytes=8TiB&subsystem.capacityBytes=9895604649984&${paced}`;
const legs: readonly Leg[] = [
  { card: simple, options: 'arena=8MiB', files: [] },
  { card: `sim:ultima-g2?${paced}`, options: 'arena=8MiB', files: [] },
  {
    card: simple,
    options: 'arena=8MiB&shared=0',
    files: ['registers', 'queues', 'interrupts', 'resets', 'read-write'].map(
      (name) => `conformance/${name}`,
    ),
  },
];
const countLine = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/;
const runner = fileURLToPath(new URL('../support/run.js', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) {
    console.log(`SKIP 1 × native addon: ${unavailableReason}`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  const chosen = filters.length > 0 ? [{ ...legs[0]!, files: filters }] : legs;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const leg of chosen) {
    console.log(`${leg.card}, ${leg.options}`);
    const isGood = await run(leg, counts);
    if (!isGood && counts.failed === 0) counts.failed = 1;
  }
  const { passed, failed, skipped } = counts;
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed === 0 ? 0 : 1;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** @returns whether all is well */
async function run({ card, options, files }: Leg, counts: Counts): Promise<boolean> {
  const server = new ServerProcess(card);
  try {
    await server.start();
    const words = files.length === 0 ? ['conformance'] : files;
    const child = spawn(process.execPath, [runner, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ULTIMA_DEVICE: `${server.address}?${options}` },
    });
    const exit = once(child, 'exit');
    for await (const line of createInterface(child.stdout)) {
      const found = countLine.exec(line);
      if (found === null) {
        console.log(line);
        continue;
      }
      counts.passed += Number(found[1]);
      counts.failed += Number(found[2]);
      counts.skipped += Number(found[3] ?? 0);
    }
    const [code] = await exit;
    return code === 0 && server.isRunning;
  } finally {
    await server.remove();
  }
}
