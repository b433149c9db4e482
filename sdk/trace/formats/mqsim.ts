import { BlockOp } from '../../block/request.js';
import type { Head, TextFormat, TextParser } from '../format.js';
import { maxSector, sectorBytes } from '../format.js';
import type { Line } from '../line.js';
import type { Reason, TraceBuilder } from '../trace.js';

/**
 * `time device sector sectors type`, blank-separated, 512-byte sectors. **1 is a read and 0 a
 * write**, the other way round than in Tencent's files. MQSim and ssdsim write the time as whole
 * nanoseconds; DiskSim itself as milliseconds with a fraction.
 */
export const mqsim = {
  kind: 'text',
  name: 'mqsim',
  title: 'MQSim or ssdsim ASCII (time in ns)',
  tickNs: 1,
  matches: (head) => looksRight(head) && !hasFractions(head),
  open: () => new DiskParser(false),
} satisfies TextFormat;

export const disksim = {
  kind: 'text',
  name: 'disksim',
  title: 'DiskSim ASCII (time in ms)',
  tickNs: 1,
  matches: (head) => looksRight(head) && hasFractions(head),
  open: () => new DiskParser(true),
} satisfies TextFormat;

const millisecondDigits = 6;

function looksRight(head: Head): boolean {
  const first = head.lines[0];
  return first !== undefined && /^\d+(\.\d+)?\s+\d+\s+\d+\s+\d+\s+[01]$/.test(first.trim());
}

function hasFractions(head: Head): boolean {
  return head.lines.some((line) => /^\s*\d+\.\d/.test(line));
}

class DiskParser implements TextParser {
  private readonly isMilliseconds: boolean;

  constructor(isMilliseconds: boolean) {
    this.isMilliseconds = isMilliseconds;
  }

  line(line: Line, out: TraceBuilder): Reason {
    if (line.splitBlanks() !== 5) return 'not five columns: time device sector sectors type';
    if (this.isMilliseconds) {
      if (!line.stamp(0, millisecondDigits)) return 'the time is not a number of milliseconds';
    } else if (line.integer(0) < 0) {
      return 'the time is not a whole number of nanoseconds (DiskSim milliseconds: format disksim)';
    } else line.stamp(0, 0);
    if (line.integer(1) < 0) return 'the device is not a number';
    const sector = line.integer(2);
    if (sector < 0 || sector > maxSector) return 'the sector is not a number below 2^44';
    const sectors = line.integer(3);
    if (sectors < 1 || sectors > maxSector) return 'the length is not a positive number of sectors';
    const type = line.integer(4);
    if (type !== 0 && type !== 1) return 'the type is neither 1 (read) nor 0 (write)';
    const reason = out.stamp(line.high, line.low);
    if (reason !== '') return reason;
    const op = type === 1 ? BlockOp.read : BlockOp.write;
    const device = out.deviceIndex(line.text(1));
    return out.add(op, 0, sector * sectorBytes, sectors * sectorBytes, device);
  }
}
