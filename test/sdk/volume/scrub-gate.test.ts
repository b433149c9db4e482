import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { QosGate } from '../../../sdk/qos/gate.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { MiB } from './rig.js';

const test = suite('internal work as a client of a gate');
const none = Number.POSITIVE_INFINITY;
const block = 4096;

/** A pool in memory whose clock moves by a microsecond whenever somebody waits. */
async function makePool() {
  const time = { nowNs: 0 };
  const tick = (): void => {
    time.nowNs += 1_000;
  };
  const clock = { nowNs: () => time.nowNs, idle: tick, turn: async () => tick() };
  const device = new MemoryDevice({ blockBytes: block, blockCount: (16 * MiB) / block, clock });
  const chance = new Prng(1, 'identity');
  const random = (bytes: Uint8Array) => chance.fill(bytes);
  const pool = await Pool.create([device], { random, journalBytes: 128 * 1024 });
  return { time, pool };
}

test('a scrub through a gate keeps its limit, reads the same, and leaves others theirs', async () => {
  const { time, pool } = await makePool();
  const volume = await pool.createVolume({ name: 'a', bytes: 4 * MiB, hasChecks: true });
  const data = new Uint8Array(2 * MiB).fill(7);
  for (let at = 0; at < data.length; at += 128 * 1024) {
    await writeBlocks(volume, at / volume.blockBytes, data.subarray(at, at + 128 * 1024));
  }
  const gate = new QosGate(volume);
  const scrubbing = gate.open({ reservation: 0, limit: 10_000, weight: 1, limitBurst: 1 });
  const user = gate.open({ reservation: 20_000, limit: none, weight: 4 });
  const direct = await pool.scrub({ volume: 'a' });
  const startNs = time.nowNs;
  const scrub = pool.scrub({ volume: 'a' }, { through: scrubbing });
  // Somebody else is served at once meanwhile.
  await writeBlocks(user, 0, data.subarray(0, block));
  assert.ok(time.nowNs - startNs < 5_000_000, `${time.nowNs - startNs} ns for a write`);
  assert.equal(await scrub, direct);
  assert.is(direct.readBytes, data.length);
  // 512 units at 10,000 per second, less the burst and one request.
  const largest = scrubbing.counts.servedUnits / scrubbing.counts.requests;
  const leastNs = ((512 - 1 - largest) / 10_000) * 1e9;
  assert.ok(time.nowNs - startNs >= leastNs, `${time.nowNs - startNs} ns for a scrub`);
  assert.is(scrubbing.counts.servedUnits, 512);
  await pool.close();
});

test('a scrub through a device of another size is refused', async () => {
  const { pool } = await makePool();
  await pool.createVolume({ name: 'a', bytes: 4 * MiB });
  const other = await pool.createVolume({ name: 'b', bytes: 2 * MiB });
  assert.throws(
    () => pool.scrub({ volume: 'a' }, { through: other }),
    /through a device of 2097152 bytes; what it reads has 4194304/,
  );
  await pool.close();
});

test.run();
