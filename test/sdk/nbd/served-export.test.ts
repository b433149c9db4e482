import * as assert from 'uvu/assert';
import { BlockStatus } from '../../../sdk/block/request.js';
import { exportOfVolume } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import {
  chunksOf,
  contentOf,
  NbdRig,
  option,
  repliesOf,
  request,
  u16,
  u32,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';
import { stampSectors } from '../../support/volume-model.js';
import { readVersions, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from '../volume/rig.js';

const test = suite('NBD exports while they are served');
const KiB = 1024;
const command = { read: 0, write: 1, flush: 3, trim: 4, cache: 5, zeroes: 6 };

test('a cache is a read whose data stays here, and no more', () => {
  const disk = new WatchedDevice(2048);
  const client = new NbdRig(disk).connect();
  client.go();
  const answer = client.say(request({ command: command.cache, offset: 512, length: 600 * KiB }));
  assert.equal(
    chunksOf(answer).map(({ type, error, payload }) => [type, error, payload.length]),
    [[-1, 0, 0]],
  );
  assert.equal(disk.log, ['read 1+512', 'read 513+512', 'read 1025+176']);
  disk.failing.set(1030, BlockStatus.mediaError);
  const words = { command: command.cache, length: 600 * KiB };
  assert.is(chunksOf(client.say(request(words)))[0]!.error, 5);
  // What could not be cached can still be written and read elsewhere.
  assert.is(chunksOf(client.say(request({ command: command.read, length: 512 })))[0]!.error, 0);
});

test('every change of an export that writes through is durable when it is answered', () => {
  const disk = new WatchedDevice(64);
  const exports = [{ name: 'disk', device: disk, isWriteThrough: true }];
  const client = new NbdRig(disk, { exports }).connect();
  client.go();
  client.say(request({ command: command.write, length: 512 }), Buffer.alloc(512, 1));
  client.say(request({ command: command.trim, length: 1024 }));
  client.say(request({ command: command.zeroes, length: 1024 }));
  client.say(request({ command: command.zeroes, length: 1024, flags: 2 }));
  assert.equal(disk.log, [
    'write 0+1 fua',
    'discard 0+2',
    'flush',
    'writeZeroes 0+2',
    'flush',
    'write 0+2 fua',
  ]);
});

test('block status tells at most 1,024 extents at a time, and goes on from where it ended', () => {
  const pieces = 5000;
  const disk = new WatchedDevice(16 * pieces);
  const ranges = Array.from({ length: pieces }, (_, i) => {
    return { byteOffset: 8 * KiB * i, byteLength: 4 * KiB, isData: true };
  });
  const allocated = (start: number) =>
    ranges.filter(({ byteOffset, byteLength }) => byteOffset + byteLength > start);
  const exports = [{ name: 'disk', device: disk, metadata: { allocated } }];
  const client = new NbdRig(disk, { exports }).connect();
  client.heard();
  client.say('00000003', option(8));
  const named = (name: string): Buffer => Buffer.concat([u32(name.length), Buffer.from(name)]);
  client.say(option(10, named('disk'), u32(1), named('base:allocation')));
  client.say(option(7, named('disk'), u16(0)));
  const end = 8 * KiB * pieces;
  let offset = 0;
  let answers = 0;
  while (offset < end) {
    const words = { command: 7, offset, length: end - offset };
    const [chunk] = chunksOf(client.say(request(words)));
    assert.is(chunk!.type, 5);
    const extents = (chunk!.payload.length - 4) / 8;
    assert.ok(extents >= 1 && extents <= 1024, `${extents} extents`);
    for (let i = 0; i < extents; i++) {
      assert.is(chunk!.payload.readUInt32BE(4 + 8 * i), 4 * KiB);
      assert.is(chunk!.payload.readUInt32BE(8 + 8 * i), offset % (8 * KiB) === 0 ? 0 : 3);
      offset += 4 * KiB;
    }
    answers++;
  }
  assert.is(answers, Math.ceil((2 * pieces) / 1024));
});

test('block status waits for a client that does not read, and loses nothing of it', () => {
  const disk = new WatchedDevice(16 * 1024);
  const ranges = Array.from({ length: 1024 }, (_, i) => {
    return { byteOffset: 8 * KiB * i, byteLength: 4 * KiB, isData: true };
  });
  const exports = [{ name: 'disk', device: disk, metadata: { allocated: () => ranges } }];
  const client = new NbdRig(disk, { exports }).connect();
  const context = 'base:allocation';
  const chosen = [u32(4), Buffer.from('disk'), u32(1), u32(context.length), Buffer.from(context)];
  client.go({ options: [option(10, ...chosen)] });
  client.stream.isStuck = true;
  // Each answer has 8 KiB: together more than all that is kept for a client.
  const count = 700;
  const words = { command: 7, length: 8 * KiB * 1024 };
  const many = Array.from({ length: count }, (_, i) => request({ ...words, cookie: i }));
  client.say(...many);
  assert.is(client.stream.isReading, false);
  client.stream.isStuck = false;
  const chunks = chunksOf(client.heard());
  assert.equal(
    chunks.map(({ cookie, type, payload }) => [cookie, type, payload.length]),
    Array.from({ length: count }, (_, i) => [i, 5, 4 + 8 * 1024]),
  );
});

/** A volume served, written to through NBD without a flush, and its process gone. */
async function killedWithout(isWriteThrough: boolean): Promise<number> {
  const disk = device();
  const pool = await poolOn(disk);
  await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  const exports = [exportOfVolume(pool, 'db', { isWriteThrough })];
  const client = new NbdRig(new WatchedDevice(8), { exports }).connect();
  client.go({ name: 'db' });
  const data = Buffer.alloc(4 * KiB);
  stampSectors(data, 8, 7);
  const words = { command: command.write, offset: 4 * KiB, length: 4 * KiB };
  assert.is(chunksOf(client.say(request(words), data))[0]!.error, 0);
  disk.forget();
  const again = await Pool.open([disk], { isReadOnly: true });
  return (await readVersions(again.volume('db')))[8]!;
}

test('what was answered is there after the server was killed, where it writes through', async () => {
  assert.is(await killedWithout(true), 7);
  assert.is(await killedWithout(false), 0);
});

test('a volume that grows is larger for who comes later, and takes more of who is there', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  const rig = new NbdRig(new WatchedDevice(8), { exports: [exportOfVolume(pool, 'db')] });
  const early = rig.connect();
  early.go({ name: 'db' });
  const tail = { command: command.read, offset: MiB, length: 4 * KiB };
  assert.is(chunksOf(early.say(request(tail)))[0]!.error, 22);
  await pool.growVolume('db', 2 * MiB);
  await writeSectors(volume, 2048, 8, 1);
  const late = rig.connect();
  late.heard();
  late.say('00000003', option(8));
  const told = repliesOf(late.say(option(7, u32(2), Buffer.from('db'), u16(0))));
  assert.is(Number(told[0]!.data.readBigUInt64BE(2)), 2 * MiB);
  for (const client of [early, late]) {
    assert.is(contentOf(chunksOf(client.say(request(tail))), tail)!.readUInt32LE(0), 1);
  }
  const data = Buffer.alloc(4 * KiB);
  stampSectors(data, 4088, 2);
  const writing = { command: command.write, offset: 2 * MiB - 4 * KiB, length: 4 * KiB };
  assert.is(chunksOf(early.say(request(writing), data))[0]!.error, 0);
  assert.is((await readVersions(volume))[4088], 2);
  const beyond = { ...writing, offset: 2 * MiB };
  assert.is(chunksOf(early.say(request(beyond), data))[0]!.error, 28);
  await pool.close();
});

test.run();
