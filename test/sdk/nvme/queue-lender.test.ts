import * as assert from 'uvu/assert';
import { BlockOp, BlockStatus } from '../../../sdk/block/request.js';
import type { DmaRegion } from '../../../sdk/device.js';
import { UltimaError } from '../../../sdk/errors.js';
import { type BorrowedNamespace, borrowNamespace } from '../../../sdk/nvme/queue-borrower.js';
import type { QueueLender } from '../../../sdk/nvme/queue-lender.js';
import { ShadowDoorbell } from '../../../sdk/nvme/shadow-doorbell.js';
import { MiB } from '../../../sdk/units.js';
import { suite } from '../../support/suite.js';
import { lentFunction, TestPort } from './lent-thread.js';
import { isStamped, pollUntil, requestOn, type SimRig, simRig, stamp } from './rig.js';

const test = suite('lent queue pairs');
const card = 'sim:simple?bytes=64MiB';

interface Lent {
  readonly lender: QueueLender;
  readonly near: TestPort;
  readonly far: TestPort;
  readonly memory: DmaRegion;
  borrow(options?: { nsid?: number; entries?: number }): Promise<BorrowedNamespace>;
}

/** What one worker would have. */
function lend(rig: SimRig, bytes = 16 * MiB): Lent {
  const { controller } = rig;
  const [near, far] = TestPort.pair();
  const memory = controller.memory.allocate(bytes);
  const lender = controller.lendQueuePairs(near, memory);
  const fn = lentFunction(controller.fn, memory);
  const borrow = (options: { nsid?: number; entries?: number } = {}) =>
    borrowNamespace({ fn, port: far, nsid: 1, entries: 16, timeoutNs: 10_000_000_000, ...options });
  return { lender, near, far, memory, borrow };
}

async function writeAndVerify(borrowed: BorrowedNamespace, lba: number): Promise<void> {
  const { namespace } = borrowed;
  const region = namespace.memory.allocate(64 * 512);
  const slice = [{ region, offset: 0, length: region.length }];
  stamp(region, lba, 1);
  await namespace.write(lba, slice);
  region.bytes.fill(0);
  await namespace.read(lba, slice);
  assert.ok(isStamped(region, lba, 1), `blocks from ${lba}`);
  namespace.memory.free(region);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof UltimaError ? error.code : String(error);
  }
}

test('three borrowers work beside each other, and what they made is gone afterwards', async () => {
  const rig = await simRig(card);
  const lent = [lend(rig), lend(rig), lend(rig)];
  const borrowed = await Promise.all(lent.map((one) => one.borrow()));
  const ids = borrowed.map((one) => one.namespace.queuePair.id);
  assert.is(new Set([...ids, rig.namespace.queuePair.id]).size, 4);
  await Promise.all(borrowed.map((one, i) => writeAndVerify(one, 1000 * i)));
  for (const one of borrowed) await one.close();
  for (const { lender, near, far, memory } of lent) {
    await lender.end();
    assert.is(near.count + far.count, 0);
    rig.controller.memory.free(memory);
  }
  // Each identifier can be had again.
  const pairs = [];
  for (const _ of ids) pairs.push(await rig.controller.createQueuePair());
  assert.equal(pairs.map((pair) => pair.id).sort(), [...ids].sort());
  await rig.close();
});

test('a borrower that is gone in the middle of I/O takes nothing of the others along', async () => {
  const rig = await simRig(card);
  const [doomed, other] = [lend(rig), lend(rig)];
  const { namespace } = await doomed.borrow();
  const survivor = await other.borrow();
  for (let i = 0; i < 8; i++) {
    const request = requestOn(namespace, BlockOp.write, 64 * 512);
    request.lba = 64 * i;
    namespace.submit(request);
  }
  namespace.poll();
  // From here on nobody answers at the other end, and nobody polls its rings.
  doomed.far.isDeaf = true;
  doomed.near.hear('close', undefined);
  await writeAndVerify(survivor, 5000);
  await doomed.lender.end();
  rig.controller.memory.free(doomed.memory);
  assert.is(doomed.lender.count, 0);
  const next = await lend(rig).borrow();
  await writeAndVerify(next, 0);
  await writeAndVerify(survivor, 6000);
  await rig.controller.close();
  // The one thing that a driver does not do of its own will: nobody was left to end its commands.
  const rules = rig.card.checker.reports.map(({ rule }) => rule);
  assert.equal(rules, ['queueDeletedInUse']);
  await rig.card.close();
});

test('a reset ends what is in flight, and the same namespace goes on', async () => {
  const rig = await simRig(card);
  const borrowed = await lend(rig).borrow();
  const { namespace } = borrowed;
  const requests = Array.from({ length: 4 }, (_, i) => {
    const request = requestOn(namespace, BlockOp.write, 64 * 512);
    request.lba = 64 * i;
    return request;
  });
  let ended = 0;
  for (const request of requests) {
    request.done = () => {
      ended++;
    };
    namespace.submit(request);
  }
  namespace.poll();
  await rig.controller.reset();
  pollUntil(namespace, () => ended === requests.length);
  for (const request of requests) assert.is(request.status, BlockStatus.unknown);
  await writeAndVerify(borrowed, 0);
  await rig.controller.reset();
  await writeAndVerify(borrowed, 0);
  await borrowed.close();
  await rig.close();
});

