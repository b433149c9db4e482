import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));

/** `ultima serve card` in a process of its own, with a folder that goes with it. */
export class ServerProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-served-'));
  /** What it said on standard error. */
  readonly said: string[] = [];
  /** 'sim:…'; what `start` starts. */
  card: string;
  private child: ChildProcess | null = null;

  constructor(card: string) {
    this.card = card;
  }

  /** For `open`. */
  get address(): string {
    return `vfio-user:${join(this.folder, 'cntrl')}`;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Descriptors that it has open. */
  get descriptorCount(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Words for node that start it. */
  get words(): string[] {
    return [main, 'serve', 'card', this.card, '--vfio-user', this.folder];
  }

  /** Until it listens. @throws Error with what it said when it ends instead */
  async start(more: readonly string[] = []): Promise<void> {
    const words = [...this.words, ...more];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    const lines = createInterface({ input: child.stderr });
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        this.said.push(line);
        if (line.includes('is served at')) resolve();
      });
      lines.once('close', () =>
        reject(new Error(`no server: ${this.said.slice(-12).join(' / ')}`)),
      );
    });
  }

  /** Until it has ended. @returns the exit code, or the signal */
  async end(signal: NodeJS.Signals): Promise<number | string | null> {
    const { child } = this;
    if (child === null) return null;
    if (this.isRunning) {
      child.kill(signal);
      await once(child, 'exit');
    }
    return child.exitCode ?? child.signalCode;
  }

  /** End it, whatever it does, and remove its folder. */
  async remove(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
