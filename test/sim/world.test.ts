import * as assert from 'uvu/assert';
import { UltimaError } from '../../sdk/errors.js';
import { World } from '../../sim/world.js';
import { suite } from '../support/suite.js';

const test = suite('world');

test('time stands still until the host idles, and stops at the first visible thing', () => {
  const world = new World();
  const seen: number[] = [];
  const quiet = world.register((argument) => seen.push(argument));
  const loud = world.register((argument) => {
    seen.push(argument);
    world.hostVisible();
  });
  world.schedule(10, quiet, 1);
  world.schedule(20, loud, 2);
  world.schedule(30, loud, 3);
  assert.is(world.nowNs, 0);
  world.idle(1000);
  assert.equal(seen, [1, 2]);
  assert.is(world.nowNs, 20);
  world.idle(1000);
  assert.equal(seen, [1, 2, 3]);
});

test('idle runs everything of the nanosecond in which something became visible', () => {
  const world = new World();
  const seen: number[] = [];
  const loud = world.register((argument) => {
    seen.push(argument);
    world.hostVisible();
  });
  for (let i = 0; i < 3; i++) world.schedule(5, loud, i);
  world.idle(100);
  assert.equal(seen, [0, 1, 2]);
});

test('idle without anything to see ends at its deadline', () => {
  const world = new World();
  world.idle(77);
  assert.is(world.nowNs, 77);
});

test('idle returns at once when time that the host spent made something visible', () => {
  const world = new World();
  const loud = world.register(() => world.hostVisible());
  world.schedule(5, loud, 0);
  world.advance(10);
  world.idle(1000);
  assert.is(world.nowNs, 10);
  world.idle(1000);
  assert.is(world.nowNs, 1000);
});

test('waiting without a deadline for nothing is an error by name', () => {
  const world = new World();
  try {
    world.idle(Infinity);
    assert.unreachable('the world waited');
  } catch (error) {
    assert.instance(error, UltimaError);
    assert.is(error instanceof UltimaError ? error.code : '', 'WORLD_STALLED');
  }
});

test('a handler that moves time is caught', () => {
  const world = new World();
  const bad = world.register(() => world.advance(1));
  world.schedule(1, bad, 0);
  assert.throws(() => world.idle(10), /must not move time/);
});

test('an event cannot be scheduled in the past or with a fraction as its argument', () => {
  const world = new World();
  const nothing = world.register(() => {});
  assert.throws(() => world.schedule(-1, nothing, 0), /past/);
  assert.throws(() => world.schedule(Number.NaN, nothing, 0), /past/);
  assert.throws(() => world.schedule(1, nothing, 0.5), /32-bit/);
});

/** A run in which chance decides when and how often a handler calls itself. */
function randomRun(seed: number): string {
  const world = new World({ seed });
  const prng = world.prng('run');
  const step = world.register((left) => {
    if (left > 0) world.schedule(prng.below(50), step, left - 1);
    if (left > 0 && prng.chance(0.2)) world.schedule(prng.below(50), step, left - 2);
  });
  for (let i = 0; i < 20; i++) world.schedule(i, step, 20);
  world.advance(100_000);
  return `${world.eventHash} ${world.eventCount}`;
}

test('equal seeds give equal event hashes, other seeds give others', () => {
  const hashes = [1, 2, 3, 4, 5].map(randomRun);
  assert.equal(hashes, [1, 2, 3, 4, 5].map(randomRun));
  assert.is(new Set(hashes).size, 5);
});

test('an action before event n runs after exactly n events', () => {
  for (let n = 0; n < 6; n++) {
    const world = new World();
    let ran = 0;
    let ranBefore = -1;
    const count = world.register(() => {
      ran++;
    });
    for (let i = 0; i < 6; i++) world.schedule(i, count, i);
    const look = world.register((argument) => {
      ranBefore = ran + argument;
    });
    world.beforeEvent(n, look, 100);
    world.advance(10);
    assert.is(ranBefore, n + 100);
    assert.is(ran, 6);
  }
});

test('several actions before events run in the order of those, equal ones as they came', () => {
  const world = new World();
  const seen: number[] = [];
  const event = world.register(() => seen.push(-1));
  const look = world.register((argument) => seen.push(argument));
  for (let i = 0; i < 4; i++) world.schedule(i, event, i);
  world.beforeEvent(3, look, 30);
  world.beforeEvent(1, look, 10);
  world.beforeEvent(3, look, 31);
  world.beforeEvent(0, look, 0);
  const hash = world.eventHash;
  world.advance(10);
  assert.equal(seen, [0, -1, 10, -1, -1, 30, 31, -1]);
  assert.is(world.eventCount, 4);
  assert.not.equal(world.eventHash, hash);
});

test('every task that sleeps wakes, also when another task ran the world', async () => {
  const world = new World();
  const loud = world.register(() => world.hostVisible());
  world.schedule(50, loud, 0);
  const first = world.clock.turn(1000);
  const second = world.clock.turn(2000);
  world.clock.idle(1000);
  assert.is(world.nowNs, 50);
  await Promise.all([first, second]);
  assert.is(world.nowNs, 50);
});

test('tasks that sleep run on to the earliest deadline among them', async () => {
  const world = new World();
  await Promise.all([world.clock.turn(300), world.clock.turn(200)]);
  assert.is(world.nowNs, 200);
});

test('a task that sleeps for ever in an empty world gets the error', async () => {
  const world = new World();
  let code = '';
  await world.clock.turn(Infinity).catch((error: unknown) => {
    code = error instanceof UltimaError ? error.code : '';
  });
  assert.is(code, 'WORLD_STALLED');
});

test.run();
