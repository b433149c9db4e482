import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { bind, unbind } from '../../../native/index.js';
import { address, type GuestCase, Skip } from '../case.js';

const program = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));
const trace = fileURLToPath(
  new URL('../../../../fixtures/traces/ext4-sqlite.blkparse.gz', import.meta.url),
);
const nvmeCli = '/usr/sbin/nvme';
const replayedRequests = 2_000;
/** Most of what the requests write, which is 64 MB. */
const leastVerifiedBytes = 40_000_000;
const limitMs = 120_000;

/** The command line on real controllers, and beside nvme-cli on the kernel's driver. */
export const toolCases: readonly GuestCase[] = [
  {
    title: `${replayedRequests} requests of a trace replay at depth, and every block is right`,
    run: replay,
  },
  ...Object.values(address).flatMap((at) =>
    ['id-ctrl', 'id-ns', 'smart-log'].map((command) => ({
      title: `${command} of ${at} says what nvme-cli says, field by field`,
      run: () => agree(command, at),
    })),
  ),
];

function replay(): Promise<void> {
  const driver = bind(address.plain);
  try {
    const started = process.hrtime();
    const words = ['--card', `vfio:${address.plain}`, '--mode', 'depth', '--limit'];
    const files = ['--report', 'none', '--perfetto', 'none', '--json'];
    // The disk was written by other cases: what the trace did not write is not compared.
    const contents = ['--contents', 'any'];
    const result = ultima([
      'replay',
      trace,
      ...words,
      `${replayedRequests}`,
      ...files,
      ...contents,
    ]);
    const [seconds] = process.hrtime(started);
    assert.ok(isGroup(result));
    const { requests, verifiedBytes, readBackBytes, mismatches, failed } = result;
    console.log(
      `     ${String(requests)} requests, ${String(verifiedBytes)} bytes verified, ` +
        `${String(readBackBytes)} of them read back, ${seconds} s`,
    );
    assert.equal({ mismatches, failed }, { mismatches: 0, failed: 0 });
    assert.ok(Number(verifiedBytes) > leastVerifiedBytes);
  } finally {
    unbind(address.plain, driver);
  }
  return Promise.resolve();
}

/** What is not the same although both are right, and why. */
const notCompared: Readonly<Record<string, string>> = {};

/** nvme-cli on the kernel's driver first, then the controller without it. */
async function agree(command: string, at: string): Promise<void> {
  if (!existsSync(nvmeCli)) throw new Skip('nvme-cli is not installed');
  const device = await characterDevice(at);
  const place = command === 'id-ns' ? ['-n', '1'] : [];
  const theirs = json(nvmeCli, [command, device, ...place, '-o', 'json']);
  const driver = bind(at);
  let ours: unknown;
  try {
    ours = ultima([command, '--card', `vfio:${at}`, ...place, '-o', 'json']);
  } finally {
    unbind(at, driver);
  }
  const names = isGroup(theirs) ? Object.keys(theirs) : [];
  const skipped = names.filter((name) => Object.hasOwn(notCompared, name));
  console.log(`     ${names.length - skipped.length} fields compared`);
  for (const name of skipped) console.log(`     not compared: ${name}, ${notCompared[name]}`);
  assert.equal(disagreements(theirs, ours, ''), []);
  assert.ok(names.length > 0, 'nvme-cli printed no field');
}

/** Places at which two values differ, nvme-cli's first. */
function disagreements(theirs: unknown, ours: unknown, at: string): string[] {
  if (Object.hasOwn(notCompared, at)) return [];
  if (isGroup(theirs) && isGroup(ours)) {
    const names = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])];
    return names.flatMap((name) =>
      disagreements(theirs[name], ours[name], at === '' ? name : `${at}.${name}`),
    );
  }
  // Counts beyond what a double holds are text on one side.
  const same = theirs === ours || (theirs !== undefined && String(theirs) === String(ours));
  return same ? [] : [`${at}: ${JSON.stringify(theirs)} | ${JSON.stringify(ours)}`];
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
