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
import { freePorts } from '../clients/etcd-cluster.js';
import { Served, ultima } from '../clients/served.js';
import { Peer } from './nbd-peer.js';
import { Relay } from './relay.js';

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

export interface ClusterRigOptions {
  /** Of an etcd; an embedded store, here, when left out. */
  readonly endpoints?: readonly string[];
  /** Nodes are reached through relays, where connections can be cut and held. */
  readonly hasRelays?: boolean;
}

/** Three nodes in processes of their own, a cluster store, and a volume that is attached. */
export class ClusterRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-cluster-'));
  readonly nodes: Running[] = [];
  readonly relays: Relay[] = [];
  private readonly options: ClusterRigOptions;
  private ports: readonly number[] = [];
  private store: FileStore | null = null;
  private server: StoreServer | null = null;
  writer: Running | null = null;
  private attachments = 0;

  constructor(options: ClusterRigOptions = {}) {
    this.options = options;
  }

  async start(): Promise<void> {
    const { endpoints, hasRelays = false } = this.options;
    if (endpoints === undefined) await this.embed();
    this.ports = hasRelays ? await freePorts(3) : [0, 0, 0];
    if (hasRelays) for (const port of this.ports) this.relays.push(await Relay.to(port));
    for (let i = 0; i < 3; i++) this.startNode(i);
    for (const node of this.nodes) await node.says(/ serves /);
  }

  private async embed(): Promise<void> {
    const clock = new MonotonicClock();
    const folder = join(this.folder, 'store');
    const random = (bytes: Uint8Array): void => void randomFillSync(bytes);
    this.store = await FileStore.open({ folder, clock, random });
    this.server = await StoreServer.listen({ store: this.store, port: 0 });
  }

  private get storeWords(): string[] {
    return ['--store', this.options.endpoints?.join(',') ?? this.server!.endpoint];
  }

  card(index: number): string {
    const file = encodeURIComponent(join(this.folder, `n${index}.img`));
    return `sim:simple?bytes=128MiB&file=${file}`;
  }

  startNode(index: number): void {
    const place = ['--pool', this.card(index), '--create'];
    const listen = ['--listen', `127.0.0.1:${this.ports[index]}`];
    const relay = this.relays[index];
    const address = relay === undefined ? [] : ['--address', relay.address];
    const words = [...place, ...listen, ...address, ...this.storeWords];
    this.nodes[index] = new Running(['node', `n${index}`, ...words]);
  }

  /** `ultima cluster …`, which must not fail. */
  async cluster(...words: readonly string[]): Promise<void> {
    const child = new Running(['cluster', ...words, ...this.storeWords]);
    const code = await child.ended();
    if (code !== 0) throw new Error(`ultima cluster ${words.join(' ')}: ${child.lines.join('\n')}`);
  }

  /** The socket where the volume is served, once it is. */
  async attach(volume: string, ...words: readonly string[]): Promise<string> {
    this.attachments += 1;
    const socket = join(this.folder, `s${this.attachments}`);
    const name = ['--as', `w${this.attachments}`, '--status', '0.2'];
    const all = ['attach', volume, '--nbd', `unix:${socket}`, ...name, ...words];
    this.writer = new Running([...all, ...this.storeWords]);
    await this.writer.says(/ is served at /);
    return socket;
  }

  /** Every member has everything. */
  async inSync(): Promise<void> {
    const { writer } = this;
    await writer!.says(/serving, epoch \d+: \w+ InUse, \w+ InUse, \w+ InUse/, writer!.lines.length);
  }

  /**
   * The nodes go in order, and what each has of the volume is read without the cluster.
   *
   * @returns null when that is the same, or what differs
   */
  async compareMembers(bytes: number): Promise<string | null> {
    const members: Buffer[] = [];
    for (let i = 0; i < 3; i++) {
      const code = await this.nodes[i]!.stop('SIGTERM');
      if (code !== 0) return `node ${i} ended with ${code}: ${this.nodes[i]!.lines.at(-1)}`;
      members.push(await contentOf(this.card(i), bytes));
    }
    const differs = members.findIndex((member) => !member.equals(members[0]!));
    return differs < 0 ? null : `the member of node ${differs} differs from that of node 0`;
  }

  async end(): Promise<void> {
    await this.writer?.stop('SIGKILL');
    for (const node of this.nodes) await node.stop('SIGKILL');
    for (const relay of this.relays) await relay.end();
    await this.server?.close();
    await this.store?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a node has of the volume, as its pool says without the cluster. */
async function contentOf(card: string, bytes: number): Promise<Buffer> {
  const served = new Served();
  try {
    const listed = await ultima('volume', 'list', '--pool', card);
    const data = /member-[0-9a-f]{32}(?!-)/.exec(listed)?.[0];
    if (data === undefined) throw new Error(`no member in ${listed}`);
    await served.start('volume', data, '--pool', card);
    const peer = Peer.to(served.uri);
    await peer.go('');
    return Buffer.from(await peer.read(0, bytes));
  } finally {
    await served.end();
  }
}
