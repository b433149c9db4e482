import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { openDevice } from '../../../sdk/cli/block-device.js';
import { run as pool } from '../../../sdk/cli/pool.js';
import { run as serve } from '../../../sdk/cli/serve.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { run as volume } from '../../../sdk/cli/volume.js';
import { suite } from '../../support/suite.js';

const test = suite('NVMe/TCP on the command line');
const main = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));

let said = '';
const terminal: Terminal = {
  out: (data) => {
    said += String(data);
  },
  say: () => {},
  progress: () => {},
  isInteractive: false,
  columns: 80,
};

/** What the server says first. */
function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        text += bytes.toString();
        const end = text.indexOf('\n');
        if (end >= 0) resolve(text.slice(0, end));
      });
    }
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${text}`)));
  });
}

test('a pool lies on what another process serves, at the address that it prints', async () => {
  const words = ['serve', 'device', 'memory:64MiB', '--nvme-tcp', '127.0.0.1:0', '--name', 'far'];
  const server = spawn(process.execPath, [main, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const line = await firstLine(server);
    const address = /is served at (nvme-tcp:\S+\/nqn\.2026-11\.io\.ultima:far\/1)$/.exec(line)?.[1];
    assert.ok(address, line);
    assert.is(await pool(['create', address], terminal), 0);
    assert.is(await volume(['create', 'v', '--bytes', '8MiB', '--pool', address], terminal), 0);
    said = '';
    assert.is(await volume(['list', '--pool', address], terminal), 0);
    assert.match(said, /\bv\b/);
    const exit = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGTERM');
    assert.is(await exit, 0);
  } finally {
    server.kill('SIGKILL');
  }
});

test('words that cannot be are refused with what to do', async () => {
  const device = ['device', 'memory:64MiB'];
  const wrong: readonly (readonly [words: readonly string[], message: RegExp])[] = [
    [[...device], /--nvme-tcp/],
    [[...device, '--nqn', 'nqn.x'], /belong to --nvme-tcp/],
    [[...device, '--nvme-tcp', '1.2.3.4:5', '--nbd', 'tcp:x'], /one or the other/],
    [[...device, '--nvme-tcp', 'a:b:c'], /no place for NVMe\/TCP/],
    [[...device, '--nvme-tcp', '127.0.0.1:0', '--nqn', 'x'], /no NVMe qualified name/],
    [[...device, '--nvme-tcp', '127.0.0.1:0', '--hosts', '/nowhere'], /cannot be read/],
  ];
  for (const [words, message] of wrong) {
    let found = '';
    try {
      await serve(words, terminal);
    } catch (error) {
      found = error instanceof Error ? error.message : '';
    }
    assert.match(found, message);
  }
  for (const address of ['nvme-tcp:x', 'nvme-tcp:h:1/nqn.x/0', 'nvme-tcp:h:1/nqn.x/y']) {
    let found = '';
    try {
      await openDevice(address);
    } catch (error) {
      found = error instanceof Error ? error.message : '';
    }
    assert.is.not(found, '', address);
  }
});

test.run();
