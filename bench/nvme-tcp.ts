import { type ChildProcess, fork } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { theKernel } from '../native/index.js';
import { BlockRequest } from '../sdk/block/request.js';
import { NvmeTcp } from '../sdk/fabric/initiator.js';
import type { RemoteNamespace } from '../sdk/fabric/remote-namespace.js';
import { NvmeTcpTarget } from '../sdk/fabric/target.js';
import { NativeSockets } from '../sdk/sockets/native-sockets.js';
import { TestPrng } from '../sdk/testing/prng.js';
import { NullDevice, noClock, realClock } from './block-devices.js';
import { collections } from './collections.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { answerBytes, askBytes, benchNqn, blockBytes, deviceBytes } from './nvme-tcp-wire.js';

const depths = [1, 32, 128] as const;
const rounds = 3;
const roundMs = 700;
const entries = 256;
/** Reads in which collections of garbage are counted, at this depth. */
const gcReads = 1_000_000;
const gcDepth = 32;
const peerScript = fileURLToPath(new URL('./nvme-tcp-peer.js', import.meta.url));

/** What one run gave. */
interface Run {
  readonly iops: number;
  readonly p50Us: number;
  /** Of both processes. */
  readonly cpuNs: number;
}

type Kind = 'native' | 'node' | 'echo';

export const bench: Bench = {
  claim:
    '4 KiB reads over NVMe/TCP on loopback from a null device, initiator and target in processes ' +
    'of their own, next to node:net and to the least that answers at all',
  run: async (): Promise<Figures> => {
    const loadBefore = loadavg()[0] ?? 0;
    const peers = {
      native: await Peer.start('native'),
      node: await Peer.start('node'),
      echo: await Peer.start('echo'),
    };
    const runs = new Map<string, Run[]>();
    let gcs = { target: 0, initiator: 0 };
    try {
      for (let round = 0; round < rounds; round++) {
        for (const depth of depths) {
          for (const kind of ['native', 'echo', 'node'] as const) {
            const key = `${kind} ${depth}`;
            const run = await measure(peers[kind], kind, depth);
            runs.set(key, [...(runs.get(key) ?? []), run]);
          }
        }
      }
      gcs = await collectionsOf(peers.native);
    } finally {
      for (const peer of Object.values(peers)) peer.end();
    }
    const of = (kind: Kind, depth: number, field: keyof Run): number =>
      median((runs.get(`${kind} ${depth}`) ?? []).map((run) => run[field]));
    const figures: Record<string, number> = {};
    for (const depth of depths) {
      figures[`nvmeTcp_iops_qd${depth}`] = Math.round(of('native', depth, 'iops'));
      figures[`nodeNet_iops_qd${depth}`] = Math.round(of('node', depth, 'iops'));
      figures[`echo_iops_qd${depth}`] = Math.round(of('echo', depth, 'iops'));
    }
    figures.nvmeTcp_p50Us_qd1 = of('native', 1, 'p50Us');
    figures.nvmeTcp_cpuNsPerIo = Math.round(await pairedCpuNs(32));
    figures.nvmeTcp_processesCpuNsPerIo_qd128 = Math.round(of('native', 128, 'cpuNs'));
    figures.nodeNet_processesCpuNsPerIo_qd128 = Math.round(of('node', 128, 'cpuNs'));
    figures.echo_processesCpuNsPerIo_qd128 = Math.round(of('echo', 128, 'cpuNs'));
    figures.gcPerMillion_target = gcs.target;
    figures.gcPerMillion_initiator = gcs.initiator;
    const conditions = {
      ...machine(),
      bytes: blockBytes,
      rounds,
      roundMs,
      loadBefore,
      cpuNsPerIo: 'target and initiator in one thread that never waits, depth 32, user and system',
      gcPerMillion: `${gcReads} reads at depth ${gcDepth} after as many, each process for itself`,
      processesCpuNsPerIo: 'both processes with what they spin, user and system',
    };
    return { conditions, figures };
  },
};

