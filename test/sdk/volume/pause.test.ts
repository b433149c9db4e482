import * as assert from 'uvu/assert';
import type { Clock } from '../../../sdk/device.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { CrashDevice, stillClock } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { readVersions, writeSectors } from '../../support/volume-rig.js';
import { codeOf, MiB } from './rig.js';

const test = suite('the pause of a snapshot');
const usNs = 1000;
/** By which time moves whenever somebody waits. */
const stepNs = 10 * usNs;

/** A disk that can hold back everything, and lets it go at a time. */
class HoldingDevice extends CrashDevice {
  nowNs = 0;
  heldUntilNs = 0;
  override readonly clock: Clock = {
    ...stillClock,
    nowNs: () => this.nowNs,
    turn: async () => {
      this.nowNs += stepNs;
    },
  };

  override poll(): number {
    return this.nowNs < this.heldUntilNs ? 0 : super.poll();
  }
}

async function prepared(): Promise<{ readonly disk: HoldingDevice; readonly pool: Pool }> {
  const disk = new HoldingDevice({ blockBytes: 512, bytes: 16 * MiB });
  const chance = new Prng(1, 'identity');
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create([disk], { random, journalBytes: 128 * 1024 });
  for (const name of ['a', 'b']) {
    const volume = await pool.createVolume({ name, bytes: MiB, blockBytes: 512 });
    await writeSectors(volume, 0, 16, 1);
  }
  return { disk, pool };
}

const group = ['a', 'b'].map((volume) => ({ volume, name: 'g' }));

test('it is as long as the write that was under way, and told', async () => {
  const { disk, pool } = await prepared();
  disk.heldUntilNs = disk.nowNs + 500 * usNs;
  const writing = writeSectors(pool.volume('a'), 0, 8, 2);
  const { pauseNs } = await pool.takeSnapshot(group);
  await writing;
  const isAsLong = pauseNs >= 500 * usNs - stepNs && pauseNs <= 500 * usNs + stepNs;
  assert.ok(isAsLong, `${pauseNs} ns`);
  // What was under way is in the snapshot.
  assert.is((await readVersions(pool.snapshot('a', 'g')))[0], 2);
});

test('beyond its bound there is no snapshot of any, and writes go on', async () => {
  const { disk, pool } = await prepared();
  const startNs = disk.nowNs;
  disk.heldUntilNs = startNs + 5000 * usNs;
  const writing = writeSectors(pool.volume('b'), 0, 8, 2);
  const taking = pool.takeSnapshot(group, { mostPauseNs: 1000 * usNs });
  // The gates are closed: these wait at them until the bound.
  await null;
  const behind = writeSectors(pool.volume('a'), 8, 8, 3);
  assert.is(await codeOf(taking), 'COMMAND_TIMEOUT');
  const tookNs = disk.nowNs - startNs;
  assert.ok(tookNs > 1000 * usNs && tookNs <= 1000 * usNs + 2 * stepNs, `${tookNs} ns`);
  for (const { volume } of group) assert.equal(pool.snapshots(volume), []);
  disk.heldUntilNs = 0;
  await Promise.all([writing, behind]);
  assert.is((await readVersions(pool.volume('a')))[8], 3);
  assert.is((await pool.takeSnapshot(group)).snapshots.length, 2);
  assert.equal(await pool.check(), []);
});

test.run();
