import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { BlockOp } from '../../../sdk/block/request.js';
import { replayTrace } from '../../../sdk/trace/replay.js';
import { type Trace, TraceBuilder } from '../../../sdk/trace/trace.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';

const test = suite('snapshots of a replay');

/** Writes all over 100 blocks of 4 KiB, most of them several times, some discarded or zeroed. */
function busy(): Trace {
  const builder = new TraceBuilder({ source: 'made', format: 'made', tickNs: 1 });
  const prng = new Prng(3, 'busy');
  const ops = [BlockOp.write, BlockOp.write, BlockOp.write, BlockOp.writeZeroes, BlockOp.discard];
  for (let i = 0; i < 4000; i++) {
    builder.stamp(0, i);
    const length = 4096 * (1 + prng.below(4));
    builder.add(ops[prng.below(5)]!, 0, 4096 * prng.below(96), length, builder.deviceIndex('a'));
  }
  return builder.build();
}

async function volumeOn(pool: Promise<Pool>): Promise<{ pool: Pool; device: BlockDevice }> {
  const opened = await pool;
  return { pool: opened, device: await opened.createVolume({ name: 'v', bytes: 1024 * 1024 }) };
}

function newPool(): Promise<Pool> {
  const disk = new CrashDevice({ blockBytes: 4096, bytes: 64 * 1024 * 1024 });
  const chance = new Prng(1, 'identity');
  return Pool.create([disk], { random: (bytes) => chance.fill(bytes) });
}

test('snapshots in the midst of writes hold what had ended, and nothing else', async () => {
  const { pool, device } = await volumeOn(newPool());
  const result = await replayTrace(device, busy(), {
    mode: 'depth',
    depth: 32,
    snapshots: {
      count: 6,
      take: async (index, atInstant) => {
        await pool.takeSnapshot([{ volume: 'v', name: `s${index}` }], { atInstant });
        return pool.snapshot('v', `s${index}`);
      },
    },
  });
  const { snapshots } = result;
  assert.is(snapshots!.taken, 6);
  assert.equal(snapshots!.firstMismatches, []);
  assert.ok(snapshots!.verifiedBytes > 6 * 80 * 4096, `${snapshots!.verifiedBytes} bytes`);
});

test('a snapshot that shows another instant than it says is found out', async () => {
  const { device } = await volumeOn(newPool());
  const result = await replayTrace(device, busy(), {
    mode: 'depth',
    // What is no snapshot at all: the volume itself goes on to change.
    snapshots: {
      count: 1,
      take: async (_index, atInstant) => {
        atInstant();
        return device;
      },
    },
  });
  assert.ok(result.snapshots!.mismatches > 40, `${result.snapshots!.mismatches} blocks`);
});

test.run();
