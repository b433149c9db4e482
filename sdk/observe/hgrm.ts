import type { Histogram } from './histogram.js';

/** Rows per halving of the distance to 100 %, as HdrHistogram's own printers have it. */
const ticksPerHalfDistance = 5;

export interface HgrmOptions {
  /** Values are divided by this on output: 1000 makes microseconds of nanoseconds. Default 1. */
  readonly divisor?: number;
}

/**
 * The percentile distribution as text in the `.hgrm` form that HdrHistogram's plotters read.
 *
 * @cite [HdrHistogram §? percentile distribution output]
 */
export function formatHgrm(histogram: Histogram, options: HgrmOptions = {}): string {
  const divisor = options.divisor ?? 1;
  const lines = ['       Value     Percentile TotalCount 1/(1-Percentile)', ''];
  const bins = histogram.bins();
  let bin = 0;
  let below = bins[0]?.count ?? 0;
  let percent = 0;
  while (histogram.count > 0) {
    const rank = Math.max(1, (percent / 100) * histogram.count);
    while (below < rank && bin + 1 < bins.length) below += bins[++bin]!.count;
    const isLast = bin === bins.length - 1;
    const shown = isLast ? 100 : percent;
    const value = (isLast ? histogram.max : bins[bin]!.high) / divisor;
    lines.push(row({ value, fraction: shown / 100, below }));
    if (isLast) break;
    const halvings = Math.floor(Math.log2(100 / (100 - percent))) + 1;
    percent += 100 / (ticksPerHalfDistance * 2 ** halvings);
  }
  const mean = (histogram.mean / divisor).toFixed(3).padStart(12);
  const deviation = (histogram.standardDeviation / divisor).toFixed(3).padStart(12);
  const max = (histogram.max / divisor).toFixed(3).padStart(12);
  lines.push(`#[Mean    = ${mean}, StdDeviation   = ${deviation}]`);
  lines.push(`#[Max     = ${max}, Total count    = ${String(histogram.count).padStart(12)}]`);
  lines.push(`#[Buckets = ${'46'.padStart(12)}, SubBuckets     = ${'128'.padStart(12)}]`);
  return `${lines.join('\n')}\n`;
}

interface Row {
  readonly value: number;
  readonly fraction: number;
  readonly below: number;
}

function row({ value, fraction, below }: Row): string {
  const count = String(below).padStart(10);
  const start = `${value.toFixed(3).padStart(12)} ${fraction.toFixed(12)} ${count}`;
  return fraction >= 1 ? start : `${start} ${(1 / (1 - fraction)).toFixed(2).padStart(14)}`;
}
