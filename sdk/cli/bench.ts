import { readFileSync } from 'node:fs';
import { BlockOp } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { NvmeController } from '../nvme/controller.js';
import { writeFileAtomically } from '../observe/atomic-file.js';
import type { TimeSplit } from '../observe/command-time.js';
import { IoLog } from '../observe/io-log.js';
import { writeReport } from '../observe/report.js';
import { statusText } from '../spec/nvme/status.js';
import { formatSession } from '../trace/session.js';
import { BenchJob } from './bench-job.js';
import { areaOf, type BenchOptions, parseBenchOptions } from './bench-options.js';
import { benchReport } from './bench-report.js';
import { grouped, resultOf } from './bench-result.js';
import { runJobs } from './bench-run.js';
import { withController } from './card.js';
import { faultsOf, sayFaults } from './fault-option.js';
import { fioDocument, type JobResult } from './fio-json.js';
import { fioText } from './fio-text.js';
import { insideTimeLines } from './replay-text.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima bench [CARD] [options]

Random or sequential I/O on a namespace, at a fixed depth, with fio's option names. Time is the
card's: virtual on a simulated card, real on a real one. Writing overwrites the namespace.

  CARD, --card, --filename   address, sim:ultima-g2 when left out
  --nsid N                   namespace, 1
  --rw WORD                  read write rw randread randwrite randrw trim randtrim; randread
  --rwmixread N              per cent of reads in rw and randrw, 50
  --bs SIZE                  4k
  --iodepth N                requests in flight per job, 1
  --numjobs N                jobs, each with a queue pair of its own, 1
  --size SIZE, --offset SIZE the part of the namespace; all of it
  --io_size SIZE             bytes per job; --size without it
  --runtime TIME             end after 10, 10s, 500ms; 1 s when nothing else bounds the run
  --time_based               go on until --runtime is over
  --ramp_time TIME           do not measure the first part
  --fsync N                  a flush after every N writes
  --randseed N               1
  --percentile_list LIST     50:99:99.9
  --group_reporting          one result for all jobs
  --output-format WORD       normal, json, json+ (fio 3's document)
  --output FILE              there instead of standard output
  --faults FILE              a fault plan for a simulated card: see ultima faults
  --log FILE                 the latency of the last 262,144 requests, for ultima compare and fit
  --save FILE                the simulated card as it is at the end; the address key
                             checkpoint=FILE goes on from there
  --report FILE              plots in one HTML file

Random offsets are drawn independently (fio's --norandommap). Sizes count in 1024.

  ultima bench --card sim:ultima-g2 --rw randread --bs 4k --iodepth 32 --runtime 1
  ultima bench sim:simple --rw randrw --rwmixread 70 --size 64m --output-format json+`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseBenchOptions(words);
  const faults = await faultsOf(options.faultsPath);
  const cpuAtStart = process.cpuUsage();
  const startMs = performance.now();
  let times: (() => readonly TimeSplit[]) | null = null;
  let cardTime: readonly TimeSplit[] = [];
  const jobs = await withController(
    options.card,
    async (controller, inside) => {
      times = inside?.splitTimes() ?? null;
      const done = await measure(controller, options, terminal);
      cardTime = times?.() ?? [];
      sayFaults(inside, terminal);
      return done;
    },
    { queuePairs: options.jobs, queueEntries: Math.max(64, options.depth + 1) },
    { faults, savePath: options.savePath },
  );
  const cpu = { ...process.cpuUsage(cpuAtStart), wallMs: performance.now() - startMs };
  const results = jobs.map((job, i) => resultOf(job, { options, index: i, cpu }));
  const shown = options.isGrouped ? [grouped(results)] : results;
  print(shown, cardTime, options, terminal);
  const report = { ...benchReport(results, options), inside: cardTime };
  if (options.report !== null) writeReport(options.report, report);
  return explainFailures(jobs, terminal) ? 1 : 0;
}

const keptIos = 262_144;
const stages = ['submitted', 'called back'] as const;

async function measure(
  controller: NvmeController,
  options: BenchOptions,
  terminal: Terminal,
): Promise<readonly BenchJob[]> {
  const jobs: BenchJob[] = [];
  for (let index = 0; index < options.jobs; index++) {
    const queuePair = await controller.createQueuePair();
    const device = await controller.namespace(options.nsid, { queuePair });
    if (options.isTrim && !device.limits.canDiscard) {
      throw new UltimaError(ErrorCode.deviceUnsupported, `${options.card} cannot deallocate`);
    }
    jobs.push(new BenchJob(device, areaOf(options, device), { ...options, index }));
  }
  const log = new IoLog({ capacity: options.logPath === undefined ? 1 : keptIos, stages });
  if (options.logPath !== undefined) for (const job of jobs) job.log = log;
  await runJobs(jobs, options, terminal);
  if (options.logPath !== undefined) {
    const session = formatSession(log.ios(), jobs[0]!.device.blockBytes);
    writeFileAtomically(options.logPath, Buffer.from(session));
  }
  for (const job of jobs) if (job.inFlight === 0) job.close();
  return jobs;
}

function print(
  results: readonly JobResult[],
  inside: readonly TimeSplit[],
  bench: BenchOptions,
  terminal: Terminal,
): void {
  const document = { bench, inside, version: `ultima-${version()}`, nowMs: Date.now() };
  const text =
    bench.format === 'normal'
      ? `${[fioText(results, bench).trimEnd(), ...insideTimeLines(inside)].join('\n')}\n`
      : `${JSON.stringify(fioDocument(results, document), null, 2)}\n`;
  if (bench.output === null) terminal.out(text);
  else writeFileAtomically(bench.output, text);
}

/** @returns whether a job failed */
function explainFailures(jobs: readonly BenchJob[], terminal: Terminal): boolean {
  for (const [i, { failure }] of jobs.entries()) {
    if (failure === null) continue;
    const op = Object.entries(BlockOp).find(([, value]) => value === failure.op)?.[0] ?? 'request';
    const words = failure.detail === 0 ? `status ${failure.status}` : statusText(failure.detail);
    terminal.say(`ultima: job ${i}: ${op} of block ${failure.lba} failed: ${words}`);
  }
  return jobs.some((job) => job.failure !== null);
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return /"version": "([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}
