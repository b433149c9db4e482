import { BlockOp } from '../block/request.js';
import { type TimeSplit, timeTable } from '../observe/command-time.js';
import type { Histogram } from '../observe/histogram.js';
import type { OpName, ReplayResult } from '../trace/replay.js';
import type { StageMean } from '../trace/stages.js';
import type { Trace } from '../trace/trace.js';
import type { Mismatch } from '../trace/verify.js';

/** Words for the numbers of `BlockOp`, as reports print them. */
export const opNames: Readonly<Record<number, string>> = {
  [BlockOp.read]: 'read',
  [BlockOp.write]: 'write',
  [BlockOp.flush]: 'flush',
  [BlockOp.discard]: 'discard',
  [BlockOp.writeZeroes]: 'write zeroes',
};

const resultNames: readonly (readonly ['all' | OpName, string])[] = [
  ['all', 'all'],
  ['read', 'read'],
  ['write', 'write'],
  ['flush', 'flush'],
  ['discard', 'discard'],
  ['writeZeroes', 'write zeroes'],
];

const percents = [50, 90, 99, 99.9, 99.99] as const;

/** 16,319 */
export function grouped(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** 25.5 MB */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** 19.2 s */
export function secondsText(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  return ns >= 1e6 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e3).toFixed(1)} us`;
}

/** One line that says what a trace asks for. */
export function traceText(trace: Trace): string {
  const parts: string[] = [];
  for (const [op, name] of Object.entries(opNames)) {
    let count = 0;
    let bytes = 0;
    for (let i = 0; i < trace.count; i++) {
      if (trace.op[i] !== Number(op)) continue;
      count++;
      bytes += trace.lengthBytes[i]!;
    }
    const size = bytes === 0 ? '' : ` (${bytesText(bytes)})`;
    if (count > 0) parts.push(`${counted(count, name)}${size}`);
  }
  const spanNs = trace.timeNs[trace.count - 1]!;
  return `${grouped(trace.count)} requests in ${secondsText(spanNs)}: ${parts.join(', ')}`;
}

/** '1 volume', '12,000 volumes' */
export function counted(count: number, name: string): string {
  return `${grouped(count)} ${plural(name, count)}`;
}

function plural(name: string, count: number): string {
  if (count === 1 || name.endsWith('s')) return name;
  return name.endsWith('sh') ? `${name}es` : `${name}s`;
}

/** The figures of a run, as lines. */
export function resultLines(result: ReplayResult): string[] {
  const { plan } = result;
  const verified = `${bytesText(result.verifiedBytes)} compared`;
  const wrong =
    result.mismatches === 0 ? 'every byte as expected' : `${result.mismatches} blocks are WRONG`;
  const lines = [
    `  IOPS       ${grouped(result.iops)}`,
    `  bandwidth  read ${bytesText(result.readBytesPerSecond)}/s, ` +
      `write ${bytesText(result.writeBytesPerSecond)}/s`,
    `  verified   ${verified} (${bytesText(result.readBackBytes)} of it in a final read-back): ` +
      wrong,
  ];
  if (result.failed > 0) lines.push(`  failed     ${grouped(result.failed)} requests`);
  if (result.unknownBytes > 0) {
    lines.push(`  unchecked  ${bytesText(result.unknownBytes)} that this run has not written`);
  }
  const notes = [
    note(result.heldBack, 'waited for an overlapping write'),
    note(plan.splitRecords, 'larger than one transfer, cut'),
    note(plan.roundedRecords, 'not in whole blocks, rounded'),
    note(plan.foldedRecords, 'beyond the end of the card, folded back'),
    note(plan.droppedRecords, 'discards below one block, left out'),
  ].filter((text) => text !== '');
  if (notes.length > 0) lines.push(`  notes      ${notes.join('; ')}`);
  return lines;
}

function note(count: number, text: string): string {
  return count === 0 ? '' : `${grouped(count)} ${text}`;
}

/** Latency percentiles in microseconds, a line per operation. */
export function latencyLines(result: ReplayResult): string[] {
  const head = ['latency (us)', 'count', 'mean', ...percents.map((p) => `p${p}`), 'max'];
  const rows = resultNames
    .filter(([key]) => result.latency[key].count > 0)
    .map(([key, name]) => [`  ${name}`, ...latencyCells(result.latency[key])]);
  return table([head, ...rows]);
}

function latencyCells(histogram: Histogram): string[] {
  const values = [histogram.mean, ...histogram.percentiles(percents), histogram.max];
  return [grouped(histogram.count), ...values.map((ns) => micros(ns))];
}

function micros(ns: number): string {
  const us = ns / 1000;
  return us >= 100 ? grouped(us) : us.toFixed(us >= 10 ? 1 : 2);
}

export interface NamedSplit {
  readonly name: string;
  readonly stages: readonly StageMean[];
}

/**
 * Mean time of each step, a column per operation.
 *
 * @param kept how many of the last requests it is about, 0 for all
 */
export function splitLines(splits: readonly NamedSplit[], kept: number): string[] {
  const first = splits[0];
  if (first === undefined) return [];
  const of = kept === 0 ? '' : `, last ${grouped(kept)}`;
  const head = [`time split (mean us${of})`, ...splits.map(({ name }) => name)];
  const rows = first.stages.map((stage, i) => [
    `  ${stage.name}`,
    ...splits.map(({ stages }) => micros(stages[i]!.meanNs)),
  ]);
  const total = splits.map(({ stages }) =>
    micros(stages.reduce((sum, { meanNs }) => sum + meanNs, 0)),
  );
  return table([head, ...rows, ['  together', ...total]]);
}

/** What was wrong, with the first cases in words. */
export function mismatchLines(result: ReplayResult): string[] {
  const lines = result.firstMismatches.map((mismatch) => `  ${mismatchText(mismatch)}`);
  if (result.mismatches > lines.length) lines.push(`  ... ${result.mismatches} in all`);
  for (const { request, status, detail } of result.firstFailures) {
    const word = `0x${detail.toString(16)}`;
    lines.push(`  request ${request} failed: status ${status}, the device's own word ${word}`);
  }
  return lines;
}

function mismatchText(mismatch: Mismatch): string {
  const { kind, lba, request, expectedVersion, foundVersion, foundLba, atByte } = mismatch;
  const where = request < 0 ? 'read-back' : `request ${request}`;
  const expected =
    expectedVersion === 0 ? 'untouched' : `as written by request ${expectedVersion - 1}`;
  const found =
    foundVersion === 0
      ? 'no block of this run'
      : `what request ${foundVersion - 1} wrote to block ${foundLba}`;
  const broken = kind === 'torn' ? `, broken at byte ${atByte}` : '';
  return `block ${lba} (${where}): ${kind}; expected ${expected}, found ${found}${broken}`;
}

/** Where the time went inside of a card that shows it. */
export function insideTimeLines(splits: readonly TimeSplit[]): string[] {
  const [head, ...rows] = timeTable(splits);
  if (head === undefined) return [];
  return ['', ...table([head, ...rows.map(([name, ...cells]) => [`  ${name}`, ...cells])])];
}

/** First column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]! + 2)))
      .join(''),
  );
}
