import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ErrorCode, UltimaError } from '../errors.js';
import { KiB } from '../units.js';
import type { BinaryFormat, Head, ParseOptions, TextFormat, TraceFormat } from './format.js';
import { blkparse } from './formats/blkparse.js';
import { alibaba, msr, tencent } from './formats/cloud.js';
import { fio2, fio3 } from './formats/fio.js';
import { disksim, mqsim } from './formats/mqsim.js';
import { vscsi1, vscsi2 } from './formats/vscsi.js';
import { Line } from './line.js';
import type { Reason, Trace } from './trace.js';
import { TraceBuilder } from './trace.js';

/** Every format that can be read, in the order in which a file is tried. */
export const traceFormats: readonly TraceFormat[] = [
  blkparse,
  fio3,
  fio2,
  msr,
  alibaba,
  tencent,
  disksim,
  mqsim,
  vscsi2,
  vscsi1,
];

export interface ReadTraceOptions extends ParseOptions {
  /** Name of a format, when the content should not decide. */
  readonly format?: string;
  /** Keep this device (volume, disk, file) only. */
  readonly device?: string;
  /** Take the first so many requests only. */
  readonly limit?: number;
}

const headBytes = 64 * KiB;
const chunkBytes = 256 * KiB;
const maxLineBytes = 64 * KiB;

/**
 * Read a recorded workload. The format is found from the content, gzip is unpacked on the way, and
 * memory holds the columns and one chunk.
 *
 * @throws UltimaError FILE_INVALID that names the file, the line or record and the reason;
 *   USAGE for an unknown format
 */
export async function readTrace(path: string, options: ReadTraceOptions = {}): Promise<Trace> {
  const stream = await openUnpacked(path);
  const feed = new Feed(path, options);
  try {
    for await (const chunk of stream) {
      if (!feed.take(asBuffer(chunk))) break;
    }
  } catch (error) {
    throw error instanceof UltimaError ? error : unreadable(path, error);
  } finally {
    stream.destroy();
  }
  return feed.finish();
}

/** The same from bytes in memory (not packed). */
export function parseTrace(bytes: Buffer, source: string, options: ReadTraceOptions = {}): Trace {
  const feed = new Feed(source, options);
  feed.take(bytes);
  return feed.finish();
}

/** Takes chunks of any size, finds the format in the first ones, cuts lines or records. */
class Feed {
  private readonly source: string;
  private readonly options: ReadTraceOptions;
  private pending: Buffer = Buffer.alloc(0);
  private consume: ((bytes: Buffer, isLast: boolean) => number) | undefined;
  private end: () => void = () => undefined;
  private builder: TraceBuilder | undefined;
  private number = 0;

  constructor(source: string, options: ReadTraceOptions) {
    this.source = source;
    this.options = options;
  }

  /** @returns whether more is wanted */
  take(chunk: Buffer): boolean {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    if (this.consume === undefined) {
      if (this.pending.length < headBytes) return true;
      this.begin();
    }
    this.advance(false);
    return this.builder?.isFull !== true;
  }

  finish(): Trace {
    if (this.consume === undefined) this.begin();
    if (this.builder?.isFull !== true) this.advance(true);
    this.end();
    const trace = this.builder?.build();
    if (trace === undefined || trace.count === 0) throw this.empty(trace);
    return trace;
  }

  private advance(isLast: boolean): void {
    const used = this.consume?.(this.pending, isLast) ?? 0;
    this.pending = this.pending.subarray(used);
    if (this.pending.length > maxLineBytes && this.builder?.isFull !== true) {
      this.number++;
      throw this.malformed('line', `longer than ${maxLineBytes} bytes`, '');
    }
  }

  private begin(): void {
    if (this.pending.length === 0) throw invalid(this.source, 'the file is empty');
    const format = chooseFormat(this.source, this.pending, this.options.format);
    const { device, limit } = this.options;
    const builder = new TraceBuilder({
      source: this.source,
      format: format.name,
      tickNs: format.tickNs,
      needsAll: format.needsAll === true,
      ...(device === undefined ? {} : { device }),
      ...(limit === undefined ? {} : { limit }),
    });
    this.builder = builder;
    this.consume =
      format.kind === 'text' ? this.text(format, builder) : this.binary(format, builder);
  }

