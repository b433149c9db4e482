import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { GiB, KiB, msNs, usNs } from '../units.js';
import type { AdmissionOptions } from './admission.js';
import { unitBytes } from './cost.js';

export interface CalibrateOptions {
  /** Measure writes, too. They DESTROY what the device holds. */
  readonly writes: boolean;
  /**
   * What is used of the device, from its start; 1 GiB when left out, or all of a smaller one. With
   * `writes` it is written first: a device reads what was never written without its media.
   */
  readonly regionBytes?: number;
  /** Requests of each measurement; 4,096 when left out. */
  readonly requests?: number;
  /** Part that is to be promised to nobody; 0.1 when left out. */
  readonly headroom?: number;
  readonly seed?: number;
}

/** One closed loop. */
export interface Measured {
  readonly kind: MeasuredKind;
  readonly depth: number;
  readonly requestsPerSecond: number;
  readonly p99Ns: number;
}

export type MeasuredKind = keyof typeof kinds;

/** What a measuring run found, in the shape in which a card keeps it. */
export interface Calibration {
  readonly points: readonly {
    readonly latencyNs: number;
    readonly reads: number | null;
    readonly mixed: number | null;
    readonly writes: number | null;
    readonly large: number | null;
  }[];
  readonly writeCost: number | null;
  readonly headroom: number;
  readonly measured: readonly Measured[];
}

/** What is measured: sizes in units, and how many of a hundred requests are writes. */
const kinds = {
  reads: { units: 1, writePercent: 0 },
  large: { units: 16, writePercent: 0 },
  mixed: { units: 1, writePercent: 30 },
  writes: { units: 1, writePercent: 100 },
} as const;

const depths = [1, 4, 16, 64, 256];
/** Latencies for which a capacity is kept. */
const goalsNs = [200 * usNs, 500 * usNs, ...[1, 2, 5, 10, 20, 50].map((goal) => goal * msNs)];

/**
 * Find out what a device does, as it is now: closed loops of reads, large reads, and where allowed
 * a mix and writes, at rising depth. A used drive gives other numbers than a new one, and one that
 * buffers writes others after more requests than its buffer holds.
 *
 * @throws RangeError for options that cannot be; UltimaError with a device that fails requests
 */
export function calibrate(device: BlockDevice, options: CalibrateOptions): Calibration {
  const { writes, requests = 4096, headroom = 0.1, seed = 1 } = options;
  const { regionBytes = GiB } = options;
  const region = Math.min(device.blockCount, Math.floor(regionBytes / device.blockBytes));
  if (!(Number.isInteger(requests) && requests >= 100 && requests <= 10_000_000)) {
    throw new RangeError(`${requests} requests per measurement: 100..10,000,000`);
  }
  if (!(headroom >= 0 && headroom <= 0.9)) throw new RangeError(`headroom ${headroom}: 0..0.9`);
  const names: readonly MeasuredKind[] = writes
    ? ['reads', 'large', 'mixed', 'writes']
    : ['reads', 'large'];
  if (writes) prepare(device, region);
  const measured = names.flatMap((kind) => {
    const loop = new ClosedLoop(device, { kind, seed, region });
    const usable = depths.filter((depth) => depth <= device.limits.maxInFlight);
    return usable.map((depth) => loop.measure(depth, requests));
  });
  const most = (kind: MeasuredKind): number =>
    Math.max(...measured.filter((one) => one.kind === kind).map((one) => one.requestsPerSecond));
  const writeCost = writes ? Math.min(1000, Math.max(1, most('reads') / most('writes'))) : null;
  const points = goalsNs.flatMap((goalNs) => pointAt(goalNs, names, measured, writeCost ?? 1));
  return { points: points.filter(isNews), writeCost, headroom, measured };
}

/**
 * What may be promised of a device that was measured, as a card with policies of its own counts it:
 * of what was measured at a latency the least, whatever the mix and the size. Measure a device that
 * will be gated through its gate: it does there what it does at the gate's depth.
 *
 * @throws RangeError for a device that kept no latency of those that a capacity is kept for
 */
export function admissionOf({ points, headroom }: Calibration): AdmissionOptions {
  const slowestMs = goalsNs.at(-1)! / msNs;
  if (points.length === 0) {
    throw new RangeError(`no measurement kept its latencies within ${slowestMs} ms`);
  }
  const capacity = points.map(({ latencyNs, reads, mixed, writes, large }) => {
    const measured = [reads, mixed, writes, large].filter((units) => units !== null);
    return { latencyNs, unitsPerSecond: Math.min(...measured) };
  });
  return { capacity, headroom };
}

type Point = Calibration['points'][number];

/** None where something that was measured never kept the latency. */
function pointAt(
  latencyNs: number,
  names: readonly MeasuredKind[],
  measured: readonly Measured[],
  writeCost: number,
): Point[] {
  const units = (kind: MeasuredKind): number | null => {
    if (!names.includes(kind)) return null;
    const { units: size, writePercent } = kinds[kind];
    const cost = size * (1 + (writePercent / 100) * (writeCost - 1));
    const kept = measured.filter((one) => one.kind === kind && one.p99Ns <= latencyNs);
    return Math.floor(cost * Math.max(0, ...kept.map((one) => one.requestsPerSecond)));
  };
  const point = {
    latencyNs,
    reads: units('reads'),
    mixed: units('mixed'),
    writes: units('writes'),
    large: units('large'),
  };
  return Object.values(point).includes(0) ? [] : [point];
}

