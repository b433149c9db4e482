import { performance } from 'node:perf_hooks';
import { loadAddon, type NullController } from '../native/load.js';
import type { Bar } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import { doorbellBase } from '../sdk/spec/nvme/registers.js';
import { blockBytes, DriverLoop } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { NullFunction, type NullQueue } from './null-function.js';

const entries = 1024;
const warmUp = 300_000;
const perRun = 1_000_000;
const rounds = 7;

/** Our driver against a thread of the addon that completes entries in mapped memory. */
export const bench: Bench = {
  claim: 'what the driver costs per I/O when the device is another thread on mapped memory',
  run,
};

/** The queues that the driver makes are served by threads; the rest stays in JavaScript. */
class ThreadedFunction extends NullFunction {
  readonly threads: NullController[] = [];
  private readonly doorbells: Uint32Array;
  private readonly window: Bar;

  constructor(arena: (bytes: number) => ArrayBuffer) {
    super(arena);
    this.doorbells = new Uint32Array(arena(4096));
    this.window = new DoorbellWindow(super.bar(), this.doorbells);
  }

  override bar(): Bar {
    return this.window;
  }

  override connect(queue: NullQueue): void {
    const { NullController } = loadAddon();
    if (NullController === null) throw new Error('the addon is gone');
    const submission = queue.submission.subarray(0, queue.entries * 16);
    const completion = queue.completion.subarray(0, queue.entries * 4);
    const doorbells = this.doorbells.subarray(2 * queue.id, 2 * queue.id + 2);
    this.threads.push(new NullController(submission, completion, doorbells));
  }
}

/** Doorbells of I/O queues are plain stores into memory that the thread watches. */
class DoorbellWindow implements Bar {
  readonly index = 0;
  readonly length: number;
  private readonly registers: Bar;
  private readonly doorbells: Uint32Array;

  constructor(registers: Bar, doorbells: Uint32Array) {
    this.registers = registers;
    this.doorbells = doorbells;
    this.length = registers.length;
  }

  read32(offset: number): number {
    return this.registers.read32(offset);
  }

  write32(offset: number, value: number): void {
    const index = (offset - doorbellBase) >> 2;
    if (index < 2) this.registers.write32(offset, value);
    else this.doorbells[index] = value;
  }
}

async function run(): Promise<Figures> {
  const { kernel, unavailableReason } = loadAddon();
  if (kernel === null) throw new Error(unavailableReason);
  const threaded = new ThreadedFunction((bytes) => {
    const buffer = kernel.arena(Math.ceil(bytes / 4096) * 4096, false);
    if (typeof buffer === 'number') throw new Error(`no memory: error ${-buffer}`);
    return buffer;
  });
  const plain = await loopOver(new NullFunction(), 64);
  const deep = await loopOver(threaded, 64);
  for (const loop of [plain, deep]) loop.run(warmUp);
  const plainNs: number[] = [];
  const deepNs: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const own = nsPerIo(plain);
    const thread = nsPerIo(deep);
    plainNs.push(own);
    deepNs.push(thread);
    ratios.push(thread / own);
  }
  for (const thread of threaded.threads) thread.stop();
  const nsPerIo_qd64 = median(deepNs);
  return {
    conditions: {
      device:
        'a thread of the addon that answers every entry, rings and doorbells in shared memory',
      baseline: 'the same loop over a null controller in the same thread',
      blockBytes,
      queueEntries: entries,
      requestsPerRun: perRun,
      rounds,
      time: 'wall clock: needs two processors that are free',
      ...machine(),
    },
    figures: {
      nsPerIo_qd64,
      plainNsPerIo_qd64: median(plainNs),
      ratio_qd64: median(ratios),
      iops_qd64: Math.round(1e9 / nsPerIo_qd64),
    },
  };
}

async function loopOver(fn: NullFunction, depth: number): Promise<DriverLoop> {
  const opening = NvmeController.open(fn, { queueEntries: entries, eventRequests: 0 });
  const serve = setInterval(() => fn.serveAdmin(), 0);
  const controller = await opening;
  const queuePair = await controller.createQueuePair();
  const namespace = await controller.namespace(1, { queuePair });
  clearInterval(serve);
  return new DriverLoop(namespace, depth);
}

function nsPerIo(loop: DriverLoop): number {
  const start = performance.now();
  loop.run(perRun);
  return ((performance.now() - start) * 1e6) / perRun;
}
