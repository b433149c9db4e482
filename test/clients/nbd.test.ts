import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { Prng } from '../../sim/prng.js';
import { Peer } from '../support/nbd-peer.js';
import { skip, suite } from '../support/suite.js';
import * as certificates from '../support/test-certificates.js';
import { main, run, Served, succeed, ultima } from './served.js';

const test = suite('NBD clients');
const MiB = 1024 * 1024;

/** What Debian's packages libnbd-bin, qemu-utils and fio bring. */
const tools = ['nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io', 'qemu-nbd', 'fio'] as const;

const missing = tools.filter((tool) => spawnSync('which', [tool]).status !== 0);

/** @returns false, having said why, where the clients are not installed */
function hasClients(): boolean {
  if (missing.length === 0) return true;
  skip(`no NBD clients: ${missing.join(', ')} not installed`);
  return false;
}

function statement(title: string, body: (served: Served) => Promise<void>): void {
  test(title, async () => {
    if (!hasClients()) return;
    const served = new Served();
    try {
      await body(served);
    } finally {
      await served.end();
    }
  });
}

/** An image with data, with zeroes and with a tail, the same each time. */
function image(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  const prng = new Prng(1, 'image');
  prng.fill(data.subarray(0, bytes / 4));
  prng.fill(data.subarray(bytes / 2, bytes / 2 + 100_000));
  prng.fill(data.subarray(bytes - 5000));
  return data;
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

statement('nbdinfo reads size, flags and block sizes of a card', async (served) => {
  await served.start('device', 'sim:simple?bytes=64MiB', '--name', 'card');
  const { exports } = JSON.parse(await succeed('nbdinfo', '--json', served.uri));
  // The second is what newer ones tell: that contexts can be chosen request by request.
  const { uri: _, can_block_status_payload: __, ...first } = exports[0];
  assert.equal(first, {
    'export-name': 'card',
    description: 'sim:simple?bytes=64MiB',
    content: 'data',
    contexts: ['base:allocation'],
    is_rotational: false,
    is_read_only: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 512,
    block_size_preferred: 4096,
    block_size_maximum: 32 * MiB,
    'export-size': 64 * MiB,
    'export-size-str': '64M',
  });
  assert.match(await succeed('nbdinfo', '--list', served.uri), 'export="card"');
  assert.is(await served.stop('SIGTERM'), 0);
});

statement('nbdcopy and qemu-img copy an image there and back, bit by bit', async (served) => {
  const source = served.file('in.img');
  writeFileSync(source, image(16 * MiB));
  await served.start('device', 'sim:simple?bytes=16MiB');
  await succeed('nbdcopy', source, served.uri);
  await succeed('nbdcopy', served.uri, served.file('out.img'));
  assert.is(hashOf(served.file('out.img')), hashOf(source));
  await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, served.uri);
  await succeed('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', served.uri, served.file('q'));
  await succeed(
    'qemu-img',
    'convert',
    '-n',
    '-f',
    'qcow2',
    '-O',
    'raw',
    served.file('q'),
    served.uri,
  );
  await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', served.uri, served.file('q'));
  writeFileSync(source, image(16 * MiB).fill(1, 12_345, 12_346));
  const different = await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, served.uri);
  assert.is(different.code, 1, 'one byte is enough');
});

statement(
  'qemu-io: patterns, FUA, flush, zeroes with and without holes, discards',
  async (served) => {
    await served.start('device', 'sim:simple?bytes=16MiB');
    const io = (...commands: readonly string[]) =>
      run('qemu-io', '-f', 'raw', ...commands.flatMap((each) => ['-c', each]), served.uri);
    const good = await io(
      'write -P 0x5a 1M 3M',
      'write -f -P 0xa5 512 4096',
      'write -z 2M 64k',
      'write -z -u 2560k 1M',
      'discard 3584k 64k',
      'flush',
      'read -P 0xa5 512 4096',
      'read -P 0x5a 1M 1M',
      'read -P 0 2M 64k',
      'read -P 0 2560k 1M',
      'read -P 0x5a 3648k 448k',
      'aio_write -P 0x11 8M 1M',
      'aio_write -P 0x22 9M 1M',
      'aio_flush',
      'read -P 0x11 8M 1M',
      'read -P 0x22 9M 1M',
    );
    assert.is(good.code, 0, good.out);
    assert.not.match(good.out, /verification failed/);
    const bad = await io('read -P 0x5b 1M 4k');
    assert.match(bad.out, /Pattern verification failed at offset 1048576/);
  },
);

