import * as assert from 'uvu/assert';
import { heatPlot, latencyHeat, latencyRow, utilisationHeat } from '../../../sdk/observe/heat.js';
import { HeatTimeline } from '../../../sdk/observe/heat-timeline.js';
import { suite } from '../../support/suite.js';

const test = suite('heat map');

test('every request is in one cell of latency: its row is its power of the root of two', () => {
  const counts = new HeatTimeline(0, 1000);
  // Half of them take 2^10 ns, half 2^14: seven rows of half a power lie between.
  for (let i = 0; i < 80; i++) counts.count(latencyRow(i % 2 === 0 ? 1024 : 16_384), 1000 * i);
  const map = latencyHeat(counts, { startNs: 0, durationNs: 80_000 })!;
  assert.is(map.rows.length, 9);
  const sums = map.rows.map(({ values }) => values.reduce((sum, value) => sum + value, 0));
  assert.equal(sums, [40, 0, 0, 0, 0, 0, 0, 0, 40]);
  assert.is(map.rows[0]!.name, 'from 16.4 µs');
  assert.is(map.rows[8]!.name, 'from 1.02 µs');
  // The slow ones are the odd ones.
  assert.equal(map.rows[0]!.values.slice(0, 4), [0, 1, 0, 1]);
  assert.is(latencyHeat(new HeatTimeline(0), { startNs: 0, durationNs: 1 }), null);
});

test('all that took less than a device can is in one row, however little it was', () => {
  const counts = new HeatTimeline(0, 1000);
  for (const ns of [0, 1, 20, 127, 128]) counts.count(latencyRow(ns), 0);
  const map = latencyHeat(counts, { startNs: 0, durationNs: 1000 })!;
  assert.equal(
    map.rows.map(({ name, values }) => [name, values[0]]),
    [
      ['from 128 ns', 1],
      ['below 128 ns', 4],
    ],
  );
});

test('a request ends in the column of its time since the start, not since the first request', () => {
  const counts = new HeatTimeline(500_000, 1000);
  counts.count(latencyRow(1000), 530_500);
  const map = latencyHeat(counts, { startNs: 500_000, durationNs: 40_000 })!;
  assert.is(map.rows[0]!.values.indexOf(1), 30);
  assert.is(map.rows[0]!.values.length, 40);
});

test('a part that is busy half of each column is half hot, whatever way it is cut', () => {
  const busy = new HeatTimeline(0, 100);
  for (let i = 0; i < 80; i++) busy.spread(1, i * 100 + 75, i * 100 + 125);
  busy.spread(0, 0, 4000);
  const range = { startNs: 0, durationNs: 8000 };
  const map = utilisationHeat(busy, ['link', 'core', 'idle'], range)!;
  assert.equal(
    map.rows.map(({ name }) => name),
    ['link', 'core', 'idle'],
  );
  const [link, core, idle] = map.rows.map(({ values }) => values);
  for (let i = 0; i < 80; i++) {
    assert.is(link![i], i < 40 ? 1 : 0);
    assert.is(core![i], i === 0 ? 0.25 : 0.5);
    assert.is(idle![i], 0);
  }
});

test('parts beyond forty-eight are shown by kind, as the mean of the kind', () => {
  const busy = new HeatTimeline(0, 1);
  const names = Array.from({ length: 60 }, (_, i) => `die ${i}`);
  for (let die = 0; die < 15; die++) busy.spread(die, 0, 80);
  const map = utilisationHeat(busy, names, { startNs: 0, durationNs: 80 })!;
  assert.is(map.rows.length, 1);
  assert.is(map.rows[0]!.name, 'dies');
  assert.ok(map.rows[0]!.values.every((value) => value === 0.25));
});

test('a map is drawn as one closed picture with a cell for each value above zero', () => {
  const values = [0, 1, 0, 4];
  const rows = [{ name: 'a<b', values }];
  const svg = heatPlot({ title: 't', stepNs: 1000, durationNs: 3500, rows, text: (v) => `${v} x` });
  assert.is(svg.match(/<rect /g)?.length, 2);
  assert.is(svg.match(/<\/rect>/g)?.length, 2);
  assert.match(svg, /a&lt;b/);
  // The square root of a quarter.
  assert.match(svg, /fill-opacity="0\.500"/);
  assert.match(svg, /^<svg .*<\/svg>$/);
  // The last column is only half in the run, and half as wide.
  const [half, whole] = [...svg.matchAll(/<rect [^>]* width="([\d.]+)"/g)].map(([, w]) =>
    Number(w),
  );
  assert.ok(Math.abs(whole! - half! * 0.5) < 0.2, `${half} and ${whole}`);
  const empty = { title: 't', stepNs: 1, durationNs: 1, rows: [], text: String };
  assert.is(heatPlot(empty), '');
});

test.run();
