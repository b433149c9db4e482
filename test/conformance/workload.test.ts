import * as assert from 'uvu/assert';
import type { Rig } from '../../sdk/testing/rig.js';
import { IoWorker, type WorkerOptions, type WorkerReport } from '../../sdk/testing/worker.js';
import { msNs } from '../../sdk/units.js';
import { bench } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('workloads whose every read is checked');

const cite = '[NVM-1.0 §2.1]';

async function work(rig: Rig, options: Partial<WorkerOptions>): Promise<WorkerReport> {
  const { ns, pair } = await bench(rig);
  const worker = new IoWorker(ns, pair, {
    seed: 7,
    depth: 16,
    commands: 1000,
    region: { lba: 0, count: 8192 },
    ...options,
  });
  const report = await worker.run();
  console.log(`seed ${report.seed}: ${report.commands} commands`);
  assert.equal(report.faults, []);
  assert.equal([...report.failures], []);
  return report;
}

for (const depth of [1, 8, 63]) {
  statement(`reads see the last completed write at depth ${depth}`, cite, async (rig) => {
    const report = await work(rig, { depth, seed: depth });
    assert.is(report.commands, 1000);
    assert.is(report.latency.count, 1000);
  });
}

statement('reads see the last completed write whatever the sizes', cite, async (rig) => {
  const blocks = [1, 2, 7, 8, 16, 64].map((item) => ({ item, weight: 1 }));
  await work(rig, { blocks, seed: 21 });
});

statement('sequential writes and reads return what was written', cite, async (rig) => {
  const blocks = [{ item: 8, weight: 1 }];
  await work(rig, { blocks, distribution: 'sequential', seed: 22 });
});

statement('a few hot blocks return what was written last', cite, async (rig) => {
  const hot = Array.from({ length: 100 }, (_, i) => (i < 5 ? 50 : 1));
  await work(rig, { distribution: hot, seed: 23 });
});

statement('flushes between reads and writes change nothing', cite, async (rig) => {
  const mix = [
    { item: 'read' as const, weight: 45 },
    { item: 'write' as const, weight: 45 },
    { item: 'flush' as const, weight: 10 },
  ];
  await work(rig, { mix, seed: 24 });
});

statement('a paced workload does not run ahead of its pace', cite, async (rig) => {
  const report = await work(rig, { iops: 2000, commands: 100, seed: 25 });
  assert.ok(report.elapsedNs >= 49 * msNs);
});

for (const kind of ['controller', 'function', 'bus'] as const) {
  statement(`no read is wrong after ${kind} resets under load`, '[NVMe-2.0 §3.7]', async (rig) => {
    const { ns, pair } = await bench(rig);
    const worker = new IoWorker(ns, pair, {
      seed: 26,
      depth: 32,
      commands: 1500,
      blocks: [1, 8].map((item) => ({ item, weight: 1 })),
      region: { lba: 0, count: 2048 },
    });
    for (let i = 0; i < 3; i++) {
      await worker.runUntilInFlight(200);
      if (kind === 'controller') await rig.controller.disable();
      else await rig.fn.reset(kind);
      await rig.enable();
      worker.adopt(await rig.queuePair({ entries: 64 }));
    }
    const report = await worker.run();
    assert.equal(report.faults, []);
    assert.equal([...report.failures], []);
    assert.ok(report.unknown > 0, 'commands were in flight when the card was reset');
  });
}

statement.run();
