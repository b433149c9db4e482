import * as assert from 'uvu/assert';
import { CreateCompletionQueue, CreateSubmissionQueue } from '../../sdk/spec/nvme/admin-command.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cap } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { createCq, createSq, deleteQueue } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('I/O queues');

const createCqCite = '[NVMe-2.0 §5.4 Create I/O Completion Queue]';
const createSqCite = '[NVMe-2.0 §5.5 Create I/O Submission Queue]';
const deleteCqCite = '[NVMe-2.0 §5.6 Delete I/O Completion Queue]';
const deleteSqCite = '[NVMe-2.0 §5.7 Delete I/O Submission Queue]';

/** A completion queue that exists. */
async function makeCq(rig: Rig, id = 1, entries = 8) {
  await rig.queueCount();
  const cq = rig.controller.completionQueue(id, { entries });
  await rig.adminOk(createCq(rig, cq));
  return cq;
}

async function makeSq(rig: Rig, id: number, cqid: number, entries = 8) {
  const sq = rig.controller.submissionQueue(id, { entries });
  await rig.adminOk(createSq(rig, sq, { cqid }));
  return sq;
}

for (const entries of [2, 3, 64]) {
  statement(`a completion queue may have ${entries} entries`, createCqCite, async (rig) => {
    await makeCq(rig, 1, entries);
  });
  statement(`a submission queue may have ${entries} entries`, createSqCite, async (rig) => {
    await makeCq(rig);
    await makeSq(rig, 1, 1, entries);
  });
}

statement('queues may have as many entries as CAP.MQES says', createSqCite, async (rig) => {
  const entries = rig.controller.cap(Cap.mqes);
  await makeCq(rig, 1, entries);
  await makeSq(rig, 1, 1, entries);
});

/** What makes a create command wrong, for both kinds of queue. */
const wrongCreates: [
  title: string,
  statuses: readonly number[],
  wrong: (rig: Rig) => Promise<{ id?: number; entries?: number; entriesField?: number }>,
][] = [
  ['with identifier 0', [Status.invalidQueueIdentifier], async () => ({ id: 0 })],
  [
    'beyond the number of queues granted',
    [Status.invalidQueueIdentifier],
    async (rig) => ({ id: (await rig.queueCount()) + 1 }),
  ],
  ['with identifier FFFFh', [Status.invalidQueueIdentifier], async () => ({ id: 0xffff })],
  ['of one entry', [Status.invalidQueueSize], async () => ({ entriesField: 1 })],
  [
    'of more entries than CAP.MQES',
    [Status.invalidQueueSize],
    async (rig) => {
      const limit = rig.controller.cap(Cap.mqes);
      rig.needs(limit < 0x1_0000, 'a queue limit below 65536 entries');
      return { entriesField: limit + 1 };
    },
  ],
];

for (const [title, expected, wrong] of wrongCreates) {
  statement(`a completion queue ${title} is refused`, createCqCite, async (rig) => {
    await rig.queueCount();
    const { id = 1, entriesField = 8 } = await wrong(rig);
    const cq = rig.controller.completionQueue(id, { entries: 8 });
    const command = createCq(rig, cq).set(CreateCompletionQueue.qsize, entriesField);
    rig.refused(await rig.admin(command), ...expected);
  });

  statement(`a submission queue ${title} is refused`, createSqCite, async (rig) => {
    await makeCq(rig);
    const { id = 1, entriesField = 8 } = await wrong(rig);
    const sq = rig.controller.submissionQueue(id, { entries: 8 });
    const command = createSq(rig, sq, { cqid: 1 }).set(CreateSubmissionQueue.qsize, entriesField);
    rig.refused(await rig.admin(command), ...expected);
  });
}

statement('a completion queue that exists cannot be created again', createCqCite, async (rig) => {
  const cq = await makeCq(rig);
  rig.refused(await rig.admin(createCq(rig, cq)), Status.invalidQueueIdentifier);
});

statement('a submission queue that exists cannot be created again', createSqCite, async (rig) => {
  await makeCq(rig);
  const sq = await makeSq(rig, 1, 1);
  rig.refused(await rig.admin(createSq(rig, sq, { cqid: 1 })), Status.invalidQueueIdentifier);
});

statement(
  'where contiguous queues are required, a completion queue with PC = 0 is refused',
  createCqCite,
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.cqr) === 1, 'the requirement of contiguous queues');
    const cq = rig.controller.completionQueue(1, { entries: 8 });
    const command = createCq(rig, cq).set(CreateCompletionQueue.pc, 0);
    rig.refused(await rig.admin(command), Status.invalidField);
  },
);

