import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('ultima bench');
const card = 'sim:simple?bytes=64MiB';

function run(...words: string[]): unknown {
  const { code, out, err } = ultima('bench', card, '--output-format', 'json', ...words);
  assert.is(err, '');
  assert.is(code, 0);
  return JSON.parse(out);
}

function number(document: unknown, ...path: (string | number)[]): number {
  return Number(at(document, ...path));
}

test('the document has the keys of fio', () => {
  const document = run('--size', '1m', '--output-format', 'json+');
  for (const key of ['fio version', 'timestamp', 'timestamp_ms', 'time', 'jobs']) {
    at(document, key);
  }
  const job = ['jobname', 'groupid', 'error', 'eta', 'elapsed', 'job options', 'read', 'write'];
  job.push('trim', 'sync', 'job_runtime', 'usr_cpu', 'sys_cpu', 'iodepth_level', 'latency_ns');
  job.push('latency_us', 'latency_ms', 'latency_depth', 'iodepth_submit', 'iodepth_complete');
  for (const key of job) at(document, 'jobs', 0, key);
  const direction = ['io_bytes', 'io_kbytes', 'bw_bytes', 'bw', 'iops', 'runtime', 'total_ios'];
  direction.push('slat_ns', 'lat_ns', 'bw_mean', 'iops_mean', 'short_ios', 'drop_ios');
  for (const key of direction) at(document, 'jobs', 0, 'read', key);
  const clat = ['jobs', 0, 'read', 'clat_ns'] as const;
  for (const key of ['min', 'max', 'mean', 'stddev', 'N']) at(document, ...clat, key);
  at(document, ...clat, 'percentile', '99.000000');
  assert.type(at(document, ...clat, 'bins'), 'object');
});

test('--size bounds the bytes, and every figure agrees with the others', () => {
  const read = at(run('--size', '4m', '--iodepth', '8'), 'jobs', 0, 'read');
  const ios = number(read, 'total_ios');
  assert.is(ios, 1024);
  assert.is(number(read, 'io_bytes'), 4 * 1024 * 1024);
  assert.is(number(read, 'io_kbytes'), 4096);
  assert.is(number(read, 'clat_ns', 'N'), ios);
  const ratio = number(read, 'bw_bytes') / (number(read, 'iops') * 4096);
  assert.ok(Math.abs(ratio - 1) < 1e-6);
  // Little: what is in flight on average is rate times latency, 8 but for the start and the end.
  const inFlight = (number(read, 'iops') * number(read, 'clat_ns', 'mean')) / 1e9;
  assert.ok(inFlight > 7.5 && inFlight <= 8.0001, `${inFlight} in flight`);
});

test('--runtime bounds virtual time, not real time', () => {
  const job = at(run('--runtime', '50ms', '--iodepth', '4'), 'jobs', 0);
  const runtime = number(job, 'read', 'runtime');
  assert.ok(runtime >= 50 && runtime <= 51, `${runtime} ms`);
});

test('one seed gives one run, figure for figure', () => {
  const words = ['--rw', 'randrw', '--size', '2m', '--iodepth', '4', '--randseed', '7'];
  const first = run(...words);
  const second = run(...words);
  for (const direction of ['read', 'write']) {
    assert.equal(at(first, 'jobs', 0, direction), at(second, 'jobs', 0, direction));
  }
});

test('--rwmixread gives its share of reads', () => {
  const job = at(run('--rw', 'randrw', '--rwmixread', '80', '--size', '16m'), 'jobs', 0);
  const reads = number(job, 'read', 'total_ios');
  const writes = number(job, 'write', 'total_ios');
  assert.is(reads + writes, 4096);
  // Six standard deviations of 4096 draws at 0.8 are 0.0375.
  assert.ok(Math.abs(reads / 4096 - 0.8) < 0.0375);
});

test('--numjobs gives a result each, --group_reporting one for all', () => {
  const words = ['--numjobs', '3', '--size', '1m', '--rw', 'write'];
  const jobs = at(run(...words), 'jobs');
  assert.ok(Array.isArray(jobs));
  assert.is(jobs.length, 3);
  const all = at(run(...words, '--group_reporting'), 'jobs');
  assert.ok(Array.isArray(all));
  assert.is(all.length, 1);
  assert.is(number(all, 0, 'write', 'total_ios'), 3 * 256);
});

test('--fsync flushes after so many writes, --percentile_list chooses percentiles', () => {
  const words = ['--rw', 'write', '--size', '1m', '--fsync', '16', '--percentile_list', '50:99.9'];
  const job = at(run(...words), 'jobs', 0);
  assert.is(number(job, 'sync', 'total_ios'), 15);
  const percentiles = at(job, 'write', 'clat_ns', 'percentile');
  assert.equal(Object.keys(percentiles ?? {}), ['50.000000', '99.900000']);
});

test('normal output reads as that of fio', () => {
  const { out, code } = ultima('bench', card, '--size', '1m');
  assert.is(code, 0);
  assert.match(out, /^randread: \(groupid=0, jobs=1\): err=0$/m);
  assert.match(out, /^ {2}read: IOPS=[\d.]+k?, BW=[\d.]+MiB\/s/m);
  assert.match(out, /99\.00th=\[ *[\d.]+\]/);
});

const refused: Readonly<Record<string, readonly [string[], RegExp]>> = {
  'a zero length': [['--bs', '0'], /--bs is 0; .*multiple of the block size, 512\.\./],
  'an unaligned length': [['--bs', '1000'], /--bs is 1000; .*multiple of the block size/],
  'blocks beyond the end': [
    ['--offset', '60m', '--size', '8m'],
    /end at block 139264; the namespace has 131072 blocks of 512 bytes, 67108864 bytes/,
  ],
  'an unaligned offset': [['--offset', '100'], /--offset is 100; .*multiple/],
  'a size that is none': [['--size', 'big'], /--size is big; it must be a size such as/],
  'a pattern that is none': [['--rw', 'randomly'], /--rw is randomly; it must be one of: read/],
  'a namespace that is not there': [['--nsid', '4000000'], /namespace 4000000/],
};

for (const [what, [words, message]] of Object.entries(refused)) {
  test(`${what} is refused before anything is done`, () => {
    const { code, out, err } = ultima('bench', card, ...words);
    assert.ok(code === 2 || what.startsWith('a namespace'), `exit code ${code}`);
    assert.ok(code !== 0);
    assert.is(out, '');
    assert.match(err, message);
  });
}

test('--output and --report write whole files and nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-bench-'));
  const files = ['--output', join(folder, 'result.json'), '--report', join(folder, 'report.html')];
  const { code, out } = ultima('bench', card, '--size', '1m', '--output-format', 'json', ...files);
  assert.is(code, 0);
  assert.is(out, '');
  JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8'));
  assert.match(readFileSync(join(folder, 'report.html'), 'utf8'), /<svg[\s\S]*<\/html>\n$/);
  assert.equal(readdirSync(folder).sort(), ['report.html', 'result.json']);
  rmSync(folder, { recursive: true });
});

test('a report that cannot be written fails with the path and the reason', () => {
  const path = '/dev/null/report.html';
  const { code, err } = ultima('bench', card, '--size', '1m', '--report', path);
  assert.is(code, 1);
  assert.match(err, /cannot write \/dev\/null\/report.html \(\d+ bytes\)/);
});

test.run();
