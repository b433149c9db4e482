import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { checkMaps } from '../../../sdk/volume/check-maps.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runPlain, runRequest, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

const test = suite('pool');

test('what was flushed is there when the pool is opened again without being closed', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: 4 * MiB });
  await writeSectors(volume, 64, 24, 7);
  await runPlain(volume, BlockOp.flush, 0, 0);
  disk.forget();
  const versions = await readVersions((await Pool.open([disk])).volume('a'));
  for (const [sector, version] of versions.entries()) {
    assert.is(version, sector >= 64 && sector < 88 ? 7 : 0, `sector ${sector}`);
  }
});

test('a volume is thin: it may be larger than the pool, and takes what is written', async () => {
  const pool = await poolOn(device());
  const before = pool.space();
  const volume = await pool.createVolume({ name: 'a', bytes: 2 ** 44 });
  assert.is(pool.space().dataBytes, 0);
  await writeSectors(volume, 2 ** 35 - 8, 8, 3);
  await writeSectors(volume, 0, 8, 4);
  assert.is(pool.space().dataBytes, 2 * 65_536);
  assert.is((await pool.spaceOf({ volume: 'a' })).mappedBytes, 2 * 4096);
  await runPlain(volume, BlockOp.discard, 0, 2 ** 35);
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
  assert.ok(pool.space().freeBytes >= before.freeBytes - 2 * 65_536, 'only maps are left');
});

test('a write beside one of the same cell does not undo it', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, blockBytes: 512 });
  await Promise.all(
    Array.from({ length: 16 }, (_, sector) => writeSectors(volume, sector, 1, 100 + sector)),
  );
  const versions = await readVersions(volume);
  assert.equal([...versions.slice(0, 17)], [...Array.from({ length: 16 }, (_, i) => 100 + i), 0]);
});

test('the first overwrite after a snapshot reads nothing', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: MiB });
  await writeSectors(volume, 0, 128, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  const { reads } = disk;
  await writeSectors(volume, 8, 8, 2);
  assert.is(disk.reads, reads);
  assert.is((await readVersions(pool.snapshot('a', 's')))[8], 1);
  assert.is((await readVersions(volume))[8], 2);
});

test('a full pool fails the write that needs space, and no other request', async () => {
  const pool = await poolOn(device(2 * MiB));
  const volume = await pool.createVolume({ name: 'a', bytes: 16 * MiB });
  const region = volume.memory.allocate(4096);
  const write = (lba: number): Promise<BlockStatus> =>
    runRequest(volume, { op: BlockOp.write, lba, count: 1, region });
  let last = 0;
  while ((await write(last * 16)) === BlockStatus.ok) last++;
  assert.ok(last > 8, `${last} units`);
  assert.is(await write(last * 16), BlockStatus.outOfSpace);
  assert.is(await write(0), BlockStatus.ok, 'in place');
  assert.is(await write(1), BlockStatus.ok, 'in a unit that is there');
  await runPlain(volume, BlockOp.flush, 0, 0);
  await runPlain(volume, BlockOp.discard, 0, 128);
  assert.is(await write(last * 16), BlockStatus.ok, 'what was discarded is free at once');
  assert.equal(await checkMaps(pool.core), []);
});

test('attributes, tier and name change, and are as they were left after opening again', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const wanted = { name: 'a', bytes: MiB, attributes: { owner: 'db' }, qosTier: 'high' };
  await pool.createVolume(wanted);
  await pool.setAttributes('a', { owner: 'web', note: 'x' });
  await pool.setQosTier('a', 'medium');
  await pool.growVolume('a', 2 * MiB);
  await pool.renameVolume('a', 'b');
  disk.forget();
  const [row] = (await Pool.open([disk])).volumes();
  assert.equal(row!.attributes, { owner: 'web', note: 'x' });
  assert.equal([row!.name, row!.qosTier, row!.bytes], ['b', 'medium', 2 * MiB]);
  await codeOf(pool.setAttributes('b', { long: 'x'.repeat(5000) })).then((code) =>
    assert.is(code, 'RangeError'),
  );
});

test('space that was given up is not written before that is durable, whatever comes first', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: 4 * MiB });
  await writeSectors(volume, 0, 128, 7);
  await runPlain(volume, BlockOp.flush, 0, 0);
  await runPlain(volume, BlockOp.discard, 0, 128);
  for (let i = 0; i < 20; i++) volume.poll();
  for (let extent = 1; extent < 40; extent++) {
    pool.core.units.rewind();
    await writeSectors(volume, extent * 128, 128, 100 + extent);
  }
  // The power fails; every write has reached the device, no record has.
  disk.forget();
  const versions = await readVersions((await Pool.open([disk])).volume('a'));
  assert.ok(
    versions.slice(0, 128).every((version) => version === 7),
    'as before the discard',
  );
});

