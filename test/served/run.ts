/**
 * `npm run test:served [-- filter...]`: the conformance suite against a simulated card that another
 * process serves. The last line is that of the tests: `N passed, N failed[, N skipped]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../native/load.js';
import { ServerProcess } from '../support/served/server-process.js';

/**
 * Has everything, as the card of the suite. It lives in real time: what a real card takes minutes
 * for is short.
 */
const card =
  'sim:simple?bytes=8TiB&subsystem.capacityBytes=9895604649984&firmware.formatNsPerGiB=1000';
const runner = fileURLToPath(new URL('../support/run.js', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) {
    console.log(`SKIP 1 × native addon: ${unavailableReason}`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  const server = new ServerProcess(card);
  try {
    await server.start();
    const words = filters.length === 0 ? ['conformance'] : filters;
    const child = spawn(process.execPath, [runner, ...words], {
      stdio: 'inherit',
      env: { ...process.env, ULTIMA_DEVICE: `${server.address}?arena=8MiB` },
    });
    const [code] = await once(child, 'exit');
    return code === 0 && server.isRunning ? 0 : 1;
  } finally {
    await server.remove();
  }
}
