import * as assert from 'uvu/assert';
import { QueuePriority } from '../../sdk/spec/nvme/admin-command.js';
import { ArbitrationFeature, Feature } from '../../sdk/spec/nvme/features.js';
import { ArbitrationMechanism, Cap, Cc } from '../../sdk/spec/nvme/registers.js';
import { createCq, createSq } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('arbitration');

const cite = '[NVMe-2.0 §3.4.4 Command Arbitration]';
const wrr = ArbitrationMechanism['weighted round robin with urgent'];

const commandsPerQueue = 60;

/** An enabled controller with weights high:medium:low and a burst of one command. */
async function weighted(rig: Rig, weights: { high: number; medium: number; low: number }) {
  rig.needs(rig.controller.cap(Cap.amsWrr) === 1, 'weighted round robin');
  await rig.enable({ arbitration: wrr });
  let value = ArbitrationFeature.ab.put(0, 0);
  value = ArbitrationFeature.hpw.put(value, weights.high);
  value = ArbitrationFeature.mpw.put(value, weights.medium);
  value = ArbitrationFeature.lpw.put(value, weights.low);
  rig.succeeded(await rig.setFeature({ fid: Feature.arbitration, value }));
}

/**
 * Fill one submission queue of each priority, ring them in the order given, and see in which order
 * their commands complete. One completion queue takes them all, so that the order is the card's.
 *
 * @returns the mean place of each priority's completions
 */
async function race(rig: Rig, priorities: readonly number[]): Promise<number[]> {
  const ns = await rig.namespace();
  rig.needs((await rig.queueCount()) >= priorities.length, `${priorities.length} I/O queues`);
  const entries = Math.min(rig.controller.cap(Cap.mqes), 1024);
  const total = priorities.length * commandsPerQueue;
  rig.needs(entries > total, 'a completion queue for every command');
  const cq = rig.controller.completionQueue(1, { entries });
  await rig.adminOk(createCq(rig, cq));
  const queues = priorities.map((_, i) => rig.controller.submissionQueue(i + 1, { entries: 64 }));
  const data = ns.buffer(1);
  for (const [i, sq] of queues.entries()) {
    await rig.adminOk(createSq(rig, sq, { cqid: 1, priority: priorities[i] ?? 0 }));
    for (let n = 0; n < commandsPerQueue; n++) sq.post(ns.read({ lba: n }, data));
  }
  for (const sq of queues) sq.ring();
  const places = priorities.map(() => 0);
  for (let place = 0; place < total; place++) {
    const found = await rig.controller.next(cq);
    assert.ok(found !== undefined, 'every command completes');
    if (found !== undefined) places[found.sqid - 1]! += place / commandsPerQueue;
  }
  return places;
}

/** One command at a time from each queue: a larger burst may serve one queue to its end. */
async function burstOfOne(rig: Rig): Promise<void> {
  const { status } = await rig.setFeature({ fid: Feature.arbitration, value: 0 });
  rig.needs(status === 0, 'a change of the arbitration burst');
}

const { urgent, high, medium, low } = QueuePriority;

statement(
  'weighted round robin can be selected where CAP announces it',
  '[NVMe-2.0 §3.1.3.5 CC.AMS]',
  async (rig) => {
    await weighted(rig, { high: 1, medium: 1, low: 1 });
    assert.is(Cc.ams.of(rig.controller.read('cc')), wrr);
    await rig.controllerWords();
  },
);

statement('queues of every priority are served to the end', cite, async (rig) => {
  await weighted(rig, { high: 8, medium: 4, low: 1 });
  await race(rig, [low, medium, high, urgent]);
});

statement('urgent commands do not wait behind low ones', cite, async (rig) => {
  await weighted(rig, { high: 1, medium: 1, low: 1 });
  const [lowPlace, urgentPlace] = await race(rig, [low, urgent]);
  assert.ok(urgentPlace! < lowPlace!);
});

statement('urgent commands do not wait behind high ones of any weight', cite, async (rig) => {
  await weighted(rig, { high: 256, medium: 1, low: 1 });
  const [highPlace, urgentPlace] = await race(rig, [high, urgent]);
  assert.ok(urgentPlace! < highPlace!);
});

statement('high is served before low when its weight is larger', cite, async (rig) => {
  await weighted(rig, { high: 16, medium: 1, low: 1 });
  const [lowPlace, highPlace] = await race(rig, [low, high]);
  assert.ok(highPlace! < lowPlace!);
});

statement('low is served before high when its weight is larger', cite, async (rig) => {
  await weighted(rig, { high: 1, medium: 1, low: 16 });
  const [highPlace, lowPlace] = await race(rig, [high, low]);
  assert.ok(lowPlace! < highPlace!);
});

statement(
  'with round robin the priority of a queue means nothing',
  '[NVMe-2.0 §3.4.4.1 Round Robin Arbitration]',
  async (rig) => {
    await burstOfOne(rig);
    const [lowPlace, urgentPlace] = await race(rig, [low, urgent]);
    const difference = Math.abs(urgentPlace! - lowPlace!);
    assert.ok(difference < commandsPerQueue / 2, `mean places differ by ${difference}`);
  },
);

statement(
  'with round robin no queue starves',
  '[NVMe-2.0 §3.4.4.1 Round Robin Arbitration]',
  async (rig) => {
    await burstOfOne(rig);
    const places = await race(rig, [medium, medium, medium, medium]);
    const spread = Math.max(...places) - Math.min(...places);
    assert.ok(spread < 2 * commandsPerQueue, `mean places differ by ${spread}`);
  },
);

statement(
  'a reserved arbitration mechanism does not make the controller ready or is not kept',
  '[NVMe-2.0 §3.1.3.5 CC.AMS]',
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.amsVendor) === 0, 'absence of vendor arbitration');
    await rig.controller.disable();
    // Whatever the controller does with it, a good configuration works afterwards.
    rig.controller.write('cc', Cc.ams.put(rig.controller.configuration(), 3));
    await rig.controller.elapse(1_000_000);
    await rig.enable();
    await rig.controllerWords();
  },
);

statement.run();
