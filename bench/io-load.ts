import { BlockOp, BlockRequest } from '../sdk/block/request.js';
import type { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { Histogram } from '../sdk/observe/histogram.js';
import { Prng } from '../sim/prng.js';

export interface LoadOptions {
  readonly bytes: number;
  /** Requests in flight of a closed loop, or room for those of an open one. */
  readonly depth: number;
  readonly readPercent: number;
  readonly isSequential?: boolean;
  /** Part of the namespace that is used, from its start; all of it when left out. */
  readonly regionBytes?: number;
  readonly seed?: number;
  /** What a kernel and an application take per request inside, and after, the measured latency. */
  readonly hostNs?: number;
  readonly gapNs?: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly elapsedNs: number;
  readonly iops: number;
  readonly latency: Histogram;
  readonly reads: Histogram;
  readonly writes: Histogram;
  /** Little's law over the run: in flight by time, and by rate and latency. */
  readonly meanInFlight: number;
}

/** One namespace object per queue pair. */
export async function namespacesOf(
  controller: NvmeController,
  pairs: number,
  entries: number,
): Promise<Namespace[]> {
  const opened: Namespace[] = [];
  for (let i = 0; i < pairs; i++) {
    const queuePair = await controller.createQueuePair({ entries });
    opened.push(await controller.namespace(1, { queuePair }));
  }
  return opened;
}

/**
 * Requests of one size against a namespace through several queue pairs, closed loop (a new one for
 * each that has ended) or open loop (Poisson arrivals, latency from the arrival on).
 */
export class IoLoad {
  private readonly namespaces: readonly Namespace[];
  private readonly options: LoadOptions;
  private readonly slots: BlockRequest[] = [];
  private readonly startedNs: Float64Array;
  /** Requests that may be submitted, and from when on; in order of time. */
  private readonly readySlots: Int32Array;
  private readonly readyNs: Float64Array;
  private readyHead = 0;
  private readyCount = 0;
  private readonly prng: Prng;
  private readonly blocks: number;
  private readonly places: number;
  private next = 0;
  private ended = 0;
  private inFlight = 0;
  private areaNs = 0;
  private lastNs = 0;
  private reads = new Histogram();
  private writes = new Histogram();

  constructor(namespaces: readonly Namespace[], options: LoadOptions) {
    const first = namespaces[0]!;
    this.namespaces = namespaces;
    this.options = options;
    this.blocks = options.bytes / first.blockBytes;
    const region = options.regionBytes ?? first.blockBytes * first.blockCount;
    this.places = Math.floor(region / options.bytes);
    this.prng = new Prng(options.seed ?? 1, 'load');
    const { depth } = options;
    this.startedNs = new Float64Array(depth);
    this.readySlots = new Int32Array(depth);
    this.readyNs = new Float64Array(depth);
    for (let slot = 0; slot < depth; slot++) {
      const memory = namespaces[slot % namespaces.length]!.memory.allocate(options.bytes);
      memory.words.fill(0x5a5a5a5a);
      const request = new BlockRequest(() => this.over(slot));
      request.blockCount = this.blocks;
      request.setData(memory, 0, options.bytes);
      this.slots.push(request);
    }
  }

  /** Closed loop. */
  run(count: number): LoadResult {
    const startNs = this.begin();
    for (let slot = 0; slot < this.slots.length; slot++) this.pushReady(slot, startNs);
    let submitted = 0;
    while (this.ended < count) {
      if (submitted < count && this.isReady()) {
        this.submit(this.takeReady(), this.nowNs);
        submitted++;
      } else {
        this.wait(
          submitted < count && this.readyCount > 0 ? this.readyNs[this.readyHead]! : Infinity,
        );
      }
    }
    return this.result(startNs);
  }

  /** Open loop: arrivals at random, so many per second on average. */
  runOpen(perSecond: number, count: number): LoadResult {
    const startNs = this.begin();
    for (let slot = 0; slot < this.slots.length; slot++) this.pushReady(slot, startNs);
    const meanNs = 1e9 / perSecond;
    let arrivalNs = startNs;
    let submitted = 0;
    while (this.ended < count) {
      const isDue = submitted < count && arrivalNs <= this.nowNs;
      if (isDue && this.isReady()) {
        this.submit(this.takeReady(), arrivalNs);
        submitted++;
        arrivalNs += Math.round(-meanNs * Math.log(1 - this.prng.unit()));
      } else {
        this.wait(isDue || submitted === count ? Infinity : arrivalNs);
      }
    }
    return this.result(startNs);
  }

  private get nowNs(): number {
    return this.namespaces[0]!.clock.nowNs();
  }

  private begin(): number {
    this.ended = 0;
    this.readyCount = 0;
    this.readyHead = 0;
    this.areaNs = 0;
    this.lastNs = this.nowNs;
    this.reads = new Histogram();
    this.writes = new Histogram();
    return this.nowNs;
  }

  private result(startNs: number): LoadResult {
    const elapsedNs = this.nowNs - startNs;
    this.settle();
    const latency = new Histogram();
    latency.merge(this.reads);
    latency.merge(this.writes);
    const iops = (this.ended * 1e9) / elapsedNs;
    const meanInFlight = this.areaNs / elapsedNs;
    const { hostNs = 0 } = this.options;
    const byLittle = (iops * (latency.mean - hostNs)) / 1e9;
    if (Math.abs(meanInFlight - byLittle) > 0.01 * byLittle) {
      throw new Error(`${meanInFlight} in flight, but Little's law says ${byLittle}`);
    }
    const { reads, writes } = this;
    return { requests: this.ended, elapsedNs, iops, latency, reads, writes, meanInFlight };
  }

  private wait(untilNs: number): void {
    let seen = 0;
    for (const namespace of this.namespaces) seen += namespace.poll();
    if (seen === 0) this.namespaces[0]!.clock.idle(untilNs);
  }

  private isReady(): boolean {
    return this.readyCount > 0 && this.readyNs[this.readyHead]! <= this.nowNs;
  }

  private pushReady(slot: number, atNs: number): void {
    const at = (this.readyHead + this.readyCount) % this.slots.length;
    this.readySlots[at] = slot;
    this.readyNs[at] = atNs;
    this.readyCount++;
  }

  private takeReady(): number {
    const slot = this.readySlots[this.readyHead]!;
    this.readyHead = (this.readyHead + 1) % this.slots.length;
    this.readyCount--;
    return slot;
  }

  private submit(slot: number, sinceNs: number): void {
    const request = this.slots[slot]!;
    const { readPercent, isSequential = false } = this.options;
    const isRead = readPercent === 100 || this.prng.below(100) < readPercent;
    request.op = isRead ? BlockOp.read : BlockOp.write;
    const place = isSequential ? this.next++ % this.places : this.prng.below(this.places);
    request.lba = place * this.blocks;
    this.startedNs[slot] = sinceNs;
    this.settle();
    // In an open loop a request is in the system from its arrival on.
    this.areaNs += this.nowNs - sinceNs;
    this.inFlight++;
    this.namespaces[slot % this.namespaces.length]!.submit(request);
  }

  private over(slot: number): void {
    const request = this.slots[slot]!;
    if (request.status !== 0) throw new Error(`a request ended with status ${request.status}`);
    const { hostNs = 0, gapNs = 0 } = this.options;
    const nowNs = this.nowNs;
    this.settle();
    this.inFlight--;
    this.ended++;
    const histogram = request.op === BlockOp.read ? this.reads : this.writes;
    histogram.record(nowNs - this.startedNs[slot]! + hostNs);
    this.pushReady(slot, nowNs + hostNs + gapNs);
  }

  private settle(): void {
    const nowNs = this.nowNs;
    this.areaNs += (nowNs - this.lastNs) * this.inFlight;
    this.lastNs = nowNs;
  }
}
