import * as assert from 'uvu/assert';
import { DriveArray } from '../../../sim/inside/drive-array.js';
import { Placement } from '../../../sim/inside/placement.js';
import { ReadCache } from '../../../sim/inside/read-cache.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { PlainDrive } from './plain-drive.js';

const test = suite('where units lie');

function arrayOf(count: number, stripeUnits: number, driveUnits: number) {
  const world = new World();
  const drives: PlainDrive[] = [];
  const array = new DriveArray({
    count,
    stripeUnits,
    driveUnits,
    make: (index, listener) => {
      drives[index] = new PlainDrive(world, listener, { units: driveUnits, row: 1 });
      return drives[index]!;
    },
    listener: { requestDone: () => {}, drivesChanged: () => {}, mapRead: () => {} },
  });
  return { array, drives };
}

test('every unit of an array is one unit of one drive, and each of theirs is one of its', () => {
  for (const count of [1, 2, 3, 8]) {
    const { array } = arrayOf(count, 4, 40);
    const seen = new Set<string>();
    for (let unit = 0; unit < array.unitCount; unit++) {
      const index = array.indexOf(unit);
      const local = array.localOf(unit);
      assert.ok(index >= 0 && index < count && local >= 0 && local < 40);
      seen.add(`${index} ${local}`);
    }
    assert.is(seen.size, count * 40);
  }
});

test('a trim of a range reaches of each drive what single units would reach', () => {
  for (const [from, length] of [
    [0, 96],
    [3, 50],
    [13, 1],
    [30, 2],
  ] as const) {
    const { array, drives } = arrayOf(3, 4, 40);
    array.trim(from, length);
    const trimmed = new Set<string>();
    for (const [index, drive] of drives.entries()) {
      for (const line of drive.log) {
        const [first = 0, count = 0] = line.replace('trim ', '').split('+').map(Number);
        for (let i = 0; i < count; i++) trimmed.add(`${index} ${first + i}`);
      }
    }
    const wanted = new Set<string>();
    for (let unit = from; unit < from + length; unit++) {
      wanted.add(`${array.indexOf(unit)} ${array.localOf(unit)}`);
    }
    assert.equal([...trimmed].sort(), [...wanted].sort());
  }
});

test('namespaces never share a unit, and what one gives back another gets', () => {
  const placement = new Placement(1000, 10);
  placement.place(1, 95);
  placement.place(2, 200);
  const unitsOf = (nsid: number, count: number): Set<number> =>
    new Set(Array.from({ length: count }, (_, unit) => placement.find(nsid, unit)));
  const one = unitsOf(1, 95);
  const two = unitsOf(2, 200);
  assert.is(one.size, 95);
  assert.is(new Set([...one, ...two]).size, 295);
  placement.remove(1);
  placement.place(3, 800);
  assert.is(new Set([...unitsOf(3, 800), ...two]).size, 1000);
});

test('runs of a range are what single units say, joined where they are neighbours', () => {
  const placement = new Placement(1000, 10);
  for (const nsid of [1, 2, 3, 4]) placement.place(nsid, 40);
  placement.remove(2);
  placement.remove(4);
  placement.place(5, 100);
  for (const [from, count] of [
    [0, 100],
    [5, 90],
    [33, 4],
    [99, 1],
  ] as const) {
    const units: number[] = [];
    placement.runs(5, from, count, (at, run) => {
      for (let i = 0; i < run; i++) units.push(at + i);
    });
    const wanted = Array.from({ length: count }, (_, i) => placement.find(5, from + i));
    assert.equal(units, wanted);
  }
  let visits = 0;
  placement.runs(1, 0, 40, () => visits++);
  assert.is(visits, 1);
});

test('a read cache keeps what is used again and again while others pass by', () => {
  const cache = new ReadCache(64);
  for (let unit = 0; unit < 5000; unit++) {
    // Every unit of the hot ones is used between any two that are read once.
    for (let hot = 0; hot < 4; hot++) if (!cache.look(hot)) cache.add(hot);
    cache.add(100 + unit);
  }
  for (let hot = 0; hot < 4; hot++) assert.ok(cache.has(hot));
  assert.ok(cache.misses < 50, `${cache.misses} misses`);
  cache.drop(0);
  assert.not(cache.has(0));
});

test.run();
