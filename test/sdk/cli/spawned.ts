import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly bytes: Buffer;
}

/** The built command as a person runs it, with its output in pipes. */
export function ultima(...words: string[]): Ended {
  const child = spawnSync(process.execPath, [main, ...words], {
    timeout: 15_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  const { status, stdout, stderr } = child;
  return { code: status, out: stdout.toString(), err: stderr.toString(), bytes: stdout };
}

/** A value inside parsed JSON; throws where the path does not lead on. */
export function at(document: unknown, ...path: (string | number)[]): unknown {
  let value = document;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !(step in value)) {
      throw new Error(`no ${path.join('.')}: stopped at ${step}`);
    }
    value = Reflect.get(value, step);
  }
  return value;
}
