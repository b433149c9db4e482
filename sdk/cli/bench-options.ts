import type { BlockDevice } from '../block/device.js';
import { secondNs } from '../units.js';
import {
  parseChoice,
  parseDuration,
  parseInteger,
  parseSize,
  parseWords,
  usageError,
} from './arguments.js';

export const patterns = [
  'read',
  'write',
  'rw',
  'readwrite',
  'randread',
  'randwrite',
  'randrw',
  'trim',
  'randtrim',
] as const;
const outputFormats = ['normal', 'json', 'json+'] as const;

export type OutputFormat = (typeof outputFormats)[number];

/** What to measure, as fio's options say it. */
export interface BenchOptions {
  readonly name: string;
  readonly card: string;
  readonly nsid: number;
  readonly rw: (typeof patterns)[number];
  readonly isRandom: boolean;
  /** Share of reads in per cent: 100, 0 or --rwmixread. */
  readonly readPercent: number;
  readonly isTrim: boolean;
  readonly blockSize: number;
  readonly depth: number;
  readonly jobs: number;
  readonly runtimeNs: number | null;
  readonly rampNs: number;
  readonly isTimeBased: boolean;
  readonly offset: number;
  /** null: to the end of the namespace. */
  readonly size: number | null;
  readonly ioSize: number | null;
  readonly fsync: number;
  readonly seed: number;
  readonly percentiles: readonly number[];
  readonly isGrouped: boolean;
  readonly format: OutputFormat;
  readonly output: string | null;
  readonly report: string | null;
  readonly faultsPath: string | undefined;
  readonly savePath: string | undefined;
  readonly logPath: string | undefined;
  /** As typed, for the record. */
  readonly typed: Readonly<Record<string, string>>;
}

const text = { type: 'string' } as const;
const words = {
  name: text,
  card: text,
  filename: text,
  nsid: text,
  rw: text,
  readwrite: text,
  bs: text,
  blocksize: text,
  iodepth: text,
  numjobs: text,
  runtime: text,
  ramp_time: text,
  time_based: { type: 'boolean' },
  size: text,
  offset: text,
  io_size: text,
  rwmixread: text,
  fsync: text,
  randseed: text,
  percentile_list: text,
  group_reporting: { type: 'boolean' },
  'output-format': text,
  output: text,
  report: text,
  faults: text,
  save: text,
  log: text,
} as const;

const defaultPercentiles: readonly number[] = [
  1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99,
];
const largestSeed = 0xffff_ffff;

/** @throws UltimaError USAGE */
export function parseBenchOptions(typedWords: readonly string[]): BenchOptions {
  const { values, positionals } = parseWords(joinUnderscores(typedWords), words);
  const [positional, ...rest] = positionals;
  if (rest.length > 0) throw usageError(`one card at a time, not also ${rest.join(' ')}`);
  const rw = parseChoice('rw', values.rw ?? values.readwrite ?? 'randread', patterns);
  const isMixed = rw === 'rw' || rw === 'readwrite' || rw === 'randrw';
  const mix = parseInteger('rwmixread', values.rwmixread ?? '50', { low: 0, high: 100 });
  const hasBound = [values.runtime, values.size, values.io_size].some((v) => v !== undefined);
  const runtime = values.runtime ?? (hasBound ? undefined : '1');
  const isTimeBased = values.time_based === true || !hasBound;
  if (isTimeBased && runtime === undefined) throw usageError('--time_based needs --runtime');
  const size = (name: 'size' | 'offset' | 'io_size'): number | null =>
    values[name] === undefined ? null : parseSize(name, values[name]);
  return {
    name: values.name ?? rw,
    faultsPath: values.faults,
    savePath: values.save,
    logPath: values.log,
    card: values.card ?? values.filename ?? positional ?? 'sim:ultima-g2',
    nsid: parseInteger('nsid', values.nsid ?? '1', { low: 1, high: 0xffff_fffe }),
    rw,
    isRandom: rw.startsWith('rand'),
    readPercent: isMixed ? mix : rw.endsWith('read') ? 100 : 0,
    isTrim: rw.endsWith('trim'),
    blockSize: parseSize('bs', values.bs ?? values.blocksize ?? '4k'),
    depth: parseInteger('iodepth', values.iodepth ?? '1', { low: 1, high: 4095 }),
    jobs: parseInteger('numjobs', values.numjobs ?? '1', { low: 1, high: 64 }),
    runtimeNs: runtime === undefined ? null : parseDuration('runtime', runtime),
    rampNs: values.ramp_time === undefined ? 0 : parseDuration('ramp_time', values.ramp_time),
    isTimeBased,
    offset: size('offset') ?? 0,
    size: size('size'),
    ioSize: size('io_size'),
    fsync: parseInteger('fsync', values.fsync ?? '0', { low: 0, high: 1e9 }),
    seed: parseInteger('randseed', values.randseed ?? '1', { low: 0, high: largestSeed }),
    percentiles: parsePercentiles(values.percentile_list),
    isGrouped: values.group_reporting === true,
    format: parseChoice('output-format', values['output-format'] ?? 'normal', outputFormats),
    output: values.output ?? null,
    report: values.report ?? null,
    typed: Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, value === true ? '1' : String(value)]),
    ),
  };
}

