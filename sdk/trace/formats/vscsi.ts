import { BlockOp } from '../../block/request.js';
import type { BinaryFormat, BinaryParser, Head } from '../format.js';
import { maxSector, sectorBytes } from '../format.js';
import type { Reason, TraceBuilder } from '../trace.js';
import { stampBase } from '../trace.js';

/**
 * CloudPhysics' records of virtual SCSI disks, little endian:
 *
 *   version 1, 32 bytes: u32 serial, u32 bytes, u32 segments, u16 command, u16 version,
 *                        u64 block (512 bytes), u64 time (us)
 *   version 2, 40 bytes: u16 command, u16 version, u32 serial, u32 bytes, u32 segments,
 *                        u64 block, u64 time (us), u64 response time
 *
 * The high byte of `version` is 1 or 2; `command` is a SCSI operation code.
 */
interface Shape {
  readonly version: number;
  readonly bytes: number;
  readonly lengthAt: number;
  readonly commandAt: number;
  readonly versionAt: number;
}

const shape1: Shape = { version: 1, bytes: 32, lengthAt: 4, commandAt: 12, versionAt: 14 };
const shape2: Shape = { version: 2, bytes: 40, lengthAt: 8, commandAt: 0, versionAt: 2 };
const blockAt = 16;
const timeAt = 24;

export const vscsi1 = format(shape1);
export const vscsi2 = format(shape2);

/** READ and WRITE with 6, 10, 12 and 16 byte commands, WRITE AND VERIFY, SYNCHRONIZE CACHE. */
const reads: readonly number[] = [0x08, 0x28, 0xa8, 0x88];
const writes: readonly number[] = [0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e];
const flushes: readonly number[] = [0x35, 0x91];

function format(shape: Shape) {
  return {
    kind: 'binary',
    name: `vscsi${shape.version}`,
    title: `CloudPhysics vscsi version ${shape.version} (binary)`,
    tickNs: 1_000,
    recordBytes: shape.bytes,
    matches: (head) => matches(head, shape),
    open: () => new VscsiParser(shape),
  } satisfies BinaryFormat;
}

function matches(head: Head, shape: Shape): boolean {
  const whole = Math.min(8, Math.floor(head.bytes.length / shape.bytes));
  for (let i = 0; i < whole; i++) {
    const at = i * shape.bytes;
    if (head.bytes[at + shape.versionAt + 1] !== shape.version) return false;
    // The operation code is one byte: the high byte of the command stays 0.
    if (head.bytes[at + shape.commandAt + 1] !== 0) return false;
  }
  return whole > 0;
}

class VscsiParser implements BinaryParser {
  private readonly shape: Shape;

  constructor(shape: Shape) {
    this.shape = shape;
  }

  record(bytes: Buffer, at: number, out: TraceBuilder): Reason {
    const { shape } = this;
    if (bytes[at + shape.versionAt + 1] !== shape.version) return 'the version changes';
    const command = bytes.readUInt16LE(at + shape.commandAt);
    const timeUs = bytes.readUInt32LE(at + timeAt) + bytes.readUInt32LE(at + timeAt + 4) * 2 ** 32;
    if (!Number.isSafeInteger(timeUs)) return 'the time stamp is beyond 2^53 microseconds';
    const seconds = Math.floor(timeUs / stampBase);
    const reason = out.stamp(seconds, timeUs - seconds * stampBase);
    if (reason !== '') return reason;
    const device = out.deviceIndex('disk');
    if (flushes.includes(command)) return out.add(BlockOp.flush, 0, 0, 0, device);
    const isRead = reads.includes(command);
    if (!isRead && !writes.includes(command)) {
      out.skipped++;
      return '';
    }
    const high = bytes.readUInt32LE(at + blockAt + 4);
    const block = bytes.readUInt32LE(at + blockAt) + high * 2 ** 32;
    if (block > maxSector) return 'the block is beyond 2^44';
    const length = bytes.readUInt32LE(at + shape.lengthAt);
    if (length === 0) return 'the length is 0';
    return out.add(isRead ? BlockOp.read : BlockOp.write, 0, block * sectorBytes, length, device);
  }
}
