import { Histogram } from '../observe/histogram.js';
import type { TimelinePoint } from '../observe/timeline.js';
import type { BenchJob, Direction } from './bench-job.js';
import type { BenchOptions } from './bench-options.js';
import type { DirectionResult, JobResult } from './fio-json.js';

interface RunFacts {
  readonly options: BenchOptions;
  readonly index: number;
  /** Microseconds of this process for all jobs, and the real time in which it used them. */
  readonly cpu: { readonly user: number; readonly system: number; readonly wallMs: number };
}

export function resultOf(job: BenchJob, { options, cpu }: RunFacts): JobResult {
  const runtimeNs = job.runtimeNs;
  // Each job bears its share of the one thread that ran them all. Real time on both sides: that of
  // a simulated card says nothing about the processor.
  const share = (us: number): number => us / 10 / Math.max(1, cpu.wallMs) / options.jobs;
  const direction = (from: Direction): DirectionResult => ({
    bytes: from.bytes,
    runtimeNs,
    slat: from.slat,
    clat: from.clat,
    points: from.timeline.points(),
  });
  return {
    name: options.name,
    read: direction(job.read),
    write: direction(job.write),
    trim: direction(job.trim),
    sync: job.sync,
    depths: job.depths,
    runtimeNs,
    error: job.failure === null ? 0 : ioErrorNumber,
    userPercent: share(cpu.user),
    systemPercent: share(cpu.system),
  };
}

/** EIO: fio puts the system's error number there. */
const ioErrorNumber = 5;

/** All jobs as one, as --group_reporting shows them. */
export function grouped(results: readonly JobResult[]): JobResult {
  const [first] = results;
  if (first === undefined) throw new RangeError('no job to report');
  const runtimeNs = Math.max(...results.map((result) => result.runtimeNs));
  const depths = new Float64Array(first.depths.length);
  for (const result of results)
    for (const [i, count] of result.depths.entries()) depths[i]! += count;
  const together = (directions: readonly DirectionResult[]): DirectionResult => ({
    bytes: directions.reduce((sum, one) => sum + one.bytes, 0),
    runtimeNs,
    slat: merged(directions.map((one) => one.slat)),
    clat: merged(directions.map((one) => one.clat)),
    points: added(directions.map((one) => one.points)),
  });
  return {
    ...first,
    read: together(results.map((result) => result.read)),
    write: together(results.map((result) => result.write)),
    trim: together(results.map((result) => result.trim)),
    sync: merged(results.map((result) => result.sync)),
    depths,
    runtimeNs,
    error: Math.max(...results.map((result) => result.error)),
    userPercent: results.reduce((sum, result) => sum + result.userPercent, 0),
    systemPercent: results.reduce((sum, result) => sum + result.systemPercent, 0),
  };
}

function merged(histograms: readonly Histogram[]): Histogram {
  const all = new Histogram();
  for (const histogram of histograms) all.merge(histogram);
  return all;
}

/** Jobs ran over the same time; where their intervals differ the coarsest counts. */
export function added(series: readonly (readonly TimelinePoint[])[]): TimelinePoint[] {
  const lengthNs = Math.max(0, ...series.map((points) => points[0]?.lengthNs ?? 0));
  const sums = new Map<number, { count: number; bytes: number }>();
  for (const points of series) {
    for (const point of points) {
      const i = Math.floor(point.startNs / lengthNs);
      const sum = sums.get(i) ?? { count: 0, bytes: 0 };
      sums.set(i, { count: sum.count + point.count, bytes: sum.bytes + point.bytes });
    }
  }
  const last = Math.max(-1, ...sums.keys());
  return Array.from({ length: last + 1 }, (_, i) => ({
    startNs: i * lengthNs,
    lengthNs,
    count: sums.get(i)?.count ?? 0,
    bytes: sums.get(i)?.bytes ?? 0,
  }));
}
