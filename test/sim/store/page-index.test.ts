import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { absent, PageIndex } from '../../../sim/store/page-index.js';
import { suite } from '../../support/suite.js';

const test = suite('page index');

test('a page number near 2^31, 2^32, 2^40 or 2^53 is its own entry', () => {
  const index = new PageIndex(3);
  const numbers = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53 - 1];
  for (const [value, page] of numbers.entries()) index.set(page, value);
  for (const [value, page] of numbers.entries()) assert.is(index.get(page), value);
  assert.is(index.get(2 ** 33), absent);
  assert.is(index.count, numbers.length);
});

test('after any sequence of sets and deletes it equals a Map', () => {
  const prng = new Prng(7, 'page index');
  const index = new PageIndex(3);
  const model = new Map<number, number>();
  for (let step = 0; step < 60_000; step++) {
    // Neighbouring numbers and equal low words: the worst for probing.
    const page = prng.below(300) + 2 ** 32 * prng.below(4);
    if (prng.chance(0.5)) {
      index.set(page, step);
      model.set(page, step);
    } else {
      index.delete(page);
      model.delete(page);
    }
    const asked = prng.below(300) + 2 ** 32 * prng.below(4);
    assert.is(index.get(asked), model.get(asked) ?? absent);
  }
  assert.is(index.count, model.size);
  const pages = [...model.keys()].filter((p) => p >= 100 && p < 2 ** 32 + 50);
  assert.equal(
    index.pagesIn(100, 2 ** 32 + 50),
    pages.sort((a, b) => a - b),
  );
});

test.run();
