import { assert } from '../assert.js';

/** One I/O of a log, read back. */
export interface LoggedIo {
  readonly slot: number;
  readonly op: number;
  readonly lba: number;
  readonly bytes: number;
  readonly status: number;
  /**
   * One per stage, in the order of `stages`; a stage that was not stamped repeats the one before.
   */
  readonly timesNs: readonly number[];
}

export interface IoLogOptions {
  /** I/Os kept; the oldest is overwritten. */
  readonly capacity: number;
  /** Moments of an I/O in order: 'submitted', 'doorbell', ..., 'called back'. */
  readonly stages: readonly string[];
}

/**
 * The last I/Os with the times of their stages, in columns: what a trace file is written from.
 * Beginning and stamping allocate nothing.
 */
export class IoLog {
  readonly stages: readonly string[];
  readonly capacity: number;
  private readonly slots: Uint32Array;
  private readonly ops: Uint8Array;
  private readonly lbas: Float64Array;
  private readonly lengths: Float64Array;
  private readonly statuses: Uint32Array;
  private readonly times: Float64Array;
  private begun = 0;

  constructor({ capacity, stages }: IoLogOptions) {
    if (!(Number.isInteger(capacity) && capacity > 0)) {
      throw new RangeError(`capacity ${capacity}: a whole number above 0`);
    }
    if (stages.length < 2) throw new RangeError(`${stages.length} stages: 2 at least`);
    this.capacity = capacity;
    this.stages = stages;
    this.slots = new Uint32Array(capacity);
    this.ops = new Uint8Array(capacity);
    this.lbas = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
    this.statuses = new Uint32Array(capacity);
    this.times = new Float64Array(capacity * stages.length);
  }

  /** I/Os begun so far, overwritten ones included. */
  get count(): number {
    return this.begun;
  }

  /**
   * One more I/O.
   *
   * @param slot where it runs: no two I/Os of a slot overlap in time
   * @returns its handle for `stamp` and `end`, good until `capacity` more have begun
   */
  begin(slot: number, op: number, lba: number, bytes: number): number {
    const i = this.begun % this.capacity;
    this.begun++;
    this.slots[i] = slot;
    this.ops[i] = op;
    this.lbas[i] = lba;
    this.lengths[i] = bytes;
    this.statuses[i] = 0;
    const start = i * this.stages.length;
    for (let stage = 0; stage < this.stages.length; stage++) this.times[start + stage] = -1;
    return i;
  }

  stamp(handle: number, stage: number, nowNs: number): void {
    assert(stage < this.stages.length, 'a stage of the log');
    this.times[handle * this.stages.length + stage] = nowNs;
  }

  end(handle: number, status: number): void {
    this.statuses[handle] = status;
  }

  /** Oldest first. I/Os without a first or a last stage are still running and left out. */
  *ios(): Generator<LoggedIo> {
    const first = Math.max(0, this.begun - this.capacity);
    for (let n = first; n < this.begun; n++) {
      const i = n % this.capacity;
      const timesNs = this.timesOf(i);
      if (timesNs === null) continue;
      yield {
        slot: this.slots[i]!,
        op: this.ops[i]!,
        lba: this.lbas[i]!,
        bytes: this.lengths[i]!,
        status: this.statuses[i]!,
        timesNs,
      };
    }
  }

  private timesOf(i: number): number[] | null {
    const start = i * this.stages.length;
    const raw = [...this.times.subarray(start, start + this.stages.length)];
    if (raw[0]! < 0 || raw.at(-1)! < 0) return null;
    const times: number[] = [];
    for (const time of raw) times.push(time < 0 ? times.at(-1)! : time);
    return times;
  }
}
