import { BlockOp } from '../../block/request.js';
import type { Head, TextFormat, TextParser } from '../format.js';
import type { Line } from '../line.js';
import type { Reason, TraceBuilder } from '../trace.js';
import { stampBase } from '../trace.js';

/**
 * fio's iolog. Version 2: `file action [offset length]`, and `wait` with microseconds since the
 * wait before. Version 3: `timestamp file action [offset length]`, the stamp in microseconds.
 */
export const fio2 = {
  kind: 'text',
  name: 'fio2',
  title: 'fio iolog version 2',
  tickNs: 1_000,
  matches: (head) => isVersion(head, 2),
  open: () => new IologParser(2),
} satisfies TextFormat;

export const fio3 = {
  kind: 'text',
  name: 'fio3',
  title: 'fio iolog version 3',
  tickNs: 1_000,
  matches: (head) => isVersion(head, 3),
  open: () => new IologParser(3),
} satisfies TextFormat;

function isVersion(head: Head, version: number): boolean {
  return (head.lines[0] ?? '').trim() === `fio version ${version} iolog`;
}

const dataOps: readonly (readonly [string, BlockOp])[] = [
  ['read', BlockOp.read],
  ['write', BlockOp.write],
  ['trim', BlockOp.discard],
];

class IologParser implements TextParser {
  private readonly version: 2 | 3;
  private hasHeader = false;
  private waitedUs = 0;

  constructor(version: 2 | 3) {
    this.version = version;
  }

  line(line: Line, out: TraceBuilder): Reason {
    const count = line.splitBlanks();
    if (!this.hasHeader) {
      this.hasHeader = true;
      return line.whole() === `fio version ${this.version} iolog`
        ? ''
        : `the first line is not "fio version ${this.version} iolog"`;
    }
    if (this.version === 3) {
      if (count < 3) return 'not: timestamp file action [offset length]';
      if (!line.stamp(0, 0)) return 'the time stamp is not a whole number of microseconds';
      const reason = out.stamp(line.high, line.low);
      return reason === '' ? this.action(line, out, 1) : reason;
    }
    if (line.is(0, 'wait')) return this.wait(line, 1);
    if (count < 2) return 'not: file action [offset length]';
    if (line.is(1, 'wait')) return this.wait(line, 2);
    const seconds = Math.floor(this.waitedUs / stampBase);
    const reason = out.stamp(seconds, this.waitedUs - seconds * stampBase);
    return reason === '' ? this.action(line, out, 0) : reason;
  }

  private wait(line: Line, field: number): Reason {
    const us = line.integer(field);
    if (us < 0) return 'the wait is not a whole number of microseconds';
    this.waitedUs += us;
    return '';
  }

  /** Field `at` is the file, the next one the action. */
  private action(line: Line, out: TraceBuilder, at: number): Reason {
    const act = at + 1;
    if (line.is(act, 'add') || line.is(act, 'open') || line.is(act, 'close')) {
      out.skipped++;
      return '';
    }
    if (line.is(act, 'wait') && this.version === 3) return 'version 3 has no wait';
    if (line.is(act, 'sync') || line.is(act, 'datasync')) {
      return out.add(BlockOp.flush, 0, 0, 0, out.deviceIndex(line.text(at)));
    }
    for (const [word, op] of dataOps) {
      if (!line.is(act, word)) continue;
      if (line.fieldCount !== act + 3) return `${word} needs an offset and a length`;
      const offset = line.integer(act + 1);
      if (offset < 0) return 'the offset is not a number of bytes below 2^53';
      const length = line.integer(act + 2);
      if (length < 1) return 'the length is not a positive number of bytes';
      return out.add(op, 0, offset, length, out.deviceIndex(line.text(at)));
    }
    return 'the action is none of: add open close read write trim sync datasync wait';
  }
}
