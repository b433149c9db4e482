import { BlockOp } from '../../block/request.js';
import type { Head, ParseOptions, TextFormat, TextParser } from '../format.js';
import { maxSector, sectorBytes } from '../format.js';
import type { Line } from '../line.js';
import type { Reason, TraceBuilder } from '../trace.js';
import { traceFlagFua } from '../trace.js';

/**
 * blkparse's default output: `maj,min cpu sequence seconds.nanoseconds pid action rwbs` and, where
 * the action has a range, `sector + sectors`, then the process. Each request shows up several
 * times on its way: Q queued, M and F merged, X split, G got a request, I inserted, D issued to
 * the driver, C completed. Replaying more than one of them would repeat the load, so one is taken:
 * D (what the disk was asked) or Q (what the application asked).
 *
 * `rwbs`: a leading F asks for a flush before; then D discard, W write, R read or N neither; then
 * F (FUA), A (read-ahead), S (synchronous), M (metadata). A preflush with data becomes two
 * records, the flush first. At the driver the kernel has taken both apart already.
 */
export const blkparse = {
  kind: 'text',
  name: 'blkparse',
  title: 'blkparse text',
  tickNs: 1,
  needsAll: true,
  matches: (head: Head) => head.lines.some((line) => eventLine.test(line)),
  open: (options: ParseOptions) => new BlkparseParser(options.event),
} satisfies TextFormat;

const eventLine = /^\s*\d+,\d+\s+\d+\s+\d+\s+\d+\.\d{9}\s+\d+\s+[A-Z]{1,2}\s/;
const flagQueued = 0x80;
const nanosecondDigits = 9;
const actions = ['A', 'B', 'C', 'D', 'F', 'G', 'I', 'M', 'P', 'Q', 'R', 'S', 'T', 'U', 'UT', 'UI']
  .concat(['X', 'm'])
  .map((action) => action.toLowerCase());

const letter = { D: 68, F: 70, N: 78, Q: 81, R: 82, W: 87, plus: 43, comma: 44 } as const;

class BlkparseParser implements TextParser {
  private readonly event: 'Q' | 'D' | undefined;
  private inSummary = false;
  private hasIssued = false;

  constructor(event: 'Q' | 'D' | undefined) {
    this.event = event;
  }

  line(line: Line, out: TraceBuilder): Reason {
    // blkparse ends with totals, CPU by CPU, and may begin with the names of its input files.
    if (this.inSummary || line.startsWith('CPU') || line.startsWith('Total (')) {
      this.inSummary = true;
      return '';
    }
    if (line.startsWith('Input file ')) return '';
    const count = line.splitBlanks();
    if (count < 6) return 'not: maj,min cpu sequence time pid action rwbs [sector + sectors]';
    if (!/^\d+,\d+$/.test(line.text(0))) return 'the device is not major,minor';
    if (!line.stamp(3, nanosecondDigits)) return 'the time is not seconds.nanoseconds';
    const action = line.lengthOf(5) === 1 ? line.letter(5) : 0;
    if (action !== letter.D && action !== letter.Q) {
      if (!actions.some((known) => line.is(5, known))) return 'an action blkparse does not have';
      out.skipped++;
      return '';
    }
    const reason = out.stamp(line.high, line.low);
    if (reason !== '') return reason;
    if (action === letter.D) this.hasIssued = true;
    return request(line, out, action === letter.Q ? flagQueued : 0);
  }

  finish(out: TraceBuilder): void {
    const event = this.event ?? (this.hasIssued ? 'D' : 'Q');
    const wanted = event === 'Q' ? flagQueued : 0;
    out.keep((flags) => (flags & flagQueued) === wanted, flagQueued);
  }
}

function request(line: Line, out: TraceBuilder, mark: number): Reason {
  const preflush = line.letter(6) === letter.F ? 1 : 0;
  const kind = line.letter(6, preflush);
  const device = out.deviceIndex(line.text(0));
  const hasRange = line.letter(8) === letter.plus;
  const sector = hasRange ? line.integer(7) : 0;
  const sectors = hasRange ? line.integer(9) : 0;
  if (sector < 0 || sector > maxSector) return 'the sector is not a number below 2^44';
  if (sectors < 0 || sectors > maxSector) return 'the length is not a number of sectors';
  if (preflush === 1) {
    const reason = out.add(BlockOp.flush, mark, 0, 0, device);
    if (reason !== '') return reason;
  }
  if (sectors === 0) {
    // A flush alone has been taken above; a command without data (N) is nothing to replay.
    if (preflush === 0 && kind !== letter.N) return 'a request without a range';
    if (preflush === 0) out.skipped++;
    return '';
  }
  const op = opOf(kind);
  if (op === undefined) return 'rwbs is no request (R, W, D, F or N)';
  const fua = line.letter(6, preflush + 1) === letter.F ? traceFlagFua : 0;
  return out.add(op, mark + fua, sector * sectorBytes, sectors * sectorBytes, device);
}

function opOf(kind: number): BlockOp | undefined {
  if (kind === letter.R) return BlockOp.read;
  if (kind === letter.W) return BlockOp.write;
  return kind === letter.D ? BlockOp.discard : undefined;
}
