import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { firstDifference } from '../../../sdk/cli/first-difference.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('first difference of two devices');
const bytes = 1024 * 1024;

async function filled(wrongByte: number): Promise<MemoryDevice> {
  const { clock } = new World();
  const device = new MemoryDevice({ blockBytes: 512, blockCount: bytes / 512, clock });
  const data = Uint8Array.from({ length: bytes }, (_, i) => i % 251);
  if (wrongByte >= 0) data[wrongByte]! ^= 1;
  await writeBlocks(device, 0, data);
  return device;
}

test('one wrong bit is found wherever it is, and only within the ranges', async () => {
  const good = await filled(-1);
  const all = [{ byteOffset: 0, byteLength: bytes }];
  assert.is(await firstDifference(good, await filled(-1), all), -1);
  for (const wrong of [0, 131_071, 131_072, 700_001, bytes - 1]) {
    assert.is(await firstDifference(good, await filled(wrong), all), wrong);
  }
  const ranges = [
    { byteOffset: 4096, byteLength: 8192 },
    { byteOffset: 524_288, byteLength: 4096 },
  ];
  const other = await filled(526_000);
  assert.is(await firstDifference(good, other, ranges), 526_000);
  assert.is(await firstDifference(good, other, ranges.slice(0, 1)), -1);
});

test.run();
