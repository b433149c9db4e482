/** What is known of one value of a block: its write, and everybody who saw it. */
interface Cluster {
  readonly value: number;
  /** When the write began and ended; it may take effect at any time if it never ended. */
  startNs: number;
  endNs: number;
  /** The earliest end and the latest beginning of all operations with this value. */
  firstEndNs: number;
  lastStartNs: number;
  isDurable: boolean;
  /** Its write ended as "nothing of it happened". */
  isVoid: boolean;
}

/**
 * Whether the history of each block is that of an atomic register. Every write has a value of its
 * own; so the history has an order exactly when no two values must each come before the other
 * (Gibbons and Korach): v comes before w when an operation with v ended before one with w began.
 */
export class RegisterChecker {
  private readonly blocks: Map<number, Cluster>[] = [];
  /** Values from before the last era that may still be found, by block. */
  private readonly allowed: Map<number, Cluster>[] = [];
  private eraNs = 0;
  reads = 0;
  writes = 0;

  constructor(blockCount: number) {
    for (let i = 0; i < blockCount; i++) {
      this.blocks.push(new Map([[0, written(0, -2, -1)]]));
      this.allowed.push(new Map());
    }
  }

  begin(block: number, value: number, nowNs: number): void {
    this.writes++;
    this.blocks[block]!.set(value, written(value, nowNs, Number.POSITIVE_INFINITY));
  }

  /** @returns what is wrong with it */
  ended(block: number, value: number, nowNs: number, isDurable: boolean): string | null {
    const cluster = this.blocks[block]!.get(value);
    // Of an era that is over: nobody was told in time.
    if (cluster === undefined) return null;
    cluster.endNs = nowNs;
    cluster.isDurable ||= isDurable;
    cluster.firstEndNs = Math.min(cluster.firstEndNs, nowNs);
    return this.check(block, cluster);
  }

  /** Said not to have happened. */
  voided(block: number, value: number): void {
    const cluster = this.blocks[block]!.get(value);
    if (cluster !== undefined) cluster.isVoid = true;
  }

  /** A flush that began at a time has ended: what had ended before it is durable. */
  flushed(startNs: number): void {
    for (const clusters of this.blocks) {
      for (const cluster of clusters.values()) {
        if (cluster.endNs < startNs) cluster.isDurable = true;
      }
    }
  }

  read(block: number, value: number, startNs: number, endNs: number): string | null {
    this.reads++;
    let cluster = this.blocks[block]!.get(value);
    if (cluster === undefined) {
      cluster = this.allowed[block]!.get(value);
      if (cluster === undefined) return `block ${block} reads ${value}, which it never had`;
      // What an era begins with was there before anything in it.
      const first = written(value, this.eraNs - 1, this.eraNs);
      first.isDurable = cluster.isDurable;
      cluster = first;
      this.blocks[block]!.set(value, cluster);
    }
    if (cluster.isVoid) return `block ${block} reads ${value}, whose write did not happen`;
    cluster.firstEndNs = Math.min(cluster.firstEndNs, endNs);
    cluster.lastStartNs = Math.max(cluster.lastStartNs, startNs);
    return this.check(block, cluster);
  }

  private check(block: number, cluster: Cluster): string | null {
    for (const other of this.blocks[block]!.values()) {
      if (other === cluster) continue;
      const isBefore = cluster.firstEndNs < other.lastStartNs;
      if (isBefore && other.firstEndNs < cluster.lastStartNs) {
        return `block ${block}: ${cluster.value} and ${other.value} each come before the other`;
      }
    }
    return null;
  }

  /**
   * All caches were lost: each block has one value, any back to the last durable one.
   *
   * @param extra  value that each block may have besides; null for none
   */
  newEra(nowNs: number, extra: ((block: number) => number) | null): void {
    this.eraNs = nowNs;
    for (const [block, clusters] of this.blocks.entries()) {
      const durable = [...clusters.values()].filter((each) => each.isDurable);
      const allowed = [...clusters.values()].filter(
        (each) => !each.isVoid && !durable.some((other) => each.firstEndNs < other.startNs),
      );
      const left = new Map(allowed.map((each) => [each.value, each]));
      // Nothing was read yet in the last era: what it could begin with is still open.
      if (clusters.size === 0) for (const [v, each] of this.allowed[block]!) left.set(v, each);
      if (durable.length === 0) for (const [v, each] of this.allowed[block]!) left.set(v, each);
      if (extra !== null) left.set(extra(block), written(extra(block), -2, -1));
      this.allowed[block] = left;
      this.blocks[block] = new Map();
    }
  }

  /** Each block now has exactly this value. */
  restart(nowNs: number, contentOf: (block: number) => number): void {
    this.eraNs = nowNs;
    for (const block of this.blocks.keys()) {
      const cluster = written(contentOf(block), nowNs - 1, nowNs);
      cluster.isDurable = true;
      this.allowed[block] = new Map();
      this.blocks[block] = new Map([[cluster.value, cluster]]);
    }
  }
}

function written(value: number, startNs: number, endNs: number): Cluster {
  return {
    ...{ value, startNs, endNs, firstEndNs: endNs, lastStartNs: startNs },
    ...{ isDurable: value === 0, isVoid: false },
  };
}
