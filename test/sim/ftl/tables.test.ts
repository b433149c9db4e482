import * as assert from 'uvu/assert';
import { Requests } from '../../../sim/ftl/requests.js';
import { Rows } from '../../../sim/ftl/rows.js';
import { FlashOps } from '../../../sim/nand/flash-ops.js';
import { suite } from '../../support/suite.js';

const test = suite('tables of a drive');

type Table = Uint8Array | Int32Array | Float64Array;

function isTable(value: unknown): value is Table {
  return (
    value instanceof Uint8Array || value instanceof Int32Array || value instanceof Float64Array
  );
}

const tablesOf = (object: object): [string, Table][] =>
  Object.entries(object).filter((entry): entry is [string, Table] => isTable(entry[1]));

function demandGrowth(object: object, first: number, take: () => number): void {
  for (let i = 0; i < first; i++) assert.is(take(), i);
  const before = tablesOf(object);
  assert.ok(before.length > 10);
  for (const [, table] of before) for (let i = 0; i < table.length; i++) table[i] = 1 + (i % 100);
  assert.is(take(), first);
  const after = new Map(tablesOf(object));
  for (const [name, old] of before) {
    const table = after.get(name)!;
    assert.is(table.length, 2 * old.length, name);
    for (let i = 0; i < old.length; i++) assert.is(table[i], 1 + (i % 100), `${name} ${i}`);
  }
}

test('every field of operations, requests and rows grows with them and keeps what it holds', () => {
  const ops = new FlashOps();
  demandGrowth(ops, 256, () => ops.take(0, 0, 0, 0, 0, 0, 0));
  const requests = new Requests();
  demandGrowth(requests, 64, () => requests.take(0, 0, 1, 0));
  const rows = new Rows(4);
  demandGrowth(rows, 64, () => rows.take(0, 0, 0, 0, 0));
});

test.run();
