import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { putU64, Rig } from './rig.js';

const test = suite('queues of a controller');

/** Status codes as the standard numbers them. */
const code = {
  invalidField: 0x02,
  dataTransferError: 0x04,
  prpOffsetInvalid: 0x13,
  completionQueueInvalid: 0x100,
  invalidQueueIdentifier: 0x101,
  invalidQueueSize: 0x102,
  invalidInterruptVector: 0x108,
  invalidQueueDeletion: 0x10c,
} as const;

test('a command on the admin queue completes with its identifier and the head of its queue', () => {
  const rig = new Rig();
  rig.enable();
  rig.admin.put({ cid: 0x1234 });
  rig.admin.ring();
  rig.run();
  const [entry] = rig.admin.take();
  assert.is(entry?.cid, 0x1234);
  assert.is(entry?.sqHead, 1);
  assert.is(entry?.sqId, 0);
  assert.is(entry?.status, 0);
  assert.is(entry?.phase, 1);
  rig.checker.demandNone();
});

for (const entries of [2, 3, 7, 4096]) {
  test(`phase and wrap hold over three passes of a queue of ${entries} entries`, () => {
    const rig = new Rig({ changes: { controller: { queueEntries: 4096 } } });
    rig.enable();
    const ring = rig.pair(1, entries);
    let sent = 0;
    let got = 0;
    while (got < 3 * entries + 1) {
      for (let i = 0; i < entries - 1; i++) ring.put({ cid: sent++ % 0x10000 });
      ring.ring();
      rig.run();
      for (const entry of ring.take()) assert.is(entry.cid, got++ % 0x10000);
      assert.is(got, sent);
    }
    rig.checker.demandNone();
  });
}

test('64 queue pairs work at the same time', () => {
  const rig = new Rig({ changes: { controller: { queuePairs: 64 } } });
  rig.enable();
  const rings = Array.from({ length: 64 }, (_, i) => rig.pair(i + 1, 32));
  for (const ring of rings) {
    for (let cid = 0; cid < 31; cid++) ring.put({ cid });
    ring.ring();
  }
  rig.run();
  for (const ring of rings) {
    const taken = ring.take();
    assert.is(taken.length, 31);
    assert.ok(taken.every((entry) => entry.sqId === ring.id));
    assert.is(taken.at(-1)?.sqHead, 31);
  }
  rig.checker.demandNone();
});

const goodPair = { queueId: 1, entries: 16, isContiguous: true } as const;

function services(rig: Rig) {
  const made = rig.controller.services;
  const address = rig.dma.allocate(65536).iova;
  const completion = (changes: object) =>
    made.createCompletionQueue({
      ...goodPair,
      address,
      areInterruptsEnabled: false,
      vector: 0,
      ...changes,
    });
  const submission = (changes: object) =>
    made.createSubmissionQueue({
      ...goodPair,
      address,
      priority: 0,
      completionQueueId: 1,
      ...changes,
    });
  return { made, address, completion, submission };
}

test('creating a completion queue is refused for each bad field, with its status', () => {
  const rig = new Rig({
    changes: {
      controller: { queuePairs: 8, queueEntries: 1024, isContiguousQueuesRequired: true },
    },
  });
  rig.enable();
  const { address, completion } = services(rig);
  assert.is(completion({ queueId: 0 }), code.invalidQueueIdentifier);
  assert.is(completion({ queueId: 9 }), code.invalidQueueIdentifier);
  assert.is(completion({ entries: 1 }), code.invalidQueueSize);
  assert.is(completion({ entries: 1025 }), code.invalidQueueSize);
  assert.is(completion({ vector: 8 }), code.invalidInterruptVector);
  assert.is(completion({ isContiguous: false }), code.invalidField);
  assert.is(completion({ address: address + 16 }), code.prpOffsetInvalid);
  assert.is(completion({}), 0);
  assert.is(completion({}), code.invalidQueueIdentifier);
});

