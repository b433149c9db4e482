import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { bind, unbind } from '../../../native/index.js';
import { address, type GuestCase, Skip } from '../case.js';
import { withBound } from './function.js';

const program = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));
const trace = fileURLToPath(
  new URL('../../../../fixtures/traces/ext4-sqlite.blkparse.gz', import.meta.url),
);
const nvmeCli = '/usr/sbin/nvme';
const commands = ['id-ctrl', 'id-ns', 'smart-log'] as const;
/** Of the recording, by its own description. */
const traceRequests = 16_319;
const leastVerifiedBytes = 50_000_000;
const limitMs = 120_000;

/** The command line on real controllers, and beside nvme-cli on the kernel's driver. */
export const toolCases: readonly GuestCase[] = [
  {
    title: 'the recorded trace replays at depth, and every block is right',
    run: replay,
  },
  {
    title: 'a benchmark with two jobs moves data at its depth, and counts it as fio does',
    run: bench,
  },
  ...[address.plain, address.protected].map((at) => ({
    title: `${commands.join(', ')} of ${at} say what nvme-cli says, field by field`,
    run: () => agree(at),
  })),
];

function replay(): Promise<void> {
  const driver = bind(address.plain);
  try {
    const started = process.hrtime();
    const words = ['--card', `vfio:${address.plain}`, '--mode', 'depth'];
    const files = ['--report', 'none', '--perfetto', 'none', '--json'];
    // The disk was written by other cases: what the trace did not write is not compared.
    const contents = ['--contents', 'any'];
    const result = ultima(['replay', trace, ...words, ...files, ...contents]);
    const [seconds] = process.hrtime(started);
    assert.ok(isGroup(result));
    const { requests, verifiedBytes, readBackBytes, mismatches, failed } = result;
    console.log(
      `     ${String(requests)} requests, ${String(verifiedBytes)} bytes verified, ` +
        `${String(readBackBytes)} of them read back, ${seconds} s`,
    );
    const right = { requests: traceRequests, mismatches: 0, failed: 0 };
    assert.equal({ requests, mismatches, failed }, right);
    assert.ok(Number(verifiedBytes) > leastVerifiedBytes);
  } finally {
    unbind(address.plain, driver);
  }
  return Promise.resolve();
}

/** Figures of an emulator mean nothing: what is checked is that they fit together. */
async function bench(): Promise<void> {
  await withBound(address.plain, async () => {
    const words = ['bench', '--card', `vfio:${address.plain}`, '--rw', 'randrw', '--bs', '4k'];
    const run = ['--iodepth', '32', '--numjobs', '2', '--time_based', '--runtime', '1'];
    const result = ultima([...words, ...run, '--size', '64m', '--output-format', 'json']);
    assert.ok(isGroup(result) && Array.isArray(result.jobs));
    assert.is(result.jobs.length, 2);
    for (const job of result.jobs) {
      assert.is(job.error, 0);
      for (const direction of [job.read, job.write]) {
        const { total_ios, io_bytes, iops, runtime, clat_ns } = direction;
        assert.ok(total_ios > 0);
        assert.is(io_bytes, total_ios * 4096);
        assert.ok(Math.abs((iops * runtime) / 1000 / total_ios - 1) < 0.01);
        // Little's law: no more than 32 are in flight at a time.
        assert.ok(clat_ns.mean * total_ios < 32 * runtime * 1e6);
      }
      // Counted at each submission: those that ended together are replaced one by one.
      const level = job.iodepth_level;
      assert.ok(level['8'] + level['16'] + level['32'] > 75, JSON.stringify(level));
      console.log(
        `     ${Math.round(job.read.iops)} reads/s and ${Math.round(job.write.iops)} writes/s, ` +
          `p99 ${Math.round(job.read.clat_ns.percentile['99.000000'] / 1000)} µs`,
      );
    }
  });
}

