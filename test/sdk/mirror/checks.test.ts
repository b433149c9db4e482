import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { MiB } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { suite } from '../../support/suite.js';
import { block, firstByte, geometry, Rig } from './rig.js';

const test = suite('members with checks');

/** One bit of every block with a pattern turns over, and no device says so. */
async function rot(disk: BlockDevice, pattern: number): Promise<number> {
  const bytes = new Uint8Array(disk.blockBytes);
  let found = 0;
  for (let lba = 0; lba < disk.blockCount; lba++) {
    await readBlocks(disk, lba, bytes);
    if (!bytes.every((byte) => byte === pattern)) continue;
    bytes[100]! ^= 4;
    await writeBlocks(disk, lba, bytes);
    found++;
  }
  return found;
}

/** Two members whose volumes keep a checksum of every 4 KiB, and the disks below them. */
async function withChecks(): Promise<{ rig: Rig; disks: BlockDevice[] }> {
  const rig = new Rig();
  const disks: BlockDevice[] = [];
  for (const index of [0, 1]) {
    const disk = rig.device((8 * MiB) / geometry.blockBytes);
    const pool = await Pool.create([disk], { random: (bytes) => bytes.fill(index + 1) });
    const bytes = geometry.blockBytes * geometry.blockCount;
    const size = { bytes, blockBytes: geometry.blockBytes } as const;
    const data = await pool.createVolume({ name: 'a', ...size, hasChecks: true });
    await rig.add(index, { devices: { meta: rig.device(64), data } });
    disks.push(disk);
  }
  await rig.create(0, 1);
  return { rig, disks };
}

test('a read of one block of a page that rotted has the whole page mended', async () => {
  const { rig, disks } = await withChecks();
  const mirror = await rig.attachWhole();
  for (let lba = 32; lba < 40; lba++) await writeBlocks(mirror.device, lba, block(0xa5));
  assert.ok((await rot(disks[0]!, 0xa5)) >= 8);
  assert.is(await firstByte(mirror.device, 34), 0xa5);
  const untilNs = rig.clock.nowNs() + 100e6;
  await rig.until(mirror, () => rig.clock.nowNs() >= untilNs);
  for (let lba = 32; lba < 40; lba++) assert.is(await rig.contentOf(0, lba), 0xa5, `${lba}`);
  assert.is(mirror.status.state, 'serving');
  await rig.detach(mirror);
});

for (const rotten of [0, 1]) {
  test(`of two members the one whose checksums are right mends member ${rotten}`, async () => {
    const { rig, disks } = await withChecks();
    const mirror = await rig.attachWhole();
    for (let lba = 32; lba < 40; lba++) await writeBlocks(mirror.device, lba, block(0xa5));
    // More than eight: places that were written before are still there.
    assert.ok((await rot(disks[rotten]!, 0xa5)) >= 8);
    await rig.done(mirror, mirror.verify());
    // What is mended is mended beside the comparison: the next one finds it done.
    assert.equal(await rig.done(mirror, mirror.verify()), []);
    for (const index of [0, 1]) {
      for (let lba = 32; lba < 40; lba++) {
        assert.is(await firstByte(rig.devices[index]!.data, lba), 0xa5, `member ${index}`);
      }
    }
    await rig.detach(mirror);
  });
}

test.run();