test('space stays taken while the record that frees it is on its way', async () => {
  const quick = device();
  const pool = await poolOn(quick);
  const volume = await pool.createVolume({ name: 'a', bytes: 4 * MiB });
  await writeSectors(volume, 0, 128, 7);
  await pool.close();
  const options = { blockBytes: 512, bytes: 8 * MiB, pollsPerEnd: 40 };
  const slow = new CrashDevice(options, quick.image);
  const again = await Pool.open([slow]);
  const reopened = again.volume('a');
  await runPlain(reopened, BlockOp.discard, 0, 128);
  slow.isLogging = true;
  const under: Promise<unknown>[] = [runPlain(reopened, BlockOp.flush, 0, 0)];
  await null;
  for (let i = 0; i < 3; i++) reopened.poll();
  for (let extent = 1; extent < 40; extent++) {
    again.core.units.rewind();
    under.push(writeSectors(reopened, extent * 128, 128, 100 + extent));
    reopened.poll();
  }
  // The power fails: all data has reached the device, the journal nothing.
  const image = quick.image.slice();
  const journalEnd = (1 + again.core.identity.journalUnits) * 65_536;
  const sent = slow.log.flatMap((event) => (event.kind === 'submit' ? [event.write] : []));
  assert.ok(
    sent.some(({ at }) => at < journalEnd),
    'the record is on its way',
  );
  assert.ok(sent.filter(({ at }) => at >= journalEnd).length > 10, 'and so is data');
  for (const { at, data } of sent) if (at >= journalEnd) image.set(data, at);
  const versions = await readVersions(
    (await Pool.open([new CrashDevice({ blockBytes: 512, bytes: 8 * MiB }, image)])).volume('a'),
  );
  assert.ok(
    versions.slice(0, 128).every((version) => version === 7),
    'as before the discard',
  );
  await Promise.all(under);
});

test('a threshold is told when it is reached and when it is left, once each', async () => {
  const pool = await poolOn(device(4 * MiB));
  const volume = await pool.createVolume({ name: 'a', bytes: 4 * MiB });
  const told: number[] = [];
  pool.watchSpace([50, 40], ({ percent, freeBytes }) => {
    told.push(percent);
    assert.is(freeBytes % 65_536, 0);
  });
  for (let extent = 0; extent < 30; extent++) await writeSectors(volume, extent * 128, 8, 1);
  await runPlain(volume, BlockOp.discard, 0, 30 * 128);
  await pool.settleSpace();
  volume.poll();
  assert.equal(told, [40, 50, 0]);
  assert.throws(() => pool.watchSpace([0], () => {}), /threshold of 0/);
});

test('snapshots go in any order, with clones of them alive, and all space comes back', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB });
  for (const [i, name] of ['s1', 's2', 's3'].entries()) {
    await writeSectors(volume, 8 * i, 16, 1 + i);
    await pool.takeSnapshot([{ volume: 'a', name }]);
  }
  const clone = await pool.clone({ volume: 'a', snapshot: 's2' }, 'c');
  await writeSectors(clone, 0, 8, 9);
  for (const name of ['s2', 's1', 's3']) await pool.deleteSnapshot('a', name);
  assert.equal([...(await readVersions(clone)).slice(0, 32)], versionsOf([9, 2, 2, 0]));
  assert.equal([...(await readVersions(volume)).slice(0, 32)], versionsOf([1, 2, 3, 3]));
  await pool.deleteVolume('a');
  await pool.deleteVolume('c');
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
  assert.equal(await checkMaps(pool.core), []);
});

function versionsOf(cells: readonly number[]): number[] {
  return cells.flatMap((version) => new Array<number>(8).fill(version));
}

test('a restore takes the volume back, and can be undone with what it kept', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB });
  await writeSectors(volume, 0, 16, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await writeSectors(volume, 8, 8, 2);
  await pool.restore('a', 's', 'before');
  assert.equal([...(await readVersions(volume)).slice(0, 16)], versionsOf([1, 1]));
  await writeSectors(volume, 0, 8, 3);
  await pool.restore('a', 'before', 'undone');
  assert.equal([...(await readVersions(volume)).slice(0, 16)], versionsOf([1, 2]));
  const undone = await readVersions(pool.snapshot('a', 'undone'));
  assert.equal([...undone.slice(0, 16)], versionsOf([3, 1]));
});

test('the snapshots of a group have its number, and hold nobody back where nothing is under way', async () => {
  const pool = await poolOn(device());
  for (const name of ['a', 'b']) await pool.createVolume({ name, bytes: MiB });
  const members = ['a', 'b'].map((volume) => ({ volume, name: 'g' }));
  const { snapshots, pauseNs } = await pool.takeSnapshot(members);
  assert.is(snapshots.length, 2);
  assert.is(snapshots[0]!.groupId, snapshots[1]!.groupId);
  assert.ok(snapshots[0]!.groupId > 0);
  assert.is(pauseNs, 0, 'the clock of the device stands still');
  const twice = pool.takeSnapshot(['h', 'i'].map((name) => ({ volume: 'a', name })));
  assert.is(await codeOf(twice), 'RangeError');
});

