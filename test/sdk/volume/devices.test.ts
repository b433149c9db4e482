import * as assert from 'uvu/assert';
import { Label } from '../../../sdk/volume/format.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

const test = suite('devices of a pool');

test('a device that is not blank is taken only when that is said', async () => {
  const disk = device();
  disk.image[5000] = 1;
  const random = (bytes: Uint8Array): void => {
    bytes.fill(7);
  };
  assert.is(await codeOf(Pool.create([disk], { random })), 'VOLUME_BUSY');
  assert.is(disk.image.filter((byte) => byte !== 0).length, 1, 'nothing was written');
  await Pool.create([disk], { random, overwrites: true });
  assert.is(await codeOf(Pool.create([disk], { random })), 'VOLUME_BUSY');
});

test('devices may be named in any order, and all are needed', async () => {
  const disks = [device(2 * MiB), device(3 * MiB), device(2 * MiB)];
  const pool = await poolOn(...disks);
  const volume = await pool.createVolume({ name: 'a', bytes: 6 * MiB });
  await writeSectors(volume, 0, 8 * 1024, 5);
  await pool.close();
  const again = await Pool.open(disks.toReversed());
  const versions = await readVersions(again.volume('a'));
  assert.ok(versions.slice(0, 8 * 1024).every((version) => version === 5));
  await again.close();
  assert.is(await codeOf(Pool.open(disks.slice(0, 2))), 'POOL_INVALID');
  assert.is(await codeOf(Pool.open(disks.slice(1))), 'POOL_INVALID');
  assert.is(await codeOf(Pool.open([disks[0]!, disks[0]!, disks[2]!])), 'POOL_INVALID');
});

test('foreign, swapped, shrunk and reformatted devices are named', async () => {
  const disks = [device(2 * MiB), device(2 * MiB)];
  await (await poolOn(...disks)).close();
  const others = [device(2 * MiB), device(2 * MiB), device(2 * MiB)];
  await (await poolOn(...others)).close();
  const messageOf = async (...some: CrashDevice[]): Promise<string> => {
    try {
      await Pool.open(some);
      return 'opened';
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
  };
  assert.match(await messageOf(disks[0]!, others[1]!), /device 1 is part of another pool/);
  assert.match(await messageOf(device(2 * MiB)), /device 0 carries no pool/);
  const shrunk = new CrashDevice({ blockBytes: 512, bytes: MiB }, disks[1]!.image.slice(0, MiB));
  assert.match(await messageOf(disks[0]!, shrunk), /device 1 has shrunk/);
  const coarse = new CrashDevice({ blockBytes: 4096, bytes: 2 * MiB }, disks[1]!.image);
  assert.match(await messageOf(disks[0]!, coarse), /blocks of 4096 bytes, not 512/);
});

test('a pool of a newer format is refused by its version', async () => {
  const disk = device();
  await (await poolOn(disk)).close();
  const { crc32cOfWords } = await import('../../../sdk/crc32c.js');
  for (const copy of [0, 4096]) {
    const words = new Uint32Array(disk.image.buffer, copy, 1024);
    Label.version.set(words, 0, 2);
    Label.check.set(words, 0, crc32cOfWords(words, 2, 1024));
  }
  await Pool.open([disk]).then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /format version 2/),
  );
});

test('creation that was cut short leaves no pool', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  await pool.close();
  disk.image.fill(0, 0, 8192);
  assert.is(await codeOf(Pool.open([disk])), 'POOL_INVALID');
});

test('a device with blocks larger than a cell is refused', async () => {
  const disk = new CrashDevice({ blockBytes: 8192, bytes: 8 * MiB });
  assert.is(await codeOf(poolOn(disk)), 'DEVICE_UNSUPPORTED');
});

test('a pool grows by a device while it is in use, and holds more after it', async () => {
  const disks = [device(2 * MiB), device(2 * MiB)];
  const pool = await poolOn(disks[0]!);
  const volume = await pool.createVolume({ name: 'a', bytes: 6 * MiB });
  const before = pool.space().freeBytes;
  const random = (bytes: Uint8Array): void => {
    bytes.fill(9);
  };
  await pool.addDevice(disks[1]!, { random });
  assert.is(pool.space().freeBytes - before, 31 * 65_536);
  await writeSectors(volume, 0, 5 * 1024, 5);
  await pool.close();
  const again = await Pool.open(disks);
  assert.equal(await again.check(), []);
  const versions = await readVersions(again.volume('a'));
  assert.ok(versions.slice(0, 5 * 1024).every((version) => version === 5));
  assert.is(await codeOf(again.addDevice(disks[1]!, { random })), 'RangeError');
});

test('growing that was cut short leaves the pool as it was, and can be done again', async () => {
  const disks = [device(2 * MiB), device(2 * MiB)];
  const pool = await poolOn(disks[0]!);
  await pool.createVolume({ name: 'a', bytes: MiB });
  await pool.close();
  const old = disks[0]!.image.slice();
  const random = (bytes: Uint8Array): void => {
    bytes.fill(9);
  };
  await (await Pool.open([disks[0]!])).addDevice(disks[1]!, { random });
  // Power is cut when the new device is labelled, before any superblock names it.
  disks[0]!.image.set(old);
  assert.is(await codeOf(Pool.open(disks)), 'POOL_INVALID');
  const again = await Pool.open([disks[0]!]);
  await again.addDevice(disks[1]!, { random });
  assert.equal(await again.check(), []);
});

test.run();
