import type { Report } from '../observe/report.js';
import { countText, durationText } from '../observe/scale.js';
import type { BenchOptions } from './bench-options.js';
import { grouped } from './bench-result.js';
import type { DirectionResult, JobResult } from './fio-json.js';

/** The result with plots. */
export function benchReport(results: readonly JobResult[], bench: BenchOptions): Report {
  const all = grouped(results);
  const directions = [
    { name: 'read', result: all.read },
    { name: 'write', result: all.write },
    { name: 'trim', result: all.trim },
  ].filter(({ result }) => result.clat.count > 0);
  return {
    title: `${bench.rw} ${bench.blockSize} bytes on ${bench.card}`,
    summary: `${bench.jobs} × ${bench.depth} in flight for ${durationText(all.runtimeNs)}`,
    headlines: directions.flatMap(({ name, result }) => headlines(name, result)),
    conditions: Object.entries({
      card: bench.card,
      namespace: String(bench.nsid),
      seed: String(bench.seed),
      node: process.version,
      ...bench.typed,
    }).map(([label, value]) => ({ label, value })),
    throughput: directions.map(({ name, result }) => ({ name, points: [...result.points] })),
    latency: directions.map(({ name, result }) => ({ name, histogram: result.clat })),
    split: [],
  };
}

function headlines(name: string, { clat, bytes, runtimeNs }: DirectionResult): Report['headlines'] {
  const seconds = runtimeNs / 1e9;
  return [
    { label: `${name} IOPS`, value: countText(clat.count / seconds) },
    { label: `${name} bandwidth`, value: `${countText(bytes / seconds / 1e6)} MB/s` },
    { label: `${name} p50`, value: durationText(clat.percentile(50)) },
    { label: `${name} p99.9`, value: durationText(clat.percentile(99.9)) },
  ];
}
