import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../native/load.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Where the kernel, the initial RAM disk and the disks of the guest lie. */
export const guestDirectory = `${root}out/guest`;

/** Make the guest ready. @returns what keeps it from running here, null when nothing does. */
export function whyNotGuest(directory: string): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the guest is x86-64 Linux, this is ${process.platform} ${process.arch}`;
  }
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) return unavailableReason;
  const script = `${root}test/guest/prepare.sh`;
  const prepared = spawnSync('bash', [script, directory], { encoding: 'utf8' });
  if (prepared.status === 0) {
    console.error(prepared.stdout.trim());
    return null;
  }
  const said = `${prepared.stderr}`.trim().split('\n').at(-1) ?? '';
  return `no guest machine (it needs Debian's packages and root once): ${said}`;
}
