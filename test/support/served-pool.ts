import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { commands } from '../../sdk/cli/commands.js';
import { UltimaError } from '../../sdk/errors.js';

const main = fileURLToPath(new URL('../../sdk/cli/main.js', import.meta.url));

/** A command that ran in this process. */
export interface Said {
  readonly out: string;
  /** Exit code; -1 where it has thrown. */
  readonly code: number;
  /** 'NOT_FOUND: there is no …', 'RangeError: …'; '' where all went well. */
  readonly fault: string;
}

/**
 * Run `ultima pool|volume|snapshot …` in this process.
 *
 * @param shown  gets the lines that are shown on the way
 */
export async function saying(line: string, shown: string[] = []): Promise<Said> {
  const [noun = '', ...words] = line.split(' ');
  let out = '';
  const terminal = {
    out: (data: string | Uint8Array) => {
      out += String(data);
    },
    say: () => {},
    progress: (text: string) => void shown.push(text),
    isInteractive: false,
    columns: 80,
  };
  const entry = Object.entries(commands).find(([name]) => name === noun)![1];
  try {
    const code = await (await entry.load()).run(words, terminal);
    return { out, code, fault: '' };
  } catch (error) {
    if (error instanceof UltimaError) {
      return { out, code: -1, fault: `${error.code}: ${error.message}` };
    }
    return { out, code: -1, fault: String(error) };
  }
}

export interface CommandEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/**
 * A folder with a pool in it, and processes that use it: one that serves, others that ask it. Their
 * sockets lie in the folder, too.
 */
export class ServedPool {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-control-'));
  readonly disk = join(this.folder, 'disk.img');
  readonly nbd = join(this.folder, 'nbd');
  private readonly runtime = join(this.folder, 'run');
  private readonly children = new Set<ChildProcess>();
  private server: ChildProcess | null = null;

  constructor() {
    // For commands that run in this process.
    process.env.ULTIMA_RUNTIME_DIR = this.runtime;
  }

  get uri(): string {
    return `nbd+unix:///?socket=${this.nbd}`;
  }

  /** `ultima …` with '-p DISK' behind it. */
  run(line: string): Promise<CommandEnd> {
    return this.start(`${line} -p ${this.disk}`).ended;
  }

  /** The same for a command that must not fail. @returns what it printed */
  async succeed(line: string): Promise<string> {
    const { code, out, err } = await this.run(line);
    if (code !== 0) throw new Error(`${line}: ${code}\n${out}${err}`);
    return out;
  }

  start(line: string): { readonly child: ChildProcess; readonly ended: Promise<CommandEnd> } {
    const child = spawn(process.execPath, [main, ...line.split(' ')], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ULTIMA_RUNTIME_DIR: this.runtime },
    });
    this.children.add(child);
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, out, err }));
    return { child, ended };
  }

  /** `ultima serve volume …` until it says that it serves. */
  async serve(names: string): Promise<void> {
    const words = `serve volume ${names} --pool ${this.disk} --nbd unix:${this.nbd}`;
    const { child } = this.start(words);
    this.server = child;
    let said = '';
    const lines = createInterface({ input: child.stderr! });
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        said += `${line}\n`;
        if (line.includes('is served at')) resolve();
      });
      lines.once('close', () => reject(new Error(`the server did not start: ${said}`)));
    });
  }

  /** @returns its exit code, or the signal */
  async stop(signal: NodeJS.Signals): Promise<number | string | null> {
    const { server } = this;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return null;
    server.kill(signal);
    const [code, by] = await once(server, 'close');
    return code ?? by;
  }

  get serverPid(): number {
    return this.server?.pid ?? 0;
  }

  /** Whatever still runs is killed, and nothing stays. */
  end(): void {
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true });
  }
}
