import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { crc32cOfWords } from '../../../sdk/crc32c.js';
import {
  Batch,
  batchMagic,
  cellBytes,
  Image,
  JournalRecord,
  placeOf,
  RecordKind,
  Superblock,
  unitBytes,
} from '../../../sdk/volume/format.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runPlain, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

/** Metadata that says what cannot be, under checksums that are right: those prove no number. */
const test = suite('forged metadata');

const cellWords = cellBytes / 4;
const headerWords = Image.layout.bytes / 4;

interface Sound {
  readonly disk: CrashDevice;
  /** As it was opened for reading. */
  readonly core: Pool['core'];
}

/** A volume with a snapshot and a clone, closed. */
async function sound(): Promise<Sound> {
  const disk = device(2 * MiB);
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: MiB / 2, blockBytes: 512 });
  await writeSectors(volume, 0, 64, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await writeSectors(volume, 8, 16, 2);
  await pool.clone({ volume: 'a', snapshot: 's' }, 'c');
  await pool.close();
  const { core } = await Pool.open([disk], { isReadOnly: true });
  return { disk, core };
}

function copyOf(disk: CrashDevice): CrashDevice {
  const copy = device(disk.image.length);
  copy.image.set(disk.image);
  return copy;
}

/** Change all four superblocks, and make their checksums right. */
function forgeSuperblocks(disk: CrashDevice, change: (words: Uint32Array) => void): void {
  for (const place of placeOf.superblocks) {
    const words = new Uint32Array(disk.image.buffer, place * cellBytes, cellWords);
    change(words);
    Superblock.check.set(words, 0, crc32cOfWords(words, 2, cellWords));
  }
}

/** Change both copies of the image. @param change  returns its length in words */
function forgeImage(
  { core }: Sound,
  disk: CrashDevice,
  change: (words: Uint32Array) => number,
): void {
  const words = imageOf(core, disk);
  const length = change(words);
  const second = core.identity.imageUnits[1]! * unitBytes;
  disk.image.set(new Uint8Array(words.buffer, words.byteOffset, unitBytes), second);
  forgeSuperblocks(disk, (superblock) => {
    if (Superblock.generation.get(superblock, 0) !== core.identity.generation) return;
    Superblock.imageBytes.set(superblock, 0, length * 4);
    Superblock.imageCheck.set(superblock, 0, crc32cOfWords(words, 0, length));
  });
}

function imageOf(core: Pool['core'], disk: CrashDevice): Uint32Array {
  return new Uint32Array(
    disk.image.buffer,
    core.identity.imageUnits[0]! * unitBytes,
    unitBytes / 4,
  );
}