/** A later point that promises no more than the one before says nothing. */
function isNews(point: Point, index: number, points: readonly Point[]): boolean {
  const before = points[index - 1];
  if (before === undefined) return true;
  return (['reads', 'mixed', 'writes', 'large'] as const).some(
    (kind) => point[kind] !== before[kind],
  );
}

/** Write all of it, in order, and have it on the medium. */
function prepare(device: BlockDevice, region: number): void {
  const bytes = Math.min(preparedBytes, device.limits.maxTransferBytes);
  const blocks = Math.max(1, Math.floor(bytes / device.blockBytes));
  const memory = device.memory.allocate(blocks * device.blockBytes);
  let inFlight = 0;
  const settle = (most: number): void => {
    while (inFlight > most) {
      if (device.poll() === 0) device.clock.idle(Number.POSITIVE_INFINITY);
    }
  };
  const free = Array.from({ length: preparedDepth }, () => {
    const request = new BlockRequest((one) => {
      inFlight--;
      demandOk(one);
      free.push(one);
    });
    return request;
  });
  const submit = (request: BlockRequest): void => {
    inFlight++;
    device.submit(request);
  };
  for (let lba = 0; lba < region; lba += blocks) {
    settle(preparedDepth - 1);
    const request = free.pop()!;
    request.op = BlockOp.write;
    request.lba = lba;
    request.blockCount = Math.min(blocks, region - lba);
    request.setData(memory, 0, request.blockCount * device.blockBytes);
    submit(request);
  }
  settle(0);
  const flush = free.pop()!;
  flush.op = BlockOp.flush;
  flush.blockCount = 0;
  flush.segmentCount = 0;
  submit(flush);
  settle(0);
  device.memory.free(memory);
}

function demandOk(request: BlockRequest): void {
  if (request.status === 0) return;
  throw new UltimaError(
    ErrorCode.qosMeasurementFailed,
    `operation ${request.op} at block ${request.lba} ended with status ${request.status}: a ` +
      'device that fails requests cannot be measured',
    { status: request.status, lba: request.lba },
  );
}

class ClosedLoop {
  private readonly device: BlockDevice;
  private readonly kind: MeasuredKind;
  private readonly free: BlockRequest[] = [];
  private readonly latencies: number[] = [];
  private readonly blocks: number;
  private readonly region: number;
  private random: number;
  private count = 0;

  constructor(
    device: BlockDevice,
    how: { readonly kind: MeasuredKind; readonly seed: number; readonly region: number },
  ) {
    const { kind, seed, region } = how;
    this.device = device;
    this.kind = kind;
    this.region = region;
    this.blocks = Math.ceil((kinds[kind].units * unitBytes) / device.blockBytes);
    if (!(region >= this.blocks)) {
      throw new RangeError(`${region} blocks are too small to be measured; 64 KiB at least`);
    }
    // Lehmer's generator: any nonzero state below its modulus.
    this.random = 1 + (Math.abs(Math.trunc(seed)) % (modulus - 1));
    const bytes = this.blocks * device.blockBytes;
    const memory = device.memory.allocate(bytes);
    for (let i = 0; i < depths.at(-1)!; i++) {
      const request = new BlockRequest((one) => this.ended(one));
      request.blockCount = this.blocks;
      request.setData(memory, 0, bytes);
      this.free.push(request);
    }
  }

  measure(depth: number, requests: number): Measured {
    const { device, kind } = this;
    const startNs = device.clock.nowNs();
    this.latencies.length = 0;
    this.count = 0;
    let inFlight = 0;
    while (this.latencies.length < requests) {
      inFlight = this.count - this.latencies.length;
      while (this.count < requests && inFlight < depth && device.canSubmit()) {
        this.submit();
        inFlight++;
      }
      if (device.poll() === 0) device.clock.idle(Number.POSITIVE_INFINITY);
    }
    const elapsedNs = Math.max(1, device.clock.nowNs() - startNs);
    const sorted = Float64Array.from(this.latencies).sort();
    return {
      kind,
      depth,
      requestsPerSecond: (requests * 1e9) / elapsedNs,
      p99Ns: sorted[Math.ceil(sorted.length * 0.99) - 1]!,
    };
  }

  private submit(): void {
    const request = this.free.pop()!;
    const { writePercent } = kinds[this.kind];
    const isWrite = this.next(100) < writePercent;
    request.op = isWrite ? BlockOp.write : BlockOp.read;
    const places = Math.floor(this.region / this.blocks);
    request.lba = this.next(places) * this.blocks;
    request.tag = this.device.clock.nowNs();
    this.count++;
    this.device.submit(request);
  }

  private ended(request: BlockRequest): void {
    this.free.push(request);
    this.latencies.push(this.device.clock.nowNs() - request.tag);
    demandOk(request);
  }

  /** Below a bound of at most 2^53. */
  private next(bound: number): number {
    this.random = (this.random * 48_271) % modulus;
    const high = this.random;
    this.random = (this.random * 48_271) % modulus;
    return Math.floor(((high + this.random / modulus) / modulus) * bound) % bound;
  }
}

const modulus = 2_147_483_647;
const preparedBytes = 256 * KiB;
const preparedDepth = 16;
