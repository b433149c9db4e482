import { NvmeController } from '../sdk/nvme/controller.js';
import type { Histogram } from '../sdk/observe/histogram.js';
import { open } from '../sdk/open.js';
import { readTrace } from '../sdk/trace/read.js';
import { type ReplayOptions, type ReplayResult, replayTrace } from '../sdk/trace/replay.js';
import type { Trace } from '../sdk/trace/trace.js';
import { type Bench, cpuSecondsOf, type Figures, machine } from './figures.js';

const traceFile = 'fixtures/traces/ext4-sqlite.blkparse.gz';
const card = 'sim:ultima-g2';
const depth = 32;
const seed = 1;

/** The recorded database on the simulated card: what it gives there, and what that costs here. */
export const bench: Bench = { claim: 'a recorded database replayed, every byte verified', run };

async function run(): Promise<Figures> {
  const trace = await readTrace(traceFile);
  const recorded = await measure(trace, { mode: 'recorded', seed });
  const closed = await measure(trace, { mode: 'depth', depth, seed });
  return {
    conditions: {
      trace: traceFile,
      requests: trace.count,
      card,
      seed,
      depth,
      latencies: 'virtual time, submit to callback',
      requestsPerCpuSecond: 'stamping, verification and final read-back included',
      ...machine(),
    },
    figures: { ...figuresOf('recorded', recorded), ...figuresOf(`depth${depth}`, closed) },
  };
}

async function measure(trace: Trace, options: ReplayOptions): Promise<[number, ReplayResult]> {
  const controller = await NvmeController.open(await open(`${card}?seed=${seed}`));
  try {
    const namespace = await controller.namespace(1);
    const measured = await cpuSecondsOf(() => replayTrace(namespace, trace, options));
    const [, { mismatches, failed }] = measured;
    if (mismatches + failed > 0) throw new Error(`${mismatches} wrong blocks, ${failed} failures`);
    return measured;
  } finally {
    await controller.close();
  }
}

function figuresOf(
  name: string,
  [cpuSeconds, result]: readonly [number, ReplayResult],
): Record<string, number> {
  const { all, read, write } = result.latency;
  return {
    [`${name}_iops`]: Math.round(result.iops),
    ...latencyOf(name, all),
    ...latencyOf(`${name}_read`, read),
    ...latencyOf(`${name}_write`, write),
    [`${name}_verifiedBytes`]: result.verifiedBytes,
    [`${name}_requestsPerCpuSecond`]: Math.round(result.requests / cpuSeconds),
  };
}

function latencyOf(name: string, histogram: Histogram): Record<string, number> {
  const [p50, p99, p999, p9999] = histogram.percentiles([50, 99, 99.9, 99.99]);
  const us = (ns: number): number => Math.round(ns / 10) / 100;
  return {
    [`${name}_meanUs`]: us(histogram.mean),
    [`${name}_p50Us`]: us(p50!),
    [`${name}_p99Us`]: us(p99!),
    [`${name}_p99.9Us`]: us(p999!),
    [`${name}_p99.99Us`]: us(p9999!),
  };
}