test('a superblock with numbers that cannot be is none, whatever its checksum says', async () => {
  const made = await sound();
  const { identity } = made.core;
  const bothInOne = (words: Uint32Array): void => {
    Superblock.firstCopy.bytes(words, 0).set(Superblock.secondCopy.bytes(words, 0));
  };
  const cases: readonly (readonly [string, (words: Uint32Array) => void])[] = [
    ['no device', (w) => Superblock.deviceCount.set(w, 0, 0)],
    ['17 devices', (w) => Superblock.deviceCount.set(w, 0, 17)],
    ['the last session', (w) => Superblock.session.set(w, 0, 0xffff_ffff)],
    ['no generation', (w) => Superblock.generation.set(w, 0, 0)],
    ['the last generation', (w) => Superblock.generation.set(w, 0, 2 ** 53 - 1)],
    ['the last batch', (w) => Superblock.journalSeq.set(w, 0, 2 ** 53 - 1)],
    ['no journal', (w) => Superblock.journalUnits.set(w, 0, 0)],
    ['a journal as large as all', (w) => Superblock.journalUnits.set(w, 0, 32)],
    ['a huge journal', (w) => Superblock.journalUnits.set(w, 0, 0xffff_ffff)],
    ['a block behind the journal', (w) => Superblock.journalBlock.set(w, 0, 2 * 16)],
    ['no image', (w) => Superblock.imageBytes.set(w, 0, 0)],
    ['an image of half a dword', (w) => Superblock.imageBytes.set(w, 0, 4094)],
    ['an image of two units in one', (w) => Superblock.imageBytes.set(w, 0, unitBytes + 4)],
    ['more units than the image needs', (w) => Superblock.imageUnits.set(w, 0, 2)],
    ['385 units of the image', (w) => Superblock.imageUnits.set(w, 0, 385)],
    ['the image in the journal', (w) => Superblock.firstCopy.bytes(w, 0).set([2, 0])],
    ['the image behind the end', (w) => Superblock.firstCopy.bytes(w, 0).set([32, 0])],
    ['both copies in one place', bothInOne],
    ['a device without units', (w) => Superblock.devices.bytes(w, 0).fill(0, 16, 20)],
    ['more units than there are numbers', (w) => Superblock.devices.bytes(w, 0).fill(255, 16, 20)],
  ];
  assert.is(identity.journalUnits, 2);
  for (const [what, change] of cases) {
    const disk = copyOf(made.disk);
    forgeSuperblocks(disk, change);
    const before = disk.image.slice();
    assert.is(await codeOf(Pool.open([disk])), 'POOL_DAMAGED', what);
    assert.is(Buffer.compare(before, disk.image), 0, `${what}: something was written`);
  }
  const disk = copyOf(made.disk);
  forgeSuperblocks(disk, () => {});
  assert.equal(await (await Pool.open([disk])).check(), []);
});

test('an image on the label of another device is none', async () => {
  const disks = [device(2 * MiB), device(2 * MiB)];
  await (await poolOn(...disks)).close();
  for (const [unit, code] of [
    [32, 'POOL_DAMAGED'],
    [31, ''],
  ] as const) {
    // The second copy is sound: unit 31 may hold the first one, and just does not.
    forgeSuperblocks(disks[0]!, (w) => Superblock.firstCopy.bytes(w, 0).set([unit, 0]));
    assert.is(await codeOf(Pool.open(disks, { isReadOnly: true })), code, `unit ${unit}`);
  }
});

test('a node that the directory puts where none can lie costs its volumes, and nothing is written there', async () => {
  const made = await sound();
  const { core } = made;
  const names = core.catalog.volumes().map(({ name }) => name);
  const image = imageOf(core, made.disk);
  const directory = headerWords + Math.ceil(Image.catalogBytes.get(image, 0) / 8) * 2;
  const length = directory + 2 * core.nodes.end;
  const placed = [...core.nodes.slots.keys()].filter((id) => core.nodes.slots[id]! > 0);
  const taken = placed.map((id) => core.nodes.slots[id]!);
  const [copy] = core.identity.imageUnits;
  // Label, superblock, journal, image, behind the end, where another node lies.
  const slots = [1, 2, 16, 2 * 16 + 15, copy! * 16 + 3, 32 * 16, 0xffff_ffff, taken[0]!];
  for (const id of placed) {
    for (const slot of slots) {
      if (slot === core.nodes.slots[id]) continue;
      const disk = copyOf(made.disk);
      forgeImage(made, disk, (words) => {
        words[directory + 2 * id] = slot;
        return length;
      });
      const what = `node ${id} in slot ${slot}`;
      const pool = await Pool.open([disk]);
      const damaged = [...pool.core.catalog.objects.values()].filter(({ damage }) => damage !== '');
      assert.ok(damaged.length > 0, what);
      const costs = new Set(pool.findings.flatMap((finding) => finding.costs));
      assert.equal([...costs].sort(), damaged.map((one) => pool.core.catalog.fullName(one)).sort());
      for (const name of names) {
        await pool.deleteVolume(name, { withSnapshots: true });
      }
      await pool.settleSpace();
      await pool.repair();
      assert.equal(await pool.check(), [], what);
      await pool.close();
    }
  }
});

