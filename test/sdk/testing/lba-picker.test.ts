import * as assert from 'uvu/assert';
import { type LbaDistribution, LbaPicker } from '../../../sdk/testing/lba-picker.js';
import { TestPrng } from '../../../sdk/testing/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('where a worker reads and writes');

const region = { lba: 1000, count: 700 };

function draw(distribution: LbaDistribution, blocks: number, times = 5000): number[] {
  const picker = new LbaPicker(region, distribution, new TestPrng(3));
  return Array.from({ length: times }, () => picker.next(blocks));
}

test('every command lies inside the region, whatever the distribution', () => {
  const buckets = Array.from({ length: 100 }, (_, i) => i % 3);
  for (const distribution of ['uniform', 'sequential', buckets] as const) {
    for (const blocks of [1, 8, 699, 700]) {
      for (const lba of draw(distribution, blocks)) {
        assert.ok(lba >= 1000 && lba + blocks <= 1700);
        assert.ok(Number.isInteger(lba));
      }
    }
  }
});

test('sequential goes on where the last command ended, and starts again at the end', () => {
  assert.equal(draw('sequential', 300, 5), [1000, 1300, 1000, 1300, 1000]);
});

test('uniform reaches the first and the last place', () => {
  const found = new Set(draw('uniform', 690, 2000));
  assert.equal(
    [...found].sort(),
    Array.from({ length: 11 }, (_, i) => 1000 + i),
  );
});

test('buckets are hit as often as they weigh', () => {
  const weights = Array.from({ length: 100 }, (_, i) => (i === 10 ? 99 : i === 50 ? 1 : 0));
  const found = draw(weights, 1, 20_000);
  assert.ok(found.every((lba) => (lba >= 1070 && lba < 1077) || (lba >= 1350 && lba < 1357)));
  const share = found.filter((lba) => lba < 1077).length / found.length;
  assert.ok(Math.abs(share - 0.99) < 0.005);
});

test('a distribution without weight is refused', () => {
  assert.throws(() => new LbaPicker(region, [0, 0], new TestPrng(1)), /positive weight/);
});

test('the same seed draws the same places', () => {
  assert.equal(draw('uniform', 4), draw('uniform', 4));
});

test.run();
