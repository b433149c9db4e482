import type { TimeSplit } from '../observe/command-time.js';
import { Histogram } from '../observe/histogram.js';
import type { TimelinePoint } from '../observe/timeline.js';
import type { BenchOptions } from './bench-options.js';

/** Totals of one direction of a job, or of all jobs together. */
export interface DirectionResult {
  readonly bytes: number;
  readonly runtimeNs: number;
  readonly slat: Histogram;
  readonly clat: Histogram;
  readonly points: readonly TimelinePoint[];
}

export interface JobResult {
  readonly name: string;
  readonly read: DirectionResult;
  readonly write: DirectionResult;
  readonly trim: DirectionResult;
  readonly sync: Histogram;
  readonly depths: Float64Array;
  readonly runtimeNs: number;
  readonly error: number;
  readonly userPercent: number;
  readonly systemPercent: number;
}

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface DocumentOptions {
  readonly bench: BenchOptions;
  readonly version: string;
  /** Wall clock at the end, milliseconds since 1970. */
  readonly nowMs: number;
  /** Of a card whose inside is modelled; fio has no such thing. */
  readonly inside: readonly TimeSplit[];
}

/** fio's JSON document [fio-json §? json output]; `bins` only with json+. */
export function fioDocument(jobs: readonly JobResult[], options: DocumentOptions): Json {
  const { bench, version, nowMs, inside } = options;
  return {
    'fio version': version,
    timestamp: Math.floor(nowMs / 1000),
    timestamp_ms: nowMs,
    time: new Date(nowMs).toUTCString(),
    'global options': { ...bench.typed },
    jobs: jobs.map((job, i) => jobJson(job, bench, bench.isGrouped ? 0 : i)),
    ...(inside.length === 0 ? {} : { inside: inside.map(splitJson) }),
  };
}

function splitJson({ parts, ...split }: TimeSplit): Json {
  return { ...split, parts: parts.map(({ name, ns }) => ({ name, ns })) };
}

function jobJson(job: JobResult, bench: BenchOptions, index: number): Json {
  const all = new Histogram();
  for (const direction of [job.read, job.write, job.trim]) all.merge(direction.clat);
  return {
    jobname: job.name,
    groupid: bench.isGrouped ? 0 : index,
    error: job.error,
    eta: 0,
    elapsed: Math.ceil(job.runtimeNs / 1e9),
    'job options': jobOptions(bench),
    read: directionJson(job.read, bench),
    write: directionJson(job.write, bench),
    trim: directionJson(job.trim, bench),
    sync: { total_ios: job.sync.count, lat_ns: latencyJson(job.sync, bench) },
    job_runtime: Math.round(job.runtimeNs / 1e6),
    usr_cpu: job.userPercent,
    sys_cpu: job.systemPercent,
    ctx: 0,
    majf: 0,
    minf: 0,
    iodepth_level: depthLevels(job.depths),
    iodepth_submit: oneByOne(),
    iodepth_complete: oneByOne(),
    ...latencyRanges(all),
    latency_depth: bench.depth,
    latency_target: 0,
    latency_percentile: 100,
    latency_window: 0,
  };
}

function jobOptions(bench: BenchOptions): Json {
  return {
    name: bench.name,
    filename: bench.card,
    rw: bench.rw,
    bs: String(bench.blockSize),
    iodepth: String(bench.depth),
    numjobs: String(bench.jobs),
    rwmixread: String(bench.readPercent),
    randseed: String(bench.seed),
  };
}

