import type { BlockDevice } from '../block/device.js';
import { readBlocks, writeBlocks } from '../block/promised.js';
import { crc32cOfWords } from '../crc32c.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { struct, u32, u64, wide } from '../spec/layout.js';

/**
 * What a member says of itself, in its metadata area. All numbers are little endian.
 *
 *   4 KiB 0   header
 *   4 KiB 1   the same again
 *   from 2    the write-intent map, see `IntentMap`
 *
 * A header is written with FUA to one place, then to the other: a cut leaves one of them whole, and
 * either has what was written to the end, should the other be unreadable when it is looked for.
 */
export const headerBytes = 4096;
const headerWords = headerBytes / 4;
const headerMagic = 0x4d4d_4c55; // 'ULMM'
const formatVersion = 1;

const Layout = struct(
  { title: 'Member header', cite: 'format of the mirror', bytes: headerBytes },
  {
    magic: u32(0x00, 'Magic'),
    check: u32(0x04, 'CRC32C of all that follows this field'),
    version: u32(0x08, 'Version of the format'),
    blockBytes: u32(0x0c, 'Block size of the data'),
    sequence: u64(0x10, 'Rises with every header'),
    clusterId: wide(0x20, 16, 'id', 'Cluster that the member belongs to'),
    volumeId: wide(0x30, 16, 'id', 'Mirrored volume'),
    memberId: wide(0x40, 16, 'id', 'This member'),
    blockCount: u64(0x50, 'Blocks of data'),
    regionBlocks: u32(0x58, 'Blocks that one bit of the map stands for'),
    epoch: u64(0x60, 'The newest epoch adopted'),
    incarnation: u64(0x68, 'Rises whenever the member comes up'),
    token: wide(0x70, 16, 'id', 'Claim behind the epoch'),
    generation: u64(0x80, 'The newest generation of the membership that it was told'),
    dataStart: u64(0x100, 'Where the data begins, in blocks of the same device; 0: on another'),
  },
);

export interface MirrorGeometry {
  readonly blockBytes: number;
  readonly blockCount: number;
  /** Blocks for one bit of the write-intent map; a power of two. */
  readonly regionBlocks: number;
}

/** Identities are 32 hexadecimal digits. */
export interface MemberIdentity {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly memberId: string;
}

export interface MemberHeader extends MirrorGeometry, MemberIdentity {
  readonly sequence: number;
  readonly epoch: number;
  readonly token: string;
  readonly generation: number;
  readonly incarnation: number;
  /** Block at which the data begins on the same device; 0 when it lies on another. */
  readonly dataStart: number;
}

/** Regions of one mirror, at most: what a member says of itself goes in one message. */
export const mostRegions = 2 ** 26;

export function regionCountOf({ blockCount, regionBlocks }: MirrorGeometry): number {
  return Math.ceil(blockCount / regionBlocks);
}

/** @throws RangeError for an identity that is no 32 hexadecimal digits */
export function checkIdentity(id: string): string {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new RangeError(`${id}: 32 hexadecimal digits, lower case`);
  return id;
}

export async function writeHeader(meta: BlockDevice, header: MemberHeader): Promise<void> {
  const words = new Uint32Array(headerWords);
  Layout.magic.set(words, 0, headerMagic);
  Layout.version.set(words, 0, formatVersion);
  Layout.blockBytes.set(words, 0, header.blockBytes);
  Layout.sequence.set(words, 0, header.sequence);
  Layout.clusterId.bytes(words, 0).set(bytesOf(header.clusterId));
  Layout.volumeId.bytes(words, 0).set(bytesOf(header.volumeId));
  Layout.memberId.bytes(words, 0).set(bytesOf(header.memberId));
  Layout.blockCount.set(words, 0, header.blockCount);
  Layout.regionBlocks.set(words, 0, header.regionBlocks);
  Layout.epoch.set(words, 0, header.epoch);
  Layout.incarnation.set(words, 0, header.incarnation);
  Layout.token.bytes(words, 0).set(bytesOf(header.token));
  Layout.generation.set(words, 0, header.generation);
  Layout.dataStart.set(words, 0, header.dataStart);
  Layout.check.set(words, 0, crc32cOfWords(words, 2, headerWords));
  const blocks = headerBytes / meta.blockBytes;
  for (const copy of [0, 1]) {
    await writeBlocks(meta, copy * blocks, new Uint8Array(words.buffer), true);
  }
}

/** @throws UltimaError MEMBER_REFUSED when neither copy is a header */
export async function readHeader(meta: BlockDevice): Promise<MemberHeader> {
  const blocks = headerBytes / meta.blockBytes;
  const found: MemberHeader[] = [];
  for (const copy of [0, 1]) {
    const words = new Uint32Array(headerWords);
    try {
      await readBlocks(meta, copy * blocks, new Uint8Array(words.buffer));
    } catch (error) {
      // The other copy may be readable.
      if (!(error instanceof UltimaError)) throw error;
      continue;
    }
    const header = parse(words);
    if (header !== null) found.push(header);
  }
  found.sort((a, b) => b.sequence - a.sequence);
  if (found[0] !== undefined) return found[0];
  throw new UltimaError(
    ErrorCode.memberRefused,
    'neither copy of the header is that of a mirror member: format it, or name the right device',
    { reason: 'no header' },
  );
}

function parse(words: Uint32Array): MemberHeader | null {
  if (Layout.magic.get(words, 0) !== headerMagic) return null;
  if (Layout.check.get(words, 0) !== crc32cOfWords(words, 2, headerWords)) return null;
  if (Layout.version.get(words, 0) !== formatVersion) return null;
  const { sequence, blockCount, epoch, incarnation, generation, dataStart } = Layout;
  const numbers = [sequence, blockCount, epoch, incarnation, generation, dataStart];
  if (!numbers.every((field) => field.isExact(words, 0))) return null;
  return {
    clusterId: hexOf(Layout.clusterId.bytes(words, 0)),
    volumeId: hexOf(Layout.volumeId.bytes(words, 0)),
    memberId: hexOf(Layout.memberId.bytes(words, 0)),
    blockBytes: Layout.blockBytes.get(words, 0),
    blockCount: Layout.blockCount.get(words, 0),
    regionBlocks: Layout.regionBlocks.get(words, 0),
    sequence: Layout.sequence.get(words, 0),
    epoch: Layout.epoch.get(words, 0),
    incarnation: Layout.incarnation.get(words, 0),
    token: hexOf(Layout.token.bytes(words, 0)),
    generation: Layout.generation.get(words, 0),
    dataStart: Layout.dataStart.get(words, 0),
  };
}

// The map of a large volume has megabytes: a take-over must not wait for its digits.

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** @param hex  pairs of digits, as they were checked before */
export function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}
