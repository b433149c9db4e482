import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { stripVTControlCharacters } from 'node:util';
import type { TestFile } from './test-files.js';

/**
 * Runs test files, one process each, and believes nothing but totals. The test library exits 0 on
 * many kinds of failure: a hook that throws, a suite that never ran, a thrown string. A file is
 * good only when its process ended by itself with code 0 within its time, printed totals, and every
 * test of every total passed.
 */
export interface FileResult {
  readonly source: string;
  /** Why the file is not good, empty when it is. */
  readonly faults: readonly string[];
  readonly passed: number;
  readonly failed: number;
  /** Reasons of the tests that said they cannot run here. */
  readonly skips: readonly string[];
  readonly output: string;
  readonly seconds: number;
}

export interface RunOptions {
  readonly limitMs: number;
  /** Skips with another reason are faults; null allows every skip. */
  readonly allowedSkips: readonly RegExp[] | null;
  /** Files at one time; as many as there are cores when left out. */
  readonly processes?: number;
}

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly isLate: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();

/** Run `files`, on all cores unless told otherwise. `report` hears of each file as it ends. */
export async function runFiles(
  files: readonly TestFile[],
  options: RunOptions,
  report: (result: FileResult) => void,
): Promise<FileResult[]> {
  const results: FileResult[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < files.length; i = next++) {
      const result = await runFile(files[i]!, options);
      results.push(result);
      report(result);
    }
  };
  await Promise.all(Array.from({ length: options.processes ?? availableParallelism() }, worker));
  return results;
}

/** Run one file in a process (group) of its own, which is killed when its time is over. */
export async function runFile(file: TestFile, options: RunOptions): Promise<FileResult> {
  const start = process.hrtime.bigint();
  const { compiled, source } = file;
  if (!existsSync(compiled)) {
    return judge(source, noEnding(`${compiled} is missing: build first`), {
      ...options,
      seconds: 0,
    });
  }
  const ending = await runProcess(compiled, options.limitMs);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return judge(source, ending, { ...options, seconds });
}

/** End every test process that still runs. */
export function killAll(): void {
  for (const child of running) killGroup(child);
}

function noEnding(message: string): Ending {
  return { code: 1, signal: null, isLate: false, stdout: '', stderr: message };
}

function runProcess(compiled: string, limitMs: number): Promise<Ending> {
  return new Promise((resolve) => {
    const env = { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' };
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, [compiled], { detached: true, stdio, env });
    running.add(child);
    let stdout = '';
    let stderr = '';
    let isLate = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const timer = setTimeout(() => {
      isLate = true;
      killGroup(child);
    }, limitMs);
    const end = (code: number | null, signal: string | null): void => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ code, signal, isLate, stdout, stderr });
    };
    child.on('error', (error) => {
      stderr += error.message;
      end(1, null);
    });
    child.on('close', end);
  });
}

/** A test may have started processes of its own: they go with it. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

interface JudgeOptions extends RunOptions {
  readonly seconds: number;
}

function judge(source: string, ending: Ending, options: JudgeOptions): FileResult {
  const stdout = stripVTControlCharacters(ending.stdout);
  const stderr = stripVTControlCharacters(ending.stderr);
  const total = sumOf(stdout, 'Total');
  const passed = sumOf(stdout, 'Passed');
  const skippedByLibrary = sumOf(stdout, 'Skipped');
  const skips = [...stdout.matchAll(/(?:^|\s)SKIP (.+)$/gm)].map((match) => match[1]!.trim());
  const faults: string[] = [];
  if (ending.isLate) faults.push(`over ${options.limitMs} ms, killed`);
  else if (ending.signal !== null) faults.push(`ended by ${ending.signal}`);
  else if (ending.code !== 0) faults.push(`exit code ${ending.code}`);
  if (total === 0) faults.push('no test ran');
  if (passed !== total) faults.push(`${passed} of ${total} tests passed`);
  if (skippedByLibrary > 0) faults.push(`${skippedByLibrary} tests skipped without a reason`);
  // Node prints its version after what nobody caught, even where it then exits 0.
  if (/^Node\.js v\d+/m.test(stderr)) faults.push('an error was thrown outside of every test');
  for (const reason of new Set(skips)) {
    if (options.allowedSkips?.some((allowed) => allowed.test(reason)) !== false) continue;
    faults.push(`unexpected skip: ${reason}`);
  }
  return {
    source,
    faults,
    passed: Math.max(0, passed - skips.length),
    failed: faults.length === 0 ? 0 : Math.max(1, total - passed),
    skips,
    output: `${stdout}${stderr}`.trim(),
    seconds: options.seconds,
  };
}

/** The library prints totals once per `run()` of a file that calls it more than once. */
function sumOf(text: string, word: string): number {
  let sum = 0;
  for (const match of text.matchAll(new RegExp(`^\\s*${word}:?\\s+(\\d+)`, 'gm'))) {
    sum += Number(match[1]);
  }
  return sum;
}
