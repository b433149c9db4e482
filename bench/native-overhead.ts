import { performance } from 'node:perf_hooks';
import type { Kernel } from '../native/kernel.js';
import { loadAddon, type NullController } from '../native/load.js';
import type { Bar } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import { doorbellBase } from '../sdk/spec/nvme/registers.js';
import { BaselineLoop } from './baseline-loop.js';
import { blockBytes, DriverLoop } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { NullFunction, type NullQueue } from './null-function.js';
import { distance, mainThread, processorOf, threadsOfProcess, waitedNs } from './threads.js';

const entries = 1024;
const depth = 64;
const warmUp = 300_000;
/** Few enough that a round fits between two turns of other processes. */
const perRun = 10_000;
const wantedRounds = 101;
const fewestRounds = 11;
const limitMs = 8_000;
/** A round counts as undisturbed when its threads waited less than this share of it. */
const calmShare = 0.01;

/** Our driver against a thread of the addon that completes entries in mapped memory. */
export const bench: Bench = {
  claim: 'what the driver costs per I/O when the device is another thread on mapped memory',
  run,
};

/** The queues that the driver makes are served by threads; the rest stays in JavaScript. */
class ThreadedFunction extends NullFunction {
  private controller: NullController | null = null;
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
    this.controller = new NullController(submission, completion, doorbells);
  }

  stop(): void {
    this.controller?.stop();
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
  const plain = await driverOver(new NullFunction());
  plain.run(warmUp);
  // One thread at a time: it spins, and must have a processor of its own.
  const bare = await against(kernel, plain, (fn) => new BaselineLoop(fn, depth, 1));
  const driver = await against(kernel, plain, driverOver);
  const sorted = driver.rounds.map(({ ns }) => ns).sort((a, b) => a - b);
  const nsPerIo_qd64 = median(sorted);
  const bareNsPerIo_qd64 = median(bare.rounds.map(({ ns }) => ns));
  return {
    conditions: {
      device:
        'a thread of the addon that answers every entry, rings and doorbells in shared memory',
      baseline: 'the same loop over a null controller in the same thread',
      bare: 'a loop written by hand for this job, without checks, against the same thread',
      limit: limitOf(bareNsPerIo_qd64 / nsPerIo_qd64),
      processors: `${driver.processors.join(' and ')}, ${driver.distance}`,
      blockBytes,
      queueEntries: entries,
      requestsPerRound: perRun,
      time: 'wall clock; rounds in which a thread waited for a processor are left out',
      isDisturbed: driver.calmCount < fewestRounds,
      ...machine(),
    },
    figures: {
      nsPerIo_qd64,
      plainNsPerIo_qd64: median(driver.rounds.map(({ plainNs }) => plainNs)),
      ratio_qd64: median(driver.rounds.map(({ ns, plainNs }) => ns / plainNs)),
      iops_qd64: Math.round(1e9 / nsPerIo_qd64),
      p10NsPerIo_qd64: sorted[Math.floor(sorted.length * 0.1)]!,
      p90NsPerIo_qd64: sorted[Math.floor(sorted.length * 0.9)]!,
      completionsPerPoll: median(driver.rounds.map(({ batch }) => batch)),
      bareNsPerIo_qd64,
      bareRatio_qd64: median(bare.rounds.map(({ ns, plainNs }) => ns / plainNs)),
      overBareRatio_qd64: nsPerIo_qd64 / bareNsPerIo_qd64,
      calmRounds: driver.calmCount,
      triedRounds: driver.triedCount,
      waitedShare: median(driver.rounds.map(({ waitedShare }) => waitedShare)),
    },
  };
}

/** What a faster driver could not make faster. */
function limitOf(bareShare: number): string {
  const percent = Math.round(100 * bareShare);
  return bareShare > 0.8
    ? `the way between the processors: the loop written by hand takes ${percent} % of the time too`
    : `the driver: the loop written by hand takes ${percent} % of the time`;
}

interface Loop {
  readonly batches?: number;
  run(count: number): void;
}

interface Round {
  readonly ns: number;
  /** The loop over plain memory, just before. */
  readonly plainNs: number;
  /** Share of the time that one of the threads waited for a processor. */
  readonly waitedShare: number;
  /** Completions that a poll found at a time. */
  readonly batch: number;
}

interface Run {
  readonly rounds: readonly Round[];
  readonly calmCount: number;
  readonly triedCount: number;
  readonly processors: readonly [number, number];
  readonly distance: string;
}

/** Rounds of a loop against a thread of its own, each beside one over plain memory. */
async function against(
  kernel: Kernel,
  plain: Loop,
  make: (fn: ThreadedFunction) => Loop | Promise<Loop>,
): Promise<Run> {
  const before = new Set(threadsOfProcess());
  const fn = new ThreadedFunction((bytes) => arena(kernel, bytes));
  const loop = await make(fn);
  const device = threadsOfProcess().find((thread) => !before.has(thread)) ?? mainThread;
  loop.run(warmUp);
  const rounds: Round[] = [];
  const untilMs = performance.now() + limitMs;
  const isCalm = ({ waitedShare }: Round): boolean => waitedShare < calmShare;
  const calm = (): readonly Round[] => rounds.filter(isCalm);
  while (calm().length < wantedRounds && performance.now() < untilMs) {
    rounds.push(roundOf(loop, plain, [mainThread, device]));
  }
  const processors = [processorOf(mainThread), processorOf(device)] as const;
  fn.stop();
  const calmRounds = calm();
  const byCalm = rounds.toSorted((a, b) => a.waitedShare - b.waitedShare);
  return {
    rounds: calmRounds.length < fewestRounds ? byCalm.slice(0, fewestRounds) : calmRounds,
    calmCount: calmRounds.length,
    triedCount: rounds.length,
    processors,
    distance: distance(...processors),
  };
}

function roundOf(loop: Loop, plain: Loop, threads: readonly string[]): Round {
  const waited = (): number => threads.reduce((sum, thread) => sum + waitedNs(thread), 0);
  const waitedBefore = waited();
  const startMs = performance.now();
  plain.run(perRun);
  const middleMs = performance.now();
  loop.run(perRun);
  const endMs = performance.now();
  return {
    ns: ((endMs - middleMs) * 1e6) / perRun,
    plainNs: ((middleMs - startMs) * 1e6) / perRun,
    waitedShare: (waited() - waitedBefore) / ((endMs - startMs) * 1e6),
    batch: perRun / Math.max(1, loop.batches ?? 0),
  };
}

function arena(kernel: Kernel, bytes: number): ArrayBuffer {
  const buffer = kernel.arena(Math.ceil(bytes / 4096) * 4096, false);
  if (typeof buffer === 'number') throw new Error(`no memory: error ${-buffer}`);
  return buffer;
}

async function driverOver(fn: NullFunction): Promise<DriverLoop> {
  const opening = NvmeController.open(fn, { queueEntries: entries, eventRequests: 0 });
  const serve = setInterval(() => fn.serveAdmin(), 0);
  const controller = await opening;
  const queuePair = await controller.createQueuePair();
  const namespace = await controller.namespace(1, { queuePair });
  clearInterval(serve);
  return new DriverLoop(namespace, depth);
}
