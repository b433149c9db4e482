import * as assert from 'uvu/assert';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { FuseRole } from '../../../../sim/nvme/command.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import { compare, read, write, writeUncorrectable } from './commands.js';
import { makeNamespace, pattern, Rig } from './rig.js';

const test = suite('fused compare and write');
const range = { lba: 6, count: 4 };
const old = pattern(1, 2048);
const fresh = pattern(2, 2048);

function prepared(): Rig {
  const rig = new Rig(makeNamespace());
  rig.run(write(range, old));
  return rig;
}

function content(rig: Rig): Uint8Array {
  const data = new Uint8Array(2048);
  assert.is(rig.run(read(range, data)).status, 0);
  return data;
}

test('equal blocks are replaced, and both halves succeed', () => {
  const rig = prepared();
  const [first, second] = rig.runFused(compare(range, old), write(range, fresh));
  assert.equal([first.status, second.status], [0, 0]);
  assert.equal(content(rig), fresh);
});

test('after a mismatch nothing is written and the write fails with its partner', () => {
  const rig = prepared();
  const [first, second] = rig.runFused(compare(range, fresh), write(range, fresh));
  assert.is(first.status, Status.compareFailure);
  assert.is(second.status, Status.abortedFailedFused);
  assert.equal(content(rig), old);
});

test('a half that is wrong by itself takes the other one along', () => {
  const beyond = { lba: 2 ** 41, count: 4 };
  for (const [one, two, statuses] of [
    [compare(beyond, old), write(range, fresh), [Status.lbaOutOfRange, Status.abortedFailedFused]],
    [compare(range, old), write(beyond, fresh), [Status.abortedFailedFused, Status.lbaOutOfRange]],
    [
      compare(range, old),
      write({ lba: 7, count: 4 }, fresh),
      [Status.abortedFailedFused, Status.invalidField],
    ],
    [
      compare(range, old),
      write({ lba: 6, count: 3 }, fresh),
      [Status.abortedFailedFused, Status.invalidField],
    ],
    [write(range, fresh), write(range, fresh), [Status.invalidField, Status.abortedFailedFused]],
    [compare(range, old), compare(range, old), [Status.abortedFailedFused, Status.invalidField]],
    [
      read(range, new Uint8Array(2048)),
      write(range, fresh),
      [Status.invalidField, Status.abortedFailedFused],
    ],
  ] as const) {
    const rig = prepared();
    const [first, second] = rig.runFused(one, two);
    assert.equal([first.status, second.status], statuses);
    assert.equal(content(rig), old);
    assert.is(rig.health.busy, 0);
  }
});

test('more blocks than the atomic compare-and-write unit is Atomic Write Unit Exceeded', () => {
  const rig = new Rig(makeNamespace());
  for (const count of [8, 9]) {
    const data = new Uint8Array(count * 512);
    const some = { lba: 0, count };
    const [first, second] = rig.runFused(compare(some, data), write(some, data));
    const isFitting = count === 8;
    assert.is(first.status, isFitting ? 0 : Status.atomicWriteUnitExceeded);
    assert.is(second.status, isFitting ? 0 : Status.abortedFailedFused);
  }
});

test('an unreadable block fails the compare', () => {
  const rig = prepared();
  rig.run(writeUncorrectable({ lba: 7, count: 1 }));
  const [first, second] = rig.runFused(compare(range, old), write(range, fresh));
  assert.is(first.status, Status.unrecoveredReadError);
  assert.is(second.status, Status.abortedFailedFused);
});

test('of many pairs that race for one block exactly one wins each round', () => {
  const rig = new Rig(makeNamespace());
  const prng = new Prng(3, 'race');
  const one = { lba: 3, count: 1 };
  let value = new Uint8Array(512);
  for (let round = 0; round < 50; round++) {
    const pairs = Array.from({ length: 1 + prng.below(8) }, (_, i) => {
      const wanted = pattern(round * 100 + i + 1, 512);
      const first = rig.start(compare(one, value.slice()), FuseRole.first);
      const second = rig.start(write(one, wanted), FuseRole.second);
      first.command.partner = second.command;
      second.command.partner = first.command;
      rig.set.begin(first.command);
      rig.set.begin(second.command);
      return { first, second, wanted };
    });
    rig.drain();
    const endings = pairs.map((pair) => [
      rig.take(pair.first).status,
      rig.take(pair.second).status,
    ]);
    const winners = endings.filter(([one, two]) => one === 0 && two === 0);
    assert.is(winners.length, 1);
    const index = endings.findIndex(([one]) => one === 0);
    value = Uint8Array.from(pairs[index]!.wanted);
    const data = new Uint8Array(512);
    rig.run(read(one, data));
    assert.equal(data, value);
  }
});

test('when one half is aborted the other one does not happen', () => {
  for (const isFirst of [true, false]) {
    const rig = prepared();
    const first = rig.start(compare(range, old), FuseRole.first);
    const second = rig.start(write(range, fresh), FuseRole.second);
    first.command.partner = second.command;
    second.command.partner = first.command;
    rig.set.begin(first.command);
    rig.set.begin(second.command);
    const victim = isFirst ? first : second;
    const { services } = rig.set.work;
    assert.ok(services.stop(victim.command, Status.abortRequested));
    rig.drain();
    const other = isFirst ? second : first;
    assert.is(rig.take(victim).status, Status.abortRequested);
    assert.is(rig.take(other).status, Status.abortedFailedFused);
    assert.equal(content(rig), old);
    assert.is(rig.namespace.medium.pool.inUse, 2, 'two pages, nothing left behind');
  }
});

test.run();
