import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import type { Clock } from '../../../sdk/device.js';
import { checkMaps } from '../../../sdk/volume/check-maps.js';
import { NodeKind } from '../../../sdk/volume/nodes.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { Prng } from '../../../sim/prng.js';
import { CrashDevice, stillClock } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { runRequest, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('pool check beside writes');
const leaves = 40;
/** What a leaf of a map covers, in sectors. */
const leafSectors = (32 * MiB) / 512;

/** A volume with data below many leaves, which a small cache cannot hold all. */
async function prepared(mapCacheBytes?: number): Promise<Pool> {
  return (await preparedOn(mapCacheBytes)).pool;
}

interface Prepared {
  readonly pool: Pool;
  readonly disk: CrashDevice;
}

async function preparedOn(mapCacheBytes?: number): Promise<Prepared> {
  const disk = device(64 * MiB);
  const chance = new Prng(1, 'identity');
  const memory = mapCacheBytes === undefined ? {} : { mapCacheBytes };
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create([disk], { random, journalBytes: 65_536, ...memory });
  const size = { bytes: leaves * 32 * MiB, blockBytes: 512 } as const;
  const volume = await pool.createVolume({ name: 'a', ...size });
  for (let i = 0; i < leaves; i++) await writeSectors(volume, i * leafSectors, 8, i + 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await pool.checkpoint();
  return { pool, disk };
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
      const findings = await pool.check();
      if (findings.length > 0) await writers.stop();
      assert.equal(findings, []);
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

/** Whatever changes the pool, again and again, and each time within a few reads of the check. */
interface Busy {
  /** Operations that ended, by their names. */
  readonly done: Map<string, number>;
  stop(): Promise<void>;
}

/** Reads of the device that a check may do while one operation waits for its turn. */
const mostReads = 12;

function busyWith(pool: Pool, disk: CrashDevice): Busy {
  const chance = new Prng(11, 'operations');
  const done = new Map<string, number>();
  let isStopped = false;
  let name = 0;
  const named = (): string => `v${++name}`;
  const grow = async (): Promise<void> => {
    const [first] = pool.volumes().filter((each) => each.name !== 'a');
    await pool.growVolume(first!.name, first!.bytes + 64 * 1024);
  };
  const operations: Record<string, () => Promise<unknown>> = {
    create: async () => {
      const volume = await pool.createVolume({ name: named(), bytes: MiB, blockBytes: 512 });
      await writeSectors(volume, 0, 8, name);
    },
    clone: () => pool.clone({ volume: 'a', snapshot: 's' }, named()),
    snapshot: () => pool.takeSnapshot([{ volume: 'a', name: named() }]),
    restore: () => pool.restore('a', 's', named()),
    grow,
    remove: () => pool.deleteVolume(pool.volumes().at(-1)!.name, { withSnapshots: true }),
    forget: () => pool.deleteSnapshot('a', pool.snapshots('a').at(-1)!.name),
    rename: () => pool.renameVolume(pool.volumes().at(-1)!.name, named()),
  };
  const canDo = (operation: string): boolean => {
    if (operation === 'forget') return pool.snapshots('a').length > 1;
    const needsOther = ['grow', 'remove', 'rename'].includes(operation);
    return !needsOther || pool.volumes().length > 1;
  };
  const work = async (): Promise<void> => {
    while (!isStopped) {
      const possible = Object.keys(operations).filter(canDo);
      const operation = possible[chance.below(possible.length)]!;
      const before = disk.reads;
      await operations[operation]!();
      const reads = disk.reads - before;
      assert.ok(reads <= mostReads, `${operation} waits for ${reads} reads`);
      done.set(operation, (done.get(operation) ?? 0) + 1);
    }
  };
  const running = work();
  const stop = async (): Promise<void> => {
    isStopped = true;
    await running;
  };
  return { done, stop };
}

for (const [words, mapCacheBytes] of [
  ['maps in memory', undefined],
  ['paged maps', 16 * 4096],
] as const) {
  test(`${words}: operations of all kinds wait for a piece of a check, not for all of it`, async () => {
    const { pool, disk } = await preparedOn(mapCacheBytes);
    await pool.createVolume({ name: 'b', bytes: MiB, blockBytes: 512 });
    const before = disk.reads;
    const busy = busyWith(pool, disk);
    const findings = await pool.check();
    const { size } = busy.done;
    await busy.stop();
    assert.equal(findings, []);
    assert.ok(disk.reads - before > 3 * mostReads, 'the check is more than three of its pieces');
    assert.ok(size >= 5, `only ${[...busy.done.keys()]} came through`);
    await pool.settleSpace();
    assert.equal(await pool.check(), []);
    await pool.close();
  });

  test(`${words}: what is wrong is found beside operations of all kinds, and nothing else`, async () => {
    const { pool, disk } = await preparedOn(mapCacheBytes);
    await pool.createVolume({ name: 'b', bytes: MiB, blockBytes: 512 });
    const { core } = pool;
    core.trees.locate(pool.snapshot('a', 's').object.root, 0);
    const unit = core.trees.unitOf(0);
    core.units.refs[unit]!++;
    const busy = busyWith(pool, disk);
    const findings = await pool.check();
    assert.ok(busy.done.size >= 5);
    await busy.stop();
    assert.equal(
      findings.map(({ kind, what }) => [kind, what]),
      [['inconsistent', `unit ${unit}`]],
    );
  });
}

test('a node that the device has lost is found beside operations of all kinds', async () => {
  const { pool, disk } = await preparedOn();
  await pool.createVolume({ name: 'b', bytes: MiB, blockBytes: 512 });
  await pool.checkpoint();
  const { nodes } = pool.core;
  // The last leaf of the snapshot, which nobody changes.
  const leaf = nodes.kinds.lastIndexOf(NodeKind.leaf, nodes.end - 1);
  assert.ok(leaf > 0 && nodes.slots[leaf]! > 0);
  disk.image[nodes.slots[leaf]! * 4096 + 17]! ^= 4;
  const busy = busyWith(pool, disk);
  const findings = await pool.check();
  await busy.stop();
  assert.equal(
    findings.map(({ kind, what }) => [kind, what]),
    [['copy', `node ${leaf}`]],
  );
});

test('a check waits for maps that are being given up, and nobody waits with it', async () => {
  const { pool } = await preparedOn();
  const other = await pool.createVolume({ name: 'b', bytes: MiB, blockBytes: 512 });
  await writeSectors(other, 0, 8, 1);
  await pool.deleteVolume('a', { withSnapshots: true });
  assert.is(pool.core.reaper.isIdle, false);
  let isOver = false;
  const checking = pool.check().then((findings) => {
    isOver = true;
    return findings;
  });
  await pool.takeSnapshot([{ volume: 'b', name: 's' }]);
  assert.is(isOver, false);
  assert.equal(await checking, []);
});

test('maps that somebody walks meanwhile are no finding, even of what is deleted', async () => {
  const pool = await prepared();
  const walk = pool.changes(null, { volume: 'a', snapshot: 's' });
  const other = pool.changes(null, { volume: 'a' });
  for (const each of [walk, other]) assert.is((await each.next()).done, false);
  assert.equal(await pool.check(), []);
  await pool.deleteVolume('a', { withSnapshots: true });
  assert.equal(await Promise.all([pool.check(), pool.check()]), [[], []]);
  let count = 1;
  for await (const _ of walk) count++;
  assert.is(count, leaves);
  await other.return(undefined);
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
  assert.equal(await pool.check(), []);
});

test('a check of a pool that is closed meanwhile comes to its end first', async () => {
  const pool = await prepared(16 * 4096);
  let findings: readonly unknown[] | null = null;
  pool.check().then((found) => {
    findings = found;
  });
  await pool.close();
  assert.equal(findings, []);
});

test('a snapshot is taken while a volume is scrubbed', async () => {
  const pool = await prepared();
  let isOver = false;
  const scrubbing = pool.scrub({ volume: 'a' }).then((result) => {
    isOver = true;
    return result;
  });
  await pool.takeSnapshot([{ volume: 'a', name: 't' }]);
  assert.is(isOver, false);
  assert.equal(await scrubbing, { readBytes: leaves * 4096, bad: [] });
});

/** Counts how often somebody lets others run. */
class WaitingDevice extends CrashDevice {
  turns = 0;
  override readonly clock: Clock = {
    ...stillClock,
    turn: async () => {
      this.turns++;
    },
  };
}

test('maps in memory are counted a few hundred nodes at a time', async () => {
  const disk = new WaitingDevice({ blockBytes: 512, bytes: 64 * MiB });
  const pool = await poolOn(disk);
  const size = { bytes: 600 * 32 * MiB, blockBytes: 512 } as const;
  const volume = await pool.createVolume({ name: 'a', ...size });
  for (let i = 0; i < 600; i++) await writeSectors(volume, i * leafSectors, 8, 1);
  await pool.checkpoint();
  const { turns } = disk;
  assert.equal(await checkMaps(pool.core), []);
  assert.is(disk.turns - turns, Math.floor(602 / 256), 'a root, a middle node and 600 leaves');
});

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
