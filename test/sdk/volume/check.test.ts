import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { NodeKind } from '../../../sdk/volume/nodes.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runPlain, runRequest, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

const test = suite('pool check and repair');

/** Two volumes with a snapshot each, and something in the journal. */
async function prepared(): Promise<{ readonly disk: CrashDevice; readonly pool: Pool }> {
  const disk = device(2 * MiB);
  const pool = await poolOn(disk);
  for (const name of ['a', 'b']) {
    const volume = await pool.createVolume({ name, bytes: 4 * MiB });
    await writeSectors(volume, 0, 64, 1);
    await pool.takeSnapshot([{ volume: name, name: 's' }]);
    await writeSectors(volume, 8, 16, 2);
  }
  await pool.checkpoint();
  for (const name of ['a', 'b']) {
    await writeSectors(pool.volume(name), 128, 8, 3);
    await runPlain(pool.volume(name), BlockOp.flush, 0, 0);
  }
  return { disk, pool };
}

const expected = [1, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3];

/** What the cells of a volume hold; null when it cannot be read. */
async function cellsOf(pool: Pool, name: string): Promise<readonly number[] | null> {
  const volume = pool.volume(name);
  const region = volume.memory.allocate(4096);
  const cells: number[] = [];
  for (let lba = 0; lba < expected.length; lba++) {
    const status = await runRequest(volume, { op: BlockOp.read, lba, count: 1, region });
    if (status !== BlockStatus.ok) return null;
    cells.push(region.words[0]!);
  }
  return cells;
}

test('a sound pool has no findings, in use and after it was opened again', async () => {
  const { disk, pool } = await prepared();
  assert.equal(await pool.check(), []);
  disk.forget();
  const again = await Pool.open([disk]);
  assert.equal(again.findings, []);
  assert.equal(await again.check(), []);
});

/** Every place of metadata that opening needs: offset and length in bytes. */
function metadataOf(pool: Pool): (readonly [name: string, at: number, bytes: number])[] {
  const { core } = pool;
  const places: [string, number, number][] = [
    ['label', 0, 4096],
    ['label copy', 4096, 4096],
  ];
  for (let i = 2; i < 6; i++) places.push([`superblock ${i}`, i * 4096, 4096]);
  const half = core.identity.imageUnits.length / 2;
  const imageBytes = 64 + 8192;
  for (const i of [0, half]) {
    places.push([`image ${i}`, core.identity.imageUnits[i]! * 65_536, imageBytes]);
  }
  for (let id = 1; id < core.nodes.end; id++) {
    const slot = core.nodes.slots[id]!;
    if (slot !== 0) places.push([`node ${id}`, slot * 4096, 4096]);
  }
  const { tail, head } = core.journal;
  for (let block = tail; block !== head; block = (block + 1) % core.journal.ringBlocks) {
    places.push([`journal ${block}`, 65_536 + block * 4096, 256]);
  }
  return places;
}

test('single wrong bits of all metadata: every one leaves all data readable and right', async () => {
  const { disk, pool } = await prepared();
  const places = metadataOf(pool);
  assert.ok(places.some(([name]) => name.startsWith('journal')));
  let tried = 0;
  let found = 0;
  for (const [name, at, bytes] of places) {
    // A stride that is no multiple of 8 visits all bit places; the campaign visits every bit.
    for (let bit = tried % 97; bit < bytes * 8; bit += 2999) {
      disk.image[at + (bit >>> 3)]! ^= 1 << (bit & 7);
      const opened = await Pool.open([disk], { isReadOnly: true });
      for (const volume of ['a', 'b']) {
        assert.equal(await cellsOf(opened, volume), expected, `${name}, bit ${bit}`);
      }
      if (opened.findings.length > 0) found++;
      disk.image[at + (bit >>> 3)]! ^= 1 << (bit & 7);
      tried++;
    }
  }
  assert.ok(tried > 100 && found > tried / 2, `${found} of ${tried} named`);
});

