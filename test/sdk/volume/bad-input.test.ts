import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { crc32cOfWords } from '../../../sdk/crc32c.js';
import { cellBytes, Label, maxVolumeBytes } from '../../../sdk/volume/format.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { CrashCuts } from '../../support/crash-cuts.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { catalogOf, runPlain, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('bad input of pools');

const random = (bytes: Uint8Array): Uint8Array => bytes.fill(9);

/** `POOL_INVALID: device 1 has shrunk`; '' for what is not refused. */
async function refusalOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
    return '';
  } catch (error) {
    if (!(error instanceof Error)) return 'no error';
    return `${'code' in error ? error.code : error.name}: ${error.message}`;
  }
}

/** The refusal must be this one, and no byte of any device may differ after it. */
async function demandRefusal(
  disks: readonly CrashDevice[],
  expected: RegExp,
  attempt: () => unknown,
): Promise<void> {
  const before = disks.map(({ image }) => image.slice());
  assert.match(await refusalOf(attempt), expected);
  for (const [i, { image }] of disks.entries()) {
    assert.is(Buffer.compare(image, before[i]!), 0, `${expected}: device ${i} has changed`);
  }
}

async function twoDisks(): Promise<[CrashDevice, CrashDevice]> {
  const disks: [CrashDevice, CrashDevice] = [device(2 * MiB), device(2 * MiB)];
  const pool = await poolOn(...disks);
  await writeSectors(await pool.createVolume({ name: 'a', bytes: MiB }), 0, 256, 1);
  await pool.close();
  return disks;
}

/** A copy of a device, larger or smaller, or with other blocks. */
function copyOf(disk: CrashDevice, bytes = disk.image.length, blockBytes = 512): CrashDevice {
  const image = new Uint8Array(bytes);
  image.set(disk.image.subarray(0, bytes));
  return new CrashDevice({ blockBytes, bytes }, image);
}

async function grownBy(
  [first, second, third]: readonly [CrashDevice, CrashDevice, CrashDevice],
  identity: number,
): Promise<void> {
  const pool = await Pool.open([first, second]);
  await pool.addDevice(third, { random: (bytes) => bytes.fill(identity) });
  await pool.close();
}

function withVersion(disk: CrashDevice, version: number): CrashDevice {
  const copy = copyOf(disk);
  for (const at of [0, cellBytes]) {
    const words = new Uint32Array(copy.image.buffer, at, cellBytes / 4);
    Label.version.set(words, 0, version);
    Label.check.set(words, 0, crc32cOfWords(words, 2, cellBytes / 4));
  }
  return copy;
}

test('devices that are not the pool, or not all of it, are refused and stay as they are', async () => {
  const [first, second] = await twoDisks();
  const foreign = device(2 * MiB);
  foreign.image.fill(0x5a);
  const stranger = device(2 * MiB);
  await poolOn(device(2 * MiB), stranger, device(2 * MiB));
  // The same pool with a third device, twice, each knowing its own only.
  const wide = [copyOf(first), copyOf(second), device(2 * MiB)] as const;
  await grownBy(wide, 9);
  const third = device(2 * MiB);
  await grownBy([copyOf(first), copyOf(second), third], 7);
  const cases: readonly (readonly [RegExp, ...CrashDevice[]])[] = [
    [/^POOL_INVALID: device 0 carries no pool/, foreign],
    [/^POOL_INVALID: device 1 carries no pool/, first, foreign],
    [/^POOL_INVALID: device 0 carries no pool/, device(2 * MiB)],
    [/^POOL_INVALID: device 1 of 2 of the pool is missing/, first],
    [/^POOL_INVALID: the first device of the pool is missing/, second],
    [/^POOL_INVALID: device 1 is number 0 of the pool, as another one is/, first, copyOf(first)],
    [/^POOL_INVALID: device 1 is part of another pool \([0-9a-f]{32}\)/, first, stranger],
    [/^POOL_INVALID: device 2 is not the one that the pool knows/, wide[0], wide[1], third],
    [/^POOL_INVALID: device 2 was never taken into the pool/, first, second, third],
    [/^POOL_INVALID: .* shrunk: 1966080 bytes of 2097152/, first, copyOf(second, 30 * 65_536)],
    [/^POOL_INVALID: .* shrunk: 1048576 bytes of 2097152/, copyOf(first, MiB), second],
    [/^DEVICE_UNSUPPORTED: .* at least 524288 bytes; .* 65536/, copyOf(first, 65_536), second],
    [/^POOL_INVALID: device 1 has blocks of 4096 .* 512/, first, copyOf(second, 2 * MiB, 4096)],
    [/^DEVICE_UNSUPPORTED: .* 512 to 4096 .* 8192/, copyOf(first, 2 * MiB, 8192), second],
    [/^POOL_INVALID: .* format version 2; .* knows version 1/, withVersion(first, 2), second],
    [/^POOL_INVALID: .* format version 0; .* knows version 1/, withVersion(first, 0), second],
  ];
  for (const [expected, ...disks] of cases) {
    await demandRefusal(disks, expected, () => Pool.open(disks));
  }
  assert.is(await refusalOf(() => Pool.open([second, first])), '');
});

