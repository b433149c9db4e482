import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import * as assert from 'uvu/assert';
import { native } from '../../../native/index.js';
import { NbdServer, type NbdServerOptions } from '../../../sdk/nbd/server.js';
import { openSockets } from '../../../sdk/sockets/open.js';
import type { LocalSockets } from '../../../sdk/sockets/stream.js';
import { Peer } from '../../support/nbd-peer.js';
import { fromHex, option, request, WatchedDevice } from '../../support/nbd-rig.js';
import { skip, suite } from '../../support/suite.js';
import * as certificates from '../../support/test-certificates.js';
import { codeOf } from '../volume/rig.js';

const test = suite('NBD server');
const folder = mkdtempSync(join(tmpdir(), 'ultima-nbd-'));
let count = 0;

test.after(() => rmSync(folder, { recursive: true }));

function freshPath(): string {
  return join(folder, `${count++}.sock`);
}

/** Over node:net, and once more with the addon's sockets where there are any. */
async function serving(
  body: (server: NbdServer, device: WatchedDevice) => Promise<void>,
  options: Partial<NbdServerOptions> = {},
): Promise<void> {
  await servingAt(null, body, options);
  if (!native.isAvailable || options.tls !== undefined) return;
  const sockets = await openSockets();
  assert.ok(sockets.isPolled);
  await servingAt(sockets, body, options);
  sockets.close();
}

async function servingAt(
  sockets: LocalSockets | null,
  body: (server: NbdServer, device: WatchedDevice) => Promise<void>,
  options: Partial<NbdServerOptions>,
): Promise<void> {
  const device = new WatchedDevice(4096);
  const exports = [{ name: 'disk', device }];
  const listen = [`unix:${freshPath()}`];
  const server = await NbdServer.start({
    ...(sockets && { sockets }),
    exports,
    listen,
    ...options,
  });
  try {
    await body(server, device);
  } finally {
    await server.close();
  }
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 9)) & 0xff));
}

test('clients at a UNIX socket and at a port share one device', () =>
  serving(
    async (server) => {
      const [first, second] = server.uris.map((uri) => Peer.to(uri));
      await Promise.all([first!.go(), second!.go()]);
      const data = pattern(300_032);
      assert.is(await first!.write(512, data), 0);
      assert.equal(await second!.read(512, data.length), data);
      assert.is(server.status.connections, 2);
      assert.is(server.status.requests, 2);
      for (const peer of [first!, second!]) {
        peer.say(request({ command: 2 }));
        await peer.closed();
      }
      while (server.status.connections > 0) await new Promise((resolve) => setImmediate(resolve));
      assert.is(server.status.requests, 2, 'of connections that are gone, too');
    },
    { listen: [`unix:${freshPath()}`, 'tcp:127.0.0.1:0'] },
  ));

test('many requests at once, from several connections of a client', () =>
  serving(async (server) => {
    const peers = Array.from({ length: 4 }, () => Peer.to(server.uris[0]!));
    const data = pattern(4096 * 64);
    await peers[0]!.go();
    await peers[0]!.write(0, data);
    await Promise.all(
      peers.map(async (peer, i) => {
        if (i > 0) await peer.go();
        const blocks = Array.from({ length: 64 }, (_, k) => (k * 13 + i) % 64);
        peer.say(
          ...blocks.map((block) =>
            request({ command: 0, cookie: block, offset: block * 4096, length: 4096 }),
          ),
        );
        for (const _ of blocks) {
          const block = (await peer.hear(16)).readUInt32BE(12);
          assert.equal(await peer.hear(4096), data.subarray(block * 4096, (block + 1) * 4096));
        }
      }),
    );
  }));

test('reads that are larger than all buffers go on whenever the client has read', () =>
  serving(async (server, device) => {
    const peer = Peer.to(server.uris[0]!);
    await peer.go();
    const length = device.blockCount * 512;
    const data = pattern(length);
    await peer.write(0, data);
    const words = { command: 0, length };
    peer.socket.pause();
    peer.say(...Array.from({ length: 4 }, (_, cookie) => request({ ...words, cookie })));
    // Until nothing moves any more: the server waits for the client.
    for (let before = -1; before !== device.log.length; ) {
      before = device.log.length;
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    peer.socket.resume();
    for (let cookie = 0; cookie < 4; cookie++) {
      assert.is((await peer.hear(16)).readUInt32BE(12), cookie);
      assert.ok((await peer.hear(length)).equals(data));
    }
  }));

test('while nothing is under way the devices are left alone', () =>
  serving(async (server, device) => {
    const peer = Peer.to(server.uris[0]!);
    await peer.go();
    await peer.write(0, pattern(512));
    const rounds = 5000;
    const before = device.polls;
    for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve));
    const looks = device.polls - before;
    assert.ok(looks < rounds / 4, `${looks} looks in ${rounds} rounds of the event loop`);
    assert.equal(await peer.read(0, 512), pattern(512));
  }));

