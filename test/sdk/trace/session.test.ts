import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import { Histogram } from '../../../sdk/observe/histogram.js';
import { IoLog } from '../../../sdk/observe/io-log.js';
import { latencyErrors, residualOf } from '../../../sdk/trace/latency-error.js';
import { minimise } from '../../../sdk/trace/minimise.js';
import { formatSession, iopsOf, latencyOf, parseSession } from '../../../sdk/trace/session.js';
import { suite } from '../../support/suite.js';

const test = suite('session');
const head = '# ultima session 1\n# timeNs,op,offsetBytes,lengthBytes,latencyNs\n';

function refusal(text: string): string {
  try {
    parseSession(text, 's.csv');
    return 'accepted';
  } catch (error) {
    return error instanceof UltimaError ? `${error.code} ${error.message}` : String(error);
  }
}

test('what is written is read back: times from the first stage, latency to the last', () => {
  const log = new IoLog({ capacity: 8, stages: ['submitted', 'doorbell', 'called back'] });
  for (const [op, lba, startNs, endNs, status] of [
    [BlockOp.write, 16, 1_000_000_000, 1_000_070_000, 0],
    [BlockOp.read, 8, 1_000_010_000, 1_000_030_000, 0],
    [BlockOp.read, 24, 1_000_020_000, 1_000_090_000, 5],
  ] as const) {
    const handle = log.begin(0, op, lba, 4096);
    log.stamp(handle, 0, startNs);
    log.stamp(handle, 2, endNs);
    log.end(handle, status);
  }
  const text = formatSession(log.ios(), 512);
  // A request that failed has no latency that a model could have.
  assert.is(text, `${head}0,write,8192,4096,70000\n10000,read,4096,4096,20000\n`);
  const session = parseSession(text, 's.csv');
  assert.equal([...session.latencyNs], [70_000, 20_000]);
  assert.equal([...session.trace.timeNs], [0, 10_000]);
  assert.equal([...session.trace.op], [BlockOp.write, BlockOp.read]);
  assert.is(latencyOf(session, BlockOp.read).count, 1);
  assert.is(Math.round(iopsOf(session)), Math.round(2e9 / 70_000));
});

test('requests in flight follow from times and latencies', () => {
  // Three at a time for 30 ns, then one for 10: 100 ns of work in 40.
  const rows = ['0,read,0,512,30', '0,read,512,512,30', '0,read,1024,512,30', '30,read,0,512,10'];
  const { maxInFlight, meanInFlight } = parseSession(`${head}${rows.join('\n')}\n`, 's.csv');
  assert.is(maxInFlight, 3);
  assert.is(meanInFlight, 100 / 40);
});

for (const [what, text, message] of [
  ['another file', 'time,op\n', "s.csv:1: does not read '# ultima session 1'"],
  ['no request', head, 'there is no request'],
  ['a column too few', `${head}0,read,0,4096\n`, 's.csv:3:'],
  ['a column too many', `${head}0,read,0,4096,5,5\n`, 's.csv:3:'],
  ['a negative time', `${head}-1,read,0,4096,5\n`, 's.csv:3:'],
  ['an unknown operation', `${head}0,raed,0,4096,5\n`, "'raed': one of"],
  ['time that runs back', `${head}9,read,0,512,5\n8,read,0,512,5\n`, 's.csv:4: time 8 is before'],
] as const) {
  test(`${what} is refused with the line`, () => {
    const refused = refusal(text);
    assert.ok(refused.startsWith('FILE_INVALID'), refused);
    assert.ok(refused.includes(message), refused);
  });
}

test('errors are relative to the record, and percentiles need ten requests beyond them', () => {
  const rows = Array.from({ length: 100 }, (_, i) => `${i * 1000},read,0,512,200`);
  const session = parseSession(`${head}${rows.join('\n')}\n`, 's.csv');
  const read = new Histogram();
  for (let i = 0; i < 100; i++) read.record(150);
  const errors = latencyErrors(session, { read, write: new Histogram() });
  assert.equal(
    errors.map(({ figure }) => figure),
    ['mean', 'p10', 'p50', 'p90'],
  );
  for (const { percent } of errors) assert.ok(Math.abs(percent + 25) < 0.5, `${percent}`);
  assert.ok(Math.abs(residualOf(errors) - Math.log(200 / 150)) < 0.01);
});

test('the minimum of a function with one along each axis is found', async () => {
  const bowl = async ([x = 1, y = 1]: readonly number[]): Promise<number> =>
    Math.log(x / 300) ** 2 + Math.log(y / 7000) ** 2 + 0.3 * Math.log(x / 300) * Math.log(y / 7000);
  const { values, residual } = await minimise(
    [
      { low: 1, high: 100_000, start: 10 },
      { low: 1, high: 100_000, start: 10 },
    ],
    bowl,
    8,
  );
  assert.ok(Math.abs(values[0]! / 300 - 1) < 0.02, `${values[0]}`);
  assert.ok(Math.abs(values[1]! / 7000 - 1) < 0.02, `${values[1]}`);
  assert.ok(residual < 1e-3);
});

test.run();
