import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import { open } from '../../sdk/open.js';
import { GiB, MiB, TiB } from '../../sdk/units.js';
import { openSimulated, parseAddress } from '../../sim/open.js';
import { World } from '../../sim/world.js';
import { suite } from '../support/suite.js';

const test = suite('open');

async function refusal(address: string): Promise<string> {
  try {
    await open(address);
    return 'opened';
  } catch (error) {
    assert.instance(error, UltimaError);
    return error instanceof UltimaError ? `${error.code} ${error.message}` : '';
  }
}

test('an address that is none says which forms there are', async () => {
  for (const address of ['', 'sim', 'nvme0', '0000:01:00.0', '/dev/nvme0']) {
    const text = await refusal(address);
    assert.match(text, /^ADDRESS_INVALID .*'sim:<profile>'.*'vfio:<domain>/);
  }
});

test('a vfio address that is no PCI function is refused before anything is touched', async () => {
  for (const place of ['', '1', '0000:01:00', '0000:01:00.8', '0000:01:20.0', 'zz:00.0']) {
    assert.match(await refusal(`vfio:${place}`), /^ADDRESS_INVALID/);
  }
});

test('an unknown profile lists the known ones', async () => {
  assert.match(await refusal('sim:optane'), /^PROFILE_UNKNOWN .*simple, ultima-g2, ultima-g2-4t/);
});

test('keys that do not exist and values that cannot be are refused by name', async () => {
  assert.match(await refusal('sim:'), /^ADDRESS_INVALID .*the form is/);
  assert.match(await refusal('sim:simple?speed=9'), /'speed' is no key; the keys are bytes/);
  assert.match(await refusal('sim:simple?media.speed=9'), /'media.speed' is no key/);
  assert.match(await refusal('sim:simple?media=9'), /'media' is no key/);
  assert.match(await refusal('sim:simple?bytes'), /'bytes' is not key=value/);
  assert.match(await refusal('sim:simple?bytes=1GB'), /bytes 1GB: a number, with KiB/);
  assert.match(
    await refusal('sim:simple?bytes=1000KiB'),
    /PROFILE_INVALID .*namespaces\[0\].bytes/,
  );
  assert.match(await refusal('sim:simple?seed=-1'), /seed -1: an integer/);
  assert.match(await refusal('sim:simple?seed='), /seed : an integer/);
  assert.match(await refusal('sim:simple?media.readNs=fast'), /media.readNs = NaN: must be/);
  assert.match(await refusal('sim:simple?cache.isVolatile=no'), /cache.isVolatile = no: must be/);
  assert.match(await refusal('sim:simple?lbaFormat=9'), /namespaces\[0\].lbaFormat = 9/);
  assert.match(await refusal('sim:simple?file=%zz'), /two hexadecimal digits/);
});

test('an address changes the size, the format, the seed, the file and any field', () => {
  const { profile, seed, file } = parseAddress(
    'sim:simple?bytes=16GiB&lbaFormat=2&seed=42&file=%2Ftmp%2Fa%20b' +
      '&media.readNs=5&cache.isVolatile=false',
  );
  assert.is(profile.namespaces[0]!.bytes, 16 * GiB);
  assert.is(profile.namespaces[0]!.lbaFormat, 2);
  assert.is(profile.media?.readNs, 5);
  assert.is(profile.cache.isVolatile, false);
  assert.is(seed, 42);
  assert.is(file, '/tmp/a b');
  assert.is(parseAddress('sim:simple?bytes=2TiB').profile.subsystem.capacityBytes, 2 * TiB);
});

test('a driver finds the namespace that the address asked for', async () => {
  const controller = await NvmeController.open(await open('sim:simple?bytes=64MiB&lbaFormat=2'));
  const namespace = await controller.namespace(1);
  assert.is(namespace.blockBytes, 4096);
  assert.is(namespace.blockCount, (64 * MiB) / 4096);
  await controller.close();
});

test('a namespace of 4 TiB takes data at its end and costs only what was written', async () => {
  const before = process.memoryUsage().arrayBuffers;
  const controller = await NvmeController.open(await open('sim:ultima-g2-4t'));
  const namespace = await controller.namespace(1);
  assert.is(namespace.blockBytes * namespace.blockCount, 4 * TiB);
  const data = new Uint8Array(8192).fill(0xa7);
  await namespace.write(namespace.blockCount - 2, data);
  const back = new Uint8Array(8192);
  await namespace.read(namespace.blockCount - 2, back);
  assert.equal(back, data);
  await controller.close();
  assert.ok(process.memoryUsage().arrayBuffers - before < 200 * MiB);
});

test('a file keeps the namespace from one card to the next', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-'));
  try {
    const address = `sim:simple?bytes=1MiB&file=${encodeURIComponent(join(folder, 'disk.img'))}`;
    const data = new Uint8Array(4096).fill(0x3c);
    const first = openSimulated(address);
    const writer = await NvmeController.open(first.open());
    await (await writer.namespace(1)).write(8, data);
    await writer.close();
    await first.close();
    const second = openSimulated(address);
    const reader = await NvmeController.open(second.open());
    const back = new Uint8Array(4096);
    await (await reader.namespace(1)).read(8, back);
    assert.equal(back, data);
    await reader.close();
    await second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a file has everything once the function is closed, without flush or shutdown', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-'));
  try {
    const address = `sim:simple?bytes=1MiB&file=${encodeURIComponent(join(folder, 'disk.img'))}`;
    const fn = await open(address);
    const writer = await NvmeController.open(fn);
    const data = new Uint8Array(512).fill(0x3d);
    await (await writer.namespace(1)).write(3, data);
    await fn.close();
    const reader = await NvmeController.open(await open(address));
    const back = new Uint8Array(512);
    await (await reader.namespace(1)).read(3, back);
    assert.equal(back, data);
    await reader.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the file of a card is that of one card at a time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-'));
  try {
    const address = `sim:simple?bytes=1MiB&file=${encodeURIComponent(join(folder, 'disk.img'))}`;
    // The first one makes the file, the next one finds it.
    for (let i = 0; i < 2; i++) {
      const fn = await open(address);
      assert.match(await refusal(address), /disk.img is in use: another process writes to it/);
      await fn.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('two cards of one world live on one clock', async () => {
  const world = new World({ seed: 3 });
  const first = openSimulated('sim:simple?bytes=1MiB', { world });
  const second = openSimulated('sim:simple?bytes=1MiB', { world });
  const both = await Promise.all([
    NvmeController.open(first.open()),
    NvmeController.open(second.open()),
  ]);
  assert.is(first.world, second.world);
  const spaces = await Promise.all(both.map((controller) => controller.namespace(1)));
  await Promise.all(spaces.map((space, i) => space.write(0, new Uint8Array(512).fill(i + 1))));
  const back = new Uint8Array(512);
  await spaces[1]!.read(0, back);
  assert.is(back[0], 2);
  first.checker.demandNone();
  second.checker.demandNone();
  for (const controller of both) await controller.close();
});

test.run();
