import * as assert from 'uvu/assert';
import { BlockOp, type BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { campaignOfFlips } from '../../fuzz/volume-flips.js';
import { CrashDevice } from '../../support/crash-device.js';
import { guarded } from '../../support/guarded-blocks.js';
import { batchesOf, type MetadataPage, pagesOf, usersOf } from '../../support/pool-pages.js';
import { suite } from '../../support/suite.js';
import { VolumeModel } from '../../support/volume-model.js';
import {
  compareWithModel,
  namedDevices,
  readVersions,
  runPlain,
  writeSectors,
} from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

const test = suite('damaged metadata of a pool');

test('each lost node names what needs it in full, and nothing that another lost node costs', async () => {
  const disk = device(4 * MiB);
  const made = await poolOn(disk);
  for (const name of ['a', 'b', 'c']) {
    const volume = await made.createVolume({ name, bytes: MiB });
    await writeSectors(volume, 0, 64, 1);
    await made.takeSnapshot([{ volume: name, name: 's' }]);
    await writeSectors(volume, 8, 16, 2);
  }
  await made.close();
  const sound = await Pool.open([disk], { isReadOnly: true });
  const users = usersOf(sound.core);
  const pages = pagesOf(sound.core, [disk]).filter(({ kind }) => kind === 'leaf');
  const expected = new Map<string, readonly string[]>();
  for (const page of pages) {
    const names = users.get(page.node)!;
    if (names.every((name) => name.startsWith('c'))) continue;
    disk.image.fill(0xa5, page.at, page.at + 16);
    expected.set(page.what, names);
  }
  assert.equal([...expected.values()].flat().sort(), ['a', 'a@s', 'b', 'b@s']);

  const pool = await Pool.open([disk], { isReadOnly: true });
  const costs = pool.findings.map(({ kind, what, costs }) => [`${kind} ${what}`, costs]);
  assert.equal(costs.sort(), [...expected].map(([what, names]) => [`lost ${what}`, names]).sort());
  const damaged = [...namedDevices(pool)].filter(([, { object }]) => object.damage !== '');
  assert.equal(damaged.map(([name]) => name).sort(), ['a', 'a@s', 'b', 'b@s']);
  assert.equal([...(await readVersions(pool.volume('c'))).subarray(6, 10)], [1, 1, 2, 2]);
});

test('a map whose root the directory does not have is named by its node', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  await writeSectors(await pool.createVolume({ name: 'a', bytes: MiB }), 0, 8, 1);
  pool.core.catalog.volume('a')!.root = 1000;
  await pool.checkpoint();
  const [finding] = (await Pool.open([disk], { isReadOnly: true })).findings;
  assert.is(finding?.what, 'node 1000');
  assert.equal(finding?.costs, ['a']);
});

test('single wrong bits and groups of them cost what is named, and nothing else', async () => {
  // Seed 31 wrongs groups; the others single bits of a node of checksums and of the journal.
  for (const seed of [31, 2900, 3600]) {
    const { violation } = await campaignOfFlips.explore(seed, 0);
    assert.is(violation, null);
  }
});

/** A pool with something in its journal, and where its metadata lies. */
async function withJournal(): Promise<{
  readonly disk: CrashDevice;
  readonly pages: readonly MetadataPage[];
  readonly users: ReadonlyMap<number, readonly string[]>;
  readonly model: VolumeModel;
}> {
  const disk = device(2 * MiB);
  const pool = await poolOn(disk);
  const model = new VolumeModel();
  const write = async (name: string, first: number, count: number): Promise<void> => {
    await writeSectors(pool.volume(name), first, count, first + 1);
    model.set(name, first, count, first + 1);
  };
  for (const name of ['a', 'b']) {
    await pool.createVolume({ name, bytes: 256 * 1024 });
    model.create(name, 256 * 1024);
    await write(name, 0, 64);
    await pool.takeSnapshot([{ volume: name, name: 's' }]);
    model.duplicate(name, `${name}@s`);
    await write(name, 8, 16);
  }
  await pool.checkpoint();
  const pages = pagesOf(pool.core, [disk]);
  const users = usersOf(pool.core);
  for (const name of ['a', 'b']) {
    await write(name, 128, 8);
    await runPlain(pool.volume(name), BlockOp.flush, 0, 0);
  }
  pages.push(...batchesOf(pool.core, disk, 2));
  return { disk, pages, users, model };
}

test('a block that cannot be read, in any page of metadata, costs what lies there', async () => {
  const { disk, pages, users, model } = await withJournal();
  const hasProtection = true;
  const image = guarded(disk.image, 512, 0);
  const options = { blockBytes: 512, bytes: disk.image.length, hasProtection };
  const guardedDisk = new CrashDevice(options, image);
  for (const [i, page] of pages.entries()) {
    // Another one of the blocks of each page.
    const at = page.at + 512 * (i % 8);
    image[(at / 512) * 520 + 512]! ^= 1;
    const pool = await Pool.open([guardedDisk], { isReadOnly: true });
    const where = `${page.kind} at ${at}`;
    const found = pool.findings.map(({ kind, what }) => `${kind} ${what}`);
    const kind = page.node !== 0 || page.kind === 'batch' ? 'lost' : 'copy';
    assert.equal(found, [`${kind} ${page.what}`], where);
    const costs = page.kind === 'batch' ? ['the pool'] : (users.get(page.node) ?? []);
    assert.equal(pool.findings[0]?.costs.toSorted(), costs.toSorted(), where);
    for (const [name, volume] of namedDevices(pool)) {
      assert.is(volume.object.damage !== '', costs.includes(name), `${where}: ${name}`);
      if (costs.includes(name) || page.kind === 'batch') continue;
      assert.equal([...(await readVersions(volume))], [...model.objects.get(name)!.sectors]);
    }
    image[(at / 512) * 520 + 512]! ^= 1;
  }
  assert.equal((await Pool.open([guardedDisk], { isReadOnly: true })).findings, []);
});

