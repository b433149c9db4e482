import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The command `ultima`. */
export const main = fileURLToPath(new URL('../../sdk/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
}

/** A program that may take so long; half a minute when only its name is given. */
type Program = string | { readonly program: string; readonly limitMs: number };

/** Run a program to its end. @returns what it said, on both streams */
export async function run(what: Program, ...words: readonly string[]): Promise<Ended> {
  const { program, limitMs } = typeof what === 'string' ? { program: what, limitMs: 30_000 } : what;
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const late = setTimeout(() => child.kill('SIGKILL'), limitMs);
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      out += piece;
    });
  }
  const [code] = await once(child, 'close');
  clearTimeout(late);
  return { code, out };
}

/** The same, for a program that must not fail. */
export async function succeed(program: string, ...words: readonly string[]): Promise<string> {
  const { code, out } = await run(program, ...words);
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${code}\n${out}`);
  return out;
}

/** `ultima COMMAND`, which must not fail. */
export function ultima(...words: readonly string[]): Promise<string> {
  return succeed(process.execPath, main, ...words);
}

/** `ultima serve` in a process of its own, in a folder of its own. */
export class Served {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-clients-'));
  readonly uri: string;
  readonly socket: string;
  private child: ChildProcess | null = null;
  /** What it has said, of all times that it was started. */
  said = '';

  constructor() {
    this.socket = join(this.folder, 's');
    this.uri = `nbd+unix:///?socket=${this.socket}`;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** For an export that is not the first one. */
  uriOf(name: string): string {
    return `nbd+unix:///${encodeURIComponent(name)}?socket=${this.socket}`;
  }

  /** Until it says that it serves. */
  async start(...words: readonly string[]): Promise<void> {
    const all = [main, 'serve', ...words, '--nbd', `unix:${this.socket}`];
    const child = spawn(process.execPath, all, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    const lines = createInterface({ input: child.stderr! });
    const isServing = await new Promise<boolean>((resolve) => {
      lines.on('line', (line) => {
        this.said += `${line}\n`;
        if (line.includes('is served at')) resolve(true);
      });
      lines.once('close', () => resolve(false));
    });
    if (!isServing) throw new Error(`the server did not start: ${this.said}`);
  }

  /** Of the process that serves. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** @returns the exit code, or the signal */
  async stop(signal: NodeJS.Signals): Promise<number | string | null> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return null;
    child.kill(signal);
    const [code, by] = await once(child, 'close');
    return code ?? by;
  }

  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true });
  }
}