/** fio writes and verifies; at these depths. */
const depths: readonly number[] = [1, 8, 32];

function fioWords(served: Served, ...words: readonly string[]): string[] {
  const place = ['--ioengine=nbd', `--uri=${served.uri}`, `--aux-path=${served.folder}`];
  return ['--name=w', '--bs=4k', '--size=8M', '--verify=crc32c', ...place, ...words];
}

statement('fio writes at random and verifies every block, at several depths', async (served) => {
  await served.start('device', 'sim:simple?bytes=8MiB');
  for (const depth of depths) {
    const words = ['--rw=randwrite', `--iodepth=${depth}`, '--do_verify=1', '--minimal'];
    await succeed('fio', ...fioWords(served, ...words, '--fsync=64', '--trim_percentage=0'));
  }
});

statement('fio finds what was changed behind its back, and says where', async (served) => {
  const card = served.file('card.img');
  await served.start('device', `sim:simple?bytes=8MiB&file=${card}`);
  await succeed('fio', ...fioWords(served, '--rw=write', '--do_verify=0', '--end_fsync=1'));
  assert.is(await served.stop('SIGTERM'), 0);
  // The file starts with a raw image of the namespace.
  const file = openSync(card, 'r+');
  writeSync(file, Buffer.from([1, 2, 3]), 0, 3, 5 * MiB + 4096 * 3 + 100);
  closeSync(file);
  await served.start('device', `sim:simple?bytes=8MiB&file=${card}`);
  const words = fioWords(served, '--rw=read', '--do_verify=1', '--verify_fatal=1');
  const { code, out } = await run('fio', ...words);
  assert.is.not(code, 0);
  assert.match(out, `offset ${5 * MiB + 4096 * 3}, length`);
});

/** Write, kill the server while fio runs, serve again, verify by fio's own record. */
async function killedWhileWriting(served: Served, flushes: boolean): Promise<number | null> {
  const card = `sim:simple?bytes=8MiB&file=${served.file('card')}`;
  await served.start('device', card);
  const writing = ['--rw=randwrite', '--iodepth=1', '--do_verify=0', '--verify_state_save=1'];
  const trigger = ['--trigger-timeout=1', `--trigger=kill -9 ${served.pid}`, '--rate_iops=1000'];
  const flush = flushes ? ['--fsync=1'] : [];
  await run('fio', ...fioWords(served, ...writing, ...flush, ...trigger));
  await served.stop('SIGKILL');
  await served.start('device', card);
  const verifying = ['--rw=randread', '--do_verify=1', '--verify_state_load=1'];
  return (await run('fio', ...fioWords(served, ...verifying))).code;
}

statement('the server is killed: what fio had flushed is there', async (served) => {
  assert.is(await killedWhileWriting(served, true), 0);
});

statement(
  'the server is killed: what nobody had flushed is lost, and fio sees it',
  async (served) => {
    assert.is.not(await killedWhileWriting(served, false), 0);
  },
);

