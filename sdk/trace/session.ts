import { BlockOp } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { Histogram } from '../observe/histogram.js';
import type { LoggedIo } from '../observe/io-log.js';
import { type Trace, TraceBuilder } from './trace.js';

/**
 * The log of requests that a card has carried out, with the latency of each: what a model of that
 * card is held against. Text, one request per line in the order of submission.
 *
 *   # ultima session 1
 *   # timeNs,op,offsetBytes,lengthBytes,latencyNs
 *   0,read,4096,4096,81230
 */
export interface Session {
  readonly trace: Trace;
  /** Submit to callback, of each record of the trace. */
  readonly latencyNs: Float64Array;
  /** Requests in flight: the most, and on average. */
  readonly maxInFlight: number;
  readonly meanInFlight: number;
}

const firstLine = '# ultima session 1';
const columns = '# timeNs,op,offsetBytes,lengthBytes,latencyNs';

const names = new Map<number, string>(Object.entries(BlockOp).map(([name, op]) => [op, name]));
const ops = new Map<string, BlockOp>(Object.entries(BlockOp));

/**
 * I/Os in any order. Times come from the first stage of each, latencies from its first and last;
 * what failed is left out.
 */
export function formatSession(ios: Iterable<LoggedIo>, blockBytes: number): string {
  const lines = [firstLine, columns];
  let originNs = -1;
  const ordered = [...ios].sort((a, b) => a.timesNs[0]! - b.timesNs[0]!);
  for (const { op, lba, bytes, status, timesNs } of ordered) {
    const name = names.get(op);
    if (status !== 0 || name === undefined) continue;
    const startNs = timesNs[0]!;
    if (originNs < 0) originNs = startNs;
    const latencyNs = timesNs[timesNs.length - 1]! - startNs;
    const row = [startNs - originNs, name, lba * blockBytes, bytes, latencyNs];
    lines.push(row.map((value) => (typeof value === 'number' ? Math.round(value) : value)).join());
  }
  return `${lines.join('\n')}\n`;
}

/** @throws UltimaError FILE_INVALID that names the line and what is wrong with it */
export function parseSession(text: string, source: string, limit = Infinity): Session {
  const lines = text.split('\n');
  if (lines[0] !== firstLine) throw wrong(source, 1, `does not read '${firstLine}'`);
  const builder = new TraceBuilder({ source, format: 'session', tickNs: 1 });
  const latencies: number[] = [];
  let lastNs = 0;
  builder.stamp(0, 0);
  const device = builder.deviceIndex('session');
  for (const [i, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    if (latencies.length >= limit) break;
    const [time = '', name = '', offset = '', length = '', latency = '', ...more] = line.split(',');
    const op = ops.get(name);
    const numbers = [time, offset, length, latency].map(count);
    const [timeNs = -1, offsetBytes = -1, lengthBytes = -1, latencyNs = -1] = numbers;
    if (more.length > 0 || numbers.some((value) => value < 0)) {
      throw wrong(source, i + 1, `'${line.slice(0, 80)}' is not ${columns.slice(2)}`);
    }
    if (op === undefined) throw wrong(source, i + 1, `'${name}': one of ${[...ops.keys()].join()}`);
    if (timeNs < lastNs) throw wrong(source, i + 1, `time ${timeNs} is before that of the last`);
    lastNs = timeNs;
    const reason = builder.stamp(0, timeNs) || builder.add(op, 0, offsetBytes, lengthBytes, device);
    if (reason !== '') throw wrong(source, i + 1, reason);
    latencies.push(latencyNs);
  }
  if (latencies.length === 0) throw wrong(source, lines.length, 'there is no request');
  return withLoad(builder.build(), Float64Array.from(latencies));
}

/** Latencies of a session, of one operation or of all. */
export function latencyOf(session: Session, op?: number): Histogram {
  const histogram = new Histogram();
  for (let i = 0; i < session.trace.count; i++) {
    if (op === undefined || session.trace.op[i] === op) histogram.record(session.latencyNs[i]!);
  }
  return histogram;
}

/** Requests per second from the first submission to the last end. */
export function iopsOf({ trace, latencyNs }: Session): number {
  let endNs = 1;
  for (let i = 0; i < trace.count; i++) endNs = Math.max(endNs, trace.timeNs[i]! + latencyNs[i]!);
  return (trace.count * 1e9) / endNs;
}

function withLoad(trace: Trace, latencyNs: Float64Array): Session {
  const ends = Float64Array.from(latencyNs, (ns, i) => trace.timeNs[i]! + ns).sort();
  let ended = 0;
  let maxInFlight = 0;
  let busyNs = 0;
  for (let i = 0; i < trace.count; i++) {
    while (ended < i && ends[ended]! <= trace.timeNs[i]!) ended++;
    maxInFlight = Math.max(maxInFlight, i + 1 - ended);
    busyNs += latencyNs[i]!;
  }
  const meanInFlight = busyNs / Math.max(1, ends[ends.length - 1]!);
  return { trace, latencyNs, maxInFlight, meanInFlight };
}

function count(text: string): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : -1;
}

function wrong(source: string, line: number, what: string): UltimaError {
  return new UltimaError(ErrorCode.fileInvalid, `${source}:${line}: ${what}`, { source, line });
}
