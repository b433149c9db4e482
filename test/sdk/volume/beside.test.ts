import * as assert from 'uvu/assert';
import { BlockOp, type BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import type { DmaRegion } from '../../../sdk/device.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, runPlain, runRequest, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('requests beside each other');

/** Two extents that a snapshot shares, so that a part of a cell has to be read first. */
async function shared(): Promise<Volume> {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 256, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  return volume;
}

const zeroes = BlockOp.writeZeroes;
const { discard } = BlockOp;

test('a part of a cell brings nothing back that goes away while it is written', async () => {
  for (const [op, first, count] of [
    [zeroes, 0, 128],
    [zeroes, 0, 256],
    [discard, 128, 128],
    [discard, 0, 256],
    [zeroes, 128, 8],
    [discard, 120, 24],
    [zeroes, 128 + 4, 2],
  ] as const) {
    for (const isFirst of [true, false]) {
      const volume = await shared();
      const part = (): Promise<void> => writeSectors(volume, 128 + 3, 1, 2);
      const clear = (): Promise<void> => runPlain(volume, op, first, count);
      await Promise.all(isFirst ? [part(), clear()] : [clear(), part()]);
      for (const [sector, version] of (await readVersions(volume)).entries()) {
        const isCleared = sector >= first && sector < first + count;
        const old = isCleared || sector >= 256 ? 0 : 1;
        const what = `sector ${sector}, operation ${op} of ${count} at ${first}`;
        if (sector !== 131) assert.is(version, old, what);
        else assert.ok(version === 2 || (isCleared && version === 0), what);
      }
    }
  }
});

test('a part of a cell and the whole of it leave one after the other', async () => {
  for (const isFirst of [true, false]) {
    for (const place of [128, 512]) {
      const volume = await shared();
      const part = (): Promise<void> => writeSectors(volume, place + 3, 1, 2);
      const whole = (): Promise<void> => writeSectors(volume, place, 8, 3);
      await Promise.all(isFirst ? [part(), whole()] : [whole(), part()]);
      const versions = [...(await readVersions(volume)).subarray(place, place + 8)];
      assert.ok([2, 3].includes(versions[3]!));
      assert.equal(versions.toSpliced(3, 1), [3, 3, 3, 3, 3, 3, 3]);
    }
  }
});

test('parts of more cells than can be locked at one time all end', async () => {
  const volume = await shared();
  const parts = Array.from({ length: 60 }, (_, i) => writeSectors(volume, i * 8 + 3, 2, 100 + i));
  await Promise.all(parts);
  for (const [sector, version] of (await readVersions(volume)).entries()) {
    const isPart = sector < 480 && [3, 4].includes(sector % 8);
    assert.is(version, isPart ? 100 + (sector >>> 3) : sector < 256 ? 1 : 0, `sector ${sector}`);
  }
});

/** A device whose reads take longer than several writes. */
class LateReads extends CrashDevice {
  private readonly late: BlockRequest[] = [];
  private rounds = 0;

  override submit(request: BlockRequest): void {
    if (request.op === BlockOp.read) this.late.push(request);
    else super.submit(request);
  }

  override poll(): number {
    if (++this.rounds % 100 === 0) for (const request of this.late.splice(0)) super.submit(request);
    return super.poll();
  }
}

test('what is read while it is overwritten again and again passes its check', async () => {
  const pool = await poolOn(new LateReads({ blockBytes: 512, bytes: 8 * MiB }));
  const wanted = { name: 'a', bytes: MiB, blockBytes: 512, hasChecks: true } as const;
  const volume = await pool.createVolume(wanted);
  // The third cell stays: its unit has room for the others again and again.
  await writeSectors(volume, 0, 24, 1);
  const regions = Array.from({ length: 3 }, () => volume.memory.allocate(8192));
  const reader = async (region: DmaRegion): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      const read = { op: BlockOp.read, lba: 0, count: 16, region };
      assert.is(await runRequest(volume, read), BlockStatus.ok, `read ${i}`);
    }
  };
  const writer = async (cell: number): Promise<void> => {
    for (let i = 0; i < 100; i++) await writeSectors(volume, cell * 8, 8, 10 + i, i % 3 === 0);
  };
  await Promise.all([...regions.map(reader), writer(0), writer(1)]);
});

test('no identity is given twice, also not that of what was deleted last', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  await pool.createVolume({ name: 'a', bytes: MiB });
  const { id } = (await pool.createVolume({ name: 'b', bytes: MiB })).object;
  await pool.deleteVolume('b');
  await pool.close();
  const again = await Pool.open([disk]);
  assert.is((await again.createVolume({ name: 'b', bytes: MiB })).object.id, id + 1);
});

test.run();
