import * as assert from 'uvu/assert';
import { Timeline } from '../../../sdk/observe/timeline.js';
import { suite } from '../../support/suite.js';

const test = suite('timeline');

test('completions fall into the interval of their time', () => {
  const timeline = new Timeline(1000, 100);
  timeline.record(1000, 1);
  timeline.record(1099, 2);
  timeline.record(1100, 4);
  timeline.record(1399, 8);
  assert.equal(timeline.points(), [
    { startNs: 0, lengthNs: 100, count: 2, bytes: 3 },
    { startNs: 100, lengthNs: 100, count: 1, bytes: 4 },
    { startNs: 200, lengthNs: 100, count: 0, bytes: 0 },
    { startNs: 300, lengthNs: 100, count: 1, bytes: 8 },
  ]);
});

test('a longer run has longer intervals and loses nothing', () => {
  const timeline = new Timeline(0, 1);
  for (let i = 0; i < 5000; i++) timeline.record(i, 10);
  const points = timeline.points();
  assert.is(points.length, 313);
  assert.ok(points.slice(0, -1).every((point) => point.lengthNs === 16 && point.count === 16));
  assert.is(points.at(-1)!.count, 5000 - 312 * 16);
  assert.is(
    points.reduce((sum, point) => sum + point.bytes, 0),
    50_000,
  );
});

test('one far completion keeps the memory as it is', () => {
  const timeline = new Timeline(0, 1);
  timeline.record(3, 1);
  timeline.record(2 ** 45, 1);
  const points = timeline.points();
  assert.ok(points.length <= 512);
  assert.is(points[0]!.count, 1);
  assert.is(points.at(-1)!.count, 1);
});

test('nothing recorded gives no point, a completion before the start is refused', () => {
  assert.equal(new Timeline(5).points(), []);
  assert.throws(() => new Timeline(5).record(4, 1));
});

test.run();
