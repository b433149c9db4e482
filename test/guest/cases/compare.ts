import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import type { CompletionMode } from '../../../sdk/index.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { Histogram } from '../../../sdk/observe/histogram.js';
import { address, type GuestCase } from '../case.js';
import { withFunction } from './function.js';
import { disk } from './kernel.js';

const seconds = 2;
const rounds = 3;
const blockBytes = 4096;
const ticksPerSecond = 100;

interface Measured {
  readonly iops: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Busy time of all processors of the guest per I/O, interrupts included. */
  readonly cpuNsPerIo: number;
}

const keys = [
  'iops',
  'p50Us',
  'p99Us',
  'cpuNsPerIo',
] as const satisfies readonly (keyof Measured)[];

/** The same random reads of one disk through our driver and through the kernel's. */
export const compareCases: readonly GuestCase[] = [
  {
    title: 'random reads through both drivers on the same disk',
    run: async () => {
      const figures: Record<string, number> = {};
      for (const depth of [1, 32]) {
        const all: Record<string, Measured[]> = { ultima: [], ultimaHybrid: [], kernel: [] };
        // In turn, so that a change of the machine's mood touches all three.
        for (let round = 0; round < rounds; round++) {
          all.ultima?.push(await ours(depth, 'polling'));
          all.kernel?.push(await kernels(depth));
          all.ultimaHybrid?.push(await ours(depth, 'hybrid'));
        }
        for (const [name, measured] of Object.entries(all)) {
          for (const key of keys) {
            figures[`${key}_${name}_qd${depth}`] = median(measured.map((one) => one[key]));
          }
        }
        const ratio = (name: string, key: keyof Measured): number =>
          median(all[name]!.map((one, i) => one[key] / all.kernel![i]![key]));
        figures[`iopsRatio_qd${depth}`] = ratio('ultima', 'iops');
        figures[`cpuRatio_qd${depth}`] = ratio('ultima', 'cpuNsPerIo');
        figures[`hybridIopsRatio_qd${depth}`] = ratio('ultimaHybrid', 'iops');
        figures[`hybridCpuRatio_qd${depth}`] = ratio('ultimaHybrid', 'cpuNsPerIo');
      }
      assert.ok(Object.values(figures).every(Number.isFinite), JSON.stringify(figures));
      console.log(`FIGURES ${JSON.stringify(figures)}`);
    },
  },
];

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function ours(depth: number, completionMode: CompletionMode): Promise<Measured> {
  const latencies = new Histogram();
  let count = 0;
  let busyTicks = 0;
  let elapsedNs = 0;
  await withFunction(address.plain, async (fn) => {
    const controller = await NvmeController.open(fn, { completionMode });
    const namespace = await controller.namespace(1);
    const loop = new Loop(namespace, depth, latencies);
    await loop.run(0.5);
    latencies.reset();
    const before = busy();
    const startNs = fn.clock.nowNs();
    count = await loop.run(seconds);
    elapsedNs = fn.clock.nowNs() - startNs;
    busyTicks = busy() - before;
    await controller.close();
  });
  return {
    iops: (count / elapsedNs) * 1e9,
    p50Us: latencies.percentile(50) / 1000,
    p99Us: latencies.percentile(99) / 1000,
    cpuNsPerIo: ((busyTicks / ticksPerSecond) * 1e9) / count,
  };
}

/** A closed loop of random reads of one block, as an application writes it. */
class Loop {
  private readonly namespace: Namespace;
  private readonly latencies: Histogram;
  private readonly requests: BlockRequest[] = [];
  private readonly blocks: number;
  private readonly slots: number;
  private state = 0x2545f491;
  private ended = 0;
  private inFlight = 0;
  private isOver = false;
  private nowNs = 0;

  constructor(namespace: Namespace, depth: number, latencies: Histogram) {
    this.namespace = namespace;
    this.latencies = latencies;
    this.blocks = blockBytes / namespace.blockBytes;
    this.slots = Math.floor(namespace.blockCount / this.blocks);
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((ended) => this.done(ended));
      request.op = BlockOp.read;
      request.blockCount = this.blocks;
      request.setData(namespace.memory.allocate(blockBytes), 0, blockBytes);
      this.requests.push(request);
    }
  }

  async run(runSeconds: number): Promise<number> {
    const { namespace } = this;
    const { clock } = namespace;
    this.ended = 0;
    this.isOver = false;
    this.nowNs = clock.nowNs();
    const endNs = this.nowNs + runSeconds * 1e9;
    for (const request of this.requests) this.submit(request);
    while (this.inFlight > 0) {
      this.nowNs = clock.nowNs();
      this.isOver = this.nowNs >= endNs;
      if (namespace.poll() > 0) continue;
      if (namespace.queuePair.mode === 'polling') clock.idle(endNs);
      else await namespace.queuePair.idle(endNs + 1e9);
    }
    return this.ended;
  }

  private submit(request: BlockRequest): void {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    request.lba = ((x >>> 0) % this.slots) * this.blocks;
    request.tag = this.nowNs;
    this.inFlight++;
    this.namespace.submit(request);
  }

  private done(request: BlockRequest): void {
    assert.is(request.status, 0);
    this.inFlight--;
    this.ended++;
    this.latencies.record(this.nowNs - request.tag);
    if (!this.isOver) this.submit(request);
  }
}

async function kernels(depth: number): Promise<Measured> {
  const path = await disk();
  const before = busy();
  const text = execFileSync('fio', [
    ...['--name=c', `--filename=${path}`, '--direct=1', '--rw=randread', `--bs=${blockBytes}`],
    ...['--ioengine=io_uring', `--iodepth=${depth}`, `--runtime=${seconds}`, '--time_based'],
    ...['--readonly', '--thread', '--output-format=json'],
  ]).toString();
  const busyTicks = busy() - before;
  const { read } = JSON.parse(text.slice(text.indexOf('{'))).jobs[0];
  return {
    iops: read.iops,
    p50Us: read.clat_ns.percentile['50.000000'] / 1000,
    p99Us: read.clat_ns.percentile['99.000000'] / 1000,
    cpuNsPerIo: ((busyTicks / ticksPerSecond) * 1e9) / read.total_ios,
  };
}

/** Ticks that the processors were not idle since boot. */
function busy(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user, nice, system, , , irq, softirq] = line.split(/ +/).slice(1).map(Number);
  return user! + nice! + system! + irq! + softirq!;
}
