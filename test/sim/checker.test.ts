import * as assert from 'uvu/assert';
import { Checker } from '../../sim/checker.js';
import { World } from '../../sim/world.js';
import { suite } from '../support/suite.js';

const test = suite('protocol checker');

test('a report carries rule, text, place and virtual time', () => {
  const world = new World();
  const checker = new Checker(world);
  world.advance(1234);
  checker.report('doorbellValue', { controller: 1, queue: 2, cid: 3, value: 4 });
  assert.equal(checker.reports, [
    {
      rule: 'doorbellValue',
      text: 'a doorbell value beyond the queue',
      atNs: 1234,
      controller: 1,
      queue: 2,
      cid: 3,
      value: 4,
    },
  ]);
  assert.match(checker.describe(), /^1234 ns doorbellValue: controller 1 queue 2 cid 0x3/);
});

test('the last 256 reports are kept in order, the counts go on', () => {
  const checker = new Checker(new World());
  for (let value = 0; value < 600; value++) checker.report('dmaFreed', { value });
  assert.is(checker.countOf('dmaFreed'), 600);
  assert.is(checker.total, 600);
  assert.equal(
    checker.reports.map((report) => report.value),
    Array.from({ length: 256 }, (_, i) => 344 + i),
  );
});

test('demandNone throws with the reports, and only when there are some', () => {
  const checker = new Checker(new World());
  checker.demandNone();
  checker.report('phaseIgnored', { queue: 9 });
  assert.throws(() => checker.demandNone(), /1 protocol violations:\n.*phaseIgnored: queue 9/);
  checker.clear();
  checker.demandNone();
});

test('a rule that a rig breaks on purpose is counted but not reported', () => {
  const checker = new Checker(new World());
  checker.expect('doorbellQueue');
  checker.report('doorbellQueue');
  checker.demandNone();
  assert.is(checker.countOf('doorbellQueue'), 1);
});

test.run();