/** Answers to so many reads, and then to none. */
class VanishingDevice extends CrashDevice {
  asked = 0;
  answers = Number.POSITIVE_INFINITY;

  override submit(request: BlockRequest): void {
    if (request.op === BlockOp.read && ++this.asked > this.answers) {
      const { done } = request;
      request.done = (ended) => {
        ended.done = done;
        ended.status = BlockStatus.notExecuted;
        done(ended);
      };
    }
    super.submit(request);
  }
}

test('a device that goes while its pool is opened has lost nothing, and is not asked on', async () => {
  const { disk } = await withJournal();
  const gone = new VanishingDevice({ blockBytes: 512, bytes: disk.image.length }, disk.image);
  assert.equal((await Pool.open([gone], { isReadOnly: true })).findings, []);
  const needed = gone.asked;
  for (let answers = 0; answers < needed; answers++) {
    Object.assign(gone, { answers, asked: 0 });
    assert.is(await codeOf(Pool.open([gone], { isReadOnly: true })), 'COMMAND_FAILED');
    assert.is(gone.asked, answers + 1);
  }
});

test('a check of a device that goes on the way finds nothing wrong, and fails', async () => {
  const { disk } = await withJournal();
  const gone = new VanishingDevice({ blockBytes: 512, bytes: disk.image.length }, disk.image);
  const pool = await Pool.open([gone], { isReadOnly: true });
  gone.asked = 0;
  assert.equal(await pool.check(), []);
  const needed = gone.asked;
  for (let answers = 0; answers < needed; answers++) {
    Object.assign(gone, { answers, asked: 0 });
    assert.is(await codeOf(pool.check()), 'COMMAND_FAILED', `after ${answers} of ${needed}`);
  }
});

test('what may have been acknowledged in a block of the journal that is lost is not passed over', async () => {
  const { disk, pages, model } = await withJournal();
  const [first, last] = pages.filter(({ kind }) => kind === 'batch');
  for (const [page, kept] of [
    [first!, 0],
    [last!, 1],
  ] as const) {
    const image = guarded(disk.image, 512, 0);
    image[(page.at / 512) * 520 + 512]! ^= 1;
    const options = { blockBytes: 512, bytes: disk.image.length, hasProtection: true };
    const copy = new CrashDevice(options, image);
    const pool = await Pool.open([copy]);
    assert.match(pool.failure, 'journal');
    const expected = model.copy();
    // The names of volumes with what the journal says of them, in its order.
    for (const name of ['a', 'b'].slice(kept)) expected.set(name, 128, 8, 0);
    assert.is(await compareWithModel(pool, expected), null);
    await pool.repair();
    assert.equal(await pool.check(), []);
    assert.is(pool.failure, '');
    await writeSectors(pool.volume('a'), 200, 8, 77);
  }
});

test('copies of the image that each lack a block are one image together', async () => {
  const disk = device(4 * MiB);
  const made = await poolOn(disk);
  const attributes = { text: 'x'.repeat(3000) };
  const ones = [1, 1, 1, 1, 1, 1, 1, 1];
  for (const name of ['a', 'b', 'c']) await made.createVolume({ name, bytes: MiB, attributes });
  await writeSectors(made.volume('c'), 0, 8, 1);
  await made.close();
  const sound = await Pool.open([disk], { isReadOnly: true });
  const images = pagesOf(sound.core, [disk]).filter(({ kind }) => kind === 'image');
  assert.ok(images.length === 2 && images[0]!.bytes >= 8192);
  const image = guarded(disk.image, 512, 0);
  const options = { blockBytes: 512, bytes: disk.image.length, hasProtection: true };
  const spoil = ({ at }: MetadataPage, cell: number): void => {
    image[((at + cell * 4096) / 512) * 520 + 512]! ^= 1;
  };
  for (const each of images) spoil(each, 1);
  const lost = Pool.open([new CrashDevice(options, image.slice())]);
  assert.is(await codeOf(lost), 'POOL_DAMAGED');

  spoil(images[0]!, 1);
  spoil(images[0]!, 0);
  const pool = await Pool.open([new CrashDevice(options, image)]);
  assert.equal(
    pool.findings.map(({ kind, text }) => `${kind}: ${text}`),
    ['copy: copy 0 is not readable', 'copy: copy 1 is not readable'],
  );
  assert.equal([...(await readVersions(pool.volume('c'))).subarray(0, 9)], [...ones, 0]);
  assert.equal(await pool.check(), []);
});

test('a check tells of a superblock that can no longer be read', async () => {
  const { disk } = await withJournal();
  const image = guarded(disk.image, 512, 0);
  const options = { blockBytes: 512, bytes: disk.image.length, hasProtection: true };
  const pool = await Pool.open([new CrashDevice(options, image)]);
  image[(2 * 4096 * 520) / 512 + 512]! ^= 1;
  assert.equal(
    (await pool.check()).map(({ kind, what, text }) => [kind, what, text]),
    [['copy', 'superblock', 'superblock, copy 2, is not readable']],
  );
  await pool.repair();
  assert.equal(await pool.check(), []);
});

test.run();
