import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface BuildResult {
  readonly isBuilt: boolean;
  /** What the compiler or cmake said, empty when it went well. */
  readonly reason: string;
}

/** Compile the addon with cmake-js. Needs cmake and a C++20 compiler; nothing is downloaded. */
export function buildNative(): BuildResult {
  const script = fileURLToPath(new URL('../../native/build.mjs', import.meta.url));
  const run = spawnSync(process.execPath, [script], {
    encoding: 'utf8',
    env: { ...process.env, ULTIMA_NATIVE: '1' },
  });
  return { isBuilt: run.status === 0, reason: `${run.stderr ?? ''}`.trim() };
}
