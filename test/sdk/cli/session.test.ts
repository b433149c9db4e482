import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { run as compare } from '../../../sdk/cli/compare.js';
import { run as fit } from '../../../sdk/cli/fit.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('ultima compare and ultima fit');
const root = fileURLToPath(new URL('../../../../', import.meta.url));
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

test('fit finds the constant that the recorded card had', async () => {
  const start = recorded.replace('media.readNs=23000&', '');
  const free = ['--free', 'media.readNs=12000..48000'];
  const result = await here(fit, [path, '--card', start, '--limit', '60', ...free, '--json']);
  const read = Number(at(result, 'fitted', 'media.readNs'));
  assert.ok(Math.abs(read / 23_000 - 1) < 0.02, `${read}`);
  assert.ok(Number(at(result, 'residual')) < 0.02);
  assert.ok(Number(at(result, 'before')) > 0.1);
});

test('a session of another controller is compared, and fit brings a profile nearer', async () => {
  const theirs = join(root, 'fixtures/sessions/qemu-nvme.csv');
  const words = [theirs, '--card', 'sim:simple?bytes=256MiB', '--limit', '60', '--json'];
  const compared = await here(compare, words);
  const errors = at(compared, 'errors');
  assert.ok(Array.isArray(errors));
  const lines = readFileSync(theirs, 'utf8')
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .slice(0, 60);
  for (const op of ['read', 'write']) {
    const own = lines
      .map((line) => line.split(','))
      .filter((row) => row[1] === op)
      .map((row) => Number(row[4]));
    const row = errors.find((each) => at(each, 'op') === op && at(each, 'figure') === 'mean');
    const mean = own.reduce((sum, ns) => sum + ns, 0) / own.length;
    assert.ok(Math.abs(Number(at(row, 'recordedNs')) / mean - 1) < 1e-6, `${op}: ${mean}`);
  }
  const free = ['--free', 'media.readNs=1000..5000000', '--free', 'media.writeNs=1000..5000000'];
  const fitted = await here(fit, [...words, ...free]);
  assert.is(at(fitted, 'before'), at(compared, 'residual'));
  assert.ok(Number(at(fitted, 'residual')) < Number(at(fitted, 'before')) / 2);
});

/** A command in this process, and the JSON that it prints. */
async function here(
  run: (words: readonly string[], terminal: Terminal) => Promise<number>,
  words: readonly string[],
): Promise<unknown> {
  let text = '';
  const terminal: Terminal = {
    isInteractive: false,
    columns: 80,
    out: (data) => {
      text += String(data);
    },
    say: () => {},
    progress: () => {},
  };
  assert.is(await run(words, terminal), 0);
  return JSON.parse(text);
}

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
