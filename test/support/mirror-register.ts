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
  private readonly blocks: Clusters[] = [];
  /** Values from before the last era that may still be found, by block. */
  private readonly allowed: Map<number, Cluster>[] = [];
  private eraNs = 0;
  /** Writes that have ended and are not known to be durable. */
  private unflushed: Cluster[] = [];
  reads = 0;
  writes = 0;

  constructor(blockCount: number) {
    for (let i = 0; i < blockCount; i++) {
      this.blocks.push(new Clusters([written(0, -2, -1)]));
      this.allowed.push(new Map());
    }
  }

  begin(block: number, value: number, nowNs: number): void {
    this.writes++;
    this.blocks[block]!.add(written(value, nowNs, Number.POSITIVE_INFINITY));
  }

  /** @returns what is wrong with it */
  ended(block: number, value: number, nowNs: number, isDurable: boolean): string | null {
    const cluster = this.blocks[block]!.get(value);
    // Of an era that is over: nobody was told in time.
    if (cluster === undefined) return null;
    cluster.endNs = nowNs;
    cluster.isDurable ||= isDurable;
    if (!cluster.isDurable) this.unflushed.push(cluster);
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
    this.unflushed = this.unflushed.filter((cluster) => {
      if (cluster.endNs < startNs) cluster.isDurable = true;
      return !cluster.isDurable;
    });
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
      this.blocks[block]!.add(cluster);
    }
    if (cluster.isVoid) return `block ${block} reads ${value}, whose write did not happen`;
    cluster.firstEndNs = Math.min(cluster.firstEndNs, endNs);
    this.blocks[block]!.startedAt(cluster, startNs);
    return this.check(block, cluster);
  }

  private check(block: number, cluster: Cluster): string | null {
    const clusters = this.blocks[block]!;
    // Nobody else began after it was first seen: nothing comes after it.
    if (clusters.latestOther(cluster) <= cluster.firstEndNs) return null;
    for (const other of clusters.values()) {
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
    this.unflushed = [];
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
      this.blocks[block] = new Clusters([]);
    }
  }

  /** Each block now has exactly this value. */
  restart(nowNs: number, contentOf: (block: number) => number): void {
    this.eraNs = nowNs;
    this.unflushed = [];
    for (const block of this.blocks.keys()) {
      const cluster = written(contentOf(block), nowNs - 1, nowNs);
      cluster.isDurable = true;
      this.allowed[block] = new Map();
      this.blocks[block] = new Clusters([cluster]);
    }
  }
}

/** The values of one block in one era. */
class Clusters {
  private readonly all = new Map<number, Cluster>();
  /** Those that anybody began with last: the latest, and the latest but for that one. */
  private last: Cluster | null = null;
  private lastButOne: Cluster | null = null;

  constructor(first: readonly Cluster[]) {
    for (const cluster of first) this.add(cluster);
  }

  get size(): number {
    return this.all.size;
  }

  get(value: number): Cluster | undefined {
    return this.all.get(value);
  }

  values(): Iterable<Cluster> {
    return this.all.values();
  }

  add(cluster: Cluster): void {
    this.all.set(cluster.value, cluster);
    this.startedAt(cluster, cluster.lastStartNs);
  }

  /** Somebody began an operation with a value. */
  startedAt(cluster: Cluster, startNs: number): void {
    cluster.lastStartNs = Math.max(cluster.lastStartNs, startNs);
    if (cluster === this.last) return;
    if (this.last === null || cluster.lastStartNs > this.last.lastStartNs) {
      this.lastButOne = this.last;
      this.last = cluster;
    } else if (this.lastButOne === null || cluster.lastStartNs > this.lastButOne.lastStartNs) {
      this.lastButOne = cluster;
    }
  }

  /** When an operation with any other value began last. */
  latestOther(cluster: Cluster): number {
    const other = cluster === this.last ? this.lastButOne : this.last;
    return other?.lastStartNs ?? Number.NEGATIVE_INFINITY;
  }
}

function written(value: number, startNs: number, endNs: number): Cluster {
  return {
    ...{ value, startNs, endNs, firstEndNs: endNs, lastStartNs: startNs },
    ...{ isDurable: value === 0, isVoid: false },
  };
}
