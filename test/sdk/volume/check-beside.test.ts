import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { runRequest, writeSectors } from '../../support/volume-rig.js';
import { device, MiB } from './rig.js';

const test = suite('pool check beside writes');
const leaves = 40;
/** What a leaf of a map covers, in sectors. */
const leafSectors = (32 * MiB) / 512;

/** A volume with data below many leaves, which a small cache cannot hold all. */
async function prepared(mapCacheBytes?: number): Promise<Pool> {
  const chance = new Prng(1, 'identity');
  const memory = mapCacheBytes === undefined ? {} : { mapCacheBytes };
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create([device(64 * MiB)], { random, journalBytes: 65_536, ...memory });
  const size = { bytes: leaves * 32 * MiB, blockBytes: 512 } as const;
  const volume = await pool.createVolume({ name: 'a', ...size });
  for (let i = 0; i < leaves; i++) await writeSectors(volume, i * leafSectors, 8, i + 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await pool.checkpoint();
  return pool;
}

interface Writers {
  /** Writes and discards that ended so far. */
  count: number;
  stop(): Promise<void>;
}

/** Writes and discards all over a volume, and a checkpoint now and then, until they are stopped. */
function writersOf(pool: Pool, volume: Volume): Writers {
  const chance = new Prng(7, 'writes');
  let isStopped = false;
  const region = volume.memory.allocate(8 * 512);
  const work = async (): Promise<void> => {
    while (!isStopped) {
      const lba = chance.below(leaves) * leafSectors + chance.below(4) * 128;
      const where = { lba, count: 8 };
      const wanted = chance.chance(0.7)
        ? { ...where, op: BlockOp.write, region }
        : { ...where, op: BlockOp.discard };
      assert.is(await runRequest(volume, wanted), BlockStatus.ok);
      writers.count++;
      if (writers.count % 50 === 0) await pool.checkpoint();
    }
  };
  const running = [work(), work(), work()];
  const stop = async (): Promise<void> => {
    isStopped = true;
    await Promise.all(running);
  };
  const writers: Writers = { count: 0, stop };
  return writers;
}

for (const [words, mapCacheBytes] of [
  ['maps in memory', undefined],
  ['paged maps', 16 * 4096],
] as const) {
  test(`${words}: a check finds a sound pool sound while it is written`, async () => {
    const pool = await prepared(mapCacheBytes);
    const writers = writersOf(pool, pool.volume('a'));
    for (let i = 0; i < 2; i++) {
      const before = writers.count;
      assert.equal(await pool.check(), []);
      assert.ok(writers.count > before, 'writes go on while the pool is checked');
    }
    await writers.stop();
    assert.equal(await pool.check(), []);
    assert.is(pool.failure, '');
    await pool.close();
  });

  test(`${words}: a unit that is counted wrongly is found while the pool is written`, async () => {
    const pool = await prepared(mapCacheBytes);
    const { core } = pool;
    const volume = pool.volume('a');
    core.trees.locate(pool.snapshot('a', 's').object.root, 0);
    const unit = core.trees.unitOf(0);
    assert.ok(unit > 0);
    core.units.refs[unit]!++;
    const writers = writersOf(pool, volume);
    const findings = await pool.check();
    await writers.stop();
    assert.equal(
      findings.map(({ kind, what }) => [kind, what]),
      [['inconsistent', `unit ${unit}`]],
    );
  });
}

test('what is pinned for a check becomes free after it', async () => {
  const pool = await prepared();
  const { object } = pool.volume('a');
  assert.equal(await pool.check(), []);
  await pool.settleSpace();
  // The volume and its snapshot lead there, and nobody else.
  assert.is(pool.core.nodes.refs[object.root], 2);
  await pool.deleteVolume('a', { withSnapshots: true });
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
});

test.run();
