import * as assert from 'uvu/assert';
import { bits, count0, struct } from '../../../sdk/spec/layout.js';
import * as registers from '../../../sdk/spec/nvme/registers.js';
import { referencePage, tablesOf } from '../../../sdk/spec/reference.js';
import { suite } from '../../support/suite.js';

const test = suite('register reference');

test('only tables are taken from a module', () => {
  const A = struct({ title: 'A <b>', cite: '[X §1]', bytes: 4 }, { f: bits(0, 3, 0, 'F & G') });
  const found = tablesOf('g', { A, n: 1, text: 'x', nothing: null, fn: () => 0, list: [1] });
  assert.equal(
    found.map(({ group, name }) => `${group}/${name}`),
    ['g/A'],
  );
});

test('every register with its offset, and fields with bits and mnemonic, are on the page', () => {
  const page = referencePage(tablesOf('nvme', registers));
  for (const [name, offset] of Object.entries(registers.Register)) {
    const title = Object.entries(registers.registerTables).find(([key]) => key === name);
    assert.ok(title !== undefined && page.includes(title[1].layout.title), name);
    assert.ok(page.includes(`offset ${offset.toString(16).toUpperCase().padStart(2, '0')}h`), name);
  }
  assert.match(page, /<td>00h<\/td><td>23:20<\/td><td><code>iocqes<\/code>/);
  assert.match(page, /1 weighted round robin with urgent/);
});

test("words of a table cannot break the page, and 0's based counts say so", () => {
  const A = struct(
    { title: 'A <b>', cite: '[X §1]', bytes: 4 },
    { f: bits(0, 3, 0, 'F & G', { '<i>': 1 }), n: count0(0, 31, 16, 'N') },
  );
  const page = referencePage([{ group: 'g', name: 'A', table: A }]);
  assert.match(page, /A &lt;b&gt;/);
  assert.match(page, /F &amp; G/);
  assert.match(page, /1 &lt;i&gt;/);
  assert.match(page, /N<br><small>0’s based/);
});

test('the page asks for nothing from a network', () => {
  const page = referencePage(tablesOf('nvme', registers));
  assert.not.match(page, /https?:|src=|@import/);
});

test.run();