/**
 * What both sides together cost, kernel included: in one thread there is always something to do,
 * so that nothing is spent on waiting, and how busy the machine is does not matter.
 */
async function pairedCpuNs(depth: number): Promise<number> {
  const served = new NullDevice({ bytes: deviceBytes, blockBytes, clock: noClock });
  const target = await NvmeTcpTarget.start({
    listen: ['127.0.0.1:0'],
    subsystems: [
      {
        nqn: benchNqn,
        namespaces: [{ nsid: 1, device: served, nguid: new Uint8Array(16).fill(1) }],
      },
    ],
    sockets: new NativeSockets(theKernel()),
  });
  const sockets = new NativeSockets(theKernel());
  const host = await NvmeTcp.connect({
    address: `127.0.0.1:${target.places[0]!.port}`,
    nqn: benchNqn,
    clock: noClock,
    entries,
    keepAliveMs: 0,
    reconnectMs: 0,
    sockets,
  });
  const device = host.namespace(1);
  const region = device.memory.allocate(depth * blockBytes);
  let count = 0;
  const submit = (request: BlockRequest): void => {
    request.lba = (count * 7919) % device.blockCount;
    device.submit(request);
  };
  for (let i = 0; i < depth; i++) {
    const request = new BlockRequest((ended) => {
      count++;
      submit(ended);
    });
    request.blockCount = 1;
    request.setData(region, i * blockBytes, blockBytes);
    submit(request);
  }
  const until = (limit: number): void => {
    while (count < limit) {
      device.poll();
      target.poll();
    }
  };
  until(100_000);
  const before = process.cpuUsage();
  until(400_000);
  const { user, system } = process.cpuUsage(before);
  await host.close();
  await target.close();
  return (user + system) / 300;
}

/** Of each process, while the initiator does nothing but read. */
async function collectionsOf(peer: Peer): Promise<{ target: number; initiator: number }> {
  const sockets = new NativeSockets(theKernel());
  const host = await NvmeTcp.connect({
    address: `127.0.0.1:${peer.port}`,
    nqn: benchNqn,
    clock: noClock,
    entries,
    keepAliveMs: 0,
    reconnectMs: 0,
    sockets,
  });
  const device = host.namespace(1);
  const region = device.memory.allocate(gcDepth * blockBytes);
  let ended = 0;
  let limit = 0;
  let inFlight = 0;
  const submit = (request: BlockRequest): void => {
    request.lba = (ended * 7919) % device.blockCount;
    inFlight++;
    device.submit(request);
  };
  const done = (request: BlockRequest): void => {
    if (request.status !== 0) throw new Error(`a read ended with ${request.status}`);
    ended++;
    inFlight--;
    if (ended + inFlight < limit) submit(request);
  };
  const requests = Array.from({ length: gcDepth }, (_, i) => {
    const request = new BlockRequest(done);
    request.blockCount = 1;
    request.setData(region, i * blockBytes, blockBytes);
    return request;
  });
  const read = (count: number): void => {
    limit = ended + count;
    for (const request of requests) submit(request);
    while (inFlight > 0) device.poll();
  };
  try {
    read(gcReads);
    const before = (await peer.counters()).collections;
    const initiator = await collections(() => read(gcReads));
    return { target: (await peer.counters()).collections - before, initiator };
  } finally {
    await host.close();
    sockets.close();
  }
}

/** What a peer says of its process. */
interface PeerCounters {
  readonly cpuUs: number;
  /** Of garbage, so far. */
  readonly collections: number;
}

/** A process at the other end. */
class Peer {
  readonly port: number;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.port = port;
  }

  static async start(kind: Kind): Promise<Peer> {
    const child = fork(peerScript, [kind]);
    const { port } = await answerOf<{ port: number }>(child);
    return new Peer(child, port);
  }

  counters(): Promise<PeerCounters> {
    const answer = answerOf<PeerCounters>(this.child);
    this.child.send('counters');
    return answer;
  }

  end(): void {
    this.child.disconnect();
  }
}

