import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { run } from '../../../sdk/cli/volume.js';
import { NbdServer, type NbdServerOptions } from '../../../sdk/nbd/server.js';
import { exportOfVolume } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { suite } from '../../support/suite.js';
import * as certificates from '../../support/test-certificates.js';
import { device, MiB, poolOn } from '../volume/rig.js';

const test = suite('ultima volume grow, of a volume that is served');
const folder = mkdtempSync(join(tmpdir(), 'ultima-grow-'));
test.after(() => rmSync(folder, { recursive: true }));
let count = 0;

async function grow(name: string, bytes: string, place: string): Promise<string> {
  let printed = '';
  const terminal = {
    out: (data: string | Uint8Array) => {
      printed += String(data);
    },
    say: () => {},
    progress: () => {},
    isInteractive: false,
    columns: 80,
  };
  await run(['grow', name, '--bytes', bytes, '--nbd', place, '-o', 'json'], terminal);
  return printed;
}

/** What the command says that fails. */
async function fault(name: string, bytes: string, place: string): Promise<string> {
  return grow(name, bytes, place).then(
    (printed) => `not refused: ${printed}`,
    (error: unknown) => String(error),
  );
}

async function serving(
  body: (pool: Pool, server: NbdServer, place: string) => Promise<void>,
  options: Partial<NbdServerOptions> = {},
): Promise<void> {
  const disk = device();
  const pool = await poolOn(disk);
  for (const name of ['db', 'fixed']) await pool.createVolume({ name, bytes: MiB });
  const place = `unix:${join(folder, `${count++}.sock`)}`;
  const exports = ['db', 'fixed'].map((name) => {
    return exportOfVolume(pool, name, { canGrow: name === 'db' });
  });
  const server = await NbdServer.start({ exports, listen: [place, 'tcp:127.0.0.1:0'], ...options });
  try {
    await body(pool, server, place);
  } finally {
    await server.close();
  }
  disk.forget();
  const again = await Pool.open([disk], { isReadOnly: true });
  assert.is(again.volume('db').object.bytes, pool.volume('db').object.bytes, 'it is durable');
}

test('it grows over a socket and over TCP, and is larger at once', async () => {
  await serving(async (pool, server, place) => {
    assert.equal(JSON.parse(await grow('db', '2m', place)), { name: 'db', bytes: 2 * MiB });
    assert.is(pool.volume('db').object.bytes, 2 * MiB);
    const { hostname, port } = new URL(server.uris[1]!);
    await grow('db', '3m', `tcp:${hostname}:${port}`);
    assert.is(pool.volume('db').object.bytes, 3 * MiB);
    assert.is(server.status.violations, 0);
  });
});

test('what is refused is told with the reason, and changes nothing', async () => {
  await serving(async (pool, _, place) => {
    assert.match(await fault('db', '512k', place), /db has 1048576 bytes; it cannot shrink/);
    assert.match(
      await fault('db', '17t', place),
      /4096 to 17592186044416 bytes, not 18691697672192/,
    );
    assert.match(await fault('fixed', '2m', place), /lets nobody resize fixed: it needs --allow/);
    assert.match(await fault('none', '2m', place), /there is no export 'none'/);
    for (const name of ['db', 'fixed']) assert.is(pool.volume(name).object.bytes, MiB);
  });
});

test('a server that wants TLS is named as one', async () => {
  const { serverKey: key, serverCertificate: certificate } = certificates;
  const tls = { key, certificate, isRequired: true };
  await serving(
    async (_, __, place) => assert.match(await fault('db', '2m', place), /it wants TLS/),
    { tls },
  );
});

test('who is no server, or none for NBD, is no reason to wait', async () => {
  const nobody = `unix:${join(folder, 'nobody.sock')}`;
  assert.match(await fault('db', '2m', nobody), /nobody.sock: .*ENOENT/);
  assert.match(await fault('db', '2m', 'disk.img'), /the forms are 'unix:PATH'/);
  const path = join(folder, 'web.sock');
  const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => web.listen(path, resolve));
  assert.match(await fault('db', '2m', `unix:${path}`), /is no NBD server for this/);
  const silent = join(folder, 'silent.sock');
  const closer = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => closer.listen(silent, resolve));
  assert.match(await fault('db', '2m', `unix:${silent}`), /has closed the connection/);
  web.close();
  closer.close();
});

/** What a server says up to the answer to the resize, in the bytes of the protocol. */
const greeting = `${hexOf('NBDMAGICIHAVEOPT')}0003`;
const replyMagic = '0003e889045565a9';
const structured = `${replyMagic}000000080000000100000000`;
const info = `${replyMagic}00000007000000030000000c00000000000000100000${'0201'}`;
const chosen = `${info}${replyMagic}000000070000000100000000`;
const cookie = '0000000000000000';

function hexOf(text: string): string {
  return Buffer.from(text).toString('hex');
}

/** What the command says to a server that talks like this, whatever it is asked. */
async function faultOf(said: string): Promise<string> {
  const path = join(folder, `${count++}.sock`);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(Buffer.from(said, 'hex'));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const text = await fault('db', '2m', `unix:${path}`);
  server.close();
  return text;
}

test('only what says that a resize is done is taken for that', async () => {
  const before = greeting + structured + chosen;
  const done = `668e33ef00010000${cookie}00000000`;
  assert.match(await faultOf(before + done), /not refused/);
  assert.match(await faultOf(`${before}67446698${'00000000'}${cookie}`), /not refused/);
  assert.match(await faultOf(`${before}67446698${'0000001c'}${cookie}`), /refuses .*: error 28/);
  const error = `668e33ef00018001${cookie}0000000a0000001c0004${hexOf('full')}`;
  assert.match(await faultOf(before + error), /refuses to make it larger: full/);
  for (const [what, answer] of [
    ['another magic', `668e33ee00010000${cookie}00000000`],
    ['an error that says nothing', `668e33ef00018001${cookie}00000000`],
    ['an error that is cut off', `668e33ef00018001${cookie}000000020000`],
    ['another type', `668e33ef00010001${cookie}00000000`],
    ['one that is not the last', `668e33ef00000000${cookie}00000000`],
    ['one with a payload', `668e33ef00010000${cookie}0000000400000000`],
    ['one that is too long', `668e33ef00018001${cookie}00010001`],
  ] as const) {
    assert.match(await faultOf(before + answer), /an answer that makes no sense/, what);
  }
});

test('a server that never comes to an end is left', async () => {
  const endless = greeting + structured + info.repeat(65);
  assert.match(await faultOf(endless), /more than 64 replies to one option/);
  // One that goes on after its answer is no reason for the command to go on.
  const path = join(folder, `${count++}.sock`);
  const talker = createServer({ allowHalfOpen: true });
  const left = new Promise<void>((resolve) => {
    talker.on('connection', (socket) => {
      const talk = setInterval(() => socket.write('and so on'), 1);
      socket.on('error', () => {});
      socket.on('close', () => {
        clearInterval(talk);
        resolve();
      });
    });
  });
  await new Promise<void>((resolve) => talker.listen(path, resolve));
  assert.match(await fault('db', '2m', `unix:${path}`), /it greets otherwise/);
  await left;
  talker.close();
});

test.run();
