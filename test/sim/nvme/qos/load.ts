import { BlockOp, BlockRequest, BlockStatus } from '../../../../sdk/block/request.js';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import type { EventListener } from '../../../../sdk/nvme/events.js';
import type { Namespace } from '../../../../sdk/nvme/namespace.js';
import { UltimaQos } from '../../../../sdk/nvme/ultima-qos.js';
import { Histogram } from '../../../../sdk/observe/histogram.js';
import { MiB } from '../../../../sdk/units.js';
import { SimCard } from '../../../../sim/card.js';
import { Prng } from '../../../../sim/prng.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../../sim/profiles/index.js';
import { software } from '../../../../sim/profiles/inside.js';

const pageBytes = 4096;
const none = Number.POSITIVE_INFINITY;

/** 100,000 units per second: eight reads of 80 us at a time, 30 % up and down. */
const simple = findProfile('simple');
export const quickProfile = defineProfile(simple, {
  qos: {
    capacityUnits: 90_000,
    depthUnits: 8,
    quietDepthUnits: 8,
    fetchBurst: 8,
    scheduleNs: 100,
    writeCostPermille: 2_000,
    discardCostPermille: 1_000,
    copyWeightPermille: 1_000,
    copyUnits: 45_000,
  },
  media: { parallelUnits: 8, readNs: 80_000, writeNs: 160_000, jitterPermille: 300 },
});

const { inside } = findProfile('p4800x');

/** One core issues all reads: 20,000 per second, 12,000 when it is warm, 5,000 when it is hot. */
export const oneCore: ProfileChanges = {
  media: null,
  inside: { ...inside!, stages: { ...inside!.stages, issue: software(25_000) } },
};
export const kelvin = { cool: 313, warm: 345, hot: 355 } as const;

export interface OpenedCard {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly qos: UltimaQos;
}

export async function openCard(
  count: number,
  changes: ProfileChanges = {},
  onEvent: EventListener = () => {},
): Promise<OpenedCard> {
  const namespace = { ...simple.namespaces[0]!, bytes: 4 * MiB };
  const namespaces = Array.from({ length: count }, () => namespace);
  const card = new SimCard({
    profile: defineProfile(quickProfile, { namespaces, ...changes }),
    seed: 7,
  });
  const controller = await NvmeController.open(card.open(), { queueEntries: 1024, onEvent });
  return { card, controller, qos: new UltimaQos(controller.admin) };
}

/** Reads of one namespace, always so many of them or at random times. */
export class Load {
  readonly latency = new Histogram();
  readonly ended: number[] = [];
  /** Of each of them, when the driver took it. */
  readonly submitted: number[] = [];
  readonly statuses: BlockStatus[] = [];
  isStopped = false;
  private readonly namespace: Namespace;
  private readonly ratePerSecond: number;
  private readonly prng: Prng;
  private readonly free: BlockRequest[] = [];
  private readonly came = new Map<BlockRequest, number>();
  private nextNs: number;

  /** @param how  `depth` requests at all times, or `rate` per second as a Poisson stream */
  constructor(namespace: Namespace, how: { readonly depth?: number; readonly rate?: number }) {
    const { depth = 64, rate = none } = how;
    this.namespace = namespace;
    this.ratePerSecond = rate;
    this.prng = new Prng(namespace.nsid, 'load');
    this.nextNs = namespace.clock.nowNs();
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((one) => this.end(one));
      request.setData(namespace.memory.allocate(pageBytes), 0, pageBytes);
      this.free.push(request);
    }
  }

  get inFlight(): number {
    return this.came.size;
  }

  /** When it wants to do something by itself. */
  get wantsNs(): number {
    const isQuiet = this.ratePerSecond === none || this.isStopped || this.free.length === 0;
    return isQuiet ? none : this.nextNs;
  }

  work(): void {
    const { namespace } = this;
    namespace.poll();
    const nowNs = namespace.clock.nowNs();
    while (!this.isStopped && nowNs >= this.nextNs) {
      const request = this.free.pop();
      if (request === undefined) break;
      request.op = BlockOp.read;
      request.lba = 0;
      request.blockCount = pageBytes / namespace.blockBytes;
      this.came.set(request, this.ratePerSecond === none ? nowNs : this.nextNs);
      namespace.submit(request);
      if (this.ratePerSecond === none) continue;
      this.nextNs += Math.round((-Math.log(1 - this.prng.unit()) * 1e9) / this.ratePerSecond);
    }
    namespace.poll();
  }

  /** Of those that ended in a span of time, and were submitted after some time. */
  countIn(fromNs: number, untilNs: number, afterNs = -1): number {
    const { ended, submitted } = this;
    return ended.filter((atNs, i) => atNs >= fromNs && atNs < untilNs && submitted[i]! > afterNs)
      .length;
  }

  private end(request: BlockRequest): void {
    const nowNs = this.namespace.clock.nowNs();
    this.latency.record(nowNs - this.came.get(request)!);
    this.came.delete(request);
    if (request.status === BlockStatus.ok) {
      this.ended.push(nowNs);
      this.submitted.push(request.submittedNs);
    }
    this.statuses.push(request.status);
    this.free.push(request);
  }
}

/** Let loads work until a time; with `drains` until nothing of them is in flight. */
export function runLoads(card: SimCard, loads: readonly Load[], untilNs: number): void {
  const { clock } = card.function;
  while (clock.nowNs() < untilNs) {
    for (const load of loads) load.work();
    clock.idle(Math.min(untilNs, ...loads.map((load) => load.wantsNs)));
  }
}
