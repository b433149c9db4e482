import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { FileDevice } from '../../../sdk/block/file.js';
import { readBlocks } from '../../../sdk/block/promised.js';
import { controlSockets } from '../../../sdk/cli/control-place.js';
import { encodeRequest } from '../../../sdk/cli/control-wire.js';
import { FileStore } from '../../../sdk/cluster/file-store.js';
import { StoreServer } from '../../../sdk/cluster/store-server.js';
import { MiB } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { stillClock } from '../../support/crash-device.js';
import { Peer } from '../../support/nbd-peer.js';
import { ServedPool, saying } from '../../support/served-pool.js';
import { suite } from '../../support/suite.js';
import { at } from './spawned.js';

const test = suite('commands for a pool that another process serves');
const rig = new ServedPool();
test.after(() => rig.end());
const blockBytes = 4096;
const blocks = 16;

test.before(async () => {
  const { ended } = rig.start(`pool create ${rig.disk} --bytes 32m`);
  assert.is((await ended).code, 0);
  await rig.succeed('volume create db --bytes 1m --checks');
  await rig.succeed('volume create log --bytes 1m');
  await rig.serve('db');
});

/** A block that tells which write it is of. */
function stamp(write: number): Buffer {
  const bytes = Buffer.alloc(blockBytes, write & 0xff);
  bytes.writeUInt32LE(write, 0);
  return bytes;
}

/** One write after the other, block by block, so that every state has a number. */
class Writer {
  issued = 0;
  answered = 0;
  private readonly peer = Peer.to(rig.uri);
  private isStopped = false;
  private running: Promise<void> = Promise.resolve();

  async start(): Promise<void> {
    await this.peer.go('db');
    this.running = this.write();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.running;
    this.peer.socket.destroy();
    await this.peer.closed();
  }

  private async write(): Promise<void> {
    while (!this.isStopped) {
      this.issued++;
      const offset = (this.issued % blocks) * blockBytes;
      assert.is(await this.peer.write(offset, stamp(this.issued)), 0);
      this.answered = this.issued;
    }
  }
}

/** The write that a state is of: the newest, when every other block is of the one before. */
function stateOf(bytes: Uint8Array): number {
  const found = Array.from({ length: blocks }, (_, i) => {
    const block = Buffer.from(bytes.buffer, bytes.byteOffset + i * blockBytes, blockBytes);
    const write = block.readUInt32LE(0);
    assert.ok(write === 0 || block.equals(stamp(write)), 'a block is torn');
    return write;
  });
  const newest = Math.max(...found);
  for (let i = 0; i < blocks; i++) {
    const last = newest - ((newest - i) % blocks);
    assert.is(found[i], last > 0 && last % blocks === i ? last : 0, `block ${i} of ${newest}`);
  }
  return newest;
}

