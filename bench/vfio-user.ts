import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { native } from '../native/index.js';
import type { PciFunction } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { open } from '../sdk/open.js';
import { Register } from '../sdk/spec/nvme/registers.js';
import { Collections } from './collections.js';
import { blockBytes, DriverLoop } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { distance, mainThread, processorOf, waitedNs } from './threads.js';

/** A card whose every stage takes no time; the walk of the loops needs 2^30 blocks. */
const address =
  'sim:simple?lbaFormat=2&bytes=4TiB&media.readNs=0&media.readNextNs=0&firmware.fetchNs=0' +
  '&firmware.decodeNs=0&firmware.completeNs=0&firmware.readyNs=0';
const depths = [1, 32, 128] as const;
/** Few enough that a round fits between two turns of other processes. */
const perRound = { 1: 1_000, 32: 2_000, 128: 4_000 } as const;
const timedRequests = 1_000;
const wantedRounds = 101;
/** With fewer the machine is too busy for a figure; the least disturbed ones stand for it then. */
const fewestRounds = 3;
const warmUpMs = 2_000;
const limitMs = 6_000;
/** A round counts as undisturbed when the two processes waited less than this share of it. */
const calmShare = 0.02;
const million = 1_000_000;
const messagesPerTry = 50;
const idleMs = 3_000;

/** Our driver against our card, each in a process of its own. */
export const bench: Bench = {
  claim: 'a served card and our driver, in two processes with shared memory between them',
  run,
};

async function run(): Promise<Figures> {
  if (!native.isAvailable) throw new Error(native.unavailableReason);
  const server = await Server.start();
  try {
    return await measure(server);
  } finally {
    await server.stop();
  }
}

async function measure(server: Server): Promise<Figures> {
  const fn = await open(`vfio-user:${server.folder}`);
  const controller = await NvmeController.open(fn, { queueEntries: 1024, eventRequests: 0 });
  const openQueue = async (): Promise<Namespace> =>
    controller.namespace(1, { queuePair: await controller.createQueuePair() });
  const loops = new Map<number, DriverLoop>();
  for (const depth of depths) loops.set(depth, new DriverLoop(await openQueue(), depth));
  const single = new TimedLoop(await openQueue());
  for (const loop of [...loops.values(), single]) warmUp(loop);
  const runs = new Map<number, Run>();
  for (const depth of depths) {
    runs.set(depth, await roundsOf(server, loops.get(depth)!, perRound[depth]));
  }
  const latency = latencyOf(server, single);
  const gcPerMillion = await collectionsPerMillion(server, loops.get(128)!);
  const messageUs_p50 = messageUs(server, fn);
  const idleCpuPercent = await idlePercent(server);
  const { faults } = await server.counters();
  if (faults > 0) throw new Error(`${faults} faults at the server: the run is not valid`);
  const processors = [processorOf(mainThread), server.processor] as const;
  await controller.close();
  const [one, some, deep] = depths.map((depth) => runs.get(depth)!);
  return {
    conditions: {
      card: 'sim:simple, every stage without time, random reads of blocks that were never written',
      moves: 'the card copies 4096 bytes per read into the memory of the client',
      blockBytes,
      queueEntries: 1024,
      requestsPerRound: depths.map((depth) => `${perRound[depth]} at depth ${depth}`).join(', '),
      client: 'block requests, polling; its processor time with the polls that find nothing',
      server: 'real time of the turns in which it had something to do',
      time: 'median of the rounds in which neither process waited for a processor',
      calmRounds: [one!, some!, deep!].map(({ calmCount }) => calmCount).join(', '),
      triedRounds: [one!, some!, deep!].map(({ triedCount }) => triedCount).join(', '),
      isDisturbed: [one!, some!, deep!, latency].some(({ calmCount }) => calmCount < fewestRounds),
      processors: `${processors.join(' and ')}, ${distance(...processors)}`,
      ...machine(),
    },
    figures: {
      iops_qd1: one!.iops,
      iops_qd32: some!.iops,
      iops_qd128: deep!.iops,
      p50Us_qd1: latency.p50Us,
      p99Us_qd1: latency.p99Us,
      clientNsPerIo_qd128: deep!.clientNs,
      serverNsPerIo_qd128: deep!.serverNs,
      gcPerMillion_client: gcPerMillion.client,
      gcPerMillion_server: gcPerMillion.server,
      messageUs_p50,
      idleCpuPercent,
    },
  };
}

