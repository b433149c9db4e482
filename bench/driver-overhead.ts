import { PerformanceObserver } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Bar, DmaRegion } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { completionDoorbell, submissionDoorbell } from '../sdk/spec/nvme/registers.js';
import { blockBytes, DriverLoop, Walk } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { NullFunction } from './null-function.js';

const entries = 1024;
const warmUp = 200_000;
const perRun = 500_000;
const rounds = 7;
const gcRun = 1_000_000;
const promiseRun = 50_000;

type Callback = (slot: number, status: number) => void;

/**
 * The baseline: what somebody writes by hand for exactly this job. Rings, 16 dwords per entry, a
 * free list, one data page per slot, one doorbell each way per batch, the phase found by a plain
 * load and confirmed by an atomic one, a preallocated callback per slot. No checks, no tags, no
 * time-outs, no splitting.
 */
class BaselineLoop {
  private readonly walk = new Walk();
  private readonly bar: Bar;
  private readonly sq: Uint32Array;
  private readonly cq: Uint32Array;
  private readonly pages: DmaRegion[] = [];
  private readonly callbacks: Callback[] = [];
  private readonly free: Uint16Array;
  private freeCount = 0;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private left = 0;
  private ended = 0;
  private readonly depth: number;
  private readonly sqDoorbell: number;
  private readonly cqDoorbell: number;

  constructor(fn: NullFunction, depth: number, id: number) {
    this.bar = fn.bar();
    this.depth = depth;
    const submission = fn.dma.allocate(entries * 64).words;
    const completion = fn.dma.allocate(entries * 16).words;
    fn.connect({ id, entries, submission, completion, head: 0, tail: 0, phase: 1 << 16 });
    this.sq = submission;
    this.cq = completion;
    this.sqDoorbell = submissionDoorbell(id, 0);
    this.cqDoorbell = completionDoorbell(id, 0);
    this.free = new Uint16Array(depth);
    for (let slot = 0; slot < depth; slot++) {
      this.free[this.freeCount++] = slot;
      this.pages.push(fn.dma.allocate(blockBytes));
      this.callbacks.push((_, status) => this.done(status));
    }
  }

  run(count: number): void {
    this.left = count - this.depth;
    this.ended = 0;
    for (let i = 0; i < this.depth; i++) this.submit();
    this.bar.write32(this.sqDoorbell, this.tail);
    while (this.ended < count) this.poll();
  }

  private submit(): void {
    const slot = this.free[--this.freeCount]!;
    const at = this.tail * 16;
    const { sq } = this;
    const { iova } = this.pages[slot]!;
    const lba = this.walk.next();
    sq[at] = 2 | (slot << 16);
    sq[at + 1] = 1;
    sq[at + 2] = 0;
    sq[at + 3] = 0;
    sq[at + 4] = 0;
    sq[at + 5] = 0;
    sq[at + 6] = iova;
    sq[at + 7] = iova / 0x1_0000_0000;
    sq[at + 8] = 0;
    sq[at + 9] = 0;
    sq[at + 10] = lba;
    sq[at + 11] = lba / 0x1_0000_0000;
    sq[at + 12] = 0;
    sq[at + 13] = 0;
    sq[at + 14] = 0;
    sq[at + 15] = 0;
    if (++this.tail === entries) this.tail = 0;
  }

  private poll(): void {
    const { cq } = this;
    const from = this.head;
    for (;;) {
      const at = this.head * 4;
      if (((cq[at + 3]! >>> 16) & 1) !== this.phase) break;
      const word = Atomics.load(cq, at + 3);
      if (++this.head === entries) {
        this.head = 0;
        this.phase ^= 1;
      }
      const slot = word & 0xffff;
      this.free[this.freeCount++] = slot;
      this.callbacks[slot]!(slot, word >>> 17);
    }
    if (this.head === from) return;
    this.bar.write32(this.cqDoorbell, this.head);
    this.bar.write32(this.sqDoorbell, this.tail);
  }

  private done(status: number): void {
    if (status !== 0) throw new Error('the null controller failed a command');
    this.ended++;
    if (this.left-- > 0) this.submit();
  }
}

interface Loop {
  run(count: number): void;
}

/** Processor time, so that what else runs on the machine does not count. */
function nsPerIo(loop: Loop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}

/** Collections while `body` runs. */
async function collections(body: () => void): Promise<number> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    count += list.getEntries().length;
  });
  // A young generation that somebody else has half filled would be collected during the run.
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  await new Promise((resolve) => setTimeout(resolve, 20));
  observer.observe({ entryTypes: ['gc'] });
  body();
  // Entries are delivered from the event loop.
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return count;
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
  for (const loop of [deep, shallow, baseline]) loop.run(warmUp);
  const shallowNs: number[] = [];
  const deepNs: number[] = [];
  const baselineNs: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // Alternating, so that a change of the machine's mood touches both.
    const base = nsPerIo(baseline);
    const own = nsPerIo(deep);
    baselineNs.push(base);
    deepNs.push(own);
    shallowNs.push(nsPerIo(shallow));
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
      time: 'of the processor, median of the rounds',
      ...machine(),
    },
    figures: {
      nsPerIo_qd1: median(shallowNs),
      nsPerIo_qd64: median(deepNs),
      baselineNsPerIo_qd64: median(baselineNs),
      ratio_qd64: median(ratios),
      gcPerMillion: gcs,
      gcPerMillion_qd1: gcsQd1,
      promiseNsPerIo_qd64: await promiseNsPerIo(forPromises),
    },
  };
}