test('rows of the catalog that cannot be are left out and named', async () => {
  const made = await sound();
  const { core } = made;
  const image = imageOf(core, made.disk);
  const bytes = Image.catalogBytes.get(image, 0);
  const directory = image
    .slice(headerWords + Math.ceil(bytes / 8) * 2)
    .slice(0, 2 * core.nodes.end);
  const rows = [...core.catalog.objects.values()];
  const forge = (disk: CrashDevice, text: string): void =>
    forgeImage(made, disk, (words) => {
      const json = new TextEncoder().encode(text);
      words.fill(0, headerWords);
      Image.catalogBytes.set(words, 0, json.length);
      new Uint8Array(words.buffer, words.byteOffset).set(json, headerWords * 4);
      const at = headerWords + Math.ceil(json.length / 8) * 2;
      words.set(directory, at);
      return at + directory.length;
    });
  const [a, s, c] = rows;
  const cases: readonly (readonly [string, unknown, number])[] = [
    ['as it was', rows, 0],
    ['all of it twice', [...rows, ...rows], 3],
    ['another one of the same name', [...rows, { ...c, id: 9 }], 1],
    ['another one of the same identity', [...rows, { ...c, name: 'd' }], 1],
    ['no size', [a, s, { ...c, bytes: 0 }], 1],
    ['no object', [a, s, c, null, 7, []], 3],
    ['no list', {}, 0],
  ];
  for (const [what, value, count] of cases) {
    const disk = copyOf(made.disk);
    forge(disk, JSON.stringify(value));
    const pool = await Pool.open([disk]);
    assert.equal(
      pool.findings.map((finding) => `${finding.kind} ${finding.what}`),
      Array(count).fill('lost catalog'),
      what,
    );
    assert.equal(await pool.check(), [], what);
  }
  const disk = copyOf(made.disk);
  forge(disk, '[');
  assert.is(await codeOf(Pool.open([disk])), 'POOL_DAMAGED');
});

/** A pool whose journal holds one batch with a write and a change of the catalog. */
async function withBatch(): Promise<CrashDevice> {
  const disk = device(2 * MiB);
  const pool = await poolOn(disk);
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 8, 1);
  await pool.checkpoint();
  await writeSectors(volume, 8, 8, 2);
  await runPlain(volume, BlockOp.flush, 0, 0);
  disk.forget();
  return disk;
}

function newestBatch(disk: CrashDevice): Uint32Array {
  const blocks = Array.from({ length: (2 * unitBytes) / cellBytes }, (_, i) => {
    return new Uint32Array(disk.image.buffer, unitBytes + i * cellBytes, cellWords);
  });
  const batches = blocks.filter((words) => Batch.magic.get(words, 0) === batchMagic);
  return batches.sort((a, b) => Batch.seq.get(b, 0) - Batch.seq.get(a, 0))[0]!;
}

/** Records of 16 bytes, and JSON behind the one that announces it. */
function forgeBatch(disk: CrashDevice, records: readonly (readonly number[] | string)[]): void {
  const words = newestBatch(disk);
  const header = Batch.layout.bytes / 4;
  words.fill(0, header);
  let to = header;
  const put = ([kind, cells, object, extent, value]: readonly number[]): void => {
    JournalRecord.kind.set(words, to, kind!);
    JournalRecord.cells.set(words, to, cells!);
    words.set([object!, extent!, value!], to + 1);
    to += 4;
  };
  for (const record of records) {
    if (typeof record !== 'string') put(record);
    else {
      const json = new TextEncoder().encode(record);
      put([RecordKind.catalog, 0, 0, 0, json.length]);
      new Uint8Array(words.buffer, words.byteOffset).set(json, to * 4);
      to += Math.ceil(json.length / 16) * 4;
    }
  }
  Batch.length.set(words, 0, to * 4);
  Batch.check.set(words, 0, crc32cOfWords(words, 2, to));
}