/** fio takes `--output-format` and `--output_format` alike. */
function joinUnderscores(typed: readonly string[]): string[] {
  return typed.map((word) => word.replace(/^--output_format/, '--output-format'));
}

function parsePercentiles(list: string | undefined): readonly number[] {
  if (list === undefined) return defaultPercentiles;
  const percentiles = list.split(/[:,]/).map(Number);
  for (const percentile of percentiles) {
    if (percentile > 0 && percentile <= 100) continue;
    throw usageError(`--percentile_list is ${list}; it must be numbers in 0..100 such as 50:99.9`);
  }
  return percentiles;
}

/** The part of a device that a benchmark uses, in blocks. */
export interface Area {
  readonly firstLba: number;
  /** Whole transfers of --bs. */
  readonly slots: number;
  readonly blocksPerIo: number;
  /** Transfers until a job is done; infinite when only time bounds it. */
  readonly iosPerJob: number;
}

/** @throws UltimaError USAGE for sizes that the device cannot take, with what it can */
export function areaOf(options: BenchOptions, device: BlockDevice): Area {
  const { blockBytes, blockCount, limits } = device;
  const { blockSize, offset, depth } = options;
  if (blockSize === 0 || blockSize % blockBytes !== 0 || blockSize > limits.maxTransferBytes) {
    throw usageError(
      `--bs is ${blockSize}; it must be a multiple of the block size, ` +
        `${blockBytes}..${limits.maxTransferBytes}`,
    );
  }
  if (offset % blockBytes !== 0) {
    throw usageError(
      `--offset is ${offset}; it must be a multiple of the block size ${blockBytes}`,
    );
  }
  const capacity = blockBytes * blockCount;
  const size = options.size ?? capacity - offset;
  if (offset + size > capacity) {
    const end = Math.ceil((offset + size) / blockBytes);
    throw usageError(
      `--offset ${offset} and --size ${size} end at block ${end}; ` +
        `the namespace has ${blockCount} blocks of ${blockBytes} bytes, ${capacity} bytes`,
    );
  }
  const slots = Math.floor(size / blockSize);
  if (slots === 0) throw usageError(`--size is ${size}; it must hold one transfer of ${blockSize}`);
  if (depth > limits.maxInFlight) {
    throw usageError(`--iodepth is ${depth}; the device takes ${limits.maxInFlight} at a time`);
  }
  const iosPerJob = Math.floor((options.ioSize ?? size) / blockSize);
  return {
    firstLba: offset / blockBytes,
    slots,
    blocksPerIo: blockSize / blockBytes,
    iosPerJob: options.isTimeBased ? Number.POSITIVE_INFINITY : iosPerJob,
  };
}

/** After so much device time without a completion nothing will come any more. */
export const stallNs: number = 60 * secondNs;