test('time that only passes when it is asked to passes while requests are under way', async () => {
  let nowNs = 0;
  const clock = {
    nowNs: () => nowNs,
    idle: (untilNs: number) => {
      nowNs = untilNs;
      device.isHeld = nowNs < 20_000_000;
    },
    turn: async () => {},
  };
  const device = new WatchedDevice(8, 512, 8, clock);
  device.isHeld = true;
  const exports = [{ name: 'disk', device }];
  const server = await NbdServer.start({ exports, listen: [`unix:${freshPath()}`] });
  const peer = Peer.to(server.uris[0]!);
  await peer.go();
  assert.is(await peer.write(0, pattern(512)), 0);
  assert.ok(nowNs >= 20_000_000);
  await server.close();
});

test('a client that breaks the rules loses its connection, the others do not notice', () =>
  serving(async (server) => {
    const [good, bad, half] = [0, 1, 2].map(() => Peer.to(server.uris[0]!));
    await Promise.all([good!.go(), bad!.go(), half!.go()]);
    half!.say(request({ command: 1, length: 4096 }), Buffer.alloc(1000));
    bad!.say(Buffer.alloc(28));
    await bad!.closed();
    half!.socket.destroy();
    assert.is(await good!.write(0, pattern(512)), 0);
    assert.equal(await good!.read(0, 512), pattern(512));
    assert.is(server.status.violations, 1);
    assert.match(server.status.lastViolation, /magic/);
  }));

test('who never says what it wants is cut off, and so is who comes when all places are taken', () =>
  serving(
    async (server) => {
      const slow = Peer.to(server.uris[0]!);
      await slow.hear(18);
      const late = Peer.to(server.uris[0]!);
      await late.closed();
      await slow.closed();
      const next = Peer.to(server.uris[0]!);
      await next.go();
    },
    { mostConnections: 1, negotiationMs: 100 },
  ));

test('close answers what is under way, lets clients go and removes the socket', async () => {
  const device = new WatchedDevice(4096);
  const path = freshPath();
  const exports = [{ name: 'disk', device }];
  const server = await NbdServer.start({ exports, listen: [`unix:${path}`] });
  const peer = Peer.to(server.uris[0]!);
  await peer.go();
  peer.say(request({ command: 1, length: 512 }), pattern(512));
  await peer.hear(16);
  device.isHeld = true;
  peer.say(request({ command: 3 }));
  while (!device.log.includes('flush')) await new Promise((resolve) => setImmediate(resolve));
  const closing = server.close();
  device.isHeld = false;
  assert.equal(await peer.hear(16), fromHex('67446698 00000000 0000000000000001'));
  await peer.closed();
  await closing;
  assert.is(existsSync(path), false);
});

test('a client that is cut off hears nothing of what was under way, however it ends', () =>
  serving(async (server, device) => {
    const peer = Peer.to(server.uris[0]!);
    await peer.go();
    device.isHeld = true;
    peer.say(request({ command: 1, length: 512 }), pattern(512));
    while (device.log.length === 0) await new Promise((resolve) => setImmediate(resolve));
    server.cut();
    device.isHeld = false;
    await peer.closed();
    const silent = await peer.hear(1).then(
      () => 'an answer',
      (error: Error) => error.message,
    );
    assert.is(silent, 'closed after 0 of 1 bytes');
    await server.close();
    assert.is(server.status.violations, 0);
  }));

test('a place where somebody listens is not taken, what a killed server left is', async () => {
  await serving(async (server) => {
    const path = decodeURIComponent(/socket=(.*)$/.exec(server.uris[0]!)![1]!);
    const exports = [{ name: 'disk', device: new WatchedDevice(8) }];
    const again = NbdServer.start({ exports, listen: [`unix:${path}`] });
    const error: unknown = await again.catch((thrown: unknown) => thrown);
    assert.ok(error instanceof Error);
    assert.match(error.message, `another process listens at ${path}`);
  });
  const left = freshPath();
  // A bound socket that nobody listens at any more stays when its process is killed.
  const listening = `require('net').createServer().listen(${JSON.stringify(left)}, end)`;
  const script = `const end = () => process.kill(process.pid, 'SIGKILL'); ${listening}`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok(existsSync(left));
  await serving(async (server) => Peer.to(server.uris[0]!).go(), { listen: [`unix:${left}`] });
});