/** Overwrite a node of a volume's own with noise. */
function ruin(disk: CrashDevice, pool: Pool, volume: string, kind: number): void {
  const { nodes } = pool.core;
  const { root } = pool.volume(volume).object;
  for (let id = 1; id < nodes.end; id++) {
    if (nodes.kinds[id] !== kind || (kind === NodeKind.root && id !== root)) continue;
    const at = nodes.slots[id]! * 4096;
    disk.image.fill(0xa5, at + 100, at + 300);
    return;
  }
  throw new Error(`no node of kind ${kind}`);
}

test('a lost node costs its volume, by name; the others are as before, and can be written', async () => {
  const { disk, pool } = await prepared();
  await pool.checkpoint();
  ruin(disk, pool, 'a', NodeKind.root);
  const damaged = await Pool.open([disk]);
  const lost = damaged.findings.filter(({ kind }) => kind === 'lost');
  assert.ok(lost.length > 0);
  assert.ok(lost.every(({ costs }) => costs.includes('a') && !costs.includes('b')));
  assert.is(await cellsOf(damaged, 'a'), null, 'reads fail rather than tell zeroes');
  const a = damaged.volume('a');
  const region = a.memory.allocate(4096);
  const write = { op: BlockOp.write, lba: 0, count: 1, region };
  assert.is(await runRequest(a, write), BlockStatus.accessDenied);
  assert.equal(await cellsOf(damaged, 'b'), expected);
  await writeSectors(damaged.volume('b'), 256, 8, 4);
  await damaged.close();
  const again = await Pool.open([disk]);
  assert.is((await readVersions(again.volume('b')))[256], 4);
});

test('repair mends what can be mended, and the pool passes the check', async () => {
  const { disk, pool } = await prepared();
  await pool.checkpoint();
  ruin(disk, pool, 'a', NodeKind.leaf);
  disk.image.fill(0, 0, 4096);
  const damaged = await Pool.open([disk]);
  assert.ok((await damaged.check()).length >= 2);
  await damaged.repair();
  assert.equal(await damaged.check(), []);
  await damaged.close();
  const again = await Pool.open([disk]);
  assert.equal(again.findings, []);
  assert.equal(await again.check(), []);
  const all = ['a', 'b'].flatMap((name) => again.snapshots(name)).concat(again.volumes());
  assert.ok(all.filter(({ damage }) => damage !== '').length > 0, 'what was lost stays known');
});

test('a hole in the journal opens the pool for reading, as it was; repair goes on from there', async () => {
  const { disk, pool } = await prepared();
  const { tail } = pool.core.journal;
  disk.image.fill(0x5a, 65_536 + tail * 4096, 65_536 + tail * 4096 + 512);
  const holed = await Pool.open([disk]);
  assert.match(holed.failure, /batch \d+ of the journal is not readable, but batch \d+ is there/);
  assert.is((await cellsOf(holed, 'a'))![16], 0, 'as before the hole');
  assert.is(await codeOf(holed.createVolume({ name: 'c', bytes: MiB })), 'POOL_READ_ONLY');
  await holed.repair();
  assert.is(holed.failure, '');
  await writeSectors(holed.volume('a'), 0, 8, 9);
  await holed.close();
  const again = await Pool.open([disk]);
  assert.equal(again.findings, []);
  assert.is((await cellsOf(again, 'a'))![0], 9);
});

test('when both copies of the newest superblock are lost, the older one is not taken for new', async () => {
  const { disk, pool } = await prepared();
  const isOdd = pool.core.identity.generation % 2 === 1;
  const first = (isOdd ? 2 : 4) * 4096;
  disk.image.fill(0x77, first, first + 8192);
  const doubtful = await Pool.open([disk]);
  assert.match(doubtful.failure, /superblock/);
  assert.ok(doubtful.findings.some(({ kind, what }) => kind === 'lost' && what === 'superblock'));
  assert.is(await codeOf(doubtful.createVolume({ name: 'z', bytes: MiB })), 'POOL_READ_ONLY');
});

test('when no copy of the superblock is left, the pool says so', async () => {
  const { disk } = await prepared();
  disk.image.fill(1, 2 * 4096, 6 * 4096);
  assert.is(await codeOf(Pool.open([disk])), 'POOL_DAMAGED');
});

test.run();
