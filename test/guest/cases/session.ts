import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { parseSession } from '../../../sdk/trace/session.js';
import { address, type GuestCase } from '../case.js';
import { withBound } from './function.js';

const program = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));
/** As large as the disk of the guest, so that every request has its place. */
const profile = 'sim:simple?bytes=256MiB';
const requests = 400;
/** An emulated processor runs the simulator: enough for a median, not for a tail. */
const fitted = 60;
const limitMs = 600_000;

/** A session of a controller that is no simulation of ours, held against a profile. */
export const sessionCases: readonly GuestCase[] = [
  {
    title: 'a session recorded through VFIO replays on a profile, and fit brings it nearer',
    run: recordAndFit,
  },
];

async function recordAndFit(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'session-'));
  const log = join(folder, 'session.csv');
  try {
    await withBound(address.plain, async () => {
      const job = ['--rw', 'randrw', '--bs', '4k', '--iodepth', '1', '--size', '1600k'];
      ultima(['bench', '--card', `vfio:${address.plain}`, ...job, '--log', log]);
    });
    const text = readFileSync(log, 'utf8');
    const session = parseSession(text, log);
    assert.is(session.trace.count, requests);
    assert.is(session.maxInFlight, 1);
    compare(log);
    fit(log);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compare(log: string): void {
  const text = ultima(['compare', log, '--card', profile]);
  for (const line of text.trimEnd().split('\n')) console.log(`     ${line}`);
  const result: unknown = JSON.parse(ultima(['compare', log, '--card', profile, '--json']));
  assert.ok(isGroup(result) && Array.isArray(result.errors));
  const figures = result.errors.map(({ op, figure }) => `${op} ${figure}`);
  for (const figure of ['mean', 'p50', 'p90']) {
    assert.ok(figures.includes(`read ${figure}`), figures.join());
    assert.ok(figures.includes(`write ${figure}`), figures.join());
  }
  for (const { recordedNs, simulatedNs } of result.errors) {
    assert.ok(recordedNs > 0 && simulatedNs > 0);
  }
}

function fit(log: string): void {
  const free = ['--free', 'media.readNs=1000..5000000', '--free', 'media.writeNs=1000..5000000'];
  const words = ['fit', log, '--card', profile, '--limit', `${fitted}`, ...free, '--json'];
  const result: unknown = JSON.parse(ultima(words));
  assert.ok(isGroup(result));
  const { before, residual, evaluations } = result;
  console.log(`     residual ${before} before, ${residual} after ${evaluations} runs`);
  assert.ok(Number(residual) < Number(before) / 2, `${before} before, ${residual} now`);
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function ultima(words: readonly string[]): string {
  const options = { encoding: 'utf8', timeout: limitMs } as const;
  const run = spawnSync(process.execPath, [program, ...words], options);
  assert.is(run.status, 0, `${words.join(' ')}: ${run.stdout}${run.stderr}`);
  return run.stdout;
}