statement(
  'a volume shows its holes, a snapshot stays, and what changed is listed',
  async (served) => {
    const disk = served.file('disk.img');
    await ultima('pool', 'create', disk, '--bytes', '64m');
    await ultima('volume', 'create', 'db', '--bytes', '16m', '--pool', disk);
    await served.start('volume', 'db', '--pool', disk);
    const io = (uri: string, ...commands: readonly string[]) =>
      succeed('qemu-io', '-f', 'raw', ...commands.flatMap((each) => ['-c', each]), uri);
    await io(served.uri, 'write -P 1 1M 1M', 'flush');
    const map = (uri: string, context: string): Promise<string> =>
      succeed('nbdinfo', `--map=${context}`, uri);
    const rows = (text: string): string[][] =>
      text
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/\s+/).slice(0, 3));
    assert.equal(rows(await map(served.uri, 'base:allocation')), [
      ['0', '1048576', '3'],
      ['1048576', '1048576', '0'],
      ['2097152', '14680064', '3'],
    ]);
    assert.is(await served.stop('SIGTERM'), 0);
    await ultima('snapshot', 'create', 'db@monday', '--pool', disk);
    await served.start('volume', 'db', 'db@monday', '--pool', disk);
    await io(served.uri, 'write -P 2 1028k 8k', 'discard 1536k 64k', 'write -P 3 8M 64k', 'flush');
    assert.equal(rows(await map(served.uri, 'ultima:diff-monday')), [
      ['0', '1052672', '0'],
      ['1052672', '8192', '1'],
      ['1060864', '512000', '0'],
      ['1572864', '65536', '3'],
      ['1638400', '6750208', '0'],
      ['8388608', '65536', '1'],
      ['8454144', '8323072', '0'],
    ]);
    const { out } = await run(
      'qemu-io',
      '-f',
      'raw',
      '-r',
      '-c',
      'read -P 1 1M 1M',
      served.uriOf('db@monday'),
    );
    assert.not.match(out, /verification failed/);
    const refused = await run(
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'write 0 4k',
      served.uriOf('db@monday'),
    );
    assert.is.not(refused.code, 0);
    assert.is(await served.stop('SIGTERM'), 0);
    await ultima('pool', 'check', disk);
  },
);

statement('terabytes are told in one answer to who knows lengths of 64 bits', async (served) => {
  const disk = served.file('disk.img');
  const TiB = 1024 * 1024 * MiB;
  await ultima('pool', 'create', disk, '--bytes', '64m');
  await ultima('volume', 'create', 'db', '--bytes', '8t', '--pool', disk);
  await served.start('volume', 'db', '--pool', disk);
  const { extended, structured } = JSON.parse(await succeed('nbdinfo', '--json', served.uri));
  // libnbd knows extended headers since 1.18, and says so.
  assert.ok(extended === true || (extended === undefined && structured === true));
  const words = ['-c', 'write -P 5 6T 1M', '-c', 'write -z -u 1T 1G', '-c', 'discard 2T 1G'];
  await succeed('qemu-io', '-f', 'raw', ...words, '-c', 'read -P 5 6T 1M', served.uri);
  const map = await succeed('nbdinfo', '--map', served.uri);
  const rows = map
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).slice(0, 3));
  assert.equal(rows, [
    ['0', `${6 * TiB}`, '3'],
    [`${6 * TiB}`, `${MiB}`, '0'],
    [`${6 * TiB + MiB}`, `${2 * TiB - MiB}`, '3'],
  ]);
});

statement('a volume that has grown is larger when it is served again', async (served) => {
  const disk = served.file('disk.img');
  await ultima('pool', 'create', disk, '--bytes', '64m');
  await ultima('volume', 'create', 'db', '--bytes', '16m', '--pool', disk);
  const words = ['volume', 'db', '--pool', disk, '--write-through'];
  await served.start(...words);
  assert.is((await succeed('nbdinfo', '--size', served.uri)).trim(), `${16 * MiB}`);
  assert.is(await served.stop('SIGTERM'), 0);
  await ultima('volume', 'grow', 'db', '--bytes', '24m', '--pool', disk);
  await served.start(...words);
  assert.is((await succeed('nbdinfo', '--size', served.uri)).trim(), `${24 * MiB}`);
  await succeed('qemu-io', '-f', 'raw', '-c', 'write -P 7 20M 1M', '-c', 'flush', served.uri);
});

