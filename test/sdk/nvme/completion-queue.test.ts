import * as assert from 'uvu/assert';
import { type BadCompletion, CompletionQueue } from '../../../sdk/nvme/completion-queue.js';
import { type SlotOwner, SubmissionQueue } from '../../../sdk/nvme/submission-queue.js';
import { Cqe, completionDwords } from '../../../sdk/spec/nvme/completion.js';
import { suite } from '../../support/suite.js';
import { FakeMemory } from './fake-memory.js';

const test = suite('completion queue');

/** A queue pair without a driver around it, and a controller that posts what a test tells it to. */
class Bench implements SlotOwner {
  readonly bad: BadCompletion[] = [];
  readonly doorbells: number[] = [];
  /** Identifiers of the commands that ended, in order. */
  readonly cids: number[] = [];
  readonly ownerId: number;
  readonly submission: SubmissionQueue;
  readonly completion: CompletionQueue;
  onEnd: () => void = () => {};
  private readonly entries: number;
  private tail = 0;
  private phase = 1;

  constructor(entries = 8) {
    this.entries = entries;
    const memory = new FakeMemory();
    const bar = {
      index: 0,
      length: 8192,
      read32: () => 0,
      write32: (_offset: number, value: number) => void this.doorbells.push(value),
    };
    this.completion = new CompletionQueue({
      id: 1,
      entries,
      region: memory.allocate(entries * completionDwords * 4),
      bar,
      doorbell: 4,
      clock: { nowNs: () => 7, idle() {}, turn: async () => {} },
      vector: 0,
      hasInterrupt: true,
      misbehaved: (bad) => void this.bad.push(bad),
    });
    this.submission = new SubmissionQueue({
      id: 1,
      entries: 64,
      region: memory.allocate(4096),
      completion: this.completion,
      bar,
      doorbell: 0,
    });
    this.completion.attach(this.submission);
    this.ownerId = this.submission.takeOwnerId();
  }

  /** Take slots. @returns their identifiers */
  take(count: number): number[] {
    return Array.from({ length: count }, () => {
      assert.is.not(this.submission.take(this), -1);
      return this.submission.takenCid;
    });
  }

  post(cid: number, fields: { readonly sqid?: number; readonly sqhd?: number } = {}): void {
    const { words } = this.completion;
    const at = this.tail * completionDwords;
    Cqe.sqid.set(words, at, fields.sqid ?? 1);
    Cqe.sqhd.set(words, at, fields.sqhd ?? 0);
    Cqe.status.set(words, at, 0);
    Cqe.cid.set(words, at, cid);
    Cqe.p.set(words, at, this.phase);
    if (++this.tail < this.entries) return;
    this.tail = 0;
    this.phase = 1 - this.phase;
  }

  ended(queue: SubmissionQueue, slot: number): void {
    this.cids.push(queue.cidOf(slot));
    this.onEnd();
  }
}

test('one poll takes what stands at the end of the ring and what follows at its start', () => {
  const bench = new Bench();
  const first = bench.take(5);
  for (const cid of first) bench.post(cid);
  assert.is(bench.completion.poll(), 5);
  const second = bench.take(6);
  for (const cid of second) bench.post(cid);
  assert.is(bench.completion.poll(), 6);
  assert.equal(bench.cids, [...first, ...second]);
  assert.equal(bench.doorbells, [5, 3]);
  assert.is(bench.completion.poll(), 0);
  assert.equal(bench.bad, []);
});

test('a callback that polls takes the entries behind its own, each once', () => {
  const bench = new Bench();
  const cids = bench.take(6);
  for (const cid of cids) bench.post(cid);
  let depth = 0;
  bench.onEnd = () => {
    if (depth++ === 1) assert.is(bench.completion.poll(), 4);
  };
  assert.is(bench.completion.poll(), 2);
  assert.equal(bench.cids, cids);
  assert.equal(bench.bad, []);
});

test('a callback that throws costs no other command its end', () => {
  const bench = new Bench();
  const cids = bench.take(4);
  for (const cid of cids) bench.post(cid);
  bench.onEnd = () => {
    bench.onEnd = () => {};
    throw new Error('of the callback');
  };
  assert.throws(() => bench.completion.poll(), 'of the callback');
  assert.is(bench.completion.poll(), 3);
  assert.equal(bench.cids, cids);
});

test('one poll takes fewer entries than the queue has, whatever the controller goes on posting', () => {
  const bench = new Bench();
  const [first] = bench.take(1);
  bench.post(first!);
  // A controller that posts into entries that it was not given back.
  bench.onEnd = () => bench.post(bench.take(1)[0]!);
  assert.is(bench.completion.poll(), 7);
  bench.onEnd = () => {};
  assert.is(bench.completion.poll(), 1);
});

test('a poll does not chase a controller that posts as fast as it takes', () => {
  const bench = new Bench(64);
  const [first] = bench.take(1);
  bench.post(first!);
  bench.onEnd = () => bench.post(bench.take(1)[0]!);
  const taken = bench.completion.poll();
  assert.is(taken, 16);
  assert.ok(bench.completion.hasEntry());
  // Entries that are there already are not left behind.
  bench.onEnd = () => {};
  for (const cid of bench.take(30)) bench.post(cid);
  assert.is(bench.completion.poll(), 31);
});

test('an entry among others that names nothing in flight is reported and ends nothing', () => {
  const bench = new Bench();
  const cids = bench.take(2);
  bench.post(cids[0]!);
  bench.post(cids[0]!);
  bench.post(cids[1]!, { sqid: 2 });
  bench.post(cids[1]!, { sqhd: 64 });
  bench.post(cids[1]!);
  assert.is(bench.completion.poll(), 5);
  assert.equal(bench.cids, cids);
  const what = bench.bad.map((bad) => [bad.what, bad.value]);
  assert.equal(what, [
    ['command identifier', cids[0]],
    ['queue identifier', 2],
    ['queue head', 64],
  ]);
});

test('an entry counts as waiting until it is taken', () => {
  const bench = new Bench();
  const cids = bench.take(2);
  assert.not(bench.completion.hasEntry());
  for (const cid of cids) bench.post(cid);
  assert.ok(bench.completion.hasEntry());
  const seen: boolean[] = [];
  bench.onEnd = () => void seen.push(bench.completion.hasEntry());
  bench.completion.poll();
  assert.equal(seen, [true, false]);
});

test.run();
