import * as assert from 'uvu/assert';
import { GetFeatures } from '../../sdk/spec/nvme/admin-command.js';
import { AsyncEventResult, Cqe } from '../../sdk/spec/nvme/completion.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cap, completionDoorbell, submissionDoorbell } from '../../sdk/spec/nvme/registers.js';
import { createCq, createSq, type QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs } from '../../sdk/units.js';
import { statements } from './statement.js';

const statement = statements('rings and doorbells');

const cqeCite = '[NVMe-2.0 §3.3.3.2 CQE]';
const doorbellCite = '[NVMe-PCIe-1.0 §3.1.2 Doorbells]';
const featureId = GetFeatures.fid;

/** A queue pair of `entries`, and a read of block 0 to post to it. */
async function readers(rig: Rig, entries: number) {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries });
  const data = ns.buffer(1);
  return { pair, read: () => ns.read({ lba: 0 }, data) };
}

statement('a completion carries the identifier of its command', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  for (const cid of [0, 1, 0x7fff, 0x8000, 0xfffe]) {
    assert.is((await pair.run(read().cid(cid))).cid, cid);
  }
});

statement('a completion carries the identifier of its submission queue', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  assert.is((await pair.run(read())).sqid, pair.sq.id);
  assert.is((await rig.adminOk(rig.command(AdminOpcode.getFeatures).set(featureId, 7))).sqid, 0);
});

statement('the head pointer in a completion follows the commands fetched', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 4);
  for (const expected of [1, 2, 3, 0, 1]) assert.is((await pair.run(read())).sqhd, expected);
});

statement(
  'the phase tag is 1 in the first pass and inverts with every pass',
  cqeCite,
  async (rig) => {
    const { pair, read } = await readers(rig, 3);
    const phases: number[] = [];
    for (let i = 0; i < 9; i++) phases.push((await pair.run(read())).phase);
    assert.equal(phases, [1, 1, 1, 0, 0, 0, 1, 1, 1]);
  },
);

statement('completions fill their slots in order', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 4);
  const slots: number[] = [];
  for (let i = 0; i < 6; i++) slots.push((await pair.run(read())).slot);
  assert.equal(slots, [0, 1, 2, 3, 0, 1]);
});

statement('an entry is written only where its phase says so', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  await pair.run(read());
  const { words } = pair.cq.region;
  for (let slot = 1; slot < 8; slot++) {
    for (let word = 0; word < 4; word++) assert.is(words[pair.cq.at(slot) + word], 0);
  }
});

for (const entries of [2, 5, 16]) {
  statement(
    `a queue of ${entries} entries takes 100 commands in turn`,
    doorbellCite,
    async (rig) => {
      const { pair, read } = await readers(rig, entries);
      for (let i = 0; i < 100; i++) await pair.runOk(read());
    },
  );
}

statement('the admin queue wraps as any other', '[NVMe-2.0 §3.3.1]', async (rig) => {
  await rig.enable({ adminEntries: 3 });
  const get = () => rig.command(AdminOpcode.getFeatures).set(featureId, 7);
  for (let i = 0; i < 20; i++) await rig.adminOk(get());
});

statement(
  'one doorbell write submits every command up to the new tail',
  doorbellCite,
  async (rig) => {
    const { pair, read } = await readers(rig, 32);
    const cids = Array.from({ length: 31 }, () => pair.post(read()));
    pair.ring();
    const found: number[] = [];
    for (const _ of cids) found.push((await rig.controller.next(pair.cq))?.cid ?? -1);
    assert.equal(found.sort(byValue), cids.sort(byValue));
  },
);

statement(
  'a submission queue takes all but one of its entries at once',
  '[NVMe-2.0 §3.3.1.4 Full Queue]',
  async (rig) => {
    const { pair, read } = await readers(rig, 8);
    const cids = Array.from({ length: 7 }, () => pair.post(read()));
    pair.ring();
    for (const cid of cids) rig.succeeded(await pair.wait(cid));
  },
);

statement('no command starts before its doorbell is written', doorbellCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  const cid = pair.post(read());
  assert.is(await rig.controller.next(pair.cq, msNs), undefined);
  pair.ring();
  rig.succeeded(await pair.wait(cid));
});

statement('a command beyond the tail doorbell is not fetched', doorbellCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  const first = pair.post(read());
  pair.post(read());
  pair.sq.ringValue(1);
  rig.succeeded(await pair.wait(first));
  assert.is(await rig.controller.next(pair.cq, msNs), undefined);
  pair.ring();
  assert.ok((await rig.controller.next(pair.cq)) !== undefined);
});

statement('every command completes exactly once', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 64);
  const open = new Set<number>();
  for (let i = 0; i < 63; i++) open.add(pair.post(read()));
  pair.ring();
  for (let i = 0; i < 63; i++) {
    const found = await rig.controller.next(pair.cq);
    assert.ok(found !== undefined && open.delete(found.cid));
  }
  assert.is(await rig.controller.next(pair.cq, msNs), undefined);
});