function directionJson(direction: DirectionResult, bench: BenchOptions): Json {
  const { bytes, runtimeNs, slat, clat, points } = direction;
  const seconds = runtimeNs / 1e9;
  const count = clat.count;
  const bandwidths = points.map((point) => point.bytes / 1024 / (point.lengthNs / 1e9));
  const rates = points.map((point) => point.count / (point.lengthNs / 1e9));
  const bw = summary(bandwidths);
  const iops = summary(rates);
  return {
    io_bytes: bytes,
    io_kbytes: Math.floor(bytes / 1024),
    bw_bytes: Math.floor(bytes / seconds),
    bw: Math.floor(bytes / 1024 / seconds),
    iops: count / seconds,
    runtime: count === 0 ? 0 : Math.round(runtimeNs / 1e6),
    total_ios: count,
    short_ios: 0,
    drop_ios: 0,
    slat_ns: basics(slat),
    clat_ns: latencyJson(clat, bench),
    lat_ns: basics(clat),
    bw_min: Math.floor(bw.min),
    bw_max: Math.floor(bw.max),
    bw_agg: count === 0 ? 0 : 100,
    bw_mean: bw.mean,
    bw_dev: bw.deviation,
    bw_samples: points.length,
    iops_min: Math.floor(iops.min),
    iops_max: Math.floor(iops.max),
    iops_mean: iops.mean,
    iops_stddev: iops.deviation,
    iops_samples: points.length,
  };
}

function basics(histogram: Histogram): { [key: string]: Json } {
  return {
    min: histogram.min,
    max: histogram.max,
    mean: histogram.mean,
    stddev: histogram.standardDeviation,
    N: histogram.count,
  };
}

function latencyJson(histogram: Histogram, bench: BenchOptions): Json {
  if (histogram.count === 0) return basics(histogram);
  const values = histogram.percentiles(bench.percentiles);
  const json: { [key: string]: Json } = {
    ...basics(histogram),
    percentile: Object.fromEntries(
      bench.percentiles.map((percent, i) => [percent.toFixed(6), values[i]!]),
    ),
  };
  if (bench.format === 'json+') {
    json.bins = Object.fromEntries(
      histogram.bins().map(({ low, high, count }) => [String(Math.floor((low + high) / 2)), count]),
    );
  }
  return json;
}

function summary(values: readonly number[]): {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly deviation: number;
} {
  if (values.length === 0) return { min: 0, max: 0, mean: 0, deviation: 0 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / values.length);
  return { min: Math.min(...values), max: Math.max(...values), mean, deviation };
}

/** Share of submissions in per cent at which up to so many were in flight. */
function depthLevels(depths: Float64Array): Json {
  const total = depths.reduce((sum, count) => sum + count, 0);
  const share = (low: number, high: number): number => {
    let count = 0;
    for (let depth = low; depth <= Math.min(high, depths.length - 1); depth++) {
      count += depths[depth]!;
    }
    return total === 0 ? 0 : (100 * count) / total;
  };
  return {
    '1': share(1, 1),
    '2': share(2, 3),
    '4': share(4, 7),
    '8': share(8, 15),
    '16': share(16, 31),
    '32': share(32, 63),
    '>=64': share(64, depths.length),
  };
}

/** Requests are submitted and reaped one by one as the depth allows. */
function oneByOne(): Json {
  return { '0': 0, '4': 100, '8': 0, '16': 0, '32': 0, '64': 0, '>=64': 0 };
}

const steps: readonly number[] = [2, 4, 10, 20, 50, 100, 250, 500, 750, 1000];

/** Shares of latencies below each edge and at or above the one before, in ns, µs and ms. */
function latencyRanges(all: Histogram): { [key: string]: Json } {
  const bins = all.bins();
  const share = (low: number, high: number): number => {
    let count = 0;
    for (const bin of bins) {
      const middle = (bin.low + bin.high) / 2;
      if (middle >= low && middle < high) count += bin.count;
    }
    return all.count === 0 ? 0 : (100 * count) / all.count;
  };
  const table = (unit: number, first: number): { [key: string]: Json } => {
    let low = first;
    return Object.fromEntries(
      steps.map((step) => {
        const entry: [string, number] = [String(step), share(low, step * unit)];
        low = step * unit;
        return entry;
      }),
    );
  };
  return {
    latency_ns: table(1, 0),
    latency_us: table(1000, 1000),
    latency_ms: {
      ...table(1e6, 1e6),
      '2000': share(1e9, 2e9),
      '>=2000': share(2e9, Number.POSITIVE_INFINITY),
    },
  };
}
