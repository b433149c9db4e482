import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('map cache');

/** 131,072 physical units: about a hundred pages of map, eight of them in RAM. */
const flash = { blocksPerPlane: 128, pagesPerBlock: 64, pageBytes: 16_384 };
const eightPages = { mapCacheBytes: 8 * 4096 };

function filled(ftl: object): DriveRig {
  const rig = new DriveRig(flash, ftl);
  rig.notes = false;
  const { drive } = rig;
  const units = 64;
  const requests = Math.floor(drive.unitCount / units);
  rig.loop(requests, 8, (token) => drive.write(token * units, units, 0, token));
  rig.notes = true;
  return rig;
}

function readNs(rig: DriveRig, unit: number): number {
  const start = rig.world.nowNs;
  rig.drive.read(unit, 1, 1);
  rig.settle();
  return rig.ended.at(-1)!.atNs - start;
}

test('a read whose map page is not in RAM reads it first; its neighbour does not', () => {
  const rig = filled(eightPages);
  const { drive } = rig;
  // Changed pages leave first, so that no program is in the way.
  for (let page = 20; page < 40; page++) readNs(rig, 1024 * page);
  drive.flush(2);
  rig.settle();
  const readings = drive.statistics.mapReads;
  const plain = 75_000 + 290 + 30 + 12_301;
  const missed = readNs(rig, 1024 * 3 + 5);
  assert.is(drive.statistics.mapReads, readings + 1);
  assert.ok(Math.abs(missed - 2 * plain) <= 2, `${missed} ns, twice ${plain}`);
  const hit = readNs(rig, 1024 * 3 + 6);
  assert.ok(Math.abs(hit - plain) <= 1, `${hit} ns`);
  assert.is(drive.statistics.mapReads, readings + 1);
  // Eight other pages push the page out.
  for (let page = 10; page < 18; page++) readNs(rig, 1024 * page);
  assert.ok(readNs(rig, 1024 * 3 + 7) > 1.5 * plain);
  rig.demandSound();
});

test('a sequential fill writes each page of the map about once, and reads none back', () => {
  const rig = filled(eightPages);
  const { statistics, layout } = rig.drive;
  assert.ok(statistics.mapWriteUnits >= layout.mapUnits - 8);
  assert.ok(statistics.mapWriteUnits <= 1.2 * layout.mapUnits, `${statistics.mapWriteUnits}`);
});

test('random writes over a small cache write the map nearly as often as the data', () => {
  const small = filled(eightPages);
  const large = filled({ mapCacheBytes: 128 * 4096 });
  const rates = [small, large].map((rig) => {
    const { drive } = rig;
    const prng = new Prng(8, 'random');
    const before = drive.statistics.mapWriteUnits;
    rig.loop(3000, 16, (token) => drive.write(prng.below(drive.unitCount), 1, 0, token));
    rig.demandSound();
    return (drive.statistics.mapWriteUnits - before) / 3000;
  });
  // A write hits one of 8 cached of about 102 pages; nearly every page that leaves is changed.
  const expected = 1 - 8 / large.drive.layout.mapUnits;
  assert.ok(Math.abs(rates[0]! - expected) < 0.1, `${rates[0]}, ${expected} expected`);
  assert.ok(rates[1]! < 0.05, `${rates[1]} with room for all`);
});

test.run();
