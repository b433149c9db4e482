import * as assert from 'uvu/assert';
import { EventQueue } from '../../sim/event-queue.js';
import { Prng } from '../../sim/prng.js';
import { suite } from '../support/suite.js';

const test = suite('event queue');

interface Entry {
  readonly timeNs: number;
  readonly order: number;
  readonly argument: number;
}

/** The naive model: a list, searched for the earliest time, then the earliest arrival. */
class NaiveQueue {
  private readonly entries: Entry[] = [];
  private order = 0;

  push(timeNs: number, argument: number): void {
    this.entries.push({ timeNs, order: this.order++, argument });
  }

  take(): Entry | undefined {
    this.entries.sort((a, b) => a.timeNs - b.timeNs || a.order - b.order);
    return this.entries.shift();
  }
}

test('events come out as from a list sorted by time and arrival, for 40 random histories', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed, 'history');
    const queue = new EventQueue();
    const naive = new NaiveQueue();
    let nowNs = 0;
    for (let step = 0; step < 600; step++) {
      if (prng.chance(0.55)) {
        const delayNs = prng.below(prng.chance(0.5) ? 3 : 1000);
        queue.push({ nowNs }, delayNs, step % 7, step);
        naive.push(nowNs + delayNs, step);
      } else {
        const expected = naive.take();
        assert.is(queue.take(), expected !== undefined, `seed ${seed}, step ${step}`);
        if (expected === undefined) continue;
        assert.is(queue.timeNs, expected.timeNs, `seed ${seed}, step ${step}`);
        assert.is(queue.argument, expected.argument, `seed ${seed}, step ${step}`);
        assert.is(queue.handler, expected.argument % 7, `seed ${seed}, step ${step}`);
        nowNs = expected.timeNs;
      }
    }
  }
});

test('5000 events of one nanosecond come out in the order in which they went in', () => {
  const queue = new EventQueue();
  for (let i = 0; i < 5000; i++) queue.push({ nowNs: 4 }, 5, 0, i);
  for (let i = 0; i < 5000; i++) {
    assert.ok(queue.take());
    assert.is(queue.argument, i);
  }
  assert.not.ok(queue.take());
});

test('the earliest time is Infinity when nothing is pending', () => {
  const queue = new EventQueue();
  assert.is(queue.earliestNs, Infinity);
  queue.push({ nowNs: 1 }, 3, 0, 0);
  assert.is(queue.earliestNs, 4);
  assert.is(queue.count, 1);
});

test.run();
