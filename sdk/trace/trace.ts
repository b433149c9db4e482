import { assert } from '../assert.js';
import type { BlockOp } from '../block/request.js';

/** The write was asked to be durable when it completes; the same bit as `blockFlagFua`. */
export const traceFlagFua = 1;

/** A batch of requests as columns: record `i` is element `i` of each. Ascending in time. */
export interface Trace {
  /** Where it came from, as a person would name it. */
  readonly source: string;
  /** Name of the format it was read as. */
  readonly format: string;
  readonly count: number;
  /** Nanoseconds since the first record. */
  readonly timeNs: Float64Array;
  /** `BlockOp` of each record. */
  readonly op: Uint8Array;
  readonly flags: Uint8Array;
  readonly offsetBytes: Float64Array;
  /** 0 for a flush, positive for everything else. */
  readonly lengthBytes: Float64Array;
  /** Index into `devices`. */
  readonly device: Uint16Array;
  /** Names of the recorded devices, in order of appearance. */
  readonly devices: readonly string[];
  /** Time stamp of the first record as the format counts it, in nanoseconds, exact. */
  readonly originNs: bigint;
  /** Lines or records of the file that carry no request of ours: markers, other devices. */
  readonly skipped: number;
}

export interface BuilderOptions {
  readonly source: string;
  readonly format: string;
  /** Nanoseconds of one tick of the format's clock. */
  readonly tickNs: number;
  /** Keep this device only. */
  readonly device?: string;
  /** Keep the first so many records. */
  readonly limit?: number;
  /** Which records count is known at the end only. */
  readonly needsAll?: boolean;
}

const maxDevices = 65_535;
/** Time stamps are carried as high × 10^9 + low ticks: exact beyond 2^53. */
export const stampBase = 1_000_000_000;

/** Why a record cannot be taken; '' when it was. */
export type Reason = string;

/** Collects records into columns that grow by doubling. Nothing else is kept of the input. */
export class TraceBuilder {
  count = 0;
  skipped = 0;
  private timeNs = new Float64Array(1024);
  private op = new Uint8Array(1024);
  private flags = new Uint8Array(1024);
  private offset = new Float64Array(1024);
  private length = new Float64Array(1024);
  private device = new Uint16Array(1024);
  private readonly names = new Map<string, number>();
  private readonly options: BuilderOptions;
  private originHigh = 0;
  private originLow = 0;
  private stampNs = 0;
  private hasOrigin = false;

  constructor(options: BuilderOptions) {
    this.options = options;
  }

  get isFull(): boolean {
    const { limit, needsAll } = this.options;
    return limit !== undefined && needsAll !== true && this.count >= limit;
  }

  get devices(): string[] {
    return [...this.names.keys()];
  }

  /** Time of the records that follow: high × 10^9 + low ticks. */
  stamp(high: number, low: number): Reason {
    if (!this.hasOrigin) {
      this.hasOrigin = true;
      this.originHigh = high;
      this.originLow = low;
    }
    const ticks = (high - this.originHigh) * stampBase + (low - this.originLow);
    this.stampNs = ticks * this.options.tickNs;
    return Number.isSafeInteger(this.stampNs)
      ? ''
      : 'the time stamp is more than 104 days away from the first';
  }

  /** Device of the record that follows. @returns its index, -1 when the filter leaves it out */
  deviceIndex(name: string): number {
    let index = this.names.get(name);
    if (index === undefined) {
      index = this.names.size;
      this.names.set(name, index);
    }
    if (this.options.device !== undefined && this.options.device !== name) return -1;
    return index;
  }

  /** Take one request at the current stamp. A device index of -1 counts as skipped. */
  add(op: BlockOp, flags: number, offset: number, length: number, device: number): Reason {
    if (device < 0) {
      this.skipped++;
      return '';
    }
    if (device >= maxDevices) return 'more than 65,535 different devices: filter one';
    if (!Number.isSafeInteger(offset + length)) return 'the request ends beyond 2^53 bytes';
    if (this.count === this.op.length) this.grow();
    const i = this.count++;
    this.timeNs[i] = this.stampNs;
    this.op[i] = op;
    this.flags[i] = flags;
    this.offset[i] = offset;
    this.length[i] = length;
    this.device[i] = device;
    return '';
  }

