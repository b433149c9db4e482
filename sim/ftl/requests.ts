import { widen, widenTimes } from '../nand/flash-ops.js';

const firstRequests = 64;
export const noRequest = -1;

/** Requests in flight as numbers: one table per field. */
export class Requests {
  token = new Int32Array(firstRequests);
  /** First unit, units, units done with so far (placed by a write, looked up by a read). */
  unit = new Int32Array(firstRequests);
  count = new Int32Array(firstRequests);
  cursor = new Int32Array(firstRequests);
  stream = new Int32Array(firstRequests);
  /** Flash operations of a read, units of a write, writes of a barrier that have not ended. */
  remaining = new Int32Array(firstRequests);
  status = new Int32Array(firstRequests);
  failedUnit = new Int32Array(firstRequests);
  /** The barrier that a write belongs to. */
  barrier = new Int32Array(firstRequests);
  isRead = new Int32Array(firstRequests);
  /** 1 for a read that a reservation pays for. */
  isReserved = new Int32Array(firstRequests);
  next = new Int32Array(firstRequests);
  startedAtNs = new Float64Array(firstRequests);
  /** When the event that ends it is due; -1 when none is. */
  endAtNs = new Float64Array(firstRequests);
  inUse = 0;
  private firstFree = noRequest;
  private made = 0;

  take(token: number, unit: number, count: number, nowNs: number): number {
    this.inUse++;
    let request = this.firstFree;
    if (request !== noRequest) {
      this.firstFree = this.next[request]!;
    } else {
      if (this.made === this.token.length) this.grow();
      request = this.made++;
    }
    this.token[request] = token;
    this.unit[request] = unit;
    this.count[request] = count;
    this.cursor[request] = 0;
    this.remaining[request] = 0;
    this.status[request] = 0;
    this.next[request] = noRequest;
    this.startedAtNs[request] = nowNs;
    this.endAtNs[request] = -1;
    return request;
  }

  give(request: number): void {
    this.inUse--;
    this.endAtNs[request] = -1;
    this.next[request] = this.firstFree;
    this.firstFree = request;
  }

  clear(): void {
    this.inUse = 0;
    this.firstFree = noRequest;
    this.made = 0;
    this.endAtNs.fill(-1);
  }

  private grow(): void {
    const size = this.token.length * 2;
    this.token = widen(this.token, size);
    this.unit = widen(this.unit, size);
    this.count = widen(this.count, size);
    this.cursor = widen(this.cursor, size);
    this.stream = widen(this.stream, size);
    this.remaining = widen(this.remaining, size);
    this.status = widen(this.status, size);
    this.failedUnit = widen(this.failedUnit, size);
    this.barrier = widen(this.barrier, size);
    this.isRead = widen(this.isRead, size);
    this.isReserved = widen(this.isReserved, size);
    this.next = widen(this.next, size);
    this.startedAtNs = widenTimes(this.startedAtNs, size);
    this.endAtNs = widenTimes(this.endAtNs, size);
  }
}
