import * as assert from 'uvu/assert';
import { heatColumns, heatPlot, latencyHeat, utilisationHeat } from '../../../sdk/observe/heat.js';
import { IoLog } from '../../../sdk/observe/io-log.js';
import { SpanLog } from '../../../sdk/observe/span-log.js';
import { suite } from '../../support/suite.js';

const test = suite('heat map');

test('every request is in one cell of latency: its row is its power of the root of two', () => {
  const log = new IoLog({ capacity: 100, stages: ['submitted', 'called back'] });
  for (let i = 0; i < 80; i++) {
    const handle = log.begin(0, 1, i, 4096);
    log.stamp(handle, 0, 1000 * i);
    // Half of them take 2^10 ns, half 2^14: eight rows of half a power lie between.
    log.stamp(handle, 1, 1000 * i + (i % 2 === 0 ? 1024 : 16_384));
  }
  const map = latencyHeat(log.ios())!;
  assert.is(map.rows.length, 9);
  const sums = map.rows.map(({ values }) => values.reduce((sum, value) => sum + value, 0));
  assert.equal(sums, [40, 0, 0, 0, 0, 0, 0, 0, 40]);
  assert.is(map.startNs, 0);
  assert.is(map.stepNs, (79_000 + 16_384) / heatColumns);
  assert.is(latencyHeat([]), null);
});

test('a part that is busy half of each column is half hot, whatever way it is cut', () => {
  const log = new SpanLog({ capacity: 1000 });
  const stepNs = 100;
  for (let i = 0; i < heatColumns; i++) log.span(1, i * stepNs + 75, i * stepNs + 125);
  log.span(0, 0, 40 * stepNs);
  const range = { fromNs: 0, toNs: heatColumns * stepNs };
  const map = utilisationHeat(log, ['link', 'core', 'idle'], range)!;
  assert.equal(
    map.rows.map(({ name }) => name),
    ['link', 'core', 'idle'],
  );
  const [link, core, idle] = map.rows.map(({ values }) => values);
  for (let i = 0; i < heatColumns; i++) {
    assert.is(link![i], i < 40 ? 1 : 0);
    assert.is(core![i], i === 0 ? 0.25 : 0.5);
    assert.is(idle![i], 0);
  }
});

test('parts beyond forty-eight are shown by kind, as the mean of the kind', () => {
  const log = new SpanLog({ capacity: 1000 });
  const names = Array.from({ length: 60 }, (_, i) => `die ${i}`);
  for (let die = 0; die < 15; die++) log.span(die, 0, heatColumns);
  const map = utilisationHeat(log, names, { fromNs: 0, toNs: heatColumns })!;
  assert.is(map.rows.length, 1);
  assert.is(map.rows[0]!.name, 'dies');
  assert.ok(map.rows[0]!.values.every((value) => value === 0.25));
});

test('a map is drawn as one closed picture with a cell for each value above zero', () => {
  const values = [0, 1, 0, 4];
  const rows = [{ name: 'a<b', values }];
  const svg = heatPlot({ title: 't', startNs: 0, stepNs: 1000, rows, text: (v) => `${v} x` });
  assert.is(svg.match(/<rect /g)?.length, 2);
  assert.is(svg.match(/<\/rect>/g)?.length, 2);
  assert.match(svg, /a&lt;b/);
  // The square root of a quarter.
  assert.match(svg, /fill-opacity="0\.500"/);
  assert.match(svg, /^<svg .*<\/svg>$/);
  const empty = { title: 't', startNs: 0, stepNs: 1, rows: [], text: String };
  assert.is(heatPlot(empty), '');
});

test.run();