statement(
  'where contiguous queues are required, a submission queue with PC = 0 is refused',
  createSqCite,
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.cqr) === 1, 'the requirement of contiguous queues');
    await makeCq(rig);
    const sq = rig.controller.submissionQueue(1, { entries: 8 });
    const command = createSq(rig, sq, { cqid: 1 }).set(CreateSubmissionQueue.pc, 0);
    rig.refused(await rig.admin(command), Status.invalidField);
  },
);

statement('a completion queue inside a page is refused', createCqCite, async (rig) => {
  await rig.queueCount();
  const region = rig.dma.allocate(4 * rig.pageBytes, { alignment: rig.pageBytes });
  const cq = rig.controller.completionQueue(1, { entries: 8, region, offset: 64 });
  rig.refused(await rig.admin(createCq(rig, cq)), Status.prpOffsetInvalid, Status.invalidField);
});

statement('a submission queue inside a page is refused', createSqCite, async (rig) => {
  await makeCq(rig);
  const region = rig.dma.allocate(4 * rig.pageBytes, { alignment: rig.pageBytes });
  const sq = rig.controller.submissionQueue(1, { entries: 8, region, offset: 64 });
  const completion = await rig.admin(createSq(rig, sq, { cqid: 1 }));
  rig.refused(completion, Status.prpOffsetInvalid, Status.invalidField);
});

statement(
  'an interrupt vector that the function does not have is refused',
  createCqCite,
  async (rig) => {
    await rig.queueCount();
    const cq = rig.controller.completionQueue(1, { entries: 8 });
    const command = createCq(rig, cq, rig.fn.interrupts.vectorCount);
    rig.refused(await rig.admin(command), Status.invalidInterruptVector);
  },
);

statement('interrupt vector FFFFh is refused', createCqCite, async (rig) => {
  await rig.queueCount();
  const cq = rig.controller.completionQueue(1, { entries: 8 });
  rig.refused(await rig.admin(createCq(rig, cq, 0xffff)), Status.invalidInterruptVector);
});

statement(
  'a submission queue on the admin completion queue is refused',
  createSqCite,
  async (rig) => {
    await rig.queueCount();
    const sq = rig.controller.submissionQueue(1, { entries: 8 });
    const completion = await rig.admin(createSq(rig, sq, { cqid: 0 }));
    rig.refused(completion, Status.invalidQueueIdentifier, Status.completionQueueInvalid);
  },
);

statement(
  'a submission queue on a completion queue that was not created is refused',
  createSqCite,
  async (rig) => {
    await rig.queueCount();
    const sq = rig.controller.submissionQueue(1, { entries: 8 });
    const completion = await rig.admin(createSq(rig, sq, { cqid: 1 }));
    rig.refused(completion, Status.completionQueueInvalid);
  },
);

statement(
  'a submission queue on a completion queue out of range is refused',
  createSqCite,
  async (rig) => {
    const count = await rig.queueCount();
    const sq = rig.controller.submissionQueue(1, { entries: 8 });
    const completion = await rig.admin(createSq(rig, sq, { cqid: count + 1 }));
    rig.refused(completion, Status.invalidQueueIdentifier, Status.completionQueueInvalid);
  },
);

statement('a refused submission queue does not exist', createSqCite, async (rig) => {
  await rig.queueCount();
  const sq = rig.controller.submissionQueue(1, { entries: 8 });
  await rig.admin(createSq(rig, sq, { cqid: 1 }));
  const completion = await rig.admin(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
  rig.refused(completion, Status.invalidQueueIdentifier);
});

for (const [opcode, name, cite] of [
  [AdminOpcode.deleteSubmissionQueue, 'submission', deleteSqCite],
  [AdminOpcode.deleteCompletionQueue, 'completion', deleteCqCite],
] as const) {
  statement(`the admin ${name} queue cannot be deleted`, cite, async (rig) => {
    rig.refused(await rig.admin(deleteQueue(rig, opcode, 0)), Status.invalidQueueIdentifier);
    await rig.controllerWords();
  });

  statement(`a ${name} queue that does not exist cannot be deleted`, cite, async (rig) => {
    await rig.queueCount();
    rig.refused(await rig.admin(deleteQueue(rig, opcode, 1)), Status.invalidQueueIdentifier);
  });

  statement(`a ${name} queue out of range cannot be deleted`, cite, async (rig) => {
    rig.refused(await rig.admin(deleteQueue(rig, opcode, 0xffff)), Status.invalidQueueIdentifier);
  });
}

statement('a completion queue in use cannot be deleted', deleteCqCite, async (rig) => {
  await makeCq(rig);
  await makeSq(rig, 1, 1);
  const completion = await rig.admin(deleteQueue(rig, AdminOpcode.deleteCompletionQueue, 1));
  rig.refused(completion, Status.invalidQueueDeletion);
});

statement(
  'a completion queue can be deleted once its last submission queue is',
  deleteCqCite,
  async (rig) => {
    await makeCq(rig);
    await makeSq(rig, 1, 1);
    rig.needs((await rig.queueCount()) >= 2, 'two I/O queues');
    await makeSq(rig, 2, 1);
    const remove = deleteQueue(rig, AdminOpcode.deleteCompletionQueue, 1);
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
    rig.refused(await rig.admin(remove), Status.invalidQueueDeletion);
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 2));
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteCompletionQueue, 1));
  },
);

