import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { loadAddon } from '../../native/load.js';
import { skip, suite } from './suite.js';

const guest = suite('guest/run');
const script = fileURLToPath(new URL('../guest/run.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ultima-guest-'));

interface Ending {
  readonly status: number | null;
  readonly lines: readonly string[];
}

function run(environment: Readonly<Record<string, string>>): Ending {
  const { CI: _ci, ...rest } = process.env;
  const env = { ...rest, ...environment };
  const { status, stdout } = spawnSync(process.execPath, [script], { encoding: 'utf8', env });
  return { status, lines: stdout.trim().split('\n') };
}

/** A machine whose package manager has nothing and gets nothing. */
function withoutPackages(): Readonly<Record<string, string>> {
  for (const [name, body] of [
    ['dpkg', 'exit 1'],
    ['apt-get', 'echo "E: no packages here" >&2; exit 100'],
  ] as const) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }
  return { PATH: `${folder}:${process.env.PATH ?? ''}` };
}

guest('without QEMU the guest is skipped with the reason, and failed where CI must have it', () => {
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) skip(`native addon: ${unavailableReason}`);
  const environment = withoutPackages();
  const alone = run(environment);
  assert.is(alone.status, 0);
  assert.match(alone.lines[0] ?? '', /^SKIP guest: no guest machine .*: E: no packages here$/);
  assert.is(alone.lines.at(-1), '0 passed, 0 failed, 1 skipped');
  const ci = run({ ...environment, CI: 'true' });
  assert.is(ci.status, 1);
  assert.is(ci.lines.at(-1), '0 passed, 1 failed');
});

guest('without the addon the guest is skipped with how to build it', () => {
  const { status, lines } = run({ ULTIMA_NATIVE_PATH: '/nonexistent/ultima.node' });
  assert.is(status, 0);
  assert.match(lines[0] ?? '', /^SKIP guest: the native addon is not built.*build-native/);
});

guest.after(() => rmSync(folder, { recursive: true }));

guest.run();