statement('a volume grows while it is served, and every client sees that', async (served) => {
  const disk = served.file('disk.img');
  await ultima('pool', 'create', disk, '--bytes', '64m');
  await ultima('volume', 'create', 'db', '--bytes', '16m', '--pool', disk);
  await served.start('volume', 'db', '--pool', disk, '--allow-resize');
  const listed = await succeed('qemu-nbd', '--list', '--socket', served.socket);
  assert.match(listed, /flags: .*\bresize\b/);
  const early = Peer.to(served.uri);
  const asking = Peer.to(served.uri);
  for (const peer of [early, asking]) await peer.go('db');
  const data = Buffer.alloc(4096, 7);
  assert.is(await early.write(20 * MiB, data), 28, 'beyond the end');
  assert.is(await asking.resize(24 * MiB), 0);
  assert.is(await early.write(20 * MiB, data), 0);
  assert.is((await succeed('nbdinfo', '--size', served.uri)).trim(), `${24 * MiB}`);
  const words = ['-f', 'raw', '-c', 'read -P 7 20M 4k', '-c', 'write -P 8 23M 1M', '-c', 'flush'];
  assert.not.match((await run('qemu-io', ...words, served.uri)).out, /failed/);
  assert.is(await asking.resize(16 * MiB), 22, 'it cannot shrink');
  await ultima('volume', 'grow', 'db', '--bytes', '32m', '--pool', disk);
  assert.is((await succeed('nbdinfo', '--size', served.uri)).trim(), `${32 * MiB}`);
  // Two processes would each go on from what they have read, where the one does not find the other.
  const elsewhere = `ULTIMA_RUNTIME_DIR=${served.file('elsewhere')}`;
  for (const words of [['grow', 'db', '--bytes', '48m'], ['list']]) {
    const command = [process.execPath, main, 'volume', ...words, '--pool', disk];
    const { code, out } = await run('env', elsewhere, ...command);
    assert.is(code, 1);
    assert.match(out, /disk.img is in use: another process/);
  }
  assert.is(await served.stop('SIGKILL'), 'SIGKILL');
  await served.start('volume', 'db', '--pool', disk);
  assert.is((await succeed('nbdinfo', '--size', served.uri)).trim(), `${32 * MiB}`);
  assert.not.match(await succeed('qemu-nbd', '--list', '--socket', served.socket), /resize/);
});

statement('a full pool fails the write that needs space and nothing else', async (served) => {
  const disk = served.file('disk.img');
  await ultima('pool', 'create', disk, '--bytes', '16m');
  await ultima('volume', 'create', 'db', '--bytes', '1t', '--pool', disk);
  await served.start('volume', 'db', '--pool', disk);
  const io = (...commands: readonly string[]) =>
    run('qemu-io', '-f', 'raw', ...commands.flatMap((each) => ['-c', each]), served.uri);
  const good = async (...commands: readonly string[]): Promise<void> => {
    const { code, out } = await io(...commands);
    assert.is(code, 0, out);
    assert.not.match(out, /failed|No space/);
  };
  await good('write -P 1 0 8M', 'flush');
  assert.not.match(served.said, /full to/);
  const full = await io('write -P 2 1G 16M');
  assert.match(full.out, /No space left on device/);
  assert.match(served.said, /the pool is full to 80 or more %: [\d.]+ [kM]?B are free/);
  await good('read -P 1 0 8M', 'write -P 3 1M 1M', 'read -P 3 1M 1M', 'flush');
  await good('discard 0 4M', 'discard 1G 16M', 'flush');
  await good('write -P 4 900G 4M', 'flush', 'read -P 4 900G 4M', 'read -P 0 0 4M');
  assert.match(served.said, /full to less than 80 %/);
  assert.is(await served.stop('SIGTERM'), 0);
  await ultima('pool', 'check', disk);
});

