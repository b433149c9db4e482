import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { VolumeCipher } from '../../../sdk/volume/cipher.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import type { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runPlain, runRequest, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB } from './rig.js';

const test = suite('encrypted volumes');

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

test('a block is encrypted as vector 10 of the standard has it', () => {
  // [IEEE-1619 §B vector 10]: XTS-AES-256, data unit 0xff, 512 bytes counting up twice.
  const key = hex(
    '2718281828459045235360287471352662497757247093699959574966967627' +
      '3141592653589793238462643383279502884197169399375105820974944592',
  );
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => i & 0xff);
  const cipher = new VolumeCipher(key, 512);
  cipher.encrypt(bytes, 0xff);
  const start = '1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b';
  assert.is(Buffer.from(bytes.subarray(0, 32)).toString('hex'), start);
  cipher.decrypt(bytes, 0xff);
  assert.ok(bytes.every((byte, i) => byte === (i & 0xff)));
});

test('keys that are none are refused', () => {
  assert.throws(() => new VolumeCipher(new Uint8Array(32), 512), /32 bytes/);
  assert.throws(() => new VolumeCipher(new Uint8Array(64).fill(7), 512), /must differ/);
});

const key = Uint8Array.from({ length: 64 }, (_, i) => i * 3);
const keys = (keyId: string): Uint8Array | null => (keyId === 'k1' ? key : null);

async function encryptedPool(disk: CrashDevice): Promise<Pool> {
  const chance = new Prng(1, 'identity');
  return Pool.create([disk], { keys, random: (bytes) => chance.fill(bytes) });
}

function holds(disk: CrashDevice, version: number): boolean {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(version);
  return Buffer.from(disk.image.buffer).includes(word);
}

for (const blockBytes of [512, 4096] as const) {
  test(`blocks of ${blockBytes}: nothing written lies on the device in clear, and all reads back`, async () => {
    const disk = device(8 * MiB, blockBytes);
    const pool = await encryptedPool(disk);
    const volume = await pool.createVolume({ name: 'a', bytes: MiB, blockBytes, keyId: 'k1' });
    const grain = blockBytes / 512;
    await writeSectors(volume, 8, 160, 0x5eed_0001);
    await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
    await writeSectors(volume, 16, 3 * grain, 0x5eed_0002);
    await pool.clone({ volume: 'a', snapshot: 's' }, 'c');
    await runPlain(volume, BlockOp.flush, 0, 0);
    for (const version of [0x5eed_0001, 0x5eed_0002]) assert.not.ok(holds(disk, version));
    const plain = await pool.createVolume({ name: 'p', bytes: MiB, blockBytes });
    await writeSectors(plain, 8, 8, 0x5eed_0003);
    assert.ok(holds(disk, 0x5eed_0003), 'the search finds what is in clear');
    await pool.close();
    const again = await Pool.open([disk], { keys });
    const versions = await readVersions(again.volume('a'));
    const end = 16 + 3 * grain;
    for (const [sector, version] of versions.entries()) {
      const isOld = sector >= 8 && sector < 168;
      const expected = sector >= 16 && sector < end ? 0x5eed_0002 : isOld ? 0x5eed_0001 : 0;
      assert.is(version, expected, `sector ${sector}`);
    }
    assert.is((await readVersions(again.volume('c')))[16], 0x5eed_0001);
    assert.not.ok(Buffer.from(disk.image.buffer).includes(Buffer.from(key.subarray(1, 17))));
  });
}

test('without its key a volume can be listed and deleted, not read', async () => {
  const disk = device();
  const pool = await encryptedPool(disk);
  await pool.createVolume({ name: 'a', bytes: MiB, keyId: 'k1' });
  const unknown = Promise.resolve().then(() =>
    pool.createVolume({ name: 'b', bytes: MiB, keyId: 'k2' }),
  );
  assert.is(await codeOf(unknown), 'NOT_FOUND');
  await pool.close();
  const locked = await Pool.open([disk]);
  const volume = locked.volume('a');
  const region = volume.memory.allocate(4096);
  for (const op of [BlockOp.read, BlockOp.write]) {
    const status = await runRequest(volume, { op, lba: 0, count: 1, region });
    assert.is(status, BlockStatus.accessDenied);
  }
  await locked.deleteVolume('a');
  assert.is(locked.volumes().length, 0);
});

for (const [words, wrong] of [
  ['another key', Uint8Array.from({ length: 64 }, (_, i) => i * 5)],
  ['a key that is none', new Uint8Array(7)],
] as const) {
  test(`with ${words} a volume is refused by name, and nothing is read or written`, async () => {
    const disk = device();
    const pool = await encryptedPool(disk);
    const volume = await pool.createVolume({ name: 'a', bytes: MiB, keyId: 'k1' });
    await pool.createVolume({ name: 'plain', bytes: MiB });
    await writeSectors(volume, 0, 8, 5);
    await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
    await pool.setAttributes('a', { who: 'cares' });
    await pool.close();
    const other = await Pool.open([disk], { keys: () => wrong });
    const image = Buffer.from(disk.image);
    const code = (open: () => unknown): Promise<string> =>
      codeOf(
        Promise.resolve()
          .then(open)
          .then(() => undefined),
      );
    assert.is(await code(() => other.volume('a')), 'VERIFY_FAILED');
    assert.is(await code(() => other.snapshot('a', 's')), 'VERIFY_FAILED');
    assert.throws(() => other.volume('a'), /the key 'k1' is not the one that volume a/);
    assert.ok(image.equals(disk.image), 'nothing was written');
    const clone = await other.clone({ volume: 'a', snapshot: 's' }, 'c');
    const region = clone.memory.allocate(4096);
    for (const op of [BlockOp.read, BlockOp.write]) {
      const status = await runRequest(clone, { op, lba: 0, count: 1, region });
      assert.is(status, BlockStatus.accessDenied);
    }
    await writeSectors(other.volume('plain'), 0, 8, 6);
    await other.deleteVolume('c');
    await other.close();
    const again = await Pool.open([disk], { keys });
    assert.is((await readVersions(again.volume('a')))[0], 5);
  });
}

test.run();
