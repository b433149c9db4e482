import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import type { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runRequest, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('volumes with checks');

/** Where the only copy of a stamped sector lies on the device. */
function placeOf(disk: CrashDevice, version: number): number {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(version);
  const at = Buffer.from(disk.image.buffer).indexOf(word);
  assert.ok(at > 0);
  return at;
}

async function statusOfRead(volume: Volume, lba: number): Promise<BlockStatus> {
  const region = volume.memory.allocate(volume.blockBytes);
  return runRequest(volume, { op: BlockOp.read, lba, count: 1, region });
}

test('a wrong bit in the data is an error for its cell, not data; scrub names the place', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, hasChecks: true });
  await writeSectors(volume, 0, 64, 1);
  await writeSectors(volume, 64, 8, 0x5eed_0007);
  await pool.close();
  disk.image[placeOf(disk, 0x5eed_0007) + 100]! ^= 4;
  const again = await Pool.open([disk]);
  const damaged = again.volume('a');
  assert.is(await statusOfRead(damaged, 8), BlockStatus.integrityError);
  assert.is(await statusOfRead(damaged, 7), BlockStatus.ok);
  const { bad, readBytes } = await again.scrub({ volume: 'a' });
  assert.is(readBytes, 9 * 4096);
  const status = BlockStatus.integrityError;
  assert.equal(bad, [{ byteOffset: 32_768, byteLength: 4096, status }]);
  await writeSectors(damaged, 64, 8, 9);
  assert.equal((await again.scrub({ volume: 'a' })).bad, [], 'written anew it is good');
});

test('data of another place is found out, and without checks it is not', async () => {
  for (const hasChecks of [true, false]) {
    const disk = device();
    const pool = await poolOn(disk);
    const volume = await pool.createVolume({ name: 'a', bytes: MiB, hasChecks });
    await writeSectors(volume, 0, 8, 0x5eed_0001);
    await writeSectors(volume, 8, 8, 0x5eed_0002);
    const [first, second] = [0x5eed_0001, 0x5eed_0002].map((one) => placeOf(disk, one));
    disk.image.copyWithin(first!, second!, second! + 4096);
    const expected = hasChecks ? BlockStatus.integrityError : BlockStatus.ok;
    assert.is(await statusOfRead(volume, 0), expected);
  }
});

test('parts of cells, snapshots and clones are checked, too', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const wanted = { name: 'a', bytes: MiB, blockBytes: 512, hasChecks: true } as const;
  const volume = await pool.createVolume(wanted);
  await writeSectors(volume, 3, 30, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await writeSectors(volume, 5, 1, 2);
  await pool.clone({ volume: 'a', snapshot: 's' }, 'c');
  const versions = await readVersions(volume);
  assert.equal([...versions.slice(2, 8)], [0, 1, 1, 2, 1, 1]);
  assert.is((await readVersions(pool.volume('c')))[5], 1);
  for (const name of [{ volume: 'a' }, { volume: 'a', snapshot: 's' }, { volume: 'c' }]) {
    assert.equal((await pool.scrub(name)).bad, []);
  }
  assert.is(pool.volume('c').object.hasChecks, true);
});

test('many overwrites of one cell take two places, no more', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, hasChecks: true });
  for (let i = 1; i <= 50; i++) {
    await writeSectors(volume, 0, 8, i);
    await pool.commit();
    await pool.settleSpace();
  }
  assert.ok(pool.space().dataBytes <= 2 * 65_536, `${pool.space().dataBytes} bytes`);
  assert.is((await readVersions(volume))[0], 50);
});

test.run();