test('a controller that is closed leaves borrowers whose requests are not executed', async () => {
  const rig = await simRig(card);
  const borrowed = await lend(rig).borrow();
  await rig.close();
  assert.is(await codeOf(borrowed.namespace.flush()), 'COMMAND_ABORTED');
  assert.is(borrowed.isOver, true);
  await borrowed.close();
});

test('a command that is never completed is aborted at the borrowers request', async () => {
  const rig = await simRig(card, { commandTimeoutNs: 100_000_000, abortTimeoutNs: 50_000_000 });
  const { far, borrow } = lend(rig);
  const borrowed = await borrow();
  const { namespace } = borrowed;
  const request = requestOn(namespace, BlockOp.read, 512);
  let isOver = false;
  request.done = () => {
    isOver = true;
  };
  namespace.submit(request);
  // The entry is there and its doorbell is not: the controller cannot know of it.
  const { submission } = namespace.queuePair;
  const eventIndex = Uint32Array.of(5);
  submission.shadow = new ShadowDoorbell({ shadow: new Uint32Array(1), eventIndex, at: 0 });
  namespace.poll();
  assert.is(isOver, false);
  submission.shadow = null;
  const limitNs = namespace.clock.nowNs() + 5_000_000_000;
  while (!isOver && namespace.clock.nowNs() < limitNs) {
    namespace.poll();
    await namespace.clock.turn(namespace.clock.nowNs() + 5_000_000);
  }
  assert.is(isOver, true);
  assert.is(request.status, BlockStatus.unknown);
  const asked = far.sent.filter((message) => JSON.stringify(message).includes('"stuck"'));
  assert.is(asked.length, 2, 'once for an abort, once for a reset');
  await writeAndVerify(borrowed, 0);
  const kinds = rig.events.map((event) => event.kind);
  assert.ok(kinds.includes('command stuck') && kinds.includes('recovery'), kinds.join());
  await rig.close();
});

test('rings outside the lent memory are refused and no queue is made', async () => {
  const rig = await simRig(card);
  const { near, far, lender, memory } = lend(rig);
  const ask = { ultimaLoan: 1, kind: 'ask', values: { nsid: 1, entries: 16 } };
  far.postMessage(ask);
  await until(rig, () => near.sent.length === 1);
  const inside = memory.iova;
  const outside = memory.iova + memory.length;
  for (const [submission, completion, control] of [
    [outside, inside, inside],
    [inside, outside - 64, inside],
    [inside, inside + 4096, outside - 4],
    [inside + 4, inside + 4096, inside + 8192],
  ]) {
    far.postMessage({ ...ask, kind: 'ask' });
    const before = near.sent.length;
    const values = {
      epoch: 1,
      submission: submission!,
      completion: completion!,
      control: control!,
    };
    far.postMessage({ ultimaLoan: 1, kind: 'rings', values });
    await until(rig, () => near.sent.slice(before).some(isRefusal));
    await until(rig, () => lender.count === 0);
    far.postMessage(ask);
    await until(rig, () => lender.count === 1);
  }
  await rig.close();
});

test('what cannot be lent is refused with its reason', async () => {
  const rig = await simRig(card);
  const { borrow } = lend(rig);
  assert.is(await codeOf(borrow({ nsid: 77 })), 'NAMESPACE_INVALID');
  assert.is(await codeOf(borrow({ entries: 100_000 })), 'USAGE');
  const other = await simRig(card);
  const foreign = other.controller.memory.allocate(4096);
  assert.throws(() => rig.controller.lendQueuePairs(new TestPort(), foreign), TypeError);
  await other.close();
  await rig.close();
});

test('messages of others on the same port are left alone', async () => {
  const rig = await simRig(card);
  const { near, far, borrow } = lend(rig);
  for (const stray of [null, 7, 'ask', {}, { ultimaLoan: 'x', kind: 'ask', values: {} }]) {
    far.postMessage(stray);
    near.postMessage(stray);
  }
  far.postMessage({ ultimaLoan: 9, kind: 'ask', values: { nsid: 0.5 } });
  await writeAndVerify(await borrow(), 0);
  await rig.close();
});

function isRefusal(message: unknown): boolean {
  return JSON.stringify(message).includes('"refused"');
}

async function until(rig: SimRig, condition: () => boolean): Promise<void> {
  const { clock } = rig.namespace;
  const limitNs = clock.nowNs() + 10_000_000_000;
  while (!condition()) {
    if (clock.nowNs() > limitNs) throw new Error('it never happens');
    await clock.turn(clock.nowNs() + 1_000_000);
  }
}

test.run();