  /** Forget the records whose flags do not pass, and clear `clear` in the others. */
  keep(passes: (flags: number) => boolean, clear: number): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      if (!passes(this.flags[i]!)) continue;
      this.move(i, kept);
      this.flags[kept++]! &= ~clear;
    }
    this.skipped += this.count - kept;
    this.count = kept;
  }

  /** Records of one coarse tick follow each other evenly inside it. Call on sorted input only. */
  spread(): void {
    this.sort();
    for (let first = 0; first < this.count; ) {
      let end = first + 1;
      while (end < this.count && this.timeNs[end] === this.timeNs[first]) end++;
      const step = this.options.tickNs / (end - first);
      const start = this.timeNs[first]!;
      for (let i = first; i < end; i++) this.timeNs[i] = start + Math.floor((i - first) * step);
      first = end;
    }
  }

  build(): Trace {
    this.sort();
    this.count = Math.min(this.count, this.options.limit ?? this.count);
    const firstNs = this.count === 0 ? 0 : this.timeNs[0]!;
    const timeNs = this.timeNs.slice(0, this.count);
    if (firstNs !== 0) for (let i = 0; i < timeNs.length; i++) timeNs[i]! -= firstNs;
    const originTicks = BigInt(this.originHigh) * BigInt(stampBase) + BigInt(this.originLow);
    return {
      source: this.options.source,
      format: this.options.format,
      count: this.count,
      timeNs,
      op: this.op.slice(0, this.count),
      flags: this.flags.slice(0, this.count),
      offsetBytes: this.offset.slice(0, this.count),
      lengthBytes: this.length.slice(0, this.count),
      device: this.device.slice(0, this.count),
      devices: this.devices,
      originNs: originTicks * BigInt(this.options.tickNs) + BigInt(firstNs),
      skipped: this.skipped,
    };
  }

  /** Into ascending time; records of equal time stay as they came. */
  private sort(): void {
    let isSorted = true;
    for (let i = 1; i < this.count && isSorted; i++) {
      isSorted = this.timeNs[i]! >= this.timeNs[i - 1]!;
    }
    if (isSorted) return;
    const times = this.timeNs;
    const order = Uint32Array.from({ length: this.count }, (_, i) => i);
    order.sort((a, b) => times[a]! - times[b]! || a - b);
    this.timeNs = order.reduce((to, from, i) => set(to, i, times[from]!), times.slice());
    this.op = order.reduce((to, from, i) => set(to, i, this.op[from]!), this.op.slice());
    this.flags = order.reduce((to, from, i) => set(to, i, this.flags[from]!), this.flags.slice());
    const { offset, length, device } = this;
    this.offset = order.reduce((to, from, i) => set(to, i, offset[from]!), offset.slice());
    this.length = order.reduce((to, from, i) => set(to, i, length[from]!), length.slice());
    this.device = order.reduce((to, from, i) => set(to, i, device[from]!), device.slice());
  }

  private move(from: number, to: number): void {
    assert(to <= from, 'a record moves towards the end');
    this.timeNs[to] = this.timeNs[from]!;
    this.op[to] = this.op[from]!;
    this.flags[to] = this.flags[from]!;
    this.offset[to] = this.offset[from]!;
    this.length[to] = this.length[from]!;
    this.device[to] = this.device[from]!;
  }

  private grow(): void {
    this.timeNs = doubled(this.timeNs, new Float64Array(this.count * 2));
    this.op = doubled(this.op, new Uint8Array(this.count * 2));
    this.flags = doubled(this.flags, new Uint8Array(this.count * 2));
    this.offset = doubled(this.offset, new Float64Array(this.count * 2));
    this.length = doubled(this.length, new Float64Array(this.count * 2));
    this.device = doubled(this.device, new Uint16Array(this.count * 2));
  }
}

interface Column {
  [index: number]: number;
}

function set<T extends Column>(column: T, index: number, value: number): T {
  column[index] = value;
  return column;
}

function doubled<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
