import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import { checkMaps } from '../../../sdk/volume/check-maps.js';
import { NodeKind } from '../../../sdk/volume/nodes.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { Prng } from '../../../sim/prng.js';
import type { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { runPlain, runRequest, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB } from './rig.js';

const test = suite('maps that do not fit in memory');

const nodeBytes = 4096;
const leaves = 200;
/** What a leaf maps, in sectors. */
const leafSectors = (32 * MiB) / 512;
const cacheNodes = 16;
const mapCacheBytes = cacheNodes * nodeBytes;

/** A volume with one cell below each of its leaves, and a snapshot of it. */
async function prepared(
  hasChecks = false,
): Promise<{ readonly disk: CrashDevice; readonly pool: Pool }> {
  const disk = device(64 * MiB, 512);
  const chance = new Prng(1, 'identity');
  const pool = await Pool.create([disk], { random: (b) => chance.fill(b), mapCacheBytes });
  const size = { bytes: leaves * 32 * MiB, blockBytes: 512 } as const;
  const volume = await pool.createVolume({ name: 'a', ...size, hasChecks });
  for (let i = 0; i < leaves; i++) await writeSectors(volume, i * leafSectors, 8, i + 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await pool.checkpoint();
  return { disk, pool };
}

async function versionAt(volume: Volume, leaf: number): Promise<number> {
  const region = volume.memory.allocate(512);
  const read = { op: BlockOp.read, lba: leaf * leafSectors, count: 1, region };
  const status = await runRequest(volume, read);
  const [version] = region.words;
  region.space.free(region);
  return status === BlockStatus.ok ? version! : -status;
}

for (const hasChecks of [false, true]) {
  const words = hasChecks ? ' with checks' : '';
  test(`reads and writes all over a volume${words} need no more memory than was given`, async () => {
    const { pool, disk } = await prepared(hasChecks);
    const volume = pool.volume('a');
    const chance = new Prng(2, 'leaves');
    const model = Array.from({ length: leaves }, (_, i) => i + 1);
    let most = 0;
    for (let i = 0; i < 1500; i++) {
      const leaf = chance.below(leaves);
      if (chance.chance(0.5)) {
        model[leaf] = 1000 + i;
        await writeSectors(volume, leaf * leafSectors, 8, 1000 + i);
      } else {
        assert.is(await versionAt(volume, leaf), model[leaf]);
      }
      most = Math.max(most, pool.core.nodes.frameCount);
    }
    // Those that wait for a checkpoint, and those that it writes, come on top.
    assert.ok(most <= 3 * cacheNodes, `${most} nodes in memory`);
    assert.ok(pool.core.nodes.count > 2 * leaves, 'the snapshot has leaves of its own');
    await pool.close();
    const again = await Pool.open([disk], { mapCacheBytes });
    assert.ok(again.core.nodes.frameCount <= 2 * cacheNodes);
    for (let leaf = 0; leaf < leaves; leaf++) {
      assert.is(await versionAt(again.volume('a'), leaf), model[leaf]);
      assert.is(await versionAt(again.snapshot('a', 's'), leaf), leaf + 1);
    }
    assert.equal(await again.check(), []);
  });
}

test('what is deleted is free again, though its map has to be read for that', async () => {
  const { pool } = await prepared();
  await pool.settleSpace();
  const { dataBytes } = pool.space();
  assert.is(dataBytes, leaves * 64 * 1024);
  await pool.deleteVolume('a', { withSnapshots: true });
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
  assert.equal(await pool.check(), []);
});

test('differences and space are told of maps that are not in memory', async () => {
  const { pool } = await prepared();
  await writeSectors(pool.volume('a'), 7 * leafSectors, 8, 5000);
  await runPlain(pool.volume('a'), BlockOp.discard, 150 * leafSectors, 8);
  const to = { volume: 'a' };
  const found = [];
  for await (const range of pool.changes({ volume: 'a', snapshot: 's' }, to)) {
    found.push(range);
  }
  assert.equal(found, [
    { byteOffset: 7 * 32 * MiB, byteLength: 4096, isData: true },
    { byteOffset: 150 * 32 * MiB, byteLength: 4096, isData: false },
  ]);
  const unit = 64 * 1024;
  assert.equal(await pool.spaceOf(to), {
    mappedBytes: (leaves - 1) * 4096,
    usedBytes: (leaves - 1) * unit,
    exclusiveBytes: unit,
    sharedBytes: (leaves - 2) * unit,
  });
  assert.throws(() => [...pool.changesNow(null, to)], /not in memory/);
});

test('a node that is no longer what was written costs its volume, not the pool', async () => {
  const { pool, disk } = await prepared();
  const other = await pool.createVolume({ name: 'b', bytes: 4 * MiB, blockBytes: 512 });
  await writeSectors(other, 0, 8, 77);
  const { nodes } = pool.core;
  let bad = 0;
  for (let id = 1; id < nodes.end; id++) {
    if (nodes.kinds[id] === NodeKind.leaf && !nodes.isHere(id)) bad = id;
  }
  assert.ok(bad > 0);
  disk.image.fill(0xa5, nodes.slots[bad]! * nodeBytes, (nodes.slots[bad]! + 1) * nodeBytes);
  const statuses = new Set<number>();
  for (let leaf = 0; leaf < leaves; leaf++) {
    const version = await versionAt(pool.volume('a'), leaf);
    if (version !== leaf + 1) statuses.add(-version);
  }
  assert.equal([...statuses], [BlockStatus.integrityError]);
  assert.is(pool.volume('a').isReadOnly, true);
  assert.is(pool.findings.filter(({ what }) => what === `node ${bad}`).length, 1);
  await writeSectors(other, 8, 8, 78);
  assert.is(pool.failure, '');
  assert.is(await codeOf(pool.spaceOf({ volume: 'a' })), 'POOL_DAMAGED');
});

test('one wrong bit of a node that left memory is mended when it comes back', async () => {
  const { pool, disk } = await prepared();
  const { nodes } = pool.core;
  for (let id = 1; id < nodes.end; id++) {
    const isAway = nodes.kinds[id] === NodeKind.leaf && !nodes.isHere(id);
    if (isAway) disk.image[nodes.slots[id]! * nodeBytes + (id % nodeBytes)]! ^= 1 << (id % 8);
  }
  for (let leaf = 0; leaf < leaves; leaf++) {
    assert.is(await versionAt(pool.volume('a'), leaf), leaf + 1);
  }
  assert.ok(pool.findings.length > leaves / 2);
  assert.ok(pool.findings.every(({ kind }) => kind === 'mended'));
  await pool.checkpoint();
  assert.equal(await pool.check(), []);
});

test('a node stays in memory until the checkpoint that writes it is durable', async () => {
  const { pool } = await prepared();
  const { nodes, checkpointer } = pool.core;
  for (let leaf = 0; leaf < 5; leaf++) {
    await writeSectors(pool.volume('a'), leaf * leafSectors, 8, 100 + leaf);
  }
  await pool.commit();
  const changed: number[] = [];
  for (let id = 1; id < nodes.end; id++) if (nodes.isDirty(id)) changed.push(id);
  const leavable = (): number => changed.filter((id) => nodes.canLeave(id)).length;
  const { count } = checkpointer;
  assert.ok(checkpointer.start());
  for (; checkpointer.count === count; pool.core.poll()) assert.is(leavable(), 0);
  assert.ok(leavable() >= 5);
});

test('without a limit no node is read after opening', async () => {
  const { pool, disk } = await prepared();
  await pool.close();
  const again = await Pool.open([disk]);
  for (let leaf = 0; leaf < leaves; leaf++) await versionAt(again.volume('a'), leaf);
  assert.is(again.core.pager.fetched, 0);
  assert.is(again.core.nodes.frameCount, again.core.nodes.count);
});

test('without a limit a few changed nodes are no reason for a checkpoint', async () => {
  const { pool, disk } = await prepared();
  await pool.close();
  const again = await Pool.open([disk]);
  const { count } = again.core.checkpointer;
  for (let leaf = 0; leaf < leaves; leaf++) {
    await writeSectors(again.volume('a'), leaf * leafSectors, 8, 9);
  }
  assert.is(again.core.checkpointer.count, count);
});

test('a deletion in the journal is replayed without room for what it takes apart', async () => {
  const { pool, disk } = await prepared();
  // The snapshot alone leads to what it has kept: replay takes that apart, node by node.
  const volume = pool.volume('a');
  for (let leaf = 0; leaf < leaves; leaf++) await writeSectors(volume, leaf * leafSectors, 8, 7);
  await pool.checkpoint();
  await pool.deleteSnapshot('a', 's');
  disk.forget();
  const again = await Pool.open([disk], { isReadOnly: true, mapCacheBytes: 4 * nodeBytes });
  assert.equal(again.findings, []);
  assert.equal(await checkMaps(again.core), []);
  assert.is(await versionAt(again.volume('a'), 99), 7);
});

test('maps that have changed 2^31 times are found as before', async () => {
  const { pool } = await prepared();
  const volume = pool.volume('a');
  pool.core.nodes.shape = 2 ** 31 - 3;
  for (let leaf = 0; leaf < 20; leaf++) {
    await writeSectors(volume, leaf * leafSectors, 8, 700 + leaf);
    assert.is(await versionAt(volume, leaf), 700 + leaf);
    assert.is(await versionAt(pool.snapshot('a', 's'), leaf), leaf + 1);
  }
  assert.ok(pool.core.nodes.shape < 2 ** 31);
});

test('a limit below four nodes is refused', async () => {
  const { pool, disk } = await prepared();
  await pool.close();
  assert.is(await codeOf(Pool.open([disk], { mapCacheBytes: 4 * nodeBytes - 1 })), 'RangeError');
  assert.is(await codeOf(Pool.open([disk], { mapCacheBytes: Number.NaN })), 'RangeError');
});

test.run();
