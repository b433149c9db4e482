import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { readBlocks } from '../../../sdk/block/promised.js';
import { openDevice } from '../../../sdk/cli/block-device.js';
import { run as pool } from '../../../sdk/cli/pool.js';
import { run as serve } from '../../../sdk/cli/serve.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { run as volume } from '../../../sdk/cli/volume.js';
import { makeSecret } from '../../../sdk/fabric/secret.js';
import { AuthHash } from '../../../sdk/spec/fabrics/authentication.js';
import { suite } from '../../support/suite.js';
import * as certificates from '../../support/test-certificates.js';

const test = suite('NVMe/TCP on the command line');
const folder = mkdtempSync(join(tmpdir(), 'ultima-nvme-tcp-'));
test.after(() => rmSync(folder, { recursive: true }));
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
    // In a process that nothing but the connection keeps alive.
    const listing = await ended(['volume', 'list', '--pool', address]);
    assert.is(listing.code, 0);
    assert.match(listing.out, /\bv\b/);
    const exit = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGTERM');
    assert.is(await exit, 0);
  } finally {
    server.kill('SIGKILL');
  }
});

/** A command in a process of its own. */
function ended(
  words: readonly string[],
): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = spawn(process.execPath, [main, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out })));
}

/** `ultima serve` in another process while something is done with the address that it prints. */
async function served(
  words: readonly string[],
  use: (address: string) => Promise<void>,
): Promise<void> {
  const all = [main, 'serve', 'device', 'memory:64MiB', '--nvme-tcp', '127.0.0.1:0', ...words];
  const server = spawn(process.execPath, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const line = await firstLine(server);
    await use(/is served at (nvme-tcp:\S+)$/.exec(line)![1]!);
  } finally {
    server.kill('SIGKILL');
  }
}

/** @returns '' when the device opens and is read, or what is said instead */
async function attempt(address: string): Promise<string> {
  try {
    const { device, close } = await openDevice(address);
    await readBlocks(device, 0, new Uint8Array(512));
    await close();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test('a host shows its secret, which stands on no command line', async () => {
  const hostNqn = 'nqn.2026-11.io.example:host';
  const secret = makeSecret(AuthHash.sha256);
  const theirs = makeSecret(AuthHash.sha384);
  const files: Record<string, string> = {
    hosts: `${hostNqn} ${secret} ${theirs}`,
    secret,
    other: theirs,
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), `${text}\n`, { mode: 0o600 });
  }
  process.env.ULTIMA_TEST_SECRET = theirs;
  const file = (name: string) => `file:${join(folder, name)}`;
  await served(['--hosts', join(folder, 'hosts')], async (address) => {
    const host = `${address}?host-nqn=${hostNqn}`;
    assert.is(await attempt(`${host}&secret=${file('secret')}&digests=both`), '');
    const mutual = `${host}&secret=${file('secret')}&controller-secret=`;
    assert.is(await attempt(`${mutual}env:ULTIMA_TEST_SECRET`), '');
    assert.match(await attempt(`${mutual}${file('secret')}`), /controller/i);
    assert.match(await attempt(`${host}&secret=${file('other')}`), /authentic/i);
    assert.is.not(await attempt(host), '');
    assert.match(await attempt(address), /does not let nqn\S+ in/);
    const other = address.replace(/:memory[^/]*/, ':other');
    assert.match(await attempt(other), /there is no subsystem of that name/);
    const shown = await attempt(`${host}&secret=${secret}`);
    assert.match(shown, /the secret comes from file:PATH, env:VARIABLE or fd:NUMBER/);
    assert.is(shown.includes(secret.slice(8, 30)), false);
    assert.match(
      await attempt(`${address}?secret=${file('secret')}`),
      /host-nqn=NQN says to which/,
    );
    assert.match(await attempt(`${address}?sceret=x`), /did you mean secret\?/);
    assert.match(await attempt(`${address}?digests=all`), /must be one of: both, header, data/);
  });
});

test('with TLS nobody gets in without a certificate', async () => {
  const { authority, clientCertificate, clientKey, serverCertificate, serverKey } = certificates;
  const files = {
    'ca-cert.pem': authority,
    'client-cert.pem': clientCertificate,
    'client-key.pem': clientKey,
    'server-cert.pem': serverCertificate,
    'server-key.pem': serverKey,
  };
  for (const [name, pem] of Object.entries(files)) writeFileSync(join(folder, name), pem);
  await served(['--tls', folder], async (address) => {
    assert.is(await attempt(`${address}?tls=${folder}&tls-name=localhost`), '');
    assert.is.not(await attempt(`${address}?tls=${folder}&tls-name=elsewhere`), '');
    assert.is.not(await attempt(address), '');
    assert.match(await attempt(`${address}?tls=/nowhere`), /ca-cert.pem cannot be read/);
    assert.match(await attempt(`${address}?tls-name=x`), /goes with tls=DIR/);
  });
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
