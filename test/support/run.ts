/**
 * `npm test [-- filter...]`: runs every compiled test file whose path contains one of the filters.
 * The last line is always `N passed, N failed[, N skipped]`, and the exit code says the same.
 * TEST_FILE_LIMIT_MS bounds each file; with CI set, a skip for a reason that is not allowed fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { allowedSkips } from './allowed-skips.js';
import { type FileResult, killAll, runFiles } from './runner.js';
import { findTestFiles } from './test-files.js';

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const root = process.env.TEST_ROOT ?? fileURLToPath(new URL('../../../', import.meta.url));
  const isCi = process.env.CI !== undefined && process.env.CI !== 'false';
  const files = findTestFiles(root, filters);
  if (files.length === 0) {
    console.log(`no test file under ${root}test matches ${filters.join(' ') || 'anything'}`);
    console.log('0 passed, 1 failed');
    return 1;
  }
  // Sockets of servers that tests start lie where nobody else looks.
  const runtime = mkdtempSync(join(tmpdir(), 'ultima-test-'));
  process.env.ULTIMA_RUNTIME_DIR = runtime;
  process.on('exit', () => rmSync(runtime, { recursive: true, force: true }));
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const limitMs = Number(process.env.TEST_FILE_LIMIT_MS ?? 120_000);
  const needsAddon = process.env.ULTIMA_NATIVE === '1';
  const options = { limitMs, allowedSkips: isCi ? allowedSkips(needsAddon) : null };
  // The device that the environment names is one, and takes one user at a time.
  const isShared = process.env.ULTIMA_DEVICE === undefined;
  const results = await runFiles(
    files,
    isShared ? options : { ...options, processes: 1 },
    printResult,
  );
  return summarise(results);
}

function stop(): void {
  killAll();
  process.exit(1);
}

function printResult(result: FileResult): void {
  const isGood = result.faults.length === 0;
  const seconds = `${result.seconds.toFixed(1)} s`;
  const skipped = result.skips.length > 0 ? `, ${result.skips.length} skipped` : '';
  console.log(
    `${isGood ? 'ok  ' : 'FAIL'} ${result.source}: ${result.passed} passed${skipped}, ${seconds}`,
  );
  if (isGood) return;
  for (const fault of result.faults) console.log(`     ${fault}`);
  console.log(`${result.output}\n`);
}

function summarise(results: readonly FileResult[]): number {
  const count = new Map<string, number>();
  for (const reason of results.flatMap((result) => result.skips)) {
    count.set(reason, (count.get(reason) ?? 0) + 1);
  }
  for (const [reason, times] of [...count].sort()) console.log(`SKIP ${times} × ${reason}`);
  const bad = results.filter((result) => result.faults.length > 0);
  for (const result of bad) console.log(`FAIL ${result.source}: ${result.faults.join('; ')}`);
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  const skipped = results.reduce((sum, result) => sum + result.skips.length, 0);
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed === 0 ? 0 : 1;
}
