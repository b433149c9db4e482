import { BlockOp } from '../../block/request.js';
import type { TextFormat } from '../format.js';
import { maxSector, sectorBytes } from '../format.js';
import type { Line } from '../line.js';
import type { Reason, TraceBuilder } from '../trace.js';

/**
 * `Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime`: Windows FILETIME (100 ns since
 * 1601, beyond 2^53), bytes, `Read` or `Write`. A device is `host.disk`.
 */
export const msr = {
  kind: 'text',
  name: 'msr',
  title: 'MSR Cambridge CSV',
  tickNs: 100,
  matches: (head) => /^\s*\d+\s*,[^,]*,[^,]*,\s*(read|write)\s*,/i.test(head.lines[0] ?? ''),
  open: () => ({ line: msrLine }),
} satisfies TextFormat;

/** `device_id,opcode,offset,length,timestamp`: R or W, bytes, microseconds since 1970. */
export const alibaba = {
  kind: 'text',
  name: 'alibaba',
  title: 'Alibaba block trace CSV',
  tickNs: 1_000,
  matches: (head) => /^\s*\d+\s*,\s*[RW]\s*,/.test(head.lines[0] ?? ''),
  open: () => ({ line: alibabaLine }),
} satisfies TextFormat;

/**
 * `Timestamp,Offset,Size,IOType,VolumeID`: whole seconds, 512-byte sectors, **0 is a read and 1 a
 * write**, the other way round than in DiskSim's files. Requests of one second are spread evenly
 * over it, in file order.
 */
export const tencent = {
  kind: 'text',
  name: 'tencent',
  title: 'Tencent CBS CSV',
  tickNs: 1_000_000_000,
  matches: (head) => /^\s*(\d+\s*,\s*){3}[01]\s*,\s*\d+\s*$/.test(head.lines[0] ?? ''),
  open: () => ({ line: tencentLine, finish: (out) => out.spread() }),
} satisfies TextFormat;

function msrLine(line: Line, out: TraceBuilder): Reason {
  if (line.splitCommas() !== 7) {
    return 'not seven columns: Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime';
  }
  const isRead = line.is(3, 'read');
  if (!isRead && !line.is(3, 'write')) return 'the type is neither Read nor Write';
  const offset = line.integer(4);
  if (offset < 0) return 'the offset is not a number of bytes below 2^53';
  const length = line.integer(5);
  if (length < 1) return 'the size is not a positive number of bytes';
  if (!line.stamp(0, 0)) return 'the time stamp is not a whole number';
  const reason = out.stamp(line.high, line.low);
  if (reason !== '') return reason;
  const device = out.deviceIndex(`${line.text(1)}.${line.text(2)}`);
  return out.add(isRead ? BlockOp.read : BlockOp.write, 0, offset, length, device);
}

function alibabaLine(line: Line, out: TraceBuilder): Reason {
  if (line.splitCommas() !== 5) return 'not five columns: device_id,opcode,offset,length,timestamp';
  if (line.integer(0) < 0) return 'the device is not a number';
  const isRead = line.is(1, 'r');
  if (!isRead && !line.is(1, 'w')) return 'the opcode is neither R nor W';
  const offset = line.integer(2);
  if (offset < 0) return 'the offset is not a number of bytes below 2^53';
  const length = line.integer(3);
  if (length < 1) return 'the length is not a positive number of bytes';
  if (!line.stamp(4, 0)) return 'the time stamp is not a whole number of microseconds';
  const reason = out.stamp(line.high, line.low);
  if (reason !== '') return reason;
  const device = out.deviceIndex(line.text(0));
  return out.add(isRead ? BlockOp.read : BlockOp.write, 0, offset, length, device);
}

function tencentLine(line: Line, out: TraceBuilder): Reason {
  if (line.splitCommas() !== 5) return 'not five columns: Timestamp,Offset,Size,IOType,VolumeID';
  const sector = line.integer(1);
  if (sector < 0 || sector > maxSector) return 'the offset is not a sector below 2^44';
  const sectors = line.integer(2);
  if (sectors < 1 || sectors > maxSector) return 'the size is not a positive number of sectors';
  const type = line.integer(3);
  if (type !== 0 && type !== 1) return 'the type is neither 0 (read) nor 1 (write)';
  if (line.integer(4) < 0) return 'the volume is not a number';
  if (!line.stamp(0, 0)) return 'the time stamp is not a whole number of seconds';
  const reason = out.stamp(line.high, line.low);
  if (reason !== '') return reason;
  const op = type === 0 ? BlockOp.read : BlockOp.write;
  const device = out.deviceIndex(line.text(4));
  return out.add(op, 0, sector * sectorBytes, sectors * sectorBytes, device);
}