test('a pool of which only a part was written is none, wherever its creation was cut', async () => {
  const made = device(MiB);
  made.isLogging = true;
  await poolOn(made);
  const cuts = new CrashCuts(made.log, new Uint8Array(MiB), 512);
  const chance = new Prng(3, 'torn');
  const outcomes = new Map<string, number>();
  for (let count = 0; count <= made.log.length; count++) {
    cuts.advanceTo(count);
    const open = cuts.open();
    assert.ok(open.length <= 8, `${open.length} writes are open`);
    // Every set of writes that got through, then some of which only blocks did.
    for (let i = 0; i < 2 ** open.length + 8; i++) {
      const image = cuts.image.slice();
      for (const [index, { write, blocks }] of open.entries()) {
        const isTorn = i >= 2 ** open.length;
        for (const block of blocks) {
          if (isTorn ? chance.chance(0.5) : ((i >>> index) & 1) === 0) continue;
          image.set(write.data.subarray(block, block + 512), write.at + block);
        }
      }
      const cut = new CrashDevice({ blockBytes: 512, bytes: MiB }, image);
      const outcome = await refusalOf(async () => {
        const pool = await Pool.open([cut]);
        // The last write may be torn, which is that of the first label; its copy is whole then.
        const found = [...pool.findings, ...(await pool.check())];
        assert.ok(found.every(({ kind, what }) => kind === 'copy' && what === 'label'));
        await pool.repair();
        assert.equal(await pool.check(), []);
        assert.is(catalogOf(pool), '');
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  assert.equal([...outcomes.keys()], ['POOL_INVALID: device 0 carries no pool', '']);
  await demandRefusal([made], /^VOLUME_BUSY: device 0 is part of a pool/, () => poolOn(made));
});

test('what cannot be done with volumes and snapshots is refused, and changes nothing', async () => {
  const disks = [device(4 * MiB), device(2 * MiB)];
  const pool = await poolOn(...disks);
  for (const name of ['a', 'b', 'gone']) {
    const volume = await pool.createVolume({ name, bytes: MiB, blockBytes: 512 });
    await writeSectors(volume, 0, 64, 1);
    await pool.takeSnapshot([{ volume: name, name: 's' }]);
  }
  await pool.deleteVolume('gone', { withSnapshots: true });
  await runPlain(pool.volume('a'), BlockOp.flush, 0, 0);
  await pool.settleSpace();
  await pool.checkpoint();
  const catalog = catalogOf(pool);
  const space = pool.space();
  const s = { volume: 'a', snapshot: 's' };
  const cases: readonly (readonly [RegExp, () => unknown])[] = [
    [/^NAME_TAKEN: .* volume a already/, () => pool.createVolume({ name: 'a', bytes: MiB })],
    [/^NAME_TAKEN: .* volume b already/, () => pool.renameVolume('a', 'b')],
    [/^NAME_TAKEN: .* volume b already/, () => pool.clone(s, 'b')],
    [
      /^NAME_TAKEN: volume b has a snapshot s already/,
      () =>
        pool.takeSnapshot([
          { volume: 'a', name: 't' },
          { volume: 'b', name: 's' },
        ]),
    ],
    [/^NAME_TAKEN: volume a has a snapshot s already/, () => pool.restore('a', 's', 's')],
    [/^RangeError: 'a@b' cannot be a name/, () => pool.renameVolume('a', 'a@b')],
    [/^RangeError: volume a has 1048576 bytes; .* 524288/, () => pool.growVolume('a', MiB / 2)],
    [/^RangeError: .* multiple of 4096; 1049088/, () => pool.growVolume('a', MiB + 512)],
    [/^RangeError: .* 17592186044416 bytes/, () => pool.growVolume('a', maxVolumeBytes + 4096)],
    [/^RangeError: .* 4096 .* not 0$/, () => pool.createVolume({ name: 'n', bytes: 0 })],
    [/^VOLUME_BUSY: volume a has snapshots \(1\)/, () => pool.deleteVolume('a')],
    [/^NOT_FOUND: .* no volume gone/, () => pool.takeSnapshot([{ volume: 'gone', name: 't' }])],
    [/^NOT_FOUND: .* no volume gone/, () => pool.snapshot('gone', 's')],
    [/^NOT_FOUND: .* no volume gone/, () => pool.snapshots('gone')],
    [/^NOT_FOUND: .* no volume gone/, () => pool.restore('gone', 's', 'k')],
    [/^NOT_FOUND: .* no volume gone/, () => pool.clone({ volume: 'gone', snapshot: 's' }, 'n')],
    [/^NOT_FOUND: .* no volume gone/, () => pool.deleteSnapshot('gone', 's')],
    [/^NOT_FOUND: volume a has no snapshot t/, () => pool.deleteSnapshot('a', 't')],
    [
      /^POOL_INVALID: a@s and b@s have no common past/,
      () => pool.changes(s, { volume: 'b', snapshot: 's' }),
    ],
    [/^NOT_FOUND: volume a has no snapshot t/, () => pool.changes({ ...s, snapshot: 't' }, s)],
    [/^VOLUME_BUSY: .* not blank/, () => pool.addDevice(filled(), { random })],
    [
      /^RangeError: .* in the pool already, as number 1/,
      () => pool.addDevice(disks[1]!, { random }),
    ],
    [/^DEVICE_UNSUPPORTED: .* 524288 .* 65536/, () => pool.addDevice(device(65_536), { random })],
  ];
  for (const [expected, attempt] of cases) {
    await demandRefusal(disks, expected, async () => {
      await attempt();
    });
    for (let i = 0; i < 20; i++) pool.core.poll();
    assert.is(catalogOf(pool), catalog, String(expected));
    assert.equal(pool.space(), space, String(expected));
  }
  await pool.close();
  assert.equal(await (await Pool.open(disks)).check(), []);
});

test('a device that became smaller while the pool was open is named, and nothing is taken in', async () => {
  const disk = device(2 * MiB);
  const pool = await poolOn(disk);
  await pool.checkpoint();
  disk.blockCount = MiB / 512;
  await demandRefusal([disk], /^POOL_INVALID: device 0 has shrunk: 1048576 bytes of 2097152/, () =>
    pool.growDevices(),
  );
});

function filled(): CrashDevice {
  const disk = device(2 * MiB);
  disk.image.fill(1);
  return disk;
}

test.run();
