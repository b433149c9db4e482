import type { StormWorld } from './mirror-world.js';

const latencyNs = 8_000;
const bytesPerNs = 3;

/**
 * Links between all nodes: latency, bandwidth, messages that overtake each other or are sent again,
 * and partitions of either direction. What was sent into a partition may arrive when it is over.
 */
export class StormNet {
  /** Sent so far; lost for good in a partition. */
  messages = 0;
  private readonly world: StormWorld;
  private readonly count: number;
  private readonly busyUntilNs: Float64Array;
  private readonly cutUntilNs: Float64Array;

  constructor(world: StormWorld, nodeCount: number) {
    this.world = world;
    this.count = nodeCount;
    this.busyUntilNs = new Float64Array(nodeCount * nodeCount);
    this.cutUntilNs = new Float64Array(nodeCount * nodeCount);
  }

  cut(from: number, to: number, ns: number): void {
    const link = from * this.count + to;
    this.cutUntilNs[link] = Math.max(this.cutUntilNs[link]!, this.world.nowNs + ns);
  }

  heal(): void {
    this.cutUntilNs.fill(0);
  }

  send(from: number, to: number, bytes: number, arrive: () => void): void {
    this.messages++;
    const { world } = this;
    const { chance, nowNs } = world;
    const link = from * this.count + to;
    const startNs = Math.max(nowNs, this.busyUntilNs[link]!);
    this.busyUntilNs[link] = startNs + bytes / bytesPerNs;
    let delayNs = startNs - nowNs + latencyNs * (1 + chance.unit());
    // Lost once and sent again.
    if (chance.chance(0.003)) delayNs += 1e6 * (1 + chance.unit());
    const cutNs = this.cutUntilNs[link]! - nowNs;
    if (cutNs > 0) {
      if (chance.chance(0.4)) return;
      delayNs += cutNs;
    }
    world.after(delayNs, arrive);
  }
}