test('a place that cannot be says why', async () => {
  const exports = [{ name: 'disk', device: new WatchedDevice(8) }];
  const messageOf = async (...listen: readonly string[]): Promise<string> => {
    try {
      await NbdServer.start({ exports, listen });
      return '';
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
  };
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  assert.match(await messageOf(`unix:${file}`), /is there and is no socket/);
  assert.match(await messageOf(`unix:${folder}/none/s`), /its folder is not there/);
  assert.match(await messageOf(`unix:${'x'.repeat(200)}`), /200 bytes; 1 to 107/);
  assert.match(await messageOf('unix:'), /0 bytes/);
  assert.match(await messageOf('tcp:127.0.0.1:99999'), /port 99999 is above 65535/);
  assert.match(await messageOf('pipe:x'), /the forms are/);
  assert.match(await messageOf('tcp:192.0.2.1:0'), /no such address/);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const free = freshPath();
  const message = await messageOf(`unix:${free}`, `tcp:127.0.0.1:${port}`);
  assert.match(message, `another process listens at 127.0.0.1:${port}`);
  assert.is(existsSync(free), false, 'all places or none');
  taken.close();
});

test('a folder without rights says so', async () => {
  if (process.getuid?.() === 0) {
    skip('running as root: every folder can be written');
    return;
  }
  const closed = join(folder, 'closed');
  mkdirSync(closed);
  chmodSync(closed, 0o500);
  const exports = [{ name: 'disk', device: new WatchedDevice(8) }];
  const start = NbdServer.start({ exports, listen: [`unix:${closed}/s`] });
  const error: unknown = await start.catch((thrown: unknown) => thrown);
  assert.ok(error instanceof Error);
  assert.match(error.message, /no right to make a socket there/);
});

test('exports that cannot be are refused before anything listens', async () => {
  const device = new WatchedDevice(8);
  const path = freshPath();
  const start = (...exports: NbdServerOptions['exports']) =>
    codeOf(NbdServer.start({ exports, listen: [`unix:${path}`] }));
  assert.is(await start(), 'RangeError');
  assert.is(await start({ name: '', device }), 'RangeError');
  assert.is(await start({ name: 'x'.repeat(257), device }), 'RangeError');
  assert.is(await start({ name: 'x', device }, { name: 'x', device }), 'NAME_TAKEN');
  const odd = new WatchedDevice(8, 520);
  assert.is(await start({ name: 'x', device: odd }), 'DEVICE_UNSUPPORTED');
  assert.is(existsSync(path), false);
});

const tls = { key: certificates.serverKey, certificate: certificates.serverCertificate };

async function secured(server: NbdServer): Promise<Peer> {
  const peer = Peer.to(server.uris[0]!);
  await peer.hear(18);
  peer.say(fromHex('00000003'), option(5));
  assert.is((await peer.hear(20)).readUInt32BE(12), 1);
  await peer.secure();
  return peer;
}

test('a connection that asks for it is encrypted from then on', () =>
  serving(
    async (server) => {
      const peer = await secured(server);
      peer.say(option(1, Buffer.from('disk')));
      assert.is((await peer.hear(10)).readUInt32BE(4), 4096 * 512);
      const data = pattern(300_032);
      assert.is(await peer.write(0, data), 0);
      assert.equal(await peer.read(0, data.length), data);
      peer.say(request({ command: 2 }));
      await peer.closed();
      const plain = Peer.to(server.uris[0]!);
      await plain.go();
      assert.equal(await plain.read(0, 512), data.subarray(0, 512));
    },
    { tls },
  ));

test('clients without a certificate that is asked for do not come in', () =>
  serving(
    async (server) => {
      const peer = await secured(server);
      peer.say(option(1, Buffer.from('disk')));
      await peer.hear(10);
      const { strangerCertificate: cert, strangerKey: key } = certificates;
      for (const shown of [{}, { cert, key }]) {
        const nobody = Peer.to(server.uris[0]!);
        await nobody.hear(18);
        nobody.say(fromHex('00000003'), option(5));
        await nobody.hear(20);
        nobody.socket.removeAllListeners('data');
        const refuses = { rejectUnauthorized: false };
        connectTls({ socket: nobody.socket, ...refuses, ...shown }).on('error', () => {});
        await nobody.closed();
      }
      assert.is(server.status.requests, 0);
      const plain = Peer.to(server.uris[0]!);
      assert.match(await plain.go().then(String, String), /refused with 80000005/);
    },
    { tls: { ...tls, authority: certificates.authority, isRequired: true } },
  ));

test('certificates that are none are named', async () => {
  const exports = [{ name: 'disk', device: new WatchedDevice(8) }];
  const bad = { key: 'no', certificate: 'no' };
  const start = NbdServer.start({ exports, listen: [`unix:${freshPath()}`], tls: bad });
  assert.is(await codeOf(start), 'FILE_INVALID');
});

test.run();
