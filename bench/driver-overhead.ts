import type { DmaRegion } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { BaselineLoop } from './baseline-loop.js';
import { collections } from './collections.js';
import { blockBytes, DriverLoop, Walk } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { NullFunction } from './null-function.js';
import { PromisingLoop } from './promising-loop.js';

const entries = 1024;
const warmUp = 200_000;
const perRun = 500_000;
const rounds = 7;
const gcRun = 1_000_000;
const promiseRun = 50_000;

interface Loop {
  run(count: number): void;
}

/** Processor time, so that what else runs on the machine does not count. */
function nsPerIo(loop: Loop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}

async function promiseNsPerIo(namespace: Namespace): Promise<number> {
  const walk = new Walk();
  const pages = Array.from({ length: 64 }, () => namespace.memory.allocate(blockBytes));
  const work = async (page: DmaRegion, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await namespace.read(walk.next(), page);
  };
  const each = Math.floor(promiseRun / 64);
  await Promise.all(pages.map((page) => work(page, each)));
  const start = process.cpuUsage();
  await Promise.all(pages.map((page) => work(page, each)));
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / (each * 64);
}

/** What the driver costs per I/O on the host, against a hand-written loop in the same run. */
export const bench: Bench = {
  claim: 'what the driver costs per I/O on the host, beside a hand-written loop',
  run,
};

async function run(): Promise<Figures> {
  const fn = new NullFunction();
  const opening = NvmeController.open(fn, { queueEntries: entries, eventRequests: 0 });
  const serve = setInterval(() => fn.serveAdmin(), 0);
  const controller = await opening;
  const open = async () =>
    controller.namespace(1, { queuePair: await controller.createQueuePair() });
  const deep = new DriverLoop(await open(), 64);
  const shallow = new DriverLoop(await open(), 1);
  const forPromises = await open();
  clearInterval(serve);
  const baseline = new BaselineLoop(fn, 64, 100);
  const promising = new PromisingLoop(fn, 64, 101);
  for (const loop of [deep, shallow, baseline, promising]) loop.run(warmUp);
  const shallowNs: number[] = [];
  const deepNs: number[] = [];
  const baselineNs: number[] = [];
  const promisingNs: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // Alternating, so that a change of the machine's mood touches both.
    const base = nsPerIo(baseline);
    const own = nsPerIo(deep);
    baselineNs.push(base);
    deepNs.push(own);
    shallowNs.push(nsPerIo(shallow));
    promisingNs.push(nsPerIo(promising));
    ratios.push(own / base);
  }
  const gcs = await collections(() => deep.run(gcRun));
  const gcsQd1 = await collections(() => shallow.run(gcRun));
  return {
    conditions: {
      device: 'null controller in the same thread, behind waist 1',
      blockBytes,
      queueEntries: entries,
      requestsPerRun: perRun,
      rounds,
      promising: 'a hand-written loop that keeps the same promises: checks, times, tags',
      time: 'of the processor, median of the rounds',
      ...machine(),
    },
    figures: {
      nsPerIo_qd1: median(shallowNs),
      nsPerIo_qd64: median(deepNs),
      baselineNsPerIo_qd64: median(baselineNs),
      ratio_qd64: median(ratios),
      promisingNsPerIo_qd64: median(promisingNs),
      ratioToPromising_qd64: median(deepNs.map((ns, round) => ns / promisingNs[round]!)),
      gcPerMillion: gcs,
      gcPerMillion_qd1: gcsQd1,
      promiseNsPerIo_qd64: await promiseNsPerIo(forPromises),
    },
  };
}
