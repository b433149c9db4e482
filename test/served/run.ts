/**
 * `npm run test:served [-- filter...]`: the conformance suite against simulated cards that another
 * process serves, and part of it again for a client that shares no memory: each byte and each
 * doorbell is a message then. The last line is that of the tests: `N passed, N failed[, N
 * skipped]`; filters choose the files of the suite instead of all, for the first card alone.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
const runner = fileURLToPath(new URL('../support/run.js', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) {
    console.log(`SKIP 1 × native addon: ${unavailableReason}`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  if (filters.length > 0) return run({ ...legs[0]!, files: filters });
  let failed = 0;
  for (const leg of legs) {
    console.log(`${leg.card}, ${leg.options}`);
    failed += await run(leg);
  }
  return failed === 0 ? 0 : 1;
}

/** @returns 0 when all is well */
async function run({ card, options, files }: Leg): Promise<number> {
  const server = new ServerProcess(card);
  try {
    await server.start();
    const words = files.length === 0 ? ['conformance'] : files;
    const child = spawn(process.execPath, [runner, ...words], {
      stdio: 'inherit',
      env: { ...process.env, ULTIMA_DEVICE: `${server.address}?${options}` },
    });
    const [code] = await once(child, 'exit');
    return code === 0 && server.isRunning ? 0 : 1;
  } finally {
    await server.remove();
  }
}
