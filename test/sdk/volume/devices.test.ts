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

/** The same device, with more behind it. */
function larger(disk: CrashDevice, bytes: number): CrashDevice {
  const image = new Uint8Array(bytes).fill(0x5a);
  image.set(disk.image);
  return new CrashDevice({ blockBytes: 512, bytes }, image);
}

test('what any of several devices has become larger by is taken in, again and again', async () => {
  let disks = [device(2 * MiB), device(2 * MiB)];
  const first = await poolOn(...disks);
  await first.createVolume({ name: 'a', bytes: 16 * MiB, blockBytes: 512 });
  await writeSectors(first.volume('a'), 0, 1024, 1);
  await first.close();
  // Both, then the last one, which is a further part already, then the first one again.
  const sizes = [
    [3, 4],
    [3, 5],
    [6, 5],
  ] as const;
  let end = 1024;
  for (const [a, b] of sizes) {
    const before = disks.map(({ image }) => image.length);
    disks = [larger(disks[0]!, a * MiB), larger(disks[1]!, b * MiB)];
    const pool = await Pool.open(disks.toReversed());
    const { freeBytes, totalBytes } = pool.space();
    assert.is(totalBytes, before[0]! + before[1]!, 'nothing is taken in by itself');
    const added = (a + b) * MiB - totalBytes;
    assert.is(await pool.growDevices(), added);
    assert.is(await pool.growDevices(), 0);
    assert.is(pool.space().freeBytes, freeBytes + added);
    const count = Math.floor((pool.space().freeBytes - 3 * 65_536) / 65_536) * 128;
    await writeSectors(pool.volume('a'), end, count, 1);
    end += count;
    assert.equal(await pool.check(), []);
    await pool.close();
  }
  const again = await Pool.open(disks);
  assert.equal(await again.check(), []);
  const versions = await readVersions(again.volume('a'));
  assert.ok(versions.slice(0, end).every((version) => version === 1));
  assert.ok(versions.slice(end).every((version) => version === 0));
  await again.close();
  const short = new CrashDevice({ blockBytes: 512, bytes: 5 * MiB }, disks[0]!.image.slice());
  assert.is(await codeOf(Pool.open([short, disks[1]!])), 'POOL_INVALID');
});

test('growing in place that is cut off anywhere leaves the pool as it was, or larger', async () => {
  const disks = [device(2 * MiB), device(2 * MiB)];
  const first = await poolOn(...disks);
  await first.createVolume({ name: 'a', bytes: MiB, blockBytes: 512 });
  await writeSectors(first.volume('a'), 0, 256, 1);
  await first.close();
  const grown = [larger(disks[0]!, 3 * MiB), larger(disks[1]!, 3 * MiB)];
  const pool = await Pool.open(grown);
  const images = grown.map(({ image }) => image.slice());
  const totals = new Set<number>();
  let cuts = 0;
  const look = async (): Promise<void> => {
    const copies = images.map((image) => image.slice());
    const cut = copies.map((copy) => new CrashDevice({ blockBytes: 512, bytes: 3 * MiB }, copy));
    const opened = await Pool.open(cut);
    totals.add(opened.space().totalBytes / MiB);
    assert.equal(await opened.check(), []);
    const versions = await readVersions(opened.volume('a'));
    assert.ok(versions.slice(0, 256).every((version) => version === 1));
    cuts++;
  };
  for (const disk of grown) disk.isLogging = true;
  await pool.growDevices();
  await look();
  // All is in one order here: data of both devices, then the superblock twice.
  for (const i of [1, 0]) {
    for (const event of grown[i]!.log) {
      if (event.kind !== 'submit') continue;
      images[i]!.set(event.write.data, event.write.at);
      await look();
    }
  }
  assert.ok(cuts > 3, `${cuts} cuts`);
  assert.equal([...totals], [4, 6]);
});

test('a pool has no more parts of devices than its superblock has rows', async () => {
  let disks = [device(MiB), device(MiB)];
  await (await poolOn(...disks)).close();
  for (let parts = 3; parts <= 16; parts++) {
    const i = parts % 2 === 1 ? 0 : 1;
    disks = disks.map((disk, j) => (j === i ? larger(disk, disk.image.length + 65_536) : disk));
    const pool = await Pool.open(disks);
    assert.is(await pool.growDevices(), 65_536);
    await pool.close();
  }
  const pool = await Pool.open([larger(disks[0]!, 2 * MiB), disks[1]!]);
  assert.is(await codeOf(pool.growDevices()), 'RangeError');
  assert.equal(await pool.check(), []);
  // The last row has just to say more.
  const added = 2 * MiB - disks[1]!.image.length;
  const again = await Pool.open([disks[0]!, larger(disks[1]!, 2 * MiB)]);
  assert.is(await again.growDevices(), added);
});

test.run();
