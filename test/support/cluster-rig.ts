import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { FileStore } from '../../sdk/cluster/file-store.js';
import { StoreServer } from '../../sdk/cluster/store-server.js';

const main = fileURLToPath(new URL('../../sdk/cli/main.js', import.meta.url));
const limitMs = 60_000;

/** `ultima …` in a process of its own, which is listened to. */
export class Running {
  readonly lines: string[] = [];
  private readonly child: ChildProcess;
  private wake: () => void = () => {};
  private isOver = false;

  constructor(words: readonly string[]) {
    this.child = spawn(process.execPath, [main, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    const lines = createInterface({ input: this.child.stderr! });
    lines.on('line', (line) => {
      this.lines.push(line);
      this.wake();
    });
    lines.once('close', () => {
      this.isOver = true;
      this.wake();
    });
  }

  /** The first line from now on, or before, that is so. */
  async says(what: RegExp, from = 0): Promise<string> {
    const late = performance.now() + limitMs;
    const timer = setTimeout(() => this.wake(), limitMs);
    try {
      for (;;) {
        const found = this.lines.slice(from).find((line) => what.test(line));
        if (found !== undefined) return found;
        if (this.isOver || performance.now() >= late) break;
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
    const last = this.lines.slice(-3).join('\n');
    throw new Error(`it ${this.isOver ? 'ended' : 'waited'} without ${what}: ${last}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** It ends by itself. @returns the exit code, or the signal */
  async ended(): Promise<number | string | null> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    return child.exitCode ?? child.signalCode;
  }

  /** @returns the exit code, or the signal */
  async stop(signal: NodeJS.Signals): Promise<number | string | null> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, 'close');
    child.kill(signal);
    // One that was paused hears it only when it goes on.
    child.kill('SIGCONT');
    const [code, by] = await gone;
    return code ?? by;
  }
}

/** Three nodes in processes of their own, an embedded store here, and a volume that is attached. */
export class ClusterRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-cluster-'));
  readonly nodes: Running[] = [];
  private store: FileStore | null = null;
  private server: StoreServer | null = null;
  writer: Running | null = null;
  private attachments = 0;

  async start(): Promise<void> {
    const clock = new MonotonicClock();
    const folder = join(this.folder, 'store');
    const random = (bytes: Uint8Array): void => void randomFillSync(bytes);
    this.store = await FileStore.open({ folder, clock, random });
    this.server = await StoreServer.listen({ store: this.store, port: 0 });
    for (let i = 0; i < 3; i++) this.startNode(i);
    for (const node of this.nodes) await node.says(/ serves /);
  }

  private get storeWords(): string[] {
    return ['--store', this.server!.endpoint];
  }

  card(index: number): string {
    const file = encodeURIComponent(join(this.folder, `n${index}.img`));
    return `sim:simple?bytes=128MiB&file=${file}`;
  }

  startNode(index: number): void {
    const place = ['--pool', this.card(index), '--create', '--listen', '127.0.0.1:0'];
    this.nodes[index] = new Running(['node', `n${index}`, ...place, ...this.storeWords]);
  }

  /** `ultima cluster …`, which must not fail. */
  async cluster(...words: readonly string[]): Promise<void> {
    const child = new Running(['cluster', ...words, ...this.storeWords]);
    const code = await child.ended();
    if (code !== 0) throw new Error(`ultima cluster ${words.join(' ')}: ${child.lines.join('\n')}`);
  }

  /** Where the volume is served, once it is. */
  async attach(volume: string, ...words: readonly string[]): Promise<string> {
    this.attachments += 1;
    const socket = join(this.folder, `s${this.attachments}`);
    const name = ['--as', `w${this.attachments}`, '--status', '0.2'];
    const all = ['attach', volume, '--nbd', `unix:${socket}`, ...name, ...words];
    this.writer = new Running([...all, ...this.storeWords]);
    await this.writer.says(/ is served at /);
    return `nbd+unix:///?socket=${socket}`;
  }

  /** Every member has everything. */
  async inSync(): Promise<void> {
    const { writer } = this;
    await writer!.says(/serving, epoch \d+: \w+ InUse, \w+ InUse, \w+ InUse/, writer!.lines.length);
  }

  async end(): Promise<void> {
    await this.writer?.stop('SIGKILL');
    for (const node of this.nodes) await node.stop('SIGKILL');
    await this.server?.close();
    await this.store?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