test('a batch of the journal that makes no sense leaves the pool for reading, as it was before', async () => {
  const disk = await withBatch();
  const { assign, unmapRange, catalog, assignChecked } = RecordKind;
  const sound = [assign, 1, 1, 1, 20];
  const cases: readonly (readonly [RegExp, ...(readonly number[] | string)[]])[] = [
    [/names volume 9, which is not there/, [assign, 1, 9, 0, 20]],
    [/names extent 16 of volume 1, which is smaller/, [assign, 1, 1, 16, 20]],
    [/names extent 16 of volume 1, which is smaller/, [unmapRange, 0, 1, 15, 2]],
    [/names extent 4294967294 of volume 1/, [unmapRange, 0, 1, 0, 0xffff_ffff]],
    [/puts cells 0 of an extent into unit 20/, [assign, 0, 1, 0, 20]],
    [/puts cells 1 of an extent into unit 0/, [assign, 1, 1, 0, 0]],
    [/puts cells 1 of an extent into unit 2/, [assign, 1, 1, 0, 2]],
    [/puts cells 1 of an extent into unit 32/, [assign, 1, 1, 0, 32]],
    [/puts cells 1 of an extent into unit 4294967295/, [assign, 1, 1, 0, 0xffff_ffff]],
    [/a record of kind 6/, [6, 1, 1, 0, 20]],
    [/a record of kind 0/, [0, 1, 1, 0, 20]],
    [/checksums are cut off/, [assignChecked, 1, 1, 0, 20]],
    [/checksums are cut off/, [assignChecked, 0x1f, 1, 0, 20], [7, 7, 7, 7, 7]],
    [/a change of the catalog is cut off/, [catalog, 0, 0, 0, 1]],
    [/a change of the catalog is cut off/, [catalog, 0, 0, 0, 17], [7, 7, 7, 7, 7]],
    [/a change of the catalog is no JSON/, '{'],
    [/has fields that cannot be/, '{"op":"melt"}'],
    [/has fields that cannot be/, '{"op":"change","id":1,"to":{"bytes":0}}'],
    [/has fields that cannot be/, '{"op":"change","id":1,"to":null}'],
    [/has fields that cannot be/, '{"op":"melt","id":1,"from":1,"to":{},"ids":[],"made":[]}'],
    [/has fields that cannot be/, '{"op":"change","id":-1,"to":{}}'],
    [/has fields that cannot be/, '{"op":"change","id":4294967296,"to":{}}'],
    [/has fields that cannot be/, '{"op":"change","id":1,"to":{"name":"x@y"}}'],
    [/has fields that cannot be/, '{"op":"change","id":1,"to":{"attributes":{"a":1}}}'],
    [/has fields that cannot be/, '{"op":"change","id":1,"to":{"qosTier":7}}'],
    [/has fields that cannot be/, '{"op":"delete","ids":[1,"a"]}'],
    [/has fields that cannot be/, '{"op":"delete","ids":1}'],
    [/has fields that cannot be/, '{"op":"create","object":{"id":9}}'],
    [/has fields that cannot be/, '{"op":"snapshot","made":[{"of":1}]}'],
    [/has fields that cannot be/, '{"op":"restore","id":1,"from":1,"kept":{}}'],
    [/has fields that cannot be/, '[]'],
    [/there is no volume or snapshot 7/, '{"op":"delete","ids":[7]}'],
  ];
  for (const [expected, ...records] of cases) {
    const copy = copyOf(disk);
    forgeBatch(copy, [sound, ...records]);
    const before = copy.image.slice();
    const pool = await Pool.open([copy]);
    assert.match(pool.failure, expected);
    assert.match(pool.failure, /^batch \d+ of the journal makes no sense: /);
    assert.is((await readVersions(pool.volume('a')))[0], 1);
    assert.is(Buffer.compare(before, copy.image), 0, 'nothing is written');
    await pool.repair();
    assert.equal(await pool.check(), []);
  }
  const copy = copyOf(disk);
  forgeBatch(copy, [sound]);
  assert.is((await Pool.open([copy])).failure, '');
});

test.run();
