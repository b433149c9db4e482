import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { stillClock } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { runRequest, writeSectors } from '../../support/volume-rig.js';
import { MiB } from './rig.js';

const test = suite('FUA on a volume');
const cell = 8;

test('a write with FUA over a place that is not recorded yet survives a power cut', async () => {
  const clock = stillClock;
  const size = { blockBytes: 512, blockCount: (64 * MiB) / 512 };
  const disk = new MemoryDevice({ ...size, clock, hasVolatileCache: true });
  const pool = await Pool.create([disk], { random: (bytes) => bytes.fill(7) });
  const volume = await pool.createVolume({ name: 'a', bytes: 16 * MiB, blockBytes: 4096 });
  // Every cell of the last write has a place, which no durable record names.
  await writeSectors(volume, 187 * cell, 5 * cell, 1);
  await writeSectors(volume, 191 * cell, 7 * cell, 2);
  await writeSectors(volume, 187 * cell, 8 * cell, 3, true);
  const region = disk.memory.allocate(8 * 4096);
  const read = { op: BlockOp.read, lba: 187, count: 8, region };
  await runRequest(volume, read);
  const before = region.bytes.slice();
  assert.ok(before.some((byte) => byte !== 0));
  disk.powerCut(() => false);
  const again = await Pool.open([disk]);
  assert.is(await runRequest(again.volume('a'), read), BlockStatus.ok);
  assert.ok(Buffer.from(before).equals(region.bytes), 'the place is lost');
});

test.run();
