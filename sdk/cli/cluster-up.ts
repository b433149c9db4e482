import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { FileStore } from '../cluster/file-store.js';
import { StoreServer } from '../cluster/store-server.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { makeFolder } from '../folder.js';
import { parseInteger, parseWords, usageError } from './arguments.js';
import { defaultStore } from './cluster-store.js';
import { signalled } from './serving.js';
import type { Terminal } from './terminal.js';

export const upUsage = `
  up                   a whole cluster on this machine, to try things out, until a signal ends it:
                       an embedded store and nodes in processes of their own
      --nodes N          1 to 9; 3 when left out
      --dir DIR          where its data stays; out/cluster when left out
      --card ADDRESS     the simulated card in each node; its file is in DIR
      --store URL        an etcd that runs already, instead of the embedded store
      --store-port N     of the embedded store; 2379 when left out, 0 takes one that is free`;

const options = {
  nodes: { type: 'string', default: '3' },
  dir: { type: 'string', default: 'out/cluster' },
  card: { type: 'string', default: 'sim:simple?bytes=2GiB' },
  store: { type: 'string' },
  'store-port': { type: 'string', default: '2379' },
} as const;

const main = fileURLToPath(new URL('./main.js', import.meta.url));

/** `ultima cluster up` */
export async function up(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  if (positionals.length > 0) throw usageError(`up takes no name, not '${positionals[0]}'`);
  const count = parseInteger('nodes', values.nodes, { low: 1, high: 9 });
  const port = parseInteger('store-port', values['store-port'], { low: 0, high: 65_535 });
  if (!values.card.startsWith('sim:')) throw usageError(`--card ${values.card}: sim:PROFILE`);
  makeFolder(values.dir);
  const embedded = values.store === undefined ? await embed(values.dir, port) : null;
  const endpoint = values.store ?? embedded!.server.endpoint;
  terminal.say(`ultima: cluster store at ${endpoint}${embedded ? `, in ${values.dir}/store` : ''}`);
  const names = Array.from({ length: count }, (_, i) => `n${i + 1}`);
  const nodes = names.map((name) => {
    return new RunningNode(name, wordsOf(name, endpoint, values), terminal);
  });
  try {
    for (const node of nodes) terminal.say(await node.ready);
    terminal.say(tryOut(endpoint));
    const ended = await signalled();
    terminal.say(`ultima: ${ended}: the cluster goes down`);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await embedded?.server.close();
    await embedded?.store.close();
  }
  return 0;
}

async function embed(folder: string, port: number) {
  const random = (bytes: Uint8Array) => void randomFillSync(bytes);
  const clock = new MonotonicClock();
  const store = await FileStore.open({ folder: join(folder, 'store'), clock, random });
  try {
    return { store, server: await StoreServer.listen({ store, port }) };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What a killed node needs to be there again. */
const restartMs = 5_000;

/** A node in a process of its own, started again when it is killed. */
class RunningNode {
  /** What it said when it was there. */
  readonly ready: Promise<string>;
  private readonly words: readonly string[];
  private readonly name: string;
  private readonly terminal: Terminal;
  private child: ChildProcess;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private isStopping = false;

  constructor(name: string, words: readonly string[], terminal: Terminal) {
    this.name = name;
    this.words = words;
    this.terminal = terminal;
    this.child = this.start();
    this.ready = readiness(this.child, name);
  }

  private start(): ChildProcess {
    const child = spawn(process.execPath, [main, 'node', this.name, ...this.words], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.once('exit', (code, signal) => this.ended(code ?? signal));
    return child;
  }

  private ended(how: number | string | null): void {
    if (this.isStopping) return;
    this.terminal.say(
      `ultima: node ${this.name} has ended (${how}); again in ${restartMs / 1000} s`,
    );
    this.timer = setTimeout(() => {
      this.child = this.start();
      readiness(this.child, this.name).then(
        (line) => this.terminal.say(line),
        // Told when it ends.
        () => {},
      );
    }, restartMs);
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

function wordsOf(name: string, endpoint: string, values: UpWords): string[] {
  const { dir, card } = values;
  const file = encodeURIComponent(join(dir, `${name}.img`));
  const device = `${card}${card.includes('?') ? '&' : '?'}file=${file}`;
  return ['--pool', device, '--create', '--listen', '127.0.0.1:0', '--store', endpoint];
}

interface UpWords {
  readonly dir: string;
  readonly card: string;
}

/** @returns the line that says where it serves; rejects with what it said when it ends before */
function readiness(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4096);
      const line = /^.* serves .*$/m.exec(said)?.[0];
      if (line !== undefined) resolve(`${line} (process ${child.pid})`);
    });
    child.once('exit', (code, signal) => {
      const message = `node ${name} did not start (${code ?? signal}): ${said.trim()}`;
      reject(new UltimaError(ErrorCode.backendUnavailable, message, { name }));
    });
  });
}

function tryOut(endpoint: string): string {
  const store = endpoint === defaultStore ? '' : ` --store ${endpoint}`;
  return [
    '',
    'Try it, in another terminal:',
    `  ultima cluster create db --bytes 256m${store}`,
    `  ultima attach db --nbd unix:/tmp/db --status 1${store}`,
    "  fio --name=try --ioengine=nbd --uri='nbd+unix:///db?socket=/tmp/db' --rw=randwrite \\",
    '    --bs=4k --size=64m --verify=crc32c',
    `  ultima cluster nodes${store}`,
    'and kill -9 a node in the middle.',
    '',
  ].join('\n');
}
