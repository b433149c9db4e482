import * as assert from 'uvu/assert';
import { measure, notJudged } from '../../bench/fidelity.js';
import { type Row, rows } from '../../bench/fidelity-rows.js';
import { suite } from '../support/suite.js';

const test = suite('profiles beside real drives');
/** Parts of the requests of the figure: enough for tail, rate, and a buffer that has filled. */
function shareOf(row: Row): number {
  if (row.target.p9999Us !== undefined) return 0.2;
  if (row.load.bytes > 4096) return 0.2;
  return row.target.p99Us === undefined ? 0.05 : 0.01;
}

for (const row of rows) {
  test(`${row.profile} is within 10 % of its row ${row.name}`, async () => {
    for (const { key, metric, percent } of await measure(row, shareOf(row))) {
      if (notJudged.includes(metric)) continue;
      assert.ok(Math.abs(percent) <= 10, `${key}: ${percent.toFixed(1)} %`);
    }
  });
}

test('a third of the rows were not looked at when constants were chosen', () => {
  const heldOut = rows.filter((row) => row.isHeldOut);
  assert.ok(heldOut.length * 3 >= rows.length, `${heldOut.length} of ${rows.length}`);
});

test.run();
