import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { run } from '../../../sdk/cli/replay.js';
import { UltimaError } from '../../../sdk/errors.js';
import { suite } from '../../support/suite.js';

const test = suite('ultima replay');
const scratch = mkdtempSync(join(tmpdir(), 'replay-'));
const trace = join(scratch, 'small.trace');
const card = 'sim:simple?bytes=64MiB';
// 40 writes of 8 KiB and then a read of each, 100 us apart, in MQSim's format.
writeFileSync(
  trace,
  Array.from(
    { length: 80 },
    (_, i) => `${i * 100_000} 0 ${(i % 40) * 16} 16 ${i < 40 ? 0 : 1}\n`,
  ).join(''),
);

test.after(() => rmSync(scratch, { recursive: true }));

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly said: string;
}

async function replay(...words: string[]): Promise<Outcome> {
  let out = '';
  let said = '';
  const code = await run(words, {
    out: (data) => {
      out += String(data);
    },
    say: (line) => {
      said += `${line}\n`;
    },
    progress: () => {},
    isInteractive: false,
    columns: 80,
  });
  return { code, out, said };
}

async function refused(...words: string[]): Promise<UltimaError> {
  try {
    await replay(...words);
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const noFiles = ['--report', 'none', '--perfetto', 'none'];

test('a replay as recorded prints its figures, verifies every byte and ends with 0', async () => {
  const { code, out, said } = await replay(trace, '--card', card, ...noFiles);
  assert.is(code, 0);
  assert.match(said, /80 requests in 7\.9 ms: 40 reads \(328 kB\), 40 writes \(328 kB\) \(mqsim\)/);
  assert.match(said, /namespace 1: 67\.1 MB in blocks of 512 bytes/);
  assert.match(out, /80 requests in 7\.91 ms|80 requests in 7\.9 ms/);
  // 40 reads and the read-back of 40 writes, 8 KiB each: 655,360 bytes.
  assert.match(
    out,
    /655 kB compared \(328 kB of it in a final read-back\): every byte as expected/,
  );
  assert.match(out, /no misuse of the card by the driver/);
  for (const step of ['submit → doorbell', 'doorbell → fetch', 'media start → media end']) {
    assert.ok(out.includes(step), step);
  }
  assert.match(out, /p99\.99/);
});

test('on a volume, snapshots are taken while it runs, and each is as it must be', async () => {
  const words = ['--volume', '--snapshots', '3', '--mode', 'depth', ...noFiles];
  const { code, out } = await replay(trace, '--card', card, ...words);
  assert.is(code, 0);
  assert.match(
    out,
    /snapshots {2}3 while it ran, writes held back .*: [\d.]+ kB compared, each as/,
  );
  assert.match(out, /pool {7}[\d.]+ kB data, [\d.]+ MB metadata, sound/);
  assert.match(out, /no misuse of the card by the driver/);
});

test('over a mirror the writer dies in the middle of requests, and no byte is wrong', async () => {
  const words = [
    trace,
    '--mode',
    'depth',
    '--depth',
    '4',
    '--report',
    'none',
    '--perfetto',
    'none',
  ];
  const { code, out } = await replay(...words, '--mirror', '2', '--snapshots', '1', '--card', card);
  assert.is(code, 0, out);
  assert.match(out, /node 1, which writes, loses its power/);
  assert.match(out, /node 2 writes, epoch 2/);
  assert.match(out, /node 1 has everything again/);
  // Noticed after 100 ms, and then the lease of 500 ms of the one that may still read, and 5 %.
  assert.match(out, /fail-over {2}62\d\.\d ms without the volume: 100\.0 ms until noticed/);
  assert.match(out, /; [1-4] requests sent again/);
  assert.match(out, /members {4}equal, block for block; each pool sound/);
  assert.match(out, /snapshots {2}1 on all members .* compared, each as it must be/);
});

test('two runs over a mirror with one seed are the same run, event for event', async () => {
  const words = [trace, '--mode', 'depth', '--report', 'none', '--perfetto', 'none'];
  const hashes: (string | undefined)[] = [];
  for (let i = 0; i < 2; i++) {
    const { out } = await replay(...words, '--mirror', '3', '--card', card, '--seed', '9');
    hashes.push(/event hash (\w+)/.exec(out)?.[1]);
  }
  assert.ok(hashes[0] !== undefined && hashes[0] === hashes[1], hashes.join(' '));
});

test('with --json, standard output is one object and the split adds up to the latency', async () => {
  const { out } = await replay(trace, '--card', card, '--json', ...noFiles);
  const result: unknown = JSON.parse(out);
  assert.ok(typeof result === 'object' && result !== null);
  const at = (path: string): unknown =>
    path.split('.').reduce<unknown>((from, key) => Object(from)[key], result);
  assert.is(at('requests'), 80);
  assert.is(at('mismatches'), 0);
  assert.is(at('verifiedBytes'), 655_360);
  const steps = at('split.read');
  assert.ok(Array.isArray(steps));
  const sum = steps.reduce((total: number, { meanNs }) => total + meanNs, 0);
  assert.ok(Math.abs(sum - Number(at('latency.read.meanNs'))) < 1);
});

test('two runs of one seed are the same run, event for event', async () => {
  const words = [trace, '--card', card, '--mode', 'depth', '--depth', '8', ...noFiles];
  const hash = async (): Promise<string> =>
    /event hash ([0-9a-f]{16})/.exec((await replay(...words)).out)?.[1] ?? 'none';
  const first = await hash();
  assert.is.not(first, 'none');
  assert.is(await hash(), first);
});

test('report and Perfetto trace are written where they were asked for', async () => {
  const report = join(scratch, 'a', 'report.html');
  const perfetto = join(scratch, 'a', 'trace.perfetto-trace');
  await replay(trace, '--card', card, '--report', report, '--perfetto', perfetto);
  assert.match(readFileSync(report, 'utf8'), /Replay of .*small\.trace/);
  assert.ok(readFileSync(perfetto).length > 80 * 7);
});

test('a report that cannot be written is an error with the path, and leaves nothing', async () => {
  const report = join(trace, 'report.html');
  const error = await refused(trace, '--card', card, '--report', report, '--perfetto', 'none');
  assert.is(error.code, 'FILE_UNWRITABLE');
  assert.match(error.message, /report\.html/);
  assert.not.ok(existsSync(report));
});

test('a malformed trace stops before the card is opened', async () => {
  const bad = join(scratch, 'bad.trace');
  writeFileSync(bad, '1 0 8 8 1\n2 0 8 8 7\n');
  const error = await refused(bad, '--card', 'sim:no-such-card', ...noFiles);
  assert.is(error.code, 'FILE_INVALID');
  assert.match(error.message, /bad\.trace, line 2: the type is neither/);
});

const wrong: readonly [readonly string[], string, RegExp][] = [
  [[], 'USAGE', /which trace/],
  [[trace, trace], 'USAGE', /one trace at a time/],
  [[trace, '--mode', 'fast'], 'USAGE', /--mode is fast; it must be one of: recorded, depth/],
  [[trace, '--depth', '0'], 'USAGE', /--depth is 0/],
  [[trace, '--speed', '-1'], 'USAGE', /speed/],
  [[trace, '--colour'], 'USAGE', /--colour/],
  [[trace, '--card', 'sim:none'], 'PROFILE_UNKNOWN', /no profile is called 'none'/],
  [[trace, '--card', 'card7'], 'ADDRESS_INVALID', /card7/],
  [[trace, '--card', card, '-n', '9'], 'NAMESPACE_INVALID', /9/],
  [[trace, '--format', 'csv'], 'USAGE', /unknown trace format "csv"/],
  [[trace, '--device', '8,0'], 'FILE_INVALID', /no request of device "8,0"; the file has: 0/],
  [[join(scratch, 'none')], 'FILE_INVALID', /ENOENT/],
];

test('wrong words are refused with the value and what is possible', async () => {
  for (const [words, code, message] of wrong) {
    const error = await refused(...words, ...noFiles);
    assert.is(error.code, code, words.join(' '));
    assert.match(error.message, message);
  }
});

test.run();