interface Window {
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

test('a snapshot under a writing client is the state of one instant, all of what was answered in it', async () => {
  const writer = new Writer();
  await writer.start();
  const windows: Window[] = [];
  for (const name of ['s1', 's2', 's3']) {
    const least = writer.answered;
    await rig.succeed(`snapshot create db@${name} log@${name}`);
    windows.push({ name, least, most: writer.issued });
  }
  await writer.stop();
  assert.ok(windows[2]!.least > windows[0]!.most, 'it went on writing');
  assert.is(await rig.stop('SIGTERM'), 0);
  const file = await FileDevice.open({ path: rig.disk, clock: stillClock, isReadOnly: true });
  const pool = await Pool.open([file], { isReadOnly: true });
  for (const { name, least, most } of windows) {
    const bytes = new Uint8Array(blocks * blockBytes);
    await readBlocks(pool.snapshot('db', name), 0, bytes);
    const state = stateOf(bytes);
    assert.ok(state >= least && state <= most, `${name}: ${state} of ${least}..${most}`);
    assert.is(pool.snapshot('log', name).object.groupId, pool.snapshot('db', name).object.groupId);
  }
  await pool.close();
  file.close();
  await rig.serve('db');
});

const looks: readonly string[] = [
  'volume list',
  'volume list -o json',
  'volume describe db',
  'snapshot list db',
  'snapshot describe db@s1 -o json',
  'snapshot diff db@s1 db@s2',
  'snapshot diff db@s1 db -o json',
  'volume scrub db',
  'snapshot list none',
  'snapshot diff db log',
  'volume grow db --bytes 512k',
  'volume create db --bytes 1m',
  'snapshot delete db@none',
  'volume describe',
];

test('what a command says, and how it ends, is what it is without a server', async () => {
  const pool = `-p ${rig.disk}`;
  const lines = [...looks.map((line) => `${line} ${pool}`), `pool check ${rig.disk}`];
  const served = [];
  for (const line of lines) served.push(await saying(line));
  const beside = await rig.run('volume describe db');
  const fault = await rig.run('volume describe none');
  const described: unknown = JSON.parse((await saying(`pool describe ${rig.disk} -o json`)).out);
  assert.is(await rig.stop('SIGTERM'), 0);
  for (const [i, line] of lines.entries()) assert.equal(await saying(line), served[i], line);
  const alone: unknown = JSON.parse((await saying(`pool describe ${rig.disk} -o json`)).out);
  for (const key of ['pool', 'devices', 'volumes', 'snapshots', 'readOnly', 'findings']) {
    assert.equal(at(described, key), at(alone, key), key);
  }
  assert.equal(await rig.run('volume describe db'), beside);
  assert.equal(await rig.run('volume describe none'), fault);
  assert.equal([beside.code, fault.code], [0, 1]);
  for (const kind of ['', 'NOT_FOUND', 'POOL_INVALID', 'RangeError', 'NAME_TAKEN', 'USAGE']) {
    assert.ok(
      served.some(({ fault: said }) => said.startsWith(kind)),
      kind,
    );
  }
  await rig.serve('db');
});

/** A request, as far as the answer that it begins. */
async function begin(words: readonly string[]): Promise<Socket> {
  const [path] = controlSockets([rig.disk]);
  const socket = connect(path!);
  socket.on('error', () => {});
  socket.write(encodeRequest({ words, keyChecks: new Map() }));
  const [bytes] = await once(socket, 'data');
  assert.match(String(bytes), /^\{"kind":"started"\}\n/);
  return socket;
}

test('a server that is killed in the middle leaves it done or not done, and a sound pool', async () => {
  const pool = `-p ${rig.disk}`;
  for (let i = 0; i < 2; i++) {
    const socket = await begin(`snapshot create db@k${i} log@k${i} ${pool}`.split(' '));
    assert.is(await rig.stop('SIGKILL'), 'SIGKILL');
    socket.destroy();
    // Its socket is still there, and stands in nobody's way.
    assert.is(controlSockets([rig.disk]).length, 1);
    assert.is((await saying(`pool check ${rig.disk}`)).out, 'the pool is sound\n');
    const [db, log] = await Promise.all(
      ['db', 'log'].map(async (name) => (await saying(`snapshot list ${name} ${pool}`)).out),
    );
    assert.is(db!.includes(`\nk${i} `), log!.includes(`\nk${i} `), 'both or none');
    await rig.serve('db');
  }
});

test("a client that is killed in the middle is nobody else's loss", async () => {
  const peer = Peer.to(rig.uri);
  await peer.go('db');
  for (const line of ['volume scrub db', 'snapshot create db@mine', 'snapshot delete db@mine']) {
    const socket = await begin([...line.split(' '), '-p', rig.disk]);
    socket.destroy();
    assert.is(await peer.write(0, stamp(blocks)), 0);
    // A change that has begun is carried out.
    const list = await rig.succeed('snapshot list db');
    assert.is(list.includes('\nmine '), line === 'snapshot create db@mine', line);
  }
  peer.socket.destroy();
  await peer.closed();
  assert.is((await saying(`pool check ${rig.disk}`)).out, 'the pool is sound\n');
});

test('a volume that a client has open is not restored, and one that none has is', async () => {
  const peer = Peer.to(rig.uri);
  await peer.go('db');
  assert.is(await peer.write(0, stamp(16)), 0);
  const line = `snapshot restore db@s1 --keep undone -p ${rig.disk}`;
  assert.match(
    (await saying(line)).fault,
    /^VOLUME_BUSY: 1 client of process \d+ may use volume db/,
  );
  assert.equal(await peer.read(0, blockBytes), stamp(16));
  peer.socket.destroy();
  await peer.closed();
  let said = await saying(line);
  // The server has not seen yet that the client is gone.
  while (said.fault.startsWith('VOLUME_BUSY')) said = await saying(line);
  assert.is(said.fault, '');
  const next = Peer.to(rig.uri);
  await next.go('db');
  const then = await next.read(0, blockBytes);
  assert.ok(then.readUInt32LE(0) > 16, 'it is as the snapshot has it');
  next.socket.destroy();
  await next.closed();
});

test('what grows is larger for clients, and for the pool, at once', async () => {
  const peer = Peer.to(rig.uri);
  await peer.go('db');
  assert.is(await peer.write(2 * MiB, stamp(1)), 28);
  assert.match(await rig.succeed('volume grow db --bytes 4m'), /^volume +db\nsize +4\.19 MB/);
  assert.is(await peer.write(2 * MiB, stamp(1)), 0);
  peer.socket.destroy();
  await peer.closed();
  const total = async (): Promise<number> => {
    const { out } = await saying(`pool describe ${rig.disk} -o json`);
    return Number(at(JSON.parse(out), 'space', 'totalBytes'));
  };
  const before = await total();
  truncateSync(rig.disk, 40 * MiB);
  assert.is((await saying(`pool grow ${rig.disk}`)).fault, '');
  assert.is((await total()) - before, 8 * MiB);
  assert.is(await rig.stop('SIGTERM'), 0);
  assert.is((await saying(`pool check ${rig.disk}`)).out, 'the pool is sound\n');
});

test('the pool of a node can be looked at while it serves, and is changed by nobody else', async () => {
  const random = (bytes: Uint8Array): void => void randomFillSync(bytes);
  const clock = new MonotonicClock();
  const store = await FileStore.open({ folder: join(rig.folder, 'store'), clock, random });
  const server = await StoreServer.listen({ store, port: 0 });
  const { child, ended } = rig.start(
    `node n1 --pool ${rig.disk} --listen 127.0.0.1:0 --store ${server.endpoint}`,
  );
  const [said] = await once(child.stderr!, 'data');
  assert.match(String(said), /node n1 serves 0 members/);
  const pool = `-p ${rig.disk}`;
  assert.match((await saying(`volume list ${pool}`)).out, /\ndb /);
  assert.is((await saying(`pool check ${rig.disk}`)).out, 'the pool is sound\n');
  const { fault } = await saying(`snapshot create db@x ${pool}`);
  assert.match(fault, /^DEVICE_BUSY: the pool is that of node n1, and 'ultima cluster' changes/);
  child.kill('SIGTERM');
  assert.is((await ended).code, 0);
  assert.not.match((await saying(`snapshot list db ${pool}`)).out, /\nx /);
  await server.close();
  await store.close();
});

test.run();
