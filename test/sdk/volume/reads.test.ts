import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { Ring } from '../../../sdk/volume/ring.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { suite } from '../../support/suite.js';
import { versionOf } from '../../support/volume-model.js';
import { writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('reads of volumes');

interface Sent {
  readonly request: BlockRequest;
  readonly isEnded: () => boolean;
  readonly version: () => number;
}

/** A read of one sector, submitted and not polled. */
function send(volume: Volume, sector: number): Sent {
  let isEnded = false;
  const region = volume.memory.allocate(512);
  const request = new BlockRequest(() => {
    isEnded = true;
  });
  request.op = BlockOp.read;
  request.lba = sector;
  request.blockCount = 1;
  request.setData(region, 0, 512);
  volume.submit(request);
  return { request, isEnded: () => isEnded, version: () => versionOf(region.words, 0, sector) };
}

test('reads that are sent together each find their own place, in split maps and whole ones', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: 6 * MiB, blockBytes: 512 });
  // The first 64 extents get an entry for each cell, those behind them keep one each.
  for (let extent = 0; extent < 80; extent++) {
    await writeSectors(volume, extent * 128, 128, 1 + extent);
    if (extent === 0) await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  }
  await writeSectors(volume, 8, 8, 500);
  const sectors = Array.from({ length: 300 }, (_, i) => (i * 1237) % (80 * 128));
  const expected = sectors.map((at) => (at >= 8 && at < 16 ? 500 : 1 + Math.floor(at / 128)));
  const sent = sectors.map((sector) => send(volume, sector));
  assert.not.ok(sent.some(({ isEnded }) => isEnded()));
  volume.poll();
  assert.ok(
    sent.every(({ isEnded }) => isEnded()),
    'one poll takes reads to the device and back',
  );
  assert.equal(
    sent.map(({ version }) => version()),
    expected,
  );
});

test('a read that is sent before its volume is deleted never tells zeroes', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 128, 7);
  const read = send(volume, 5);
  await pool.deleteVolume('a');
  assert.ok(read.isEnded());
  assert.is(read.request.status, BlockStatus.notExecuted);
});

test('a ring keeps its order when it grows in the middle of a turn', () => {
  const ring = new Ring<number>(4);
  for (let i = 0; i < 3; i++) ring.push(i);
  for (let i = 0; i < 2; i++) assert.is(ring.shift(), i);
  for (let i = 3; i < 12; i++) ring.push(i);
  const seen = Array.from({ length: ring.count }, (_, i) => ring.at(i));
  assert.equal(seen, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  for (const item of seen) assert.is(ring.shift(), item);
  assert.is(ring.shift(), null);
});

test.run();
