import { BlockOp } from '../block/request.js';
import type { TimeSplit } from '../observe/command-time.js';
import type { Histogram } from '../observe/histogram.js';
import type { Report } from '../observe/report.js';
import type { ReplayResult } from '../trace/replay.js';
import type { StageRecorder } from '../trace/stages.js';
import type { Trace } from '../trace/trace.js';
import type { NamedSplit } from './replay-text.js';
import { bytesText, grouped, secondsText, traceText } from './replay-text.js';

/** What a report is about. */
export interface ReplaySubject {
  readonly request: {
    readonly path: string;
    readonly card: string;
    readonly nsid: number;
    readonly mode: 'recorded' | 'depth';
    readonly depth?: number;
    readonly speed?: number;
    readonly seed: number;
  };
  readonly trace: Trace;
  readonly result: ReplayResult;
  readonly splits: readonly NamedSplit[];
  /** Of a card whose inside is modelled. */
  readonly inside: readonly TimeSplit[];
}

const splitOps = [
  ['read', BlockOp.read],
  ['write', BlockOp.write],
  ['flush', BlockOp.flush],
] as const;

/** The time split of all requests and of each operation that there was. */
export function splitsOf(recorder: StageRecorder, result: ReplayResult): NamedSplit[] {
  const splits: NamedSplit[] = [{ name: 'all', stages: recorder.means() }];
  for (const [name, op] of splitOps) {
    if (result.latency[name].count > 0) splits.push({ name, stages: recorder.means(op) });
  }
  return splits;
}

export function reportOf({ request, trace, result, splits, inside }: ReplaySubject): Report {
  const [p50, p99, p9999] = result.latency.all.percentiles([50, 99, 99.99]);
  const wrong = result.mismatches === 0 ? 'no byte wrong' : `${result.mismatches} WRONG blocks`;
  return {
    title: `Replay of ${trace.source}`,
    summary: `${traceText(trace)}, on ${request.card}: ${wrong}.`,
    headlines: [
      { label: 'IOPS', value: grouped(result.iops) },
      { label: 'read', value: `${bytesText(result.readBytesPerSecond)}/s` },
      { label: 'written', value: `${bytesText(result.writeBytesPerSecond)}/s` },
      { label: 'p50', value: secondsText(p50!) },
      { label: 'p99', value: secondsText(p99!) },
      { label: 'p99.99', value: secondsText(p9999!) },
      { label: 'compared', value: bytesText(result.verifiedBytes) },
      { label: 'wrong blocks', value: grouped(result.mismatches) },
    ],
    conditions: [
      { label: 'trace', value: `${trace.source} (${trace.format})` },
      { label: 'card', value: `${request.card}, namespace ${request.nsid}` },
      { label: 'mode', value: request.mode },
      { label: 'depth', value: String(request.depth ?? 'default') },
      { label: 'speed', value: String(request.speed ?? 1) },
      { label: 'seed', value: String(request.seed) },
      { label: 'waited for an overlapping write', value: grouped(result.heldBack) },
      { label: 'failed requests', value: grouped(result.failed) },
      { label: 'node', value: process.version },
    ],
    throughput: [
      { name: 'all', points: [...result.timeline.all] },
      { name: 'read', points: [...result.timeline.read] },
      { name: 'write', points: [...result.timeline.write] },
    ],
    latency: histograms(result).map(([name, histogram]) => ({ name, histogram })),
    split: splits,
    inside,
  };
}

function histograms(result: ReplayResult): [string, Histogram][] {
  return Object.entries(result.latency).filter(([, histogram]) => histogram.count > 0);
}

/** The result as plain data. Times are nanoseconds of the card's clock. */
export function resultJson({ request, trace, result, splits, inside }: ReplaySubject): object {
  const { plan } = result;
  return {
    trace: { source: trace.source, format: trace.format, requests: trace.count },
    card: request.card,
    namespace: request.nsid,
    mode: request.mode,
    speed: request.speed ?? 1,
    seed: request.seed,
    requests: result.requests,
    durationNs: result.durationNs,
    iops: result.iops,
    readBytes: result.readBytes,
    writeBytes: result.writeBytes,
    verifiedBytes: result.verifiedBytes,
    readBackBytes: result.readBackBytes,
    unknownBytes: result.unknownBytes,
    mismatches: result.mismatches,
    firstMismatches: result.firstMismatches,
    failed: result.failed,
    firstFailures: result.firstFailures,
    snapshots: result.snapshots,
    heldBack: result.heldBack,
    splitRecords: plan.splitRecords,
    roundedRecords: plan.roundedRecords,
    foldedRecords: plan.foldedRecords,
    droppedRecords: plan.droppedRecords,
    latency: Object.fromEntries(histograms(result).map(([name, h]) => [name, latencyJson(h)])),
    lateness: latencyJson(result.lateness),
    split: Object.fromEntries(splits.map(({ name, stages }) => [name, stages])),
    inside,
  };
}

const percents = [50, 90, 95, 99, 99.9, 99.99] as const;

function latencyJson(histogram: Histogram): object {
  const values = histogram.percentiles(percents);
  return {
    count: histogram.count,
    minNs: histogram.min,
    meanNs: histogram.mean,
    maxNs: histogram.max,
    percentileNs: Object.fromEntries(percents.map((percent, i) => [percent, values[i]])),
  };
}