/** What is not the same although both are right, and why; `*` is any index. */
const notCompared: Readonly<Record<string, string>> = {
  nulbaf: 'a byte that is reserved in NVM-1.0',
  'psds.*.max_power_scale': 'nvme-cli 2.3 has it in flags alone',
  'psds.*.non-operational_state': 'nvme-cli 2.3 has it in flags alone',
  host_read_commands: "the kernel's driver reads between the two",
  data_units_read: "the kernel's driver reads between the two",
};

/** nvme-cli on the kernel's driver first, then the controller without it. */
async function agree(at: string): Promise<void> {
  if (!existsSync(nvmeCli)) throw new Skip('nvme-cli is not installed');
  const device = await characterDevice(at);
  const place = (command: string) => (command === 'id-ns' ? ['-n', '1'] : []);
  const theirs = commands.map((command) =>
    json(nvmeCli, [command, device, ...place(command), '-o', 'json']),
  );
  const driver = bind(at);
  try {
    commands.forEach((command, i) => {
      const words = ['--card', `vfio:${at}`, ...place(command), '-o', 'json'];
      check(command, theirs[i], ultima([command, ...words]));
    });
  } finally {
    unbind(at, driver);
  }
}

function check(command: string, theirs: unknown, ours: unknown): void {
  const result: Comparison = { compared: 0, skipped: [], found: [] };
  compare(result, { theirs, ours, at: '' });
  console.log(`     ${command}: ${result.compared} fields compared`);
  for (const name of result.skipped) {
    console.log(`     ${command}: ${name} is not compared, ${notCompared[name]}`);
  }
  if (result.compared === 0) throw new Error(`nvme-cli printed no field of ${command}`);
  if (result.found.length > 0) throw new Error(`nvme-cli | ultima: ${result.found.join('; ')}`);
}

interface Comparison {
  compared: number;
  readonly skipped: string[];
  /** Places at which two values differ, nvme-cli's first. */
  readonly found: string[];
}

interface Values {
  readonly theirs: unknown;
  readonly ours: unknown;
  readonly at: string;
}

function compare(result: Comparison, { theirs, ours, at }: Values): void {
  const name = at.replace(/\.\d+(?=\.|$)/g, '.*');
  if (Object.hasOwn(notCompared, name)) {
    if (!result.skipped.includes(name)) result.skipped.push(name);
    return;
  }
  if (isGroup(theirs) && isGroup(ours)) {
    for (const key of new Set([...Object.keys(theirs), ...Object.keys(ours)])) {
      const inner = at === '' ? key : `${at}.${key}`;
      compare(result, { theirs: theirs[key], ours: ours[key], at: inner });
    }
    return;
  }
  result.compared++;
  if (textOf(theirs) === textOf(ours)) return;
  result.found.push(`${at}: ${JSON.stringify(theirs)} | ${JSON.stringify(ours)}`);
}

/** nvme-cli keeps the blanks at the end of a text, and has wide counts as text. */
function textOf(value: unknown): string {
  return String(value).trimEnd();
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function ultima(words: readonly string[]): unknown {
  return json(process.execPath, [program, ...words]);
}

function json(file: string, words: readonly string[]): unknown {
  const run = spawnSync(file, words, { encoding: 'utf8', timeout: limitMs });
  assert.is(run.status, 0, `${words.join(' ')}: ${run.stdout}${run.stderr}`);
  const parsed: unknown = JSON.parse(run.stdout);
  return parsed;
}

/** '/dev/nvme0'; the kernel's driver needs a moment to make it. */
async function characterDevice(at: string): Promise<string> {
  const folder = `/sys/bus/pci/devices/${at}/nvme`;
  for (let tries = 0; tries < 200; tries++) {
    const [name] = existsSync(folder) ? readdirSync(folder) : [];
    if (name !== undefined && existsSync(`/dev/${name}`)) return `/dev/${name}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the kernel's driver made no device of ${at}`);
}