test('a closed pool has given all device memory back', async () => {
  const disk = device();
  const { memory } = disk;
  let held = 0;
  const allocate = memory.allocate.bind(memory);
  const free = memory.free.bind(memory);
  memory.allocate = (length, options) => {
    held++;
    return allocate(length, options);
  };
  memory.free = (region) => {
    held--;
    free(region);
  };
  const pool = await poolOn(disk);
  const wanted = { name: 'a', bytes: MiB, blockBytes: 512, hasChecks: true } as const;
  const volume = await pool.createVolume(wanted);
  const region = volume.memory.allocate(512);
  await runRequest(volume, { op: BlockOp.write, lba: 3, count: 1, region });
  await runRequest(volume, { op: BlockOp.read, lba: 3, count: 1, region });
  memory.free(region);
  assert.ok(held > 2, 'the journal and the buffers of a part of a cell');
  await pool.close();
  assert.is(held, 0);
  await (await Pool.open([disk], { isReadOnly: true })).close();
  assert.is(held, 0);
});

test('a pool has 2,048 volumes, no more, and one instant snapshots them all', async () => {
  const disk = device(64 * MiB);
  const chance = new Prng(1, 'identity');
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create([disk], { random, journalBytes: 4 * MiB });
  const names = Array.from({ length: 2048 }, (_, i) => `v${i}`);
  for (const name of names) await pool.createVolume({ name, bytes: 2 ** 44 });
  const more = Promise.resolve().then(() => pool.createVolume({ name: 'x', bytes: MiB }));
  assert.is(await codeOf(more), 'RangeError');
  await pool.takeSnapshot(names.map((volume) => ({ volume, name: 'all' })));
  disk.forget();
  const again = await Pool.open([disk]);
  assert.is(again.volumes().length, 2048);
  assert.is(again.snapshots('v2047').length, 1);
});

test('requests of a deleted volume end as not executed', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB });
  await pool.deleteVolume('a');
  const region = volume.memory.allocate(4096);
  const wanted = { op: BlockOp.read, lba: 0, count: 1, region };
  assert.is(await runRequest(volume, wanted), BlockStatus.notExecuted);
});

test('names, sizes and states that cannot be are refused before anything changes', async () => {
  const pool = await poolOn(device());
  await pool.createVolume({ name: 'a', bytes: MiB });
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  const before = JSON.stringify([pool.volumes(), pool.snapshots('a')]);
  const code = async (work: () => Promise<unknown>): Promise<string> =>
    codeOf(Promise.resolve().then(work));
  assert.is(await code(() => pool.createVolume({ name: 'a', bytes: MiB })), 'NAME_TAKEN');
  assert.is(await code(() => pool.createVolume({ name: 'b@c', bytes: MiB })), 'RangeError');
  assert.is(await code(() => pool.createVolume({ name: 'b', bytes: 1000 })), 'RangeError');
  assert.is(await code(() => pool.createVolume({ name: 'b', bytes: 2 ** 45 })), 'RangeError');
  assert.is(await code(() => pool.growVolume('a', MiB / 2)), 'RangeError');
  assert.is(await code(() => pool.renameVolume('z', 'y')), 'NOT_FOUND');
  assert.is(await code(() => pool.takeSnapshot([{ volume: 'a', name: 's' }])), 'NAME_TAKEN');
  assert.is(await code(() => pool.restore('a', 'none', 'k')), 'NOT_FOUND');
  assert.is(await code(() => pool.deleteVolume('a')), 'VOLUME_BUSY');
  assert.is(JSON.stringify([pool.volumes(), pool.snapshots('a')]), before);
});

test('volumes without a common past are not compared', async () => {
  const pool = await poolOn(device());
  for (const name of ['a', 'b']) await pool.createVolume({ name, bytes: MiB });
  assert.throws(() => pool.changes({ volume: 'a' }, { volume: 'b' }), /no common past/);
});

test('a snapshot refuses writes and discards', async () => {
  const pool = await poolOn(device());
  await pool.createVolume({ name: 'a', bytes: MiB });
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  const snapshot = pool.snapshot('a', 's');
  const region = snapshot.memory.allocate(4096);
  const write = { op: BlockOp.write, lba: 0, count: 1, region };
  assert.is(await runRequest(snapshot, write), BlockStatus.accessDenied);
  const discard = { op: BlockOp.discard, lba: 0, count: 1 };
  assert.is(await runRequest(snapshot, discard), BlockStatus.accessDenied);
});

test.run();
