import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { Histogram } from '../../../sdk/observe/histogram.js';
import { type Report, renderReport, writeReport } from '../../../sdk/observe/report.js';
import {
  countText,
  durationText,
  linearScale,
  logScale,
  ninesScale,
} from '../../../sdk/observe/scale.js';
import { Timeline } from '../../../sdk/observe/timeline.js';
import { suite } from '../../support/suite.js';

const test = suite('report');

function sample(title = 'replay of a database'): Report {
  const histogram = new Histogram();
  const timeline = new Timeline(0);
  for (let i = 0; i < 1000; i++) {
    histogram.record(80_000 + 37 * i);
    timeline.record(i * 100_000, 4096);
  }
  return {
    title,
    summary: 'every block was verified',
    headlines: [{ label: 'mean IOPS', value: '10,000' }],
    conditions: [{ label: 'card', value: 'sim:<simple>' }],
    throughput: [{ name: 'read', points: timeline.points() }],
    latency: [{ name: 'read', histogram }],
    split: [{ name: 'read', stages: [{ name: 'media', meanNs: 70_000 }] }],
    heat: [
      {
        title: 'How busy <it> was',
        stepNs: 1000,
        durationNs: 3000,
        rows: [{ name: 'die 0', values: [0, 0.5, 1] }],
        text: (value) => `${value} & more`,
      },
    ],
    courses: [
      {
        title: 'Write amplification over time',
        unit: 'WAF',
        points: [
          { x: 0, y: 1 },
          { x: 1, y: 2.5 },
        ],
      },
      {
        title: 'Served <and> promised',
        unit: 'units/s',
        points: [
          { x: 0, y: 1 },
          { x: 1, y: 2 },
        ],
        beside: {
          names: ['served', 'promised & due'],
          points: [
            { x: 0, y: 4 },
            { x: 1, y: 4 },
          ],
        },
      },
    ],
  };
}

test('the file needs nothing from outside and ends whole', () => {
  const html = renderReport(sample());
  assert.not.match(html, /https?:|<script|<link|@import|url\(/);
  assert.ok(html.startsWith('<!doctype html>'));
  assert.ok(html.endsWith('</html>\n'));
});

test('every opened element is closed', () => {
  const html = renderReport(sample());
  for (const tag of ['section', 'svg', 'table', 'div', 'ul', 'main', 'text', 'title', 'rect']) {
    const opened = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0;
    assert.is(html.match(new RegExp(`</${tag}>`, 'g'))?.length ?? 0, opened, tag);
  }
});

test('what takes no time is drawn inside of the picture', () => {
  const histogram = new Histogram();
  for (const ns of [0, 0, 50_000, 60_000]) histogram.record(ns);
  const html = renderReport({ ...sample(), latency: [{ name: 'flush', histogram }] });
  const curve = html.slice(html.indexOf('Latency percentiles'));
  const points = /points="([^"]+)"/.exec(curve)![1]!.split(' ');
  const heights = points.map((point) => Number(point.split(',')[1]));
  assert.ok(
    heights.every((y) => y >= 12 && y <= 220),
    heights.join(' '),
  );
});

test('two lines of one plot share its scale, and their names are told', () => {
  const html = renderReport(sample());
  const plot = html.slice(html.indexOf('Served &lt;and&gt; promised'));
  assert.match(plot, /promised &amp; due/);
  const [served, promised] = [...plot.matchAll(/polyline[^>]*points="([^"]+)"/g)].map((found) =>
    found[1]!.split(' ').map((point) => Number(point.split(',')[1])),
  );
  // 1 and 2 in one line, 4 in the other: three times as far from 1 as 2 is.
  const [one, two] = served!;
  const [four] = promised!;
  assert.ok(four! >= 12, 'the higher line is inside of the picture, too');
  assert.ok(Math.abs((one! - four!) / (one! - two!) - 3) < 0.05, `${served} and ${promised}`);
});

test('names that hold markup are text', () => {
  const html = renderReport(sample('<b>"A" & B</b>'));
  assert.match(html, /<h1>&lt;b&gt;&quot;A&quot; &amp; B&lt;\/b&gt;<\/h1>/);
  assert.match(html, /<td>sim:&lt;simple&gt;<\/td>/);
});

test('no coordinate is missing, whatever the run gave', () => {
  const empty: Report = {
    ...sample(),
    throughput: [{ name: 'read', points: [] }],
    latency: [{ name: 'read', histogram: new Histogram() }],
    split: [],
  };
  const once = new Histogram();
  once.record(0);
  const zero: Report = {
    ...sample(),
    throughput: [{ name: 'x', points: [{ startNs: 0, lengthNs: 1, count: 0, bytes: 0 }] }],
    latency: [{ name: 'x', histogram: once }],
    split: [{ name: 'x', stages: [{ name: 'y', meanNs: 0 }] }],
  };
  for (const report of [sample(), empty, zero]) {
    assert.not.match(renderReport(report), /NaN|Infinity|undefined/);
  }
});

test('a report is written whole beside nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-report-'));
  writeReport(join(folder, 'out/report.html'), sample());
  assert.is(readFileSync(join(folder, 'out/report.html'), 'utf8'), renderReport(sample()));
  assert.equal(readdirSync(join(folder, 'out')), ['report.html']);
  rmSync(folder, { recursive: true });
});

test('a linear scale steps by 1, 2 or 5 and ends inside its range', () => {
  const scale = linearScale({ low: 0, high: 930, from: 100, to: 200 });
  assert.equal(scale.ticks, [0, 200, 400, 600, 800]);
  assert.is(scale.at(0), 100);
  assert.is(scale.at(930), 200);
});

test('a logarithmic scale puts every power of ten equally far apart', () => {
  const scale = logScale({ low: 1000, high: 1e7, from: 0, to: 400 });
  assert.equal(scale.ticks, [1e3, 1e4, 1e5, 1e6, 1e7]);
  for (const [i, tick] of scale.ticks.entries()) {
    assert.ok(Math.abs(scale.at(tick) - 100 * i) < 1e-6);
  }
});

test('each nine of a percentile is as wide as the one before', () => {
  const scale = ninesScale({ high: 99.99, from: 0, to: 400 });
  assert.equal(scale.ticks, [0, 90, 99, 99.9, 99.99]);
  for (const [i, tick] of scale.ticks.entries()) {
    assert.ok(Math.abs(scale.at(tick) - 100 * i) < 1e-6);
  }
});

test('durations and counts are written with three figures', () => {
  assert.is(durationText(999), '999 ns');
  assert.is(durationText(12_345), '12.3 µs');
  assert.is(durationText(1_000_000), '1 ms');
  assert.is(durationText(2.5e9), '2.5 s');
  assert.is(countText(9999), '9999');
  assert.is(countText(123_456), '123 k');
  assert.is(countText(1_500_000), '1.5 M');
});

test.run();
