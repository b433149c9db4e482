import * as assert from 'uvu/assert';
import { Prng } from '../../sim/prng.js';
import { suite } from '../support/suite.js';

const test = suite('prng');

const draw = (seed: number, name: string): number[] => {
  const prng = new Prng(seed, name);
  return Array.from({ length: 16 }, () => prng.word());
};

test('equal seeds and names give equal streams', () => {
  assert.equal(draw(7, 'media'), draw(7, 'media'));
});

test('another name or another seed gives another stream', () => {
  assert.not.equal(draw(7, 'media'), draw(7, 'faults'));
  assert.not.equal(draw(7, 'media'), draw(8, 'media'));
  assert.not.equal(draw(1, 'media'), draw(1 + 2 ** 32, 'media'));
});

test('below(10) hits each of the ten values between 8 and 12 percent of the time', () => {
  const prng = new Prng(1, 'uniform');
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 20_000; i++) counts[prng.below(10)]!++;
  for (const count of counts) assert.ok(count > 1600 && count < 2400, `${count} of 20000`);
});

test('a fraction lies in [0, 1) and its mean is a half within one percent', () => {
  const prng = new Prng(3, 'unit');
  let sum = 0;
  for (let i = 0; i < 20_000; i++) {
    const value = prng.unit();
    assert.ok(value >= 0 && value < 1);
    sum += value;
  }
  assert.ok(Math.abs(sum / 20_000 - 0.5) < 0.01);
});

test.run();
