import * as assert from 'uvu/assert';
import { type ListResult, rendered, table } from '../../../sdk/cli/verb-result.js';
import { suite } from '../../support/suite.js';

const test = suite('results of any length');

interface Row {
  readonly at: number;
  readonly name: string;
  readonly inner: readonly number[];
}

function listOf(count: number): ListResult<Row> {
  const rows = Array.from({ length: count }, (_, i) => {
    return { at: i ** 3, name: `a\n"${i}"`, inner: i % 3 === 0 ? [] : [i] };
  });
  const cellsOf = ({ at, name }: Row): string[] => [String(at), JSON.stringify(name), '-'];
  return { key: 'rows', head: ['at', 'its name', 'x'], rows, cellsOf };
}

test('a list comes in pieces that are together what the whole would be', async () => {
  for (const count of [0, 1, 2, 511, 512, 513, 1500]) {
    const list = listOf(count);
    const json: string[] = [];
    for await (const piece of rendered(list, 'json')) json.push(piece);
    assert.is(json.join(''), `${JSON.stringify({ rows: list.rows }, null, 2)}\n`, `${count} rows`);
    let text = '';
    for await (const piece of rendered(list, 'normal')) text += piece;
    const lines = table(list.head, list.rows.map(list.cellsOf));
    assert.is(text, `${lines.join('\n')}\n`);
    assert.is(json.length, 2 + Math.ceil(count / 512));
  }
});

test('a table of more rows than a call has arguments is one', async () => {
  const { head, rows, cellsOf } = listOf(150_000);
  const lines = table(head, rows.map(cellsOf));
  assert.is(lines.length, 150_001);
  assert.is(lines[1], `${'0'.padEnd(16)}  ${'"a\\n\\"0\\""'.padEnd(15)}  -`);
});

test('others have their turn while a long one is made', async () => {
  let isOver = false;
  let turns = 0;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  for await (const piece of rendered(listOf(10_000), 'normal')) assert.ok(piece.length > 0);
  isOver = true;
  assert.ok(turns >= 2 * Math.floor(10_000 / 512), `${turns} turns`);
});

test.run();