interface Counters {
  readonly completedCount: number;
  readonly busyNs: number;
  readonly cpuUs: number;
  readonly faults: number;
  /** Of garbage since the last mark, when they were asked for. */
  readonly collections: number;
}

/** The process with the card. */
class Server {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-bench-'));
  private readonly child: ChildProcess;

  private constructor() {
    const script = fileURLToPath(new URL('./vfio-user-server.js', import.meta.url));
    this.child = fork(script, [address, this.folder]);
  }

  static async start(): Promise<Server> {
    const server = new Server();
    await once(server.child, 'message');
    return server;
  }

  /** @param ask  'mark': collections count from here on; 'count': they are wanted */
  async counters(ask: 'mark' | 'count' | 'counters' = 'counters'): Promise<Counters> {
    const answer = once(this.child, 'message');
    this.child.send(ask);
    const [counters]: unknown[] = await answer;
    if (isCounters(counters)) return counters;
    throw new Error('the server says something else');
  }

  /** Time that it waited for a processor. */
  get waitedNs(): number {
    const { pid } = this.child;
    return pid === undefined ? 0 : waitedNs(`${pid}`, pid);
  }

  get processor(): number {
    const { pid } = this.child;
    return pid === undefined ? -1 : processorOf(`${pid}`, pid);
  }

  async stop(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.disconnect();
    await ended;
    rmSync(this.folder, { recursive: true });
  }
}

function isCounters(value: unknown): value is Counters {
  return typeof value === 'object' && value !== null && 'busyNs' in value;
}

/** Until everything is compiled, or the time is over on a machine that others use. */
function warmUp(loop: { run(count: number): void }): void {
  const untilMs = performance.now() + warmUpMs;
  for (let i = 0; i < 300 && performance.now() < untilMs; i++) loop.run(1000);
}

interface Run {
  readonly iops: number;
  readonly clientNs: number;
  readonly serverNs: number;
  readonly calmCount: number;
  readonly triedCount: number;
}

interface Round {
  readonly wallNs: number;
  readonly clientNs: number;
  readonly serverNs: number;
  readonly waitedShare: number;
}

async function roundsOf(server: Server, loop: DriverLoop, count: number): Promise<Run> {
  const rounds: Round[] = [];
  const untilMs = performance.now() + limitMs;
  const isCalm = ({ waitedShare }: Round): boolean => waitedShare < calmShare;
  while (rounds.filter(isCalm).length < wantedRounds && performance.now() < untilMs) {
    rounds.push(await roundOf(server, loop, count));
  }
  const calm = rounds.filter(isCalm);
  const byCalm = rounds.toSorted((a, b) => a.waitedShare - b.waitedShare);
  const chosen = calm.length < fewestRounds ? byCalm.slice(0, fewestRounds) : calm;
  return {
    iops: Math.round(1e9 / median(chosen.map(({ wallNs }) => wallNs))),
    clientNs: median(chosen.map(({ clientNs }) => clientNs)),
    serverNs: median(chosen.map(({ serverNs }) => serverNs)),
    calmCount: calm.length,
    triedCount: rounds.length,
  };
}

async function roundOf(server: Server, loop: DriverLoop, count: number): Promise<Round> {
  const before = await server.counters();
  // The question has woken the card; it works without a pause when the round begins.
  loop.run(count / 10);
  const waitedBefore = server.waitedNs + waitedNs(mainThread);
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  loop.run(count);
  const wallNs = (performance.now() - startMs) * 1e6;
  const { user, system } = process.cpuUsage(cpuBefore);
  const waited = server.waitedNs + waitedNs(mainThread) - waitedBefore;
  const after = await server.counters();
  const served = after.completedCount - before.completedCount;
  return {
    wallNs: wallNs / count,
    clientNs: ((user + system) * 1000) / count,
    serverNs: (after.busyNs - before.busyNs) / served,
    waitedShare: waited / wallNs,
  };
}

interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly calmCount: number;
}

/** One request after the other, each with its own time. */
class TimedLoop {
  readonly timesMs: Float64Array;
  private readonly loop: DriverLoop;

  constructor(namespace: Namespace) {
    this.loop = new DriverLoop(namespace, 1);
    this.timesMs = new Float64Array(timedRequests);
  }

  run(count: number): void {
    this.loop.run(count);
  }

  /** Fill `timesMs`. */
  time(): void {
    const { timesMs, loop } = this;
    let startMs = performance.now();
    for (let i = 0; i < timesMs.length; i++) {
      loop.run(1);
      const endMs = performance.now();
      timesMs[i] = endMs - startMs;
      startMs = endMs;
    }
  }
}

function latencyOf(server: Server, loop: TimedLoop): Latency {
  const tries: { share: number; p50Us: number; p99Us: number }[] = [];
  const untilMs = performance.now() + limitMs;
  while (tries.filter(({ share }) => share < calmShare).length < wantedRounds) {
    const waitedBefore = server.waitedNs + waitedNs(mainThread);
    const startMs = performance.now();
    loop.run(100);
    loop.time();
    const spentNs = (performance.now() - startMs) * 1e6;
    const share = (server.waitedNs + waitedNs(mainThread) - waitedBefore) / spentNs;
    const sorted = loop.timesMs.toSorted();
    const at = (part: number): number => sorted[Math.floor(part * sorted.length)]! * 1000;
    tries.push({ share, p50Us: at(0.5), p99Us: at(0.99) });
    if (performance.now() > untilMs) break;
  }
  const calm = tries.toSorted((a, b) => a.share - b.share).slice(0, wantedRounds);
  const chosen = calm.filter(({ share }, i) => i < fewestRounds || share < calmShare);
  const calmLatencyCount = tries.filter(({ share }) => share < calmShare).length;
  return {
    p50Us: median(chosen.map(({ p50Us }) => p50Us)),
    p99Us: median(chosen.map(({ p99Us }) => p99Us)),
    calmCount: calmLatencyCount,
  };
}

/** A register that is no doorbell is read by a message and its answer. */
function messageUs(server: Server, fn: PciFunction): number {
  const bar = fn.bar(0);
  const tries: { share: number; us: number }[] = [];
  const untilMs = performance.now() + limitMs;
  while (tries.filter(({ share }) => share < calmShare).length < wantedRounds) {
    const waitedBefore = server.waitedNs + waitedNs(mainThread);
    const times = Array.from({ length: messagesPerTry }, () => {
      const startMs = performance.now();
      bar.read32(Register.vs);
      return performance.now() - startMs;
    });
    const spentMs = times.reduce((sum, ms) => sum + ms, 0);
    const share = (server.waitedNs + waitedNs(mainThread) - waitedBefore) / (spentMs * 1e6);
    tries.push({ share, us: median(times) * 1000 });
    if (performance.now() > untilMs) break;
  }
  const calm = tries.toSorted((a, b) => a.share - b.share).slice(0, wantedRounds);
  return median(calm.map(({ us }) => us));
}

/** Processor time of a server whose client does nothing, after it has cooled down. */
async function idlePercent(server: Server): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = await server.counters();
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const after = await server.counters();
  // The question itself wakes the card for a moment.
  return ((after.cpuUs - before.cpuUs) / (idleMs * 1000)) * 100;
}

/**
 * Collections of either side, over a million requests or as many as there is time for. Each process
 * counts its own, between two marks around all of them.
 */
async function collectionsPerMillion(
  server: Server,
  loop: DriverLoop,
): Promise<{ client: number; server: number }> {
  const collections = new Collections();
  const before = await server.counters('mark');
  await collections.start();
  const untilMs = performance.now() + limitMs;
  for (let i = 0; i < million && performance.now() < untilMs; i += 10_000) loop.run(10_000);
  const client = await collections.end();
  const after = await server.counters('count');
  const served = (after.completedCount - before.completedCount) / million;
  return { client: client / served, server: after.collections / served };
}
