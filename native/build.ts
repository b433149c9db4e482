import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface BuildResult {
  readonly isBuilt: boolean;
  /** What the compiler or cmake said, empty when it went well. */
  readonly reason: string;
}

/** Compile the addon with cmake-js into build/Release. Needs cmake and a C++20 compiler. */
export function buildNative(): BuildResult {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const options = ['compile', '-d', `${root}native`, '-O', `${root}build`, '--parallel', '2'];
  const run = spawnSync(process.execPath, [cmakeJs, ...options], { encoding: 'utf8' });
  if (run.status === 0) return { isBuilt: true, reason: '' };
  const lines = `${run.stdout ?? ''}${run.stderr ?? ''}`.trim().split('\n');
  const telling = lines.filter((line) => /error|not found|no such|failed/i.test(line));
  return { isBuilt: false, reason: (telling.length > 0 ? telling : lines).slice(0, 5).join('\n') };
}