  private text(format: TextFormat, out: TraceBuilder): (bytes: Buffer, isLast: boolean) => number {
    const parser = format.open(this.options);
    const line = new Line();
    this.end = () => parser.finish?.(out);
    return (bytes, isLast) => {
      let start = 0;
      while (start < bytes.length && !out.isFull) {
        let stop = bytes.indexOf(10, start);
        if (stop < 0) {
          if (!isLast) break;
          stop = bytes.length;
        }
        this.number++;
        line.set(bytes, start, stop);
        const reason = line.isEmpty ? '' : parser.line(line, out);
        if (reason !== '') throw this.malformed('line', reason, line.whole());
        start = stop + 1;
      }
      return Math.min(start, bytes.length);
    };
  }

  private binary(
    format: BinaryFormat,
    out: TraceBuilder,
  ): (bytes: Buffer, isLast: boolean) => number {
    const parser = format.open(this.options);
    return (bytes, isLast) => {
      let at = 0;
      for (; at + format.recordBytes <= bytes.length && !out.isFull; at += format.recordBytes) {
        this.number++;
        const reason = parser.record(bytes, at, out);
        if (reason !== '') throw this.malformed('record', reason, '');
      }
      if (isLast && at < bytes.length && !out.isFull) {
        this.number++;
        const reason = `cut off: ${bytes.length - at} of ${format.recordBytes} bytes`;
        throw this.malformed('record', reason, '');
      }
      return at;
    };
  }

  private malformed(unit: 'line' | 'record', reason: Reason, text: string): UltimaError {
    const shown = text === '' ? '' : `: ${excerpt(text)}`;
    return new UltimaError(
      ErrorCode.fileInvalid,
      `${this.source}, ${unit} ${this.number}: ${reason}${shown}`,
      { file: this.source, [unit]: this.number, reason },
    );
  }

  private empty(trace: Trace | undefined): UltimaError {
    const { device } = this.options;
    if (device === undefined || trace === undefined) {
      return invalid(this.source, 'the file holds no request');
    }
    const shown = trace.devices.slice(0, 16).join(' ');
    return invalid(this.source, `no request of device "${device}"; the file has: ${shown}`);
  }
}

/**
 * Which format a file is.
 *
 * @throws UltimaError FILE_INVALID when none fits, USAGE for a wrong name
 */
function chooseFormat(source: string, bytes: Buffer, name?: string): TraceFormat {
  if (name !== undefined) {
    const named = traceFormats.find((format) => format.name === name);
    if (named !== undefined) return named;
    const known = traceFormats.map((format) => format.name).join(', ');
    throw new UltimaError(ErrorCode.usage, `unknown trace format "${name}"; known: ${known}`, {
      format: name,
    });
  }
  const head = headOf(bytes);
  const found = traceFormats.find((format) => format.matches(head));
  if (found !== undefined) return found;
  const titles = traceFormats.map((format) => format.title).join('; ');
  throw invalid(
    source,
    `not a block trace of a known kind (${kindOf(head)}). Known: ${titles}. ` +
      'When it is one of these, name it with --format',
  );
}

function headOf(bytes: Buffer): Head {
  const text = bytes.subarray(0, headBytes).toString('latin1');
  const lines = text.split('\n');
  if (bytes.length > headBytes) lines.pop();
  return { bytes, lines: lines.map((line) => line.trim()).filter((line) => line !== '') };
}

function kindOf(head: Head): string {
  const isBinary = head.bytes.subarray(0, 1024).some((byte) => byte === 0 || byte > 127);
  if (isBinary) return `binary, begins with ${head.bytes.subarray(0, 8).toString('hex')}`;
  return `begins with "${excerpt(head.lines[0] ?? '')}"`;
}

async function openUnpacked(path: string): Promise<Readable> {
  const magic = Buffer.alloc(2);
  try {
    const file = await open(path);
    try {
      if ((await file.stat()).isDirectory()) throw invalid(path, 'a directory, not a trace file');
      await file.read(magic, 0, 2, 0);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof UltimaError ? error : unreadable(path, error);
  }
  const stream = createReadStream(path, { highWaterMark: chunkBytes });
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return stream;
  const unpacked = createGunzip({ chunkSize: chunkBytes });
  stream.on('error', (error) => unpacked.destroy(error));
  return stream.pipe(unpacked);
}

function asBuffer(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk;
  throw new TypeError('a trace stream gives bytes');
}

function unreadable(path: string, cause: unknown): UltimaError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const file = basename(path);
  return new UltimaError(ErrorCode.fileInvalid, `${path}: cannot be read: ${why}`, { file }, cause);
}

function invalid(source: string, reason: string): UltimaError {
  return new UltimaError(ErrorCode.fileInvalid, `${source}: ${reason}`, { file: source, reason });
}

function excerpt(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, '?');
  return clean.length > 80 ? `${clean.slice(0, 77)}...` : clean;
}
