import type { Line } from './line.js';
import type { Reason, TraceBuilder } from './trace.js';

/** The beginning of a file (unpacked), for finding out what it is. */
export interface Head {
  readonly bytes: Buffer;
  /** Lines that are complete in `bytes`, blank ones left out. */
  readonly lines: readonly string[];
}

export interface ParseOptions {
  /** blkparse: replay what was queued (Q) or what was issued to the driver (D, the default). */
  readonly event?: 'Q' | 'D';
}

interface FormatBase {
  /** What `--format` calls it. */
  readonly name: string;
  /** What a person calls it. */
  readonly title: string;
  readonly tickNs: number;
  /** Which records count is known at the end only: a limit is applied then. */
  readonly needsAll?: boolean;
  /** Whether a file that begins so is of this format. Must be false for every other format. */
  matches(head: Head): boolean;
}

export interface TextFormat extends FormatBase {
  readonly kind: 'text';
  open(options: ParseOptions): TextParser;
}

export interface BinaryFormat extends FormatBase {
  readonly kind: 'binary';
  readonly recordBytes: number;
  open(options: ParseOptions): BinaryParser;
}

export type TraceFormat = TextFormat | BinaryFormat;

export interface TextParser {
  /** Take one line that is not blank. @returns '' or why it is malformed */
  line(line: Line, out: TraceBuilder): Reason;
  /** All lines are in. */
  finish?(out: TraceBuilder): void;
}

export interface BinaryParser {
  /** Take the record at bytes[at]. @returns '' or why it is malformed */
  record(bytes: Buffer, at: number, out: TraceBuilder): Reason;
}

export const sectorBytes = 512;

/** Largest sector number whose byte offset is below 2^53. */
export const maxSector = Math.floor(Number.MAX_SAFE_INTEGER / sectorBytes);
