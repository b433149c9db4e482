import * as assert from 'uvu/assert';
import { HeldRange, RangeLocks } from '../../../sdk/mirror/range-locks.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('range locks');

interface Asked {
  readonly range: HeldRange;
  readonly lba: number;
  readonly end: number;
  readonly isExclusive: boolean;
}

/** The rule in words, over all that came before. */
function mayGo(asked: Asked, before: readonly Asked[]): boolean {
  return before.every(
    (other) =>
      other.end <= asked.lba ||
      asked.end <= other.lba ||
      (!other.isExclusive && !asked.isExclusive),
  );
}

for (const blockBytes of [512, 4096]) {
  test(`ranges that overlap take turns as they came, blocks of ${blockBytes} bytes`, () => {
    const prng = new Prng(blockBytes, 'ranges');
    const ranges = Array.from({ length: 24 }, () => new HeldRange());
    const locks = new RangeLocks(ranges.length, blockBytes);
    const free = [...ranges];
    const asked: Asked[] = [];
    for (let step = 0; step < 20_000; step++) {
      if (free.length > 0 && prng.chance(0.5)) {
        const range = free.splice(prng.below(free.length), 1)[0]!;
        // Near each other, far away where the filter wraps, and longer than it takes.
        const base = prng.chance(0.3) ? prng.below(3) * 4096 * 8 : 0;
        const lba = base + prng.below(60);
        const end = lba + 1 + prng.below(prng.chance(0.1) ? 2000 : 12);
        const next = { range, lba, end, isExclusive: prng.chance(0.6) };
        const isAtTurn = locks.enter(range, lba, end - lba, next.isExclusive);
        assert.is(isAtTurn, mayGo(next, asked), `step ${step}`);
        asked.push(next);
      } else if (asked.length > 0) {
        const [left] = asked.splice(prng.below(asked.length), 1);
        locks.leave(left!.range);
        free.push(left!.range);
      }
      for (const [i, each] of asked.entries()) {
        assert.is(locks.has(each.range), mayGo(each, asked.slice(0, i)), `step ${step}`);
      }
    }
  });
}

test.run();