test('creating a submission queue is refused for each bad field, with its status', () => {
  const rig = new Rig({ changes: { controller: { queuePairs: 8, queueEntries: 1024 } } });
  rig.enable();
  const { address, completion, submission } = services(rig);
  assert.is(submission({}), code.completionQueueInvalid);
  assert.is(completion({}), 0);
  assert.is(submission({ queueId: 0 }), code.invalidQueueIdentifier);
  assert.is(submission({ queueId: 9 }), code.invalidQueueIdentifier);
  assert.is(submission({ completionQueueId: 0 }), code.invalidQueueIdentifier);
  assert.is(submission({ completionQueueId: 9 }), code.invalidQueueIdentifier);
  assert.is(submission({ completionQueueId: 2 }), code.completionQueueInvalid);
  assert.is(submission({ entries: 1 }), code.invalidQueueSize);
  assert.is(submission({ entries: 2000 }), code.invalidQueueSize);
  assert.is(submission({ address: address + 64 }), code.prpOffsetInvalid);
  assert.is(submission({}), 0);
  assert.is(submission({}), code.invalidQueueIdentifier);
});

test('entry sizes that CC does not name make every queue size invalid', () => {
  const rig = new Rig();
  rig.startEnable();
  rig.write(0x14, 1);
  rig.run();
  const { completion } = services(rig);
  assert.is(completion({}), code.invalidQueueSize);
  rig.write(0x14, 0x0046_0001);
  assert.is(completion({}), 0);
});

test('a completion queue is deleted after its submission queues, never before', () => {
  const rig = new Rig();
  rig.enable();
  const { made, completion, submission } = services(rig);
  assert.is(completion({}), 0);
  assert.is(submission({ queueId: 1 }), 0);
  assert.is(submission({ queueId: 2 }), 0);
  assert.is(made.deleteCompletionQueue(1), code.invalidQueueDeletion);
  assert.is(made.deleteSubmissionQueue(1), 0);
  assert.is(made.deleteCompletionQueue(1), code.invalidQueueDeletion);
  assert.is(made.deleteSubmissionQueue(2), 0);
  assert.is(made.deleteCompletionQueue(1), 0);
  assert.is(made.deleteCompletionQueue(1), code.invalidQueueIdentifier);
  assert.is(made.deleteSubmissionQueue(1), code.invalidQueueIdentifier);
  assert.is(made.deleteSubmissionQueue(0), code.invalidQueueIdentifier);
});

test('Number of Queues limits which queues may be created', () => {
  const rig = new Rig({ changes: { controller: { queuePairs: 8 } } });
  rig.enable();
  const { made, completion, submission } = services(rig);
  made.setQueueCounts({ submission: 2, completion: 3 });
  assert.is(completion({ queueId: 3 }), 0);
  assert.is(completion({ queueId: 4 }), code.invalidQueueIdentifier);
  assert.is(submission({ queueId: 2, completionQueueId: 3 }), 0);
  assert.is(submission({ queueId: 3, completionQueueId: 3 }), code.invalidQueueIdentifier);
});

test('queues in scattered pages work where CAP.CQR allows them', () => {
  const rig = new Rig({
    changes: { controller: { isContiguousQueuesRequired: false, queueEntries: 4096 } },
  });
  rig.enable();
  const entries = 300;
  const list = (pages: number) => {
    const region = rig.dma.allocate(4096);
    const memory = rig.dma.allocate(2 * pages * 4096);
    const at = Array.from({ length: pages }, (_, i) => 2 * (pages - 1 - i) * 4096);
    for (const [i, offset] of at.entries()) putU64(region.words, 2 * i, memory.iova + offset);
    return { region, memory, at };
  };
  const cq = list(2);
  const sq = list(5);
  const { completion, submission } = services(rig);
  const shape = { entries, isContiguous: false };
  assert.is(completion({ ...shape, address: cq.region.iova }), 0);
  assert.is(submission({ ...shape, address: sq.region.iova }), 0);
  for (let i = 0; i < entries - 1; i++) {
    const byte = sq.at[Math.floor(i / 64)]! + (i % 64) * 64;
    sq.memory.words[byte / 4] = 2 | (i << 16);
  }
  rig.write(0x1008, entries - 1);
  rig.run();
  for (let i = 0; i < entries - 1; i++) {
    const byte = cq.at[Math.floor(i / 256)]! + (i % 256) * 16;
    assert.is(cq.memory.words[byte / 4 + 3]! & 0xffff, i);
  }
  putU64(sq.region.words, 2, 4);
  const again = { ...shape, queueId: 2, address: sq.region.iova };
  assert.is(submission(again), code.prpOffsetInvalid);
  rig.dma.free(sq.region);
  assert.is(submission(again), code.dataTransferError);
});

test.run();
