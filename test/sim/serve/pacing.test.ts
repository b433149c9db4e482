import * as assert from 'uvu/assert';
import { Pace, World } from '../../../sim/index.js';
import { Timekeeper } from '../../../sim/serve/timekeeper.js';
import { suite } from '../../support/suite.js';

const test = suite('pace and time of a served card');

const msNs = 1_000_000;

function fixture(scale: number | 'free') {
  const world = new World();
  const ran: number[] = [];
  const note = world.register(() => ran.push(world.nowNs));
  return { world, ran, note, time: new Timekeeper(world, scale) };
}

test('with scale 1 events run when their time has come, not before', () => {
  const { world, ran, note, time } = fixture(1);
  time.run(5_000);
  world.schedule(100, note, 0);
  time.run(5_099);
  assert.equal(ran, []);
  time.run(5_100);
  assert.equal(ran, [100]);
  assert.is(world.nowNs, 100);
});

test('a scale stretches time, without losing parts of nanoseconds', () => {
  const { world, time } = fixture(0.25);
  for (let ns = 0; ns <= 1000; ns++) time.run(ns);
  assert.is(world.nowNs, 250);
  const fast = fixture(3);
  fast.time.run(0);
  fast.time.run(1000);
  assert.is(fast.world.nowNs, 3000);
});

test('real time that jumps back stands still', () => {
  const { world, time } = fixture(1);
  time.run(1000);
  time.run(1500);
  time.run(1200);
  assert.is(world.nowNs, 500);
  time.run(1600);
  assert.is(world.nowNs, 600);
});

test('in free time what is due within a millisecond happens at once', () => {
  const { world, ran, note, time } = fixture('free');
  time.run(0);
  world.schedule(msNs, note, 0);
  world.schedule(msNs + 1, note, 0);
  time.run(0);
  assert.equal(ran, [msNs]);
  time.run(0);
  assert.equal(ran, [msNs, msNs + 1]);
});

test('in free time a timer that is far away waits for real time', () => {
  const { world, ran, note, time } = fixture('free');
  time.run(0);
  world.schedule(10 * msNs, note, 0);
  for (let i = 0; i < 100; i++) time.run(0);
  assert.equal(ran, []);
  time.run(9 * msNs);
  assert.equal(ran, []);
  time.run(9 * msNs + 1);
  assert.equal(ran, [10 * msNs]);
});

test('the time until the next event is told in real nanoseconds', () => {
  const half = fixture(0.5);
  assert.is(half.time.untilNextNs(), Infinity);
  half.world.schedule(100, half.note, 0);
  assert.is(half.time.untilNextNs(), 200);
  const free = fixture('free');
  free.world.schedule(5 * msNs, free.note, 0);
  assert.is(free.time.untilNextNs(), 4 * msNs);
});

test('a scale that is none is refused', () => {
  for (const scale of [0, -1, Number.NaN, Infinity, 1e7]) {
    assert.throws(() => new Timekeeper(new World(), scale), /above 0 and up to/);
  }
});

const quiet = { untilNextNs: Infinity, isConnected: true };

test('a card that works is not paused', () => {
  const pace = new Pace();
  for (let ns = 0; ns < 10 * msNs; ns += msNs) assert.is(pace.after(true, ns, quiet), 0);
});

test('after a millisecond of quiet the card is paused until its own next event', () => {
  const pace = new Pace();
  pace.after(true, 0, quiet);
  assert.is(pace.after(false, msNs - 1, quiet), 0);
  const pauses = [2.5, 70, 999, 5000].map((ms) =>
    pace.after(false, msNs, { ...quiet, untilNextNs: ms * msNs }),
  );
  assert.equal(pauses, [2, 70, 999, 1000]);
  assert.is(pace.after(true, 9001 * msNs, quiet), 0);
  assert.is(pace.after(false, 9010 * msNs, quiet), 1000, 'and anew after work');
});

test('an event that is near is waited for without a pause', () => {
  const pace = new Pace();
  pace.after(true, 0, quiet);
  assert.is(pace.after(false, 9 * msNs, { ...quiet, untilNextNs: 100_000 }), 0);
  assert.is(pace.after(false, 9 * msNs, { ...quiet, untilNextNs: 400_000 }), 1);
});

test('without a client the card is paused at once', () => {
  const pace = new Pace();
  const alone = { untilNextNs: Infinity, isConnected: false };
  pace.after(true, 0, alone);
  assert.is(pace.after(false, 1, alone), 1000);
  assert.is(pace.after(false, 2, { ...alone, untilNextNs: 70 * msNs }), 70);
});

test('the time of quiet is counted from the last work, or from an arrival', () => {
  const pace = new Pace();
  assert.is(pace.quietMs(5 * msNs), 0);
  pace.after(true, 5 * msNs, quiet);
  pace.after(false, 6 * msNs, quiet);
  assert.is(pace.quietMs(12.5 * msNs), 7);
  pace.wake();
  assert.is(pace.quietMs(13 * msNs), 0);
});

test('whatever arrives ends the pauses', () => {
  const pace = new Pace();
  pace.after(true, 0, quiet);
  assert.is(pace.after(false, 5 * msNs, quiet), 1000);
  pace.wake();
  assert.is(pace.after(false, 6 * msNs, quiet), 0);
  assert.is(pace.after(false, 6 * msNs + 1, quiet), 0);
});

test.run();
