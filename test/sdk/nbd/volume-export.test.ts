import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { contextsOf, findExtents } from '../../../sdk/nbd/metadata.js';
import { exportOfVolume } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { suite } from '../../support/suite.js';
import { runPlain, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from '../volume/rig.js';

const test = suite('NBD export of a volume');
const KiB = 1024;

/** [length in KiB, flags] of each extent of a context. */
function mapOf(made: ReturnType<typeof exportOfVolume>, name: string): number[][] {
  const context = contextsOf(made.metadata!).find((each) => each.name === name)!;
  const into = new Float64Array(64);
  const count = findExtents(context, { offset: 0, length: MiB, most: 32 }, into);
  return Array.from({ length: count }, (_, i) => [into[2 * i]! / KiB, into[2 * i + 1]!]);
}

test('holes, data and what changed since a snapshot are told apart', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 16, 1);
  await writeSectors(volume, 128, 128, 1);
  await pool.takeSnapshot([{ volume: 'db', name: 'monday' }]);
  await writeSectors(volume, 8, 16, 2);
  await runPlain(volume, BlockOp.discard, 128, 64);
  const live = exportOfVolume(pool, 'db');
  assert.is(live.isReadOnly, false);
  assert.equal(mapOf(live, 'base:allocation'), [
    [12, 0],
    [84, 3],
    [32, 0],
    [896, 3],
  ]);
  assert.equal(mapOf(live, 'ultima:diff-monday'), [
    [4, 0],
    [8, 1],
    [52, 0],
    [32, 3],
    [928, 0],
  ]);
  const snapshot = exportOfVolume(pool, 'db@monday');
  assert.is(snapshot.isReadOnly, true);
  assert.equal(mapOf(snapshot, 'base:allocation'), [
    [8, 0],
    [56, 3],
    [64, 0],
    [896, 3],
  ]);
  assert.equal(
    contextsOf(snapshot.metadata!).map(({ name }) => name),
    ['base:allocation'],
  );
  assert.throws(() => exportOfVolume(pool, 'db@never'), /no snapshot never/);
  await pool.close();
});

test('all of a volume whose map is not all in memory counts as allocated', async () => {
  const disk = device();
  const made = await poolOn(disk);
  const volume = await made.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 16, 1);
  await made.takeSnapshot([{ volume: 'db', name: 'monday' }]);
  await made.close();
  const pool = await Pool.open([disk], { mapCacheBytes: 64 * KiB });
  const live = exportOfVolume(pool, 'db');
  assert.equal(mapOf(live, 'base:allocation'), [[1024, 0]]);
  assert.equal(
    contextsOf(live.metadata!).map(({ name }) => name),
    ['base:allocation'],
  );
  await pool.close();
});

test.run();
