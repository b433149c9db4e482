import * as assert from 'uvu/assert';
import { WriteBuffer } from '../../../sim/inside/write-buffer.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('write buffer');

test('the oldest unit of a list leaves first, and only that list', () => {
  const buffer = new WriteBuffer(8, 2);
  for (const [unit, list] of [
    [10, 0],
    [20, 1],
    [11, 0],
  ] as const) {
    assert.ok(buffer.put(unit, list));
  }
  assert.is(buffer.unitOf(buffer.stage(0)), 10);
  assert.is(buffer.unitOf(buffer.stage(1)), 20);
  assert.is(buffer.countOf(0), 1);
  assert.is(buffer.oldest(1), Infinity);
});

test('a full buffer takes rewrites of what is dirty, and nothing else', () => {
  const buffer = new WriteBuffer(2, 1);
  assert.ok(buffer.put(1, 0));
  assert.ok(buffer.put(2, 0));
  assert.not(buffer.put(3, 0));
  assert.ok(buffer.put(1, 0));
  assert.is(buffer.coalesced, 1);
  buffer.leave(buffer.stage(0));
  assert.not(buffer.put(1, 0), 'what is under way to the medium is not rewritten');
});

test('after a power cut a protected buffer has what no drive had, another one has nothing', () => {
  for (const isProtected of [true, false]) {
    const buffer = new WriteBuffer(8, 1);
    for (let unit = 0; unit < 4; unit++) buffer.put(unit, 0);
    buffer.leave(buffer.stage(0));
    buffer.stage(0);
    buffer.powerLost(isProtected);
    assert.equal(
      [0, 1, 2, 3].map((unit) => buffer.has(unit)),
      [false, isProtected, isProtected, isProtected],
    );
    assert.is(buffer.used, isProtected ? 3 : 0);
    assert.is(buffer.dirty, buffer.used);
  }
});

/** The same thing, written down without any care for speed. */
class NaiveBuffer {
  readonly entries: { unit: number; list: number; state: 'dirty' | 'leaving' }[] = [];
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  put(unit: number, list: number): boolean {
    const old = this.entries.find((entry) => entry.unit === unit && entry.state === 'dirty');
    if (old !== undefined && old.list === list) return true;
    if (this.entries.length === this.capacity) return false;
    if (old !== undefined) this.remove(old);
    this.entries.push({ unit, list, state: 'dirty' });
    return true;
  }

  first(list: number): number | undefined {
    return this.entries.find((entry) => entry.list === list && entry.state === 'dirty')?.unit;
  }

  stage(list: number): void {
    const entry = this.entries.find((each) => each.list === list && each.state === 'dirty');
    if (entry !== undefined) entry.state = 'leaving';
  }

  release(unit: number): void {
    const entry = this.entries.find((each) => each.unit === unit && each.state === 'leaving');
    if (entry !== undefined) this.remove(entry);
  }

  drop(unit: number): void {
    const entry = this.entries.find((each) => each.unit === unit && each.state === 'dirty');
    if (entry !== undefined) this.remove(entry);
  }

  private remove(entry: (typeof this.entries)[number]): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
  }
}

test('ten thousand steps agree with a list that is searched', () => {
  const seed = 20_261;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'write buffer');
  const capacity = 24;
  const units = 60;
  const buffer = new WriteBuffer(capacity, 3);
  const naive = new NaiveBuffer(capacity);
  const leaving: number[] = [];
  for (let step = 0; step < 10_000; step++) {
    const unit = prng.below(units);
    const list = prng.below(3);
    const kind = prng.below(8);
    if (kind < 4) assert.is(buffer.put(unit, list), naive.put(unit, list), `put at ${step}`);
    else if (kind === 4 && buffer.countOf(list) > 0) {
      const slot = buffer.stage(list);
      assert.is(buffer.unitOf(slot), naive.first(list), `stage at ${step}`);
      naive.stage(list);
      buffer.leave(slot);
      leaving.push(slot);
    } else if (kind === 5 && leaving.length > 0) {
      const slot = leaving.shift()!;
      naive.release(buffer.unitOf(slot));
      buffer.release(slot);
    } else if (kind === 6) {
      buffer.drop(unit);
      naive.drop(unit);
    }
    assert.is(buffer.used, naive.entries.length, `used at ${step}`);
    const probe = prng.below(units);
    const isThere = naive.entries.some((entry) => entry.unit === probe);
    // The index names the newest slot: an older one on its way may hide behind a dropped newer one.
    if (buffer.has(probe)) assert.ok(isThere, `has ${probe} at ${step}`);
    else assert.not(naive.entries.some((e) => e.unit === probe && e.state === 'dirty'));
  }
});

test.run();