statement(
  'a full completion queue holds completions back until its head moves',
  '[NVMe-2.0 §3.3.1.4 Full Queue]',
  async (rig) => {
    const ns = await rig.namespace();
    await rig.queueCount();
    const cq = rig.controller.completionQueue(1, { entries: 3 });
    const sq = rig.controller.submissionQueue(1, { entries: 16 });
    await rig.adminOk(createCq(rig, cq));
    await rig.adminOk(createSq(rig, sq, { cqid: 1 }));
    for (let i = 0; i < 8; i++) sq.post(ns.read({ lba: i }, ns.buffer(1)));
    sq.ring();
    const { clock } = rig.fn;
    const untilNs = clock.nowNs() + 5000 * msNs;
    const first = [];
    while (first.length < 2 && clock.nowNs() < untilNs) {
      if (cq.hasNew()) first.push(cq.take());
      else await clock.turn(untilNs);
    }
    assert.is(first.length, 2);
    await rig.controller.elapse(2 * msNs);
    // The third slot stays free: head equal to tail must mean empty.
    assert.is(cq.take(), undefined);
    cq.ring();
    const cids = new Set(first.map((entry) => entry?.cid ?? -1));
    for (let i = 0; i < 6; i++) cids.add((await rig.controller.next(cq))?.cid ?? -1);
    assert.is(cids.size, 8);
  },
);

statement(
  'a doorbell write outside the queue raises Invalid Doorbell Write Value',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    const pair = await rig.queuePair({ entries: 8 });
    const event = await eventOf(rig, () => pair.sq.ringValue(8));
    assert.equal(event, { type: 0, info: 1, logPage: 1 });
  },
);

statement(
  'a head doorbell outside the queue raises Invalid Doorbell Write Value',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    const pair = await rig.queuePair({ entries: 8 });
    const event = await eventOf(rig, () => pair.cq.ringValue(8));
    assert.equal(event, { type: 0, info: 1, logPage: 1 });
  },
);

statement(
  'the doorbell of a queue that does not exist raises Write to Invalid Doorbell Register',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    const count = await rig.queueCount();
    rig.needs(count >= 2, 'two I/O queues');
    const offset = submissionDoorbell(2, rig.controller.cap(Cap.dstrd));
    const event = await eventOf(rig, () => rig.controller.bar.write32(offset, 1));
    assert.equal(event, { type: 0, info: 0, logPage: 1 });
  },
);

statement(
  'the head doorbell of a queue that does not exist raises the same event',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    const count = await rig.queueCount();
    rig.needs(count >= 2, 'two I/O queues');
    const offset = completionDoorbell(2, rig.controller.cap(Cap.dstrd));
    const event = await eventOf(rig, () => rig.controller.bar.write32(offset, 1));
    assert.equal(event, { type: 0, info: 0, logPage: 1 });
  },
);

statement(
  'after an invalid doorbell write the queue still works',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    const { pair, read } = await readers(rig, 8);
    await eventOf(rig, () => pair.sq.ringValue(0xffff));
    await pair.runOk(read());
  },
);

statement('commands of two queues do not wait for each other', '[NVMe-2.0 §3.3]', async (rig) => {
  rig.needs((await rig.queueCount()) >= 2, 'two I/O queues');
  const ns = await rig.namespace();
  const pairs: QueueFixture[] = [await rig.queuePair(), await rig.queuePair()];
  const cids = pairs.map((pair) =>
    Array.from({ length: 20 }, () => pair.post(ns.read({ lba: 0 }, ns.buffer(1)))),
  );
  for (const pair of pairs) pair.ring();
  for (const [i, pair] of pairs.toReversed().entries()) {
    for (const cid of cids[1 - i]!) rig.succeeded(await pair.wait(cid));
  }
});

statement(
  'a completion of a command without a result has zero in dword 0',
  '[NVMe-2.0 §3.3.3.2 CQE.DW0]',
  async (rig) => {
    await rig.queueCount();
    const cq = rig.controller.completionQueue(1, { entries: 8 });
    // The result of Number of Queues was not zero; nothing of it may come back.
    assert.is((await rig.adminOk(createCq(rig, cq))).dw0, 0);
    const sq = rig.controller.submissionQueue(1, { entries: 8 });
    assert.is((await rig.adminOk(createSq(rig, sq, { cqid: 1 }))).dw0, 0);
  },
);

statement('the status of a success is zero, all its flags included', cqeCite, async (rig) => {
  const { pair, read } = await readers(rig, 8);
  const { words } = await pair.run(read());
  assert.is(Cqe.status.get(words, 0), 0);
});

/** The event that an action raises, with one request outstanding. */
async function eventOf(rig: Rig, act: () => void) {
  const cid = rig.controller.adminSq.post(rig.command(AdminOpcode.asynchronousEventRequest));
  rig.controller.adminSq.ring();
  // The request is with the controller once a later command has completed.
  await rig.adminOk(rig.command(AdminOpcode.getFeatures).set(featureId, 7));
  act();
  const { dw0, status } = await rig.controller.waitFor(rig.controller.adminCq, { sqid: 0, cid });
  assert.is(status, 0);
  const { type, info, logPage } = AsyncEventResult;
  return { type: type.of(dw0), info: info.of(dw0), logPage: logPage.of(dw0) };
}

const byValue = (a: number, b: number): number => a - b;

statement.run();