statement('maps that do not fit in memory are shown like those that do', async (served) => {
  const disk = served.file('disk.img');
  await ultima('pool', 'create', disk, '--bytes', '64m');
  await ultima('volume', 'create', 'db', '--bytes', '8g', '--pool', disk);
  const pool = ['--pool', disk];
  const io = (commands: readonly string[]) =>
    succeed('qemu-io', '-f', 'raw', ...commands.flatMap((each) => ['-c', each]), served.uri);
  const places = Array.from({ length: 120 }, (_, i) => `${67 * i}M`);
  await served.start('volume', 'db', ...pool);
  await io([...places.map((place) => `write -P 1 ${place} 8k`), 'flush']);
  await served.stop('SIGTERM');
  await ultima('snapshot', 'create', 'db@monday', ...pool);
  await served.start('volume', 'db', ...pool);
  const changes = places.map((place, i) => `${i % 3 === 0 ? 'discard' : 'write -P 2'} ${place} 4k`);
  await io([...changes, 'flush']);
  const maps = async (): Promise<string[]> => [
    await succeed('nbdinfo', '--map', served.uri),
    await succeed('nbdinfo', '--map=ultima:diff-monday', served.uri),
  ];
  const expected = await maps();
  assert.ok(expected.every((map) => map.split('\n').length > 200));
  await served.stop('SIGTERM');
  await served.start('volume', 'db', ...pool, '--map-cache', '16k');
  assert.equal(await maps(), expected);
});

statement(
  'an encrypted volume is served with its key, and its disk tells nothing',
  async (served) => {
    const disk = served.file('disk.img');
    const key = ['--key', `k1=file:${served.file('key')}`];
    writeFileSync(served.file('key'), randomBytes(64));
    await ultima('pool', 'create', disk, '--bytes', '64m');
    const making = ['create', 'db', '--bytes', '16m', '--pool', disk, '--encrypt-with', 'k1'];
    await ultima('volume', ...making, '--qos-tier', 'high', ...key);
    await served.start('volume', 'db', '--pool', disk, ...key);
    await succeed('qemu-io', '-f', 'raw', '-c', 'write -P 0x5a 1M 1M', '-c', 'flush', served.uri);
    assert.is(await served.stop('SIGKILL'), 'SIGKILL');
    assert.is(readFileSync(disk).includes(Buffer.alloc(16, 0x5a)), false);
    await served.start('volume', 'db', '--pool', disk, ...key);
    const { code, out } = await run('qemu-io', '-f', 'raw', '-c', 'read -P 0x5a 1M 1M', served.uri);
    assert.is(code, 0, out);
    assert.match(await succeed('nbdinfo', served.uri), 'tier high');
  },
);

statement('nbdcopy reads holes as zeroes', async (served) => {
  const disk = served.file('disk.img');
  await ultima('pool', 'create', disk, '--bytes', '64m');
  await ultima('volume', 'create', 'db', '--bytes', '16m', '--pool', disk);
  await served.start('volume', 'db', '--pool', disk);
  writeFileSync(served.file('in.img'), image(16 * MiB));
  await succeed('nbdcopy', served.file('in.img'), served.uri);
  // Without extents it reads all of it: holes come as chunks that say so.
  await succeed('nbdcopy', '--no-extents', served.uri, served.file('out.img'));
  assert.is(hashOf(served.file('out.img')), hashOf(served.file('in.img')));
});

statement('nbdinfo comes in over TLS with a certificate, and not in clear', async (served) => {
  const files = {
    'ca-cert.pem': certificates.authority,
    'server-cert.pem': certificates.serverCertificate,
    'server-key.pem': certificates.serverKey,
    'client-cert.pem': certificates.clientCertificate,
    'client-key.pem': certificates.clientKey,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(served.file(name), text);
  const words = ['--tls', served.folder, '--tls-required', '--nbd', 'tcp:127.0.0.1:0'];
  await served.start('device', 'memory:1MiB', ...words);
  const query = `socket=${served.file('s')}&tls-certificates=${served.folder}`;
  const secure = `nbds+unix://localhost/?${query}&tls-hostname=localhost`;
  const { code, out } = await run('nbdinfo', '--json', secure);
  assert.is(code, 0, out);
  assert.match(out, '"TLS": true');
  assert.is.not((await run('nbdinfo', served.uri)).code, 0);
});

test.run();