statement('a deleted queue pair can be created again', deleteSqCite, async (rig) => {
  const ns = await rig.namespace();
  for (let i = 0; i < 3; i++) {
    await rig.queueCount();
    const cq = await makeCq(rig);
    const sq = await makeSq(rig, 1, 1);
    const command = ns.read({ lba: 0 }, ns.buffer(1));
    rig.succeeded(await rig.controller.execute(sq, cq, { command }));
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteCompletionQueue, 1));
  }
});

statement(
  'a submission queue may have another identifier than its completion queue',
  createSqCite,
  async (rig) => {
    rig.needs((await rig.queueCount()) >= 3, 'three I/O queues');
    const ns = await rig.namespace();
    const cq = await makeCq(rig, 3);
    const sq = await makeSq(rig, 2, 3);
    const command = ns.read({ lba: 0 }, ns.buffer(1));
    const completion = await rig.controller.execute(sq, cq, { command });
    rig.succeeded(completion);
    assert.is(completion.sqid, 2);
  },
);

statement('several submission queues may share one completion queue', createSqCite, async (rig) => {
  const count = Math.min(4, await rig.queueCount());
  rig.needs(count >= 2, 'two I/O queues');
  const ns = await rig.namespace();
  const cq = await makeCq(rig, 1, 32);
  const seen: number[] = [];
  for (let id = 1; id <= count; id++) {
    const sq = await makeSq(rig, id, 1);
    sq.post(ns.read({ lba: 0 }, ns.buffer(1)));
    sq.ring();
  }
  for (let i = 0; i < count; i++) seen.push((await rig.controller.next(cq))?.sqid ?? -1);
  assert.equal(
    seen.sort(),
    Array.from({ length: count }, (_, i) => i + 1),
  );
});

statement(
  'every queue pair that was granted can be created and used',
  createSqCite,
  async (rig) => {
    const count = await rig.queueCount();
    const ns = await rig.namespace();
    const data = ns.buffer(1);
    for (let i = 0; i < count; i++) {
      const pair = await rig.queuePair({ entries: 4 });
      await pair.runOk(ns.read({ lba: i }, data));
    }
  },
);

statement('a controller reset deletes every I/O queue', '[NVMe-2.0 §3.7.2]', async (rig) => {
  await rig.queuePair({ entries: 8 });
  await rig.enable();
  const completion = await rig.admin(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
  rig.refused(completion, Status.invalidQueueIdentifier);
  await rig.queuePair({ entries: 8 });
});

statement('a queue that was deleted takes no more commands', deleteSqCite, async (rig) => {
  const ns = await rig.namespace();
  const cq = await makeCq(rig);
  const sq = await makeSq(rig, 1, 1);
  await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
  sq.post(ns.read({ lba: 0 }, ns.buffer(1)));
  sq.ring();
  assert.is(await rig.controller.next(cq, 1_000_000), undefined);
});

statement(
  'each outstanding command of a deleted queue is completed before the deletion',
  deleteSqCite,
  async (rig) => {
    const ns = await rig.namespace();
    const cq = await makeCq(rig, 1, 64);
    const sq = await makeSq(rig, 1, 1, 64);
    const cids = new Set<number>();
    for (let i = 0; i < 32; i++) cids.add(sq.post(ns.read({ lba: i }, ns.buffer(1))));
    sq.ring();
    await rig.adminOk(deleteQueue(rig, AdminOpcode.deleteSubmissionQueue, 1));
    // Whatever was fetched is in the queue by now; nothing comes later, and nothing twice.
    for (let found = cq.take(); found !== undefined; found = cq.take()) {
      assert.ok(cids.delete(found.cid), 'a command completes once');
      if (found.status !== 0) rig.refused(found, Status.abortedSqDeletion);
    }
    await rig.controller.elapse(1_000_000);
    assert.is(cq.take(), undefined);
  },
);

statement.run();
