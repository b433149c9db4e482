import * as assert from 'uvu/assert';
import { Pace, World } from '../../../sim/index.js';
import { farUs, Timekeeper } from '../../../sim/serve/timekeeper.js';
import { suite } from '../../support/suite.js';

const test = suite('pace and time of a served card');

const msNs = 1_000_000;

function fixture(scale: number | 'free') {
  const world = new World();
  const ran: number[] = [];
  const note = world.register(() => ran.push(world.nowNs));
  const real = new Float64Array(1);
  const time = new Timekeeper(world, scale, real);
  const runTo = (realNs: number): void => {
    real[0] = realNs;
    time.run();
  };
  return { world, ran, note, time, runTo };
}

test('with scale 1 events run when their time has come, not before', () => {
  const { world, ran, note, runTo } = fixture(1);
  runTo(5_000);
  world.schedule(100, note, 0);
  runTo(5_099);
  assert.equal(ran, []);
  runTo(5_100);
  assert.equal(ran, [100]);
  assert.is(world.nowNs, 100);
});

test('a scale stretches time, without losing parts of nanoseconds', () => {
  const { world, runTo } = fixture(0.25);
  for (let ns = 0; ns <= 1000; ns++) runTo(ns);
  assert.is(world.nowNs, 250);
  const fast = fixture(3);
  fast.runTo(0);
  fast.runTo(1000);
  assert.is(fast.world.nowNs, 3000);
});

test('real time that jumps back stands still', () => {
  const { world, runTo } = fixture(1);
  runTo(1000);
  runTo(1500);
  runTo(1200);
  assert.is(world.nowNs, 500);
  runTo(1600);
  assert.is(world.nowNs, 600);
});

test('in free time what is due within a millisecond happens at once', () => {
  const { world, ran, note, runTo } = fixture('free');
  runTo(0);
  world.schedule(msNs, note, 0);
  world.schedule(msNs + 1, note, 0);
  runTo(0);
  assert.equal(ran, [msNs]);
  runTo(0);
  assert.equal(ran, [msNs, msNs + 1]);
});

test('in free time a timer that is far away waits for real time', () => {
  const { world, ran, note, runTo } = fixture('free');
  runTo(0);
  world.schedule(10 * msNs, note, 0);
  for (let i = 0; i < 100; i++) runTo(0);
  assert.equal(ran, []);
  runTo(9 * msNs);
  assert.equal(ran, []);
  runTo(9 * msNs + 1);
  assert.equal(ran, [10 * msNs]);
});

test('the time until the next event is told in whole real microseconds', () => {
  const half = fixture(0.5);
  assert.is(half.time.untilNextUs(), farUs);
  half.world.schedule(100_400, half.note, 0);
  assert.is(half.time.untilNextUs(), 200);
  const free = fixture('free');
  free.world.schedule(5 * msNs, free.note, 0);
  assert.is(free.time.untilNextUs(), 4000);
});

test('a scale that is none is refused', () => {
  for (const scale of [0, -1, Number.NaN, Infinity, 1e7]) {
    assert.throws(
      () => new Timekeeper(new World(), scale, new Float64Array(1)),
      /above 0 and up to/,
    );
  }
});

/** A card that does nothing by itself, and the pauses that follow from what is looked at. */
class PacedRig {
  readonly real = new Float64Array(1);
  readonly pace = new Pace(this.real);
  nextMs = Infinity;
  isConnected = true;

  untilNextUs(): number {
    return Math.min(farUs, Math.floor(this.nextMs * 1000));
  }

  worked(atNs: number): void {
    this.real[0] = atNs;
    this.pace.worked();
  }

  pauseMs(atNs: number): number {
    this.real[0] = atNs;
    return this.pace.pauseMs(this);
  }
}

test('after a millisecond of quiet the card is paused until its own next event', () => {
  const rig = new PacedRig();
  rig.worked(0);
  assert.is(rig.pauseMs(msNs - 1), 0);
  const pauses = [2.5, 70, 999, 5000].map((ms) => {
    rig.nextMs = ms;
    return rig.pauseMs(msNs);
  });
  assert.equal(pauses, [2, 70, 999, 1000]);
  rig.worked(9001 * msNs);
  assert.is(rig.pauseMs(9002 * msNs - 1), 0, 'not yet after work');
  assert.is(rig.pauseMs(9010 * msNs), 1000, 'and anew after work');
});

test('an event that is near is waited for without a pause', () => {
  const rig = new PacedRig();
  rig.worked(0);
  rig.nextMs = 0.1;
  assert.is(rig.pauseMs(9 * msNs), 0);
  rig.nextMs = 0.4;
  assert.is(rig.pauseMs(9 * msNs), 1);
});

test('without a client the card is paused at once', () => {
  const rig = new PacedRig();
  rig.isConnected = false;
  rig.worked(0);
  assert.is(rig.pauseMs(1), 1000);
  rig.nextMs = 70;
  assert.is(rig.pauseMs(2), 70);
});

test('the time of quiet is counted from the last work, or from an arrival', () => {
  const rig = new PacedRig();
  const quietMs = (atNs: number): number => {
    rig.real[0] = atNs;
    return rig.pace.quietMs;
  };
  assert.is(quietMs(5 * msNs), 0);
  rig.worked(5 * msNs);
  rig.pauseMs(6 * msNs);
  assert.is(quietMs(12.5 * msNs), 7);
  rig.pace.wake();
  assert.is(quietMs(13 * msNs), 0);
});

test('whatever arrives ends the pauses', () => {
  const rig = new PacedRig();
  rig.worked(0);
  assert.is(rig.pauseMs(5 * msNs), 1000);
  rig.pace.wake();
  assert.is(rig.pauseMs(6 * msNs), 0);
  assert.is(rig.pauseMs(6 * msNs + 1), 0);
});

test.run();
