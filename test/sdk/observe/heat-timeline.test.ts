import * as assert from 'uvu/assert';
import { HeatTimeline } from '../../../sdk/observe/heat-timeline.js';
import { TestPrng } from '../../../sdk/testing/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('heat timeline');

test('what is counted is in the column of its time, however often columns were joined', () => {
  const startNs = 5000;
  const timeline = new HeatTimeline(startNs, 10);
  const prng = new TestPrng(20);
  const events = Array.from({ length: 2000 }, () => ({
    row: prng.below(4),
    atNs: startNs + prng.below(100_000),
  }));
  for (const { row, atNs } of events) timeline.count(row, atNs);
  // 160 columns: of 10, 20, 40 ... nanoseconds, until they reach beyond 100,000.
  assert.is(timeline.stepNs, 640);
  for (const row of [0, 1, 2, 3]) {
    const expected = new Array<number>(157).fill(0);
    for (const event of events) {
      if (event.row === row) expected[Math.floor((event.atNs - startNs) / 640)]! += 1;
    }
    assert.equal(timeline.row(row, startNs + 100_000), expected);
  }
});

test('every nanosecond of a stretch is in the column that it lies in', () => {
  const timeline = new HeatTimeline(0, 10);
  const prng = new TestPrng(21);
  const nanoseconds = new Array<number>(3200).fill(0);
  for (let i = 0; i < 200; i++) {
    const from = prng.below(3000);
    const to = from + prng.below(200);
    timeline.spread(0, from, to);
    for (let ns = from; ns < to; ns++) nanoseconds[ns]! += 1;
  }
  assert.is(timeline.stepNs, 20);
  const expected: number[] = [];
  for (let at = 0; at < 3200; at += 20) {
    expected.push(nanoseconds.slice(at, at + 20).reduce((sum, n) => sum + n, 0));
  }
  assert.equal(timeline.row(0, 3200), expected);
});

test('a stretch that began before the run counts from its start', () => {
  const timeline = new HeatTimeline(1000, 10);
  timeline.spread(2, 900, 1015);
  timeline.spread(2, 100, 1000);
  assert.equal(timeline.row(2, 1030), [10, 5, 0]);
  assert.is(timeline.rowCount, 3);
  assert.equal(timeline.row(0, 1030), [0, 0, 0]);
});

test.run();
