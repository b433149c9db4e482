import { randomFillSync } from 'node:crypto';
import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { GiB, MiB } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { suite } from '../../support/suite.js';

const test = suite('long work on a pool beside others');
/** Each in a leaf of its own. */
const leaves = 600;

/** A volume of many nodes, on a device that answers at once, and one of many bytes. */
async function sparsePool(): Promise<Pool> {
  const clock = new MonotonicClock();
  const disk = new MemoryDevice({ blockBytes: 512, blockCount: (128 * MiB) / 512, clock });
  const pool = await Pool.create([disk], { random: (bytes) => void randomFillSync(bytes) });
  const wide = await pool.createVolume({ name: 'wide', bytes: 64 * GiB });
  for (let i = 0; i < leaves; i++) {
    await writeBlocks(wide, (i * 64 * MiB) / 4096, new Uint8Array(4096).fill(1));
  }
  const full = await pool.createVolume({ name: 'full', bytes: 16 * MiB });
  await writeBlocks(full, 0, new Uint8Array(16 * MiB).fill(1));
  await pool.checkpoint();
  return pool;
}

interface Seen {
  /** Rounds of the event loop while it went on. */
  readonly turns: number;
  readonly steps: readonly (readonly [done: number, total: number])[];
}

async function watched(
  work: (onStep: (done: number, total: number) => void) => Promise<unknown>,
): Promise<Seen> {
  const steps: [number, number][] = [];
  let isOver = false;
  let turns = 0;
  const count = (): void => {
    if (isOver) return;
    turns++;
    setImmediate(count);
  };
  setImmediate(count);
  await work((done, total) => steps.push([done, total]));
  isOver = true;
  return { turns, steps };
}

function ascends(steps: Seen['steps']): boolean {
  return steps.every(([done, total], i) => done <= total && (i === 0 || done >= steps[i - 1]![0]));
}

test('a check, a scrub and a count of space let others run, and tell how far they are', async () => {
  const pool = await sparsePool();
  const check = await watched((onStep) => pool.check({ onStep }));
  // Nodes are counted 256 at a time, and read 64 at a time.
  const least = Math.floor(leaves / 256) + Math.floor(leaves / 64);
  assert.ok(check.turns >= least, `${check.turns} turns`);
  assert.ok(ascends(check.steps), `${check.steps}`);
  assert.ok(check.steps.length >= least, `${check.steps.length} steps`);
  const scrub = await watched((onStep) => pool.scrub({ volume: 'full' }, { onStep }));
  assert.ok(scrub.turns >= 15, `${scrub.turns} turns`);
  assert.equal(
    scrub.steps,
    Array.from({ length: 16 }, (_, i) => [(i + 1) * MiB, 16 * MiB]),
  );
  const space = await watched(() => pool.spaceOf({ volume: 'wide' }));
  assert.ok(space.turns >= Math.floor(leaves / 256), `${space.turns} turns`);
  await pool.close();
});

test('what a step throws ends the work, and everything that it held is given back', async () => {
  const pool = await sparsePool();
  for (const last of [1, 3, 8]) {
    let steps = 0;
    const onStep = (): void => {
      if (++steps === last) throw new Error('nobody waits any more');
    };
    for (const work of [
      () => pool.check({ onStep }),
      () => pool.scrub({ volume: 'full' }, { onStep }),
    ]) {
      steps = 0;
      const fault = await work().then(
        () => 'none',
        (error: unknown) => String(error),
      );
      assert.is(fault, 'Error: nobody waits any more');
      assert.equal(pool.core.pins.roots(), []);
    }
  }
  await writeBlocks(pool.volume('full'), 0, new Uint8Array(4096).fill(2));
  await pool.deleteVolume('wide');
  await pool.settleSpace();
  assert.equal(await pool.check(), []);
  assert.is(pool.space().dataBytes, 16 * MiB);
  await pool.close();
});

test('a restore asks once more when writes are held back, and changes nothing when refused', async () => {
  const pool = await sparsePool();
  await pool.takeSnapshot([{ volume: 'full', name: 's' }]);
  await writeBlocks(pool.volume('full'), 0, new Uint8Array(4096).fill(2));
  const before = pool.space();
  const demand = (): void => {
    throw new Error('in use');
  };
  const fault = await pool.restore('full', 's', 'kept', { demand }).catch(String);
  assert.is(fault, 'Error: in use');
  assert.equal(pool.space(), before);
  assert.equal(
    pool.snapshots('full').map(({ name }) => name),
    ['s'],
  );
  await writeBlocks(pool.volume('full'), 1, new Uint8Array(4096).fill(2));
  await pool.restore('full', 's', 'kept', { demand: () => {} });
  assert.equal(await pool.check(), []);
  await pool.close();
});

test.run();
