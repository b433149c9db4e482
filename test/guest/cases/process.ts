import { spawn, spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { bind, unbind } from '../../../native/index.js';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { address, type GuestCase } from '../case.js';
import { withController } from './function.js';

const script = fileURLToPath(new URL('../child.js', import.meta.url));
const userId = 1000;

/** Users without rights, and processes that die. */
export const processCases: readonly GuestCase[] = [
  {
    title: 'an ordinary user with the group node opens a device within the limit of locked memory',
    run: () => asUser(4, (result) => assert.match(result.stdout, /^opened/, result.stderr)),
  },
  {
    title: 'beyond the limit the same user is told the limit and the remedy',
    run: () =>
      asUser(64, (result) => {
        assert.is(result.status, 1);
        assert.match(result.stderr, /DMA_MAP_FAILED.*limit of locked memory is 8388608.*ulimit -l/);
      }),
  },
  {
    title: 'a process killed in the middle of I/O leaves a device that the next one opens',
    run: async () => {
      const driver = bind(address.plain);
      try {
        for (let round = 0; round < 3; round++) await killInTheMiddle();
      } finally {
        unbind(address.plain, driver);
      }
      await withController(address.plain, async (controller) => {
        const namespace = await controller.namespace(1);
        await namespace.read(0, new Uint8Array(namespace.blockBytes));
      });
    },
  },
];

interface ChildResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function asUser(arenaMiB: number, check: (result: ChildResult) => void): Promise<void> {
  const driver = bind(address.plain);
  try {
    const group = new Sysfs().group(address.plain);
    chownSync(`/dev/vfio/${group}`, userId, userId);
    const command = `ulimit -l 8192; exec "${process.execPath}" "${script}" open ${arenaMiB}`;
    const result = spawnSync('/bin/bash', ['-c', command], {
      encoding: 'utf8',
      uid: userId,
      gid: userId,
    });
    check(result);
  } finally {
    unbind(address.plain, driver);
  }
}

function killInTheMiddle(): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, 'write'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let hasWritten = false;
    child.stdout.on('data', () => {
      // The first line says that I/O runs; it goes on until it is killed.
      hasWritten = true;
      child.kill('SIGKILL');
    });
    child.on('close', (code, signal) => {
      if (hasWritten && signal === 'SIGKILL') resolve();
      else reject(new Error(`the writer ended by itself: code ${code}`));
    });
  });
}
