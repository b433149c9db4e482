import type { Histogram } from '../observe/histogram.js';
import type { BenchOptions } from './bench-options.js';
import type { DirectionResult, JobResult } from './fio-json.js';

/** The result as fio's normal output words it. */
export function fioText(jobs: readonly JobResult[], bench: BenchOptions): string {
  const lines = jobs.flatMap((job, i) => jobLines(job, bench, i));
  return `${lines.join('\n')}\n`;
}

function jobLines(job: JobResult, bench: BenchOptions, index: number): string[] {
  const count = bench.isGrouped ? bench.jobs : 1;
  const lines = [`${job.name}: (groupid=${index}, jobs=${count}): err=${job.error}`];
  const directions = [
    ['read', job.read],
    ['write', job.write],
    ['trim', job.trim],
  ] as const;
  for (const [name, direction] of directions) {
    if (direction.clat.count > 0) lines.push(...directionLines(name, direction, bench));
  }
  if (job.sync.count > 0) {
    lines.push(`  fsync: count=${job.sync.count}`, `    sync ${latencyLine(job.sync)}`);
  }
  lines.push(
    `  cpu          : usr=${job.userPercent.toFixed(2)}%, sys=${job.systemPercent.toFixed(2)}%`,
  );
  return lines;
}

function directionLines(name: string, direction: DirectionResult, bench: BenchOptions): string[] {
  const { bytes, runtimeNs, clat, slat } = direction;
  const seconds = runtimeNs / 1e9;
  const iops = countText(clat.count / seconds);
  const mib = (bytes / seconds / 2 ** 20).toFixed(1);
  const mb = (bytes / seconds / 1e6).toFixed(1);
  const moved = `${(bytes / 2 ** 20).toFixed(0)}MiB/${Math.round(runtimeNs / 1e6)}msec`;
  return [
    `  ${name}: IOPS=${iops}, BW=${mib}MiB/s (${mb}MB/s)(${moved})`,
    `    slat ${latencyLine(slat)}`,
    `    clat ${latencyLine(clat)}`,
    `    clat percentiles (${unitOf(clat).name}):`,
    ...percentileLines(clat, bench.percentiles),
  ];
}

function latencyLine(histogram: Histogram): string {
  const { name, divisor } = unitOf(histogram);
  const text = (value: number): string => (value / divisor).toFixed(divisor === 1 ? 0 : 2);
  const { min, max, mean, standardDeviation } = histogram;
  const spread = `stdev=${text(standardDeviation)}`;
  return `(${name}): min=${text(min)}, max=${text(max)}, avg=${text(mean)}, ${spread}`;
}

function percentileLines(histogram: Histogram, percentiles: readonly number[]): string[] {
  const { divisor } = unitOf(histogram);
  const values = histogram.percentiles(percentiles);
  const cells = percentiles.map((percent, i) => {
    const value = (values[i]! / divisor).toFixed(divisor === 1 ? 0 : 1);
    return `${percentText(percent)}th=[${value.padStart(8)}]`;
  });
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += 3) {
    const isLast = i + 3 >= cells.length;
    lines.push(`     | ${cells.slice(i, i + 3).join(', ')}${isLast ? '' : ','}`);
  }
  return lines;
}

/** At least two decimals, more where they say something. */
function percentText(percent: number): string {
  const text = String(percent);
  const decimals = text.includes('.') ? text.length - text.indexOf('.') - 1 : 0;
  return percent.toFixed(Math.max(2, decimals)).padStart(5);
}

function unitOf(histogram: Histogram): { readonly name: string; readonly divisor: number } {
  if (histogram.mean < 10_000) return { name: 'nsec', divisor: 1 };
  if (histogram.mean < 10_000_000) return { name: 'usec', divisor: 1000 };
  return { name: 'msec', divisor: 1_000_000 };
}

function countText(value: number): string {
  if (value < 10_000) return value.toFixed(0);
  if (value < 1e6) return `${(value / 1000).toFixed(1)}k`;
  return `${(value / 1e6).toFixed(2)}M`;
}
