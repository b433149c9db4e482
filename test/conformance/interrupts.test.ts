import * as assert from 'uvu/assert';
import { CoalescingFeature, Feature } from '../../sdk/spec/nvme/features.js';
import { Status, statusKind } from '../../sdk/spec/nvme/status.js';
import type { QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs } from '../../sdk/units.js';
import { statements } from './statement.js';

const statement = statements('interrupts');

const cite = '[NVMe-PCIe-1.0 §3.5 Interrupts]';

/** A queue pair whose completions raise `vector`, with vectors enabled and nothing pending. */
async function armed(rig: Rig, vector: number): Promise<QueueFixture> {
  rig.needs(rig.fn.interrupts.vectorCount > vector, `interrupt vector ${vector}`);
  rig.fn.interrupts.enable(vector + 1);
  const pair = await rig.queuePair({ entries: 64, vector });
  for (let i = 0; i <= vector; i++) rig.fn.interrupts.take(i);
  return pair;
}

/** Long enough for a machine with other work to get to it; ends as soon as it fires. */
const longNs = 5000 * msNs;
/** Long enough to believe that nothing comes. */
const shortNs = 20 * msNs;

const fires = (rig: Rig, vector: number, limitNs = longNs): Promise<boolean> =>
  rig.fn.interrupts.wait(vector, rig.fn.clock.nowNs() + limitNs);

/** Whether an entry is in the queue, however long the controller needs for it. */
async function arrives(rig: Rig, pair: QueueFixture): Promise<boolean> {
  const { clock } = rig.fn;
  const untilNs = clock.nowNs() + longNs;
  while (!pair.cq.hasNew() && clock.nowNs() < untilNs) await clock.turn(untilNs);
  return pair.cq.hasNew();
}

async function post(rig: Rig, pair: QueueFixture, count = 1): Promise<void> {
  const ns = await rig.namespace();
  for (let i = 0; i < count; i++) pair.post(ns.read({ lba: i }, ns.buffer(1)));
  for (let i = 0; i <= 1; i++) rig.fn.interrupts.take(i);
  pair.ring();
}

statement('a completion raises the vector of its queue', cite, async (rig) => {
  const pair = await armed(rig, 1);
  await post(rig, pair);
  assert.ok(await fires(rig, 1));
});

statement('the entry is in memory when its interrupt arrives', cite, async (rig) => {
  const pair = await armed(rig, 1);
  await post(rig, pair);
  assert.ok(await fires(rig, 1));
  assert.ok(pair.cq.hasNew());
});

statement('a completion raises no other vector', cite, async (rig) => {
  const pair = await armed(rig, 2);
  await post(rig, pair);
  assert.ok(await fires(rig, 2));
  assert.not.ok(rig.fn.interrupts.take(1));
});

statement(
  'admin completions raise vector 0',
  '[NVMe-2.0 §3.3.2.1 Admin Completion Queue]',
  async (rig) => {
    rig.fn.interrupts.enable(1);
    rig.fn.interrupts.take(0);
    await rig.controllerWords();
    assert.ok(await fires(rig, 0));
  },
);

statement('a queue created without interrupts raises none', '[NVMe-2.0 §5.4 IEN]', async (rig) => {
  rig.needs(rig.fn.interrupts.vectorCount >= 2, 'two interrupt vectors');
  rig.fn.interrupts.enable(2);
  const pair = await rig.queuePair({ entries: 8 });
  await rig.controllerWords();
  await fires(rig, 0, shortNs);
  const ns = await rig.namespace();
  const command = ns.read({ lba: 0 }, ns.buffer(1));
  await rig.controller.elapse(msNs);
  for (let i = 0; i <= 1; i++) rig.fn.interrupts.take(i);
  await pair.runOk(command);
  await rig.controller.elapse(5 * msNs);
  assert.equal([rig.fn.interrupts.take(0), rig.fn.interrupts.take(1)], [false, false]);
});

statement(
  'a masked vector fires once it is unmasked',
  '[PCIe-4.0 §6.1.4.5 Per-vector Masking]',
  async (rig) => {
    const pair = await armed(rig, 1);
    rig.fn.interrupts.mask(1);
    await post(rig, pair);
    assert.ok(await arrives(rig, pair));
    assert.not.ok(await fires(rig, 1, shortNs));
    rig.fn.interrupts.unmask(1);
    assert.ok(await fires(rig, 1));
  },
);

statement('two completion queues may share a vector', '[NVMe-2.0 §5.4 IV]', async (rig) => {
  rig.needs((await rig.queueCount()) >= 2, 'two I/O queues');
  const first = await armed(rig, 1);
  const second = await rig.queuePair({ entries: 8, vector: 1 });
  for (const pair of [first, second]) {
    await post(rig, pair);
    assert.ok(await fires(rig, 1));
    while (pair.cq.take() !== undefined) pair.cq.ring();
    await rig.controller.elapse(msNs);
    rig.fn.interrupts.take(1);
  }
});

statement('all who wait for a vector hear of it', '[NVMe-2.0 §5.4 IV]', async (rig) => {
  const pair = await armed(rig, 1);
  // Both wait before it fires: one that comes later finds that it has been taken.
  const both = Promise.all([fires(rig, 1), fires(rig, 1)]);
  await post(rig, pair);
  assert.equal(await both, [true, true]);
});

statement('without new completions no interrupt comes', cite, async (rig) => {
  const pair = await armed(rig, 1);
  await post(rig, pair);
  assert.ok(await fires(rig, 1));
  while (pair.cq.take() !== undefined) pair.cq.ring();
  await rig.controller.elapse(msNs);
  rig.fn.interrupts.take(1);
  assert.not.ok(await fires(rig, 1, shortNs));
});

statement(
  'completions that are left in the queue are announced again or still',
  cite,
  async (rig) => {
    const pair = await armed(rig, 1);
    await post(rig, pair, 8);
    const taken: number[] = [];
    while (taken.length < 8) {
      assert.ok(await fires(rig, 1), `interrupt for completion ${taken.length}`);
      for (let found = pair.cq.take(); found !== undefined; found = pair.cq.take()) {
        taken.push(found.cid);
      }
      pair.cq.ring();
    }
    assert.is(new Set(taken).size, 8);
  },
);

statement(
  'coalesced completions are announced when the time is over',
  '[NVMe-2.0 §5.27.1.6 Interrupt Coalescing]',
  async (rig) => {
    const pair = await armed(rig, 1);
    const value = CoalescingFeature.time.put(CoalescingFeature.thr.put(0, 100), 20);
    const set = await rig.setFeature({ fid: Feature.interruptCoalescing, value });
    const isFixed = statusKind(set.status) === Status.featureNotChangeable;
    rig.needs(!isFixed, 'a change of interrupt coalescing');
    rig.succeeded(set);
    await post(rig, pair, 3);
    assert.ok(await fires(rig, 1, 25 * shortNs), 'after the aggregation time');
    assert.ok(pair.cq.hasNew());
  },
);

statement('an interrupt does not need the head doorbell to come first', cite, async (rig) => {
  const pair = await armed(rig, 1);
  await post(rig, pair, 2);
  assert.ok(await fires(rig, 1));
  for (let i = 0; i < 2; i++) {
    assert.ok(await arrives(rig, pair));
    assert.ok(pair.cq.take() !== undefined);
  }
});

statement.run();
