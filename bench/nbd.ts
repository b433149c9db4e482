import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bench, type Figures, machine, median } from './figures.js';

const main = fileURLToPath(new URL('../sdk/cli/main.js', import.meta.url));
const size = '64M';
const depths = [1, 16, 128] as const;
const directions = ['randread', 'randwrite'] as const;
const rounds = 3;
const runtime = '600ms';
const startMs = 20_000;
/** Linux tells processor time in hundredths of a second. */
const tickUs = 10_000;

/** Our server and nbdkit, each over memory in a process of its own, in turn under one fio. */
export const bench: Bench = {
  claim: 'a memory device over NBD at a UNIX socket: our server beside nbdkit, 4 KiB at random',
  run,
};

interface Measured {
  readonly iops: number;
  readonly requests: number;
  /** Processor time of the server. */
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

async function run(): Promise<Figures> {
  const fio = spawnSync('fio', ['--version'], { encoding: 'utf8' });
  if (fio.status !== 0) throw new Error('fio is not installed, and measures both servers');
  const nbdkit = spawnSync('nbdkit', ['--version'], { encoding: 'utf8' });
  const hasAnchor = nbdkit.status === 0;
  const folder = mkdtempSync(join(tmpdir(), 'ultima-bench-nbd-'));
  const servers: Server[] = [];
  try {
    const ours = await Server.start(join(folder, 'ours'), process.execPath, (socket) => [
      ...[main, 'serve', 'device', 'memory:64MiB', '--nbd', `unix:${socket}`],
    ]);
    servers.push(ours);
    if (hasAnchor) {
      const words = (socket: string): string[] => ['-f', '-U', socket, 'memory', size];
      servers.push(await Server.start(join(folder, 'nbdkit'), 'nbdkit', words));
    }
    const figures = measure(servers, folder);
    const anchor = hasAnchor
      ? nbdkit.stdout.trim()
      : 'nbdkit is not installed: no anchor, no ratios';
    const conditions = {
      ...machine(),
      client: `${fio.stdout.trim()}, nbd engine, one job`,
      anchor,
      device: `memory, ${size}, filled`,
      blockBytes: 4096,
      runtime: `${runtime}, median of ${rounds} rounds in turn`,
    };
    return { conditions, figures };
  } finally {
    for (const server of servers) await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function measure(servers: readonly Server[], folder: string): Record<string, number> {
  for (const { socket } of servers) {
    fioOn(socket, folder, ['--rw=write', '--bs=1M', `--size=${size}`, '--iodepth=4']);
    // Until the server's code is compiled as it will be.
    const warm = ['--rw=randrw', '--bs=4k', '--iodepth=16', `--size=${size}`];
    fioOn(socket, folder, [...warm, '--time_based', '--runtime=2s']);
  }
  const figures: Record<string, number> = {};
  for (const direction of directions) {
    for (const depth of depths) {
      const seen = servers.map((): Measured[] => []);
      for (let round = 0; round < rounds; round++) {
        for (const [i, server] of servers.entries()) {
          seen[i]!.push(measureOne(server, folder, { direction, depth }));
        }
      }
      Object.assign(figures, figuresOf(`${direction}_qd${depth}`, seen));
    }
  }
  return figures;
}

/** Of our server first; processor time and medians count where others use the machine, too. */
function figuresOf(name: string, seen: readonly (readonly Measured[])[]): Record<string, number> {
  const [ours, theirs] = seen.map((all) => ({
    iops: Math.round(median(all.map(({ iops }) => iops))),
    p50Us: median(all.map(({ p50Us }) => p50Us)),
    p99Us: median(all.map(({ p99Us }) => p99Us)),
    serverCpuUsPerIo: perRequest(all),
  }));
  const figures: Record<string, number> = {};
  for (const [key, value] of Object.entries(ours!)) figures[`${key}_${name}`] = value;
  if (theirs === undefined) return figures;
  for (const [key, value] of Object.entries(theirs)) figures[`nbdkit_${key}_${name}`] = value;
  const ratio = (a: number, b: number): number => Math.round((a / b) * 1000) / 1000;
  figures[`iopsRatio_${name}`] = ratio(ours!.iops, theirs.iops);
  figures[`p50Ratio_${name}`] = ratio(ours!.p50Us, theirs.p50Us);
  figures[`cpuRatio_${name}`] = ratio(ours!.serverCpuUsPerIo, theirs.serverCpuUsPerIo);
  return figures;
}

function perRequest(all: readonly Measured[]): number {
  const sum = (of: (one: Measured) => number): number => all.reduce((now, one) => now + of(one), 0);
  return Math.round((sum(({ cpuUs }) => cpuUs) / sum(({ requests }) => requests)) * 100) / 100;
}

interface Point {
  readonly direction: (typeof directions)[number];
  readonly depth: number;
}

function measureOne(server: Server, folder: string, { direction, depth }: Point): Measured {
  const load = [`--rw=${direction}`, '--bs=4k', `--iodepth=${depth}`, `--size=${size}`];
  const time = ['--time_based', `--runtime=${runtime}`, '--norandommap', '--random_generator=lfsr'];
  const beforeUs = server.cpuUs;
  const result = fioOn(server.socket, folder, [...load, ...time]);
  const cpuUs = server.cpuUs - beforeUs;
  const [job] = listOf(result, 'jobs');
  const part = groupOf(job, direction === 'randread' ? 'read' : 'write');
  const percentiles = groupOf(groupOf(part, 'clat_ns'), 'percentile');
  const micros = (name: string): number => Math.round(numberOf(percentiles, name) / 100) / 10;
  const iops = numberOf(part, 'iops');
  if (!(iops > 0)) throw new Error(`fio measured ${iops} IOPS`);
  const requests = numberOf(part, 'total_ios');
  return { iops, requests, cpuUs, p50Us: micros('50.000000'), p99Us: micros('99.000000') };
}

function fioOn(socket: string, folder: string, words: readonly string[]): unknown {
  const place = [`--uri=nbd+unix:///?socket=${socket}`, `--aux-path=${folder}`];
  const fixed = ['--name=b', '--ioengine=nbd', '--output-format=json', ...place];
  const { status, stdout, stderr } = spawnSync('fio', [...fixed, ...words], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`fio ended with ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout.slice(stdout.indexOf('{')));
}

/** A server in a process of its own. */
class Server {
  readonly socket: string;
  private readonly child: ChildProcess;

  private constructor(socket: string, child: ChildProcess) {
    this.socket = socket;
    this.child = child;
  }

  /** Until somebody listens. */
  static async start(
    socket: string,
    program: string,
    words: (socket: string) => readonly string[],
  ): Promise<Server> {
    const child = spawn(program, words(socket), { stdio: ['ignore', 'ignore', 'inherit'] });
    const server = new Server(socket, child);
    const untilMs = performance.now() + startMs;
    while (!(await server.isListening())) {
      if (performance.now() < untilMs && child.exitCode === null) continue;
      await server.stop();
      throw new Error(`${program} does not listen at ${socket}`);
    }
    return server;
  }

  /** Processor time so far; the kernel counts in ticks. */
  get cpuUs(): number {
    const text = readFileSync(`/proc/${this.child.pid}/stat`, 'latin1');
    const [user, system] = text.slice(text.lastIndexOf(')')).split(' ').slice(12, 14);
    return (Number(user) + Number(system)) * tickUs;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'close');
  }

  private async isListening(): Promise<boolean> {
    const client = connect(this.socket);
    const isThere = await new Promise<boolean>((resolve) => {
      client.once('connect', () => resolve(true));
      client.once('error', () => resolve(false));
    });
    client.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    return isThere;
  }
}

type Group = Readonly<Record<string, unknown>>;

function isGroup(value: unknown): value is Group {
  return typeof value === 'object' && value !== null;
}

function groupOf(value: unknown, name: string): Group {
  const inner = isGroup(value) ? value[name] : undefined;
  if (!isGroup(inner)) throw new Error(`fio prints no ${name}`);
  return inner;
}

function listOf(value: unknown, name: string): readonly unknown[] {
  const inner: unknown = groupOf(value, name);
  return Array.isArray(inner) ? inner : [];
}

function numberOf(group: Group, name: string): number {
  const value = group[name];
  if (typeof value !== 'number') throw new Error(`fio prints no ${name}`);
  return value;
}
