export const FlashKind = { read: 0, program: 1, erase: 2 } as const;

/** The lines in front of a die, most urgent first; `reserved` is for reads alone. */
export const Lane = { reserved: 0, read: 1, program: 2, relocation: 3, erase: 4 } as const;
export const laneCount = 5;

export interface FlashListener {
  /** An operation is over; its number is void after the return. From inside an event. */
  flashDone(op: number): void;
}

export const noOp = -1;
const firstOps = 256;

/**
 * Flash operations as numbers: one table per field. A number is valid from `take` to `give`; tables
 * grow to the largest number that was ever in flight.
 */
export class FlashOps {
  kind = new Uint8Array(firstOps);
  lane = new Uint8Array(firstOps);
  /**
   * 1 when it failed: a read that no attempt could correct, a program or erase that did not take.
   */
  failed = new Uint8Array(firstOps);
  die = new Int32Array(firstOps);
  /** Block number of the translation layer: the same block of all planes of a pool. */
  block = new Int32Array(firstOps);
  plane = new Int32Array(firstOps);
  page = new Int32Array(firstOps);
  /** Planes that take part in a program or erase. */
  planes = new Int32Array(firstOps);
  /** Bytes on the bus; of a read in pieces, those that are still to come. */
  bytes = new Int32Array(firstOps);
  restBytes = new Int32Array(firstOps);
  /** What the owner wants to know at the end. */
  owner = new Int32Array(firstOps);
  extra = new Int32Array(firstOps);
  /** Attempts of a read that will fail, and those that have. */
  retries = new Int32Array(firstOps);
  attempts = new Int32Array(firstOps);
  /** Times that a read was ended before it was over, to begin again. */
  stops = new Int32Array(firstOps);
  /** Next in line; next of the reads that run at one time. */
  next = new Int32Array(firstOps);
  mate = new Int32Array(firstOps);
  queuedAtNs = new Float64Array(firstOps);
  startedAtNs = new Float64Array(firstOps);
  arrayEndNs = new Float64Array(firstOps);
  /** When the event of this operation is due; -1 when none is. */
  endAtNs = new Float64Array(firstOps);
  /** A program whose data is in the cache register, since when; the next whose data comes in. */
  loadedAtNs = new Float64Array(firstOps);
  following = new Int32Array(firstOps);
  inUse = 0;
  private firstFree = noOp;
  private made = 0;

  /** A new operation, from now on in line. */
  take(
    nowNs: number,
    kind: number,
    die: number,
    block: number,
    page: number,
    lane: number,
    owner: number,
  ): number {
    this.inUse++;
    let op = this.firstFree;
    if (op !== noOp) {
      this.firstFree = this.next[op]!;
    } else {
      if (this.made === this.kind.length) this.grow();
      op = this.made++;
    }
    this.kind[op] = kind;
    this.lane[op] = lane;
    this.die[op] = die;
    this.block[op] = block;
    this.page[op] = page;
    this.owner[op] = owner;
    this.failed[op] = 0;
    this.attempts[op] = 0;
    this.retries[op] = 0;
    this.stops[op] = 0;
    this.mate[op] = noOp;
    this.queuedAtNs[op] = nowNs;
    this.loadedAtNs[op] = -1;
    this.startedAtNs[op] = -1;
    this.endAtNs[op] = -1;
    return op;
  }

  give(op: number): void {
    this.inUse--;
    this.next[op] = this.firstFree;
    this.firstFree = op;
  }

  /** Forget all of them. */
  clear(): void {
    this.inUse = 0;
    this.firstFree = noOp;
    this.made = 0;
    // Events that are still on their way belong to nobody.
    this.endAtNs.fill(-1);
  }

  private grow(): void {
    const size = this.kind.length * 2;
    this.kind = widenBytes(this.kind, size);
    this.lane = widenBytes(this.lane, size);
    this.failed = widenBytes(this.failed, size);
    this.die = widen(this.die, size);
    this.block = widen(this.block, size);
    this.plane = widen(this.plane, size);
    this.page = widen(this.page, size);
    this.planes = widen(this.planes, size);
    this.bytes = widen(this.bytes, size);
    this.restBytes = widen(this.restBytes, size);
    this.owner = widen(this.owner, size);
    this.extra = widen(this.extra, size);
    this.retries = widen(this.retries, size);
    this.attempts = widen(this.attempts, size);
    this.stops = widen(this.stops, size);
    this.next = widen(this.next, size);
    this.mate = widen(this.mate, size);
    this.queuedAtNs = widenTimes(this.queuedAtNs, size);
    this.startedAtNs = widenTimes(this.startedAtNs, size);
    this.arrayEndNs = widenTimes(this.arrayEndNs, size);
    this.endAtNs = widenTimes(this.endAtNs, size);
    this.loadedAtNs = widenTimes(this.loadedAtNs, size);
    this.following = widen(this.following, size);
  }
}

export function widen(table: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const wider = new Int32Array(size);
  wider.set(table);
  return wider;
}

export function widenBytes(table: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const wider = new Uint8Array(size);
  wider.set(table);
  return wider;
}

export function widenTimes(
  table: Float64Array<ArrayBuffer>,
  size: number,
): Float64Array<ArrayBuffer> {
  const wider = new Float64Array(size);
  wider.set(table);
  return wider;
}
