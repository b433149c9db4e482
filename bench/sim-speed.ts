import { BlockOp, BlockRequest } from '../sdk/block/request.js';
import type { DmaRegion } from '../sdk/device.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { KiB, MiB } from '../sdk/units.js';
import { openSimulated } from '../sim/open.js';
import { Prng } from '../sim/prng.js';
import { type Bench, type Figures, machine } from './figures.js';
import { insideFigures } from './inside-speed.js';

const card = 'sim:simple';
const depth = 32;
const requestBytes = 4 * KiB;
const filledBytes = 32 * MiB;
const warmUp = 200_000;
const requests = 500_000;
const runs = 5;
const yardstickSteps = 100_000_000;

/** Random 4 KiB reads through driver, rings, DMA and card, in processor time. */
export const bench: Bench = {
  claim: 'at least 600,000 simulated 4 KiB reads per CPU second, driver, queues and DMA running',
  run,
};

async function run(): Promise<Figures> {
  const opened = openSimulated(`${card}?seed=1`);
  const controller = await NvmeController.open(opened.open());
  const namespace = await controller.namespace(1);
  const load = new RandomReads(namespace);
  load.fill();
  load.run(warmUp);
  const rates: number[] = [];
  const latencies: number[] = [];
  for (let i = 0; i < runs; i++) {
    const startNs = namespace.clock.nowNs();
    const seconds = cpuSeconds(() => load.run(requests));
    rates.push(requests / seconds);
    latencies.push(((namespace.clock.nowNs() - startNs) * depth) / requests);
  }
  opened.checker.demandNone();
  await controller.close();
  const inside = await insideFigures();
  const [yardstick, sum] = nsPerYardstick();
  return {
    conditions: {
      card,
      workload: `random read, ${requestBytes} bytes, depth ${depth}, one queue pair, polled`,
      filledBytes,
      requests,
      runs: `median of ${runs}`,
      yardstick: `xorshift32 step (13, 17, 5), ends at ${sum}`,
      simulatedMeanNs: Math.round(median(latencies)),
      eventHash: opened.world.eventHash,
      ...inside.conditions,
      ...machine(),
    },
    figures: {
      requestsPerCpuSecond_rr_qd32: Math.round(median(rates)),
      ...inside.figures,
      peakRssMiB: Math.round(process.resourceUsage().maxRSS / KiB),
      nsPerYardstick: Number(yardstick.toFixed(3)),
    },
  };
}

/** A closed loop at fixed depth over a region that holds written data. */
class RandomReads {
  private readonly namespace: Namespace;
  private readonly requests: BlockRequest[] = [];
  private readonly prng = new Prng(1, 'sim-speed');
  private readonly blocks: number;
  private left = 0;
  private inFlight = 0;

  constructor(namespace: Namespace) {
    this.namespace = namespace;
    this.blocks = requestBytes / namespace.blockBytes;
    const region: DmaRegion = namespace.memory.allocate(depth * requestBytes);
    region.words.fill(0x5a5a5a5a);
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((ended) => this.ended(ended));
      request.blockCount = this.blocks;
      request.setData(region, i * requestBytes, requestBytes);
      this.requests.push(request);
    }
  }

  /** Write every block once, in order, and make it durable. */
  fill(): void {
    const { namespace } = this;
    let lba = 0;
    this.inFlight = 0;
    const end = filledBytes / namespace.blockBytes;
    const next = (request: BlockRequest): void => {
      this.check(request);
      this.inFlight--;
      if (lba === end) return;
      request.lba = lba;
      lba += this.blocks;
      this.inFlight++;
      namespace.submit(request);
    };
    for (const request of this.requests) {
      request.op = BlockOp.write;
      request.done = next;
      this.inFlight++;
      next(request);
    }
    this.drain();
    this.flush();
    for (const request of this.requests) {
      request.op = BlockOp.read;
      request.done = (ended) => this.ended(ended);
    }
  }

  private flush(): void {
    const request = new BlockRequest((ended) => this.ended(ended));
    request.op = BlockOp.flush;
    this.inFlight++;
    this.namespace.submit(request);
    this.drain();
  }

  run(count: number): void {
    this.left = count;
    for (const request of this.requests) this.submit(request);
    this.drain();
  }

  private drain(): void {
    const { namespace } = this;
    while (this.inFlight > 0) {
      if (namespace.poll() === 0) namespace.clock.idle(Infinity);
    }
  }

  private submit(request: BlockRequest): void {
    this.left--;
    this.inFlight++;
    request.lba = this.prng.below(filledBytes / requestBytes) * this.blocks;
    this.namespace.submit(request);
  }

  private ended(request: BlockRequest): void {
    this.check(request);
    this.inFlight--;
    if (this.left > 0) this.submit(request);
  }

  private check(request: BlockRequest): void {
    if (request.status !== 0) throw new Error(`a request ended with status ${request.status}`);
  }
}

/** Nanoseconds of processor time for one step of a fixed integer loop. */
function nsPerYardstick(): readonly [ns: number, end: number] {
  xorshift(1_000_000);
  let end = 0;
  const seconds = cpuSeconds(() => {
    end = xorshift(yardstickSteps);
  });
  return [(seconds * 1e9) / yardstickSteps, end];
}

function xorshift(steps: number): number {
  let x = 2463534242 | 0;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x >>> 0;
}

function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
