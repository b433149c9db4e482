import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { latencyParts } from '../../../sim/nvme/latency-breakdown.js';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('time inside of a card');
const card = 'sim:znand?seed=3';
const folder = mkdtempSync(join(tmpdir(), 'inside-time-'));
const trace = join(folder, 'small.trace');
const requests = 60;
writeFileSync(
  trace,
  Array.from(
    { length: requests },
    (_, i) => `${i * 20_000} 0 ${(i % 30) * 16} 16 ${i < 30 ? 0 : 1}\n`,
  ).join(''),
);
test.after(() => rmSync(folder, { recursive: true }));

/** @returns commands that the document splits, each part of which adds up to its total */
function countExact(document: unknown): number {
  const splits = at(document, 'inside');
  if (!Array.isArray(splits)) throw new Error('no list of splits');
  let commands = 0;
  for (const i of splits.keys()) {
    const number = (...path: (string | number)[]): number => Number(at(splits, i, ...path));
    const sum = latencyParts.reduce((all, name, part) => {
      assert.is(at(splits, i, 'parts', part, 'name'), name);
      return all + number('parts', part, 'ns');
    }, 0);
    assert.ok(sum > 0);
    assert.is(sum, number('totalNs'));
    commands += number('count');
  }
  return commands;
}

for (const [verb, words, json] of [
  ['replay', [trace, '--card', card, '--no-read-back', '--perfetto', 'none'], ['--json']],
  [
    'bench',
    [card, '--rw', 'randrw', '--io_size', '240k', '--size', '1m'],
    ['--output-format', 'json'],
  ],
] as const) {
  test(`ultima ${verb}: the parts of every command add up to its time, in text, JSON and HTML`, () => {
    const report = join(folder, `${verb}.html`);
    const document = ultima(verb, ...words, ...json, '--report', report);
    assert.is(document.code, 0);
    assert.is(countExact(JSON.parse(document.out)), requests);
    const html = readFileSync(report, 'utf8');
    assert.match(html, /<h2>Inside the card<\/h2>/);
    const { out } = ultima(verb, ...words, '--report', report);
    const cells = (row: string): string[] =>
      (new RegExp(`^  ${row} +(.*)$`, 'm').exec(out)?.[1] ?? '').split(/ +/);
    const sums = cells('ns of all, the parts added');
    assert.ok(sums.length === 2 && sums.every((sum) => Number(sum) > 0), out);
    assert.equal(cells('ns of all, from doorbell to entry'), sums);
    for (const sum of sums) assert.ok(html.includes(`<td>${sum}</td>`), 'the same in the report');
  });
}

test('a card with fixed service times has no inside to show', () => {
  const words = ['sim:simple', '--io_size', '64k', '--size', '1m'];
  const { out } = ultima('bench', ...words, '--output-format', 'json');
  assert.not.ok(out.includes('"inside"'));
  assert.not.ok(ultima('bench', ...words).out.includes('inside the card'));
});

test.run();
