import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('ultima compare and ultima fit');
const folder = mkdtempSync(join(tmpdir(), 'ultima-session-'));
const path = join(folder, 'session.csv');
const recorded = 'sim:simple?bytes=2GiB&media.readNs=23000&media.writeNs=31000';
const trace = 'fixtures/traces/ext4-sqlite.blkparse.gz';

test.before(() => {
  const files = ['--log', path, '--report', 'none', '--perfetto', 'none', '--no-read-back'];
  const { code, err } = ultima(
    'replay',
    trace,
    '--card',
    recorded,
    '--mode',
    'depth',
    '--depth',
    '1',
    '--limit',
    '1500',
    ...files,
  );
  assert.is(code, 0, err);
});
test.after(() => rmSync(folder, { recursive: true }));

function json(...words: string[]): unknown {
  const { code, out, err } = ultima(...words, '--json');
  assert.is(code, 0, err);
  return JSON.parse(out);
}

test('the card that was recorded has no error', () => {
  const result = json('compare', path, '--card', recorded);
  assert.is(at(result, 'mode'), 'depth');
  assert.is(at(result, 'depth'), 1);
  assert.is(at(result, 'errors', 0, 'percent'), 0);
  assert.is(at(result, 'residual'), 0);
});

test('at depth one the error of a read is the difference of the service times', () => {
  const other = recorded.replace('readNs=23000', 'readNs=13000');
  const errors = at(json('compare', path, '--card', other), 'errors');
  const p50 = [0, 1, 2].map((i) => at(errors, i)).find((row) => at(row, 'figure') === 'p50');
  const difference = Number(at(p50, 'recordedNs')) - Number(at(p50, 'simulatedNs'));
  // Histograms keep percentiles to one part in 128.
  assert.ok(Math.abs(difference - 10_000) < 400, `${difference}`);
});

test('fit finds the constant that the recorded card had', () => {
  const start = recorded.replace('media.readNs=23000&', '');
  const free = ['--free', 'media.readNs=12000..48000'];
  const result = json('fit', path, '--card', start, '--limit', '200', ...free);
  const read = Number(at(result, 'fitted', 'media.readNs'));
  assert.ok(Math.abs(read / 23_000 - 1) < 0.02, `${read}`);
  assert.ok(Number(at(result, 'residual')) < 0.02);
  assert.ok(Number(at(result, 'before')) > 0.1);
});

test('a bench is recorded as well, several jobs in the order of submission', () => {
  const own = join(folder, 'bench.csv');
  const card = 'sim:simple?bytes=16MiB&media.readNs=50000';
  const job = ['--rw', 'randread', '--numjobs', '2', '--iodepth', '4', '--size', '256k'];
  const { code, err } = ultima('bench', card, ...job, '--log', own);
  assert.is(code, 0, err);
  const result = json('compare', own, '--card', card);
  assert.is(at(result, 'depth'), 8);
  // The same loop on one queue pair: only the meeting of eight requests differs.
  assert.ok(Number(at(result, 'residual')) < 0.1);
});

test('a range that makes no sense is refused with the form', () => {
  for (const free of ['media.readNs', 'media.readNs=9..3', 'media.readNs=0..3']) {
    const { code, err } = ultima('fit', path, '--free', free);
    assert.is(code, 2);
    assert.match(err, /FIELD=LOW\.\.HIGH/);
  }
});

test.run();