function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const failed = (code: number | null): void => reject(new Error(`the peer ended: ${code}`));
    child.once('exit', failed);
    child.once('message', (message: T) => {
      child.off('exit', failed);
      resolve(message);
    });
  });
}

async function measure(peer: Peer, kind: Kind, depth: number): Promise<Run> {
  const before = (await peer.counters()).cpuUs + ownCpuUs();
  const { count, elapsedMs, p50Us } =
    kind === 'echo' ? await runEcho(peer.port, depth) : await runReads(peer.port, kind, depth);
  const cpuUs = (await peer.counters()).cpuUs + ownCpuUs() - before;
  return { iops: (count / elapsedMs) * 1000, p50Us, cpuNs: (cpuUs * 1000) / count };
}

function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

interface Counted {
  readonly count: number;
  readonly elapsedMs: number;
  readonly p50Us: number;
}

async function runReads(port: number, kind: Kind, depth: number): Promise<Counted> {
  const isNative = kind === 'native';
  const sockets = isNative ? new NativeSockets(theKernel()) : undefined;
  const host = await NvmeTcp.connect({
    address: `127.0.0.1:${port}`,
    nqn: benchNqn,
    clock: realClock,
    entries,
    keepAliveMs: 0,
    reconnectMs: 0,
    ...(sockets !== undefined && { sockets }),
  });
  try {
    return await load(host.namespace(1), depth, isNative);
  } finally {
    await host.close();
    sockets?.close();
  }
}

async function load(device: RemoteNamespace, depth: number, isPolled: boolean): Promise<Counted> {
  const random = new TestPrng(1);
  const latencies = new Float64Array(200_000);
  let count = 0;
  let inFlight = 0;
  let isEnding = false;
  const region = device.memory.allocate(depth * blockBytes);
  const submit = (request: BlockRequest): void => {
    request.lba = random.below(device.blockCount);
    inFlight++;
    device.submit(request);
  };
  const done = (request: BlockRequest): void => {
    if (request.status !== 0) throw new Error(`a read ended with ${request.status}`);
    latencies[count % latencies.length] = request.completedNs - request.submittedNs;
    count++;
    inFlight--;
    if (!isEnding) submit(request);
  };
  const startMs = performance.now();
  for (let i = 0; i < depth; i++) {
    const request = new BlockRequest(done);
    request.blockCount = 1;
    request.setData(region, i * blockBytes, blockBytes);
    submit(request);
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  while (performance.now() - startMs < roundMs) {
    if (isPolled) for (let i = 0; i < 64; i++) device.poll();
    else {
      device.poll();
      await turn();
    }
  }
  const elapsedMs = performance.now() - startMs;
  const measured = count;
  isEnding = true;
  while (inFlight > 0) {
    device.poll();
    await turn();
  }
  const known = latencies.slice(0, Math.min(measured, latencies.length)).sort();
  return { count: measured, elapsedMs, p50Us: (known[known.length >> 1] ?? 0) / 1000 };
}

async function runEcho(port: number, depth: number): Promise<Counted> {
  const sockets = new NativeSockets(theKernel());
  const stream = await sockets.connect({ host: '127.0.0.1', port }, 2000);
  const ask = new Uint8Array(depth * askBytes);
  let pending = 0;
  const receive = (_bytes: Uint8Array, from: number, to: number): void => {
    pending += to - from;
  };
  stream.attach({ receive, sent: () => {}, gone: () => {} });
  let count = 0;
  const startMs = performance.now();
  stream.send(ask, ask.length);
  while (performance.now() - startMs < roundMs) {
    for (let i = 0; i < 64; i++) {
      sockets.poll();
      const ended = Math.floor(pending / answerBytes);
      if (ended === 0) continue;
      pending -= ended * answerBytes;
      count += ended;
      stream.send(ask, ended * askBytes);
    }
  }
  const elapsedMs = performance.now() - startMs;
  stream.destroy();
  sockets.close();
  return { count, elapsedMs, p50Us: (elapsedMs * 1000 * depth) / count };
}
