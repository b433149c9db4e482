import { PerformanceObserver } from 'node:perf_hooks';
import * as assert from 'uvu/assert';
import { formatHgrm } from '../../../sdk/observe/hgrm.js';
import { Histogram } from '../../../sdk/observe/histogram.js';
import { suite } from '../../support/suite.js';

const test = suite('histogram');
const percents = [0, 1, 10, 50, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100];

/** Park-Miller: small, seeded, and not the generator of the code under test. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

function record(samples: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const sample of samples) histogram.record(sample);
  return histogram;
}

/** Nearest rank over the sorted samples. */
function exact(sorted: readonly number[], percent: number): number {
  const rank = Math.ceil((percent * 1000 * sorted.length) / 100_000);
  return sorted[Math.max(1, rank) - 1]!;
}

const distributions: Readonly<Record<string, (next: () => number) => number>> = {
  'uniform 0..10^6': (next) => Math.floor(next() * 1e6),
  'exponential around 80 us': (next) => Math.floor(-80_000 * Math.log(1 - next())),
  'log-uniform over 1..2^52': (next) => Math.floor(2 ** (next() * 52)),
  'two humps far apart': (next) => Math.floor(next() < 0.99 ? 8000 + 50 * next() : 3e9 * next()),
  'below 256': (next) => Math.floor(next() * 256),
};

for (const [name, draw] of Object.entries(distributions)) {
  test(`every percentile of ${name} is within 1 % of the exact sample`, () => {
    const next = generator(20_001);
    const samples = Array.from({ length: 200_000 }, () => draw(next));
    const histogram = record(samples);
    const sorted = samples.toSorted((a, b) => a - b);
    const values = histogram.percentiles(percents);
    for (const [i, percent] of percents.entries()) {
      const want = exact(sorted, percent);
      const error = Math.abs(values[i]! - want);
      assert.ok(error <= 0.01 * want, `p${percent}: ${values[i]} for ${want}`);
    }
    const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
    assert.ok(Math.abs(histogram.mean - mean) <= 1e-9 * mean);
    assert.is(histogram.min, sorted[0]);
    assert.is(histogram.max, sorted.at(-1));
    assert.is(histogram.count, samples.length);
  });
}

test('values below 256 are exact at every percentile', () => {
  const histogram = record(Array.from({ length: 256 }, (_, i) => i));
  for (let i = 0; i < 256; i++) assert.is(histogram.percentile(((i + 1) * 100) / 256), i);
});

test('each power of two and its neighbours fall into a bucket that holds them', () => {
  for (let bits = 0; bits < 53; bits++) {
    for (const value of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]) {
      const [bin] = record([value]).bins();
      assert.ok(bin!.low <= value && value <= bin!.high, `${value} in ${bin!.low}..${bin!.high}`);
      assert.ok(bin!.high - bin!.low <= bin!.low / 128, `width at ${value}`);
    }
  }
  assert.is(record([Number.MAX_SAFE_INTEGER]).percentile(50), Number.MAX_SAFE_INTEGER);
});

test('the 999th of 1000 samples is p99.9 and the 1000th is not', () => {
  const histogram = record([...Array.from({ length: 999 }, () => 10), 100]);
  assert.is(histogram.percentile(99.9), 10);
  assert.is(histogram.percentile(99.91), 100);
});

test('no sample gives zeros', () => {
  const histogram = new Histogram();
  assert.is(histogram.min, 0);
  assert.is(histogram.max, 0);
  assert.is(histogram.mean, 0);
  assert.is(histogram.standardDeviation, 0);
  assert.equal(histogram.percentiles([50, 100]), [0, 0]);
  assert.equal(histogram.bins(), []);
});

test('merged histograms answer as one histogram of all samples', () => {
  const next = generator(7);
  const samples = Array.from({ length: 5000 }, () => Math.floor(2 ** (next() * 40)));
  const merged = record(samples.slice(0, 2000));
  merged.merge(record(samples.slice(2000)));
  const whole = record(samples);
  assert.equal(merged.bins(), whole.bins());
  assert.equal(merged.percentiles(percents), whole.percentiles(percents));
  assert.is(merged.min, whole.min);
  assert.is(merged.max, whole.max);
});

test('reset forgets everything', () => {
  const histogram = record([5, 500_000]);
  histogram.reset();
  histogram.record(9);
  assert.equal(histogram.bins(), [{ low: 9, high: 9, count: 1 }]);
  assert.is(histogram.min, 9);
  assert.is(histogram.max, 9);
});

test('a negative value, a value that is no number and a percentile over 100 are refused', () => {
  assert.throws(() => record([-1]));
  assert.throws(() => record([Number.NaN]));
  assert.throws(() => record([2 ** 53]));
  assert.throws(() => record([1]).percentile(100.1), /percentile 100.1: 0..100/);
});

test('the standard deviation of 2, 4, 4, 4, 5, 5, 7, 9 is 2', () => {
  assert.is(record([2, 4, 4, 4, 5, 5, 7, 9]).standardDeviation, 2);
});

test('recording a million values causes no garbage collection', async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  const histogram = new Histogram();
  const run = (): void => {
    for (let i = 0; i < 1_000_000; i++) histogram.record(i * 3001);
  };
  run();
  observer.observe({ entryTypes: ['gc'] });
  run();
  await new Promise((resolve) => setImmediate(resolve));
  observer.disconnect();
  assert.is(collections, 0);
});

test('the .hgrm text ends at 100 % and its rows rise', () => {
  const text = formatHgrm(record(Array.from({ length: 1000 }, (_, i) => i * 1000)), {
    divisor: 1000,
  });
  const lines = text.split('\n');
  assert.is(lines[0], '       Value     Percentile TotalCount 1/(1-Percentile)');
  const rows = lines.filter((line) => /^ +\d/.test(line)).map((line) => line.trim().split(/ +/));
  assert.equal(rows[0], ['0.000', '0.000000000000', '1', '1.00']);
  assert.equal(rows.at(-1), ['999.000', '1.000000000000', '1000']);
  for (let i = 1; i < rows.length; i++) {
    assert.ok(Number(rows[i]![0]) >= Number(rows[i - 1]![0]));
    assert.ok(Number(rows[i]![1]) > Number(rows[i - 1]![1]));
    assert.ok(Number(rows[i]![2]) >= Number(rows[i - 1]![2]));
  }
  const [, mean, deviation] = /^#\[Mean +=(.+), StdDeviation +=(.+)\]$/m.exec(text)!;
  assert.is(mean, '      499.500');
  // A uniform 0..999 deviates by the root of (1000² - 1) / 12.
  assert.ok(Math.abs(Number(deviation) - 288.675) < 0.3);
});

test.run();
