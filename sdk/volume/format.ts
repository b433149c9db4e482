import { bits, struct, u32, u64, wide } from '../spec/layout.js';

/**
 * The pool on its devices. All numbers are little endian.
 *
 *   unit    64 KiB of a device; units of all devices are numbered through, device after device
 *   extent  64 KiB of a volume; the data of an extent lies in one unit or in several
 *   cell    4 KiB of an extent or unit, 16 of them; a cell lies in its unit where it lies in its
 *           extent, so that naming the unit is enough
 *   node    4 KiB of a map, in memory; its slot is the 4 KiB of a device that hold it
 *
 *   device 0   unit 0: label, label copy, superblock A twice, superblock B twice
 *              units 1 .. journalUnits: the journal, a ring of 4 KiB blocks
 *              then units of data, of slots and of images, in any order
 *   others     unit 0: label, label copy; then units
 *
 * A device that has become larger has a further row in the superblock, with the same identity, for
 * the part behind the earlier ones; that part's units come last in the numbering, too.
 */
export const unitBytes = 65_536;
export const cellBytes = 4096;
export const cellsPerUnit = 16;
export const allCells = 0xffff;

/** Mask of `count` cells, 1..16, from the first one on. */
export function maskOf(first: number, count: number): number {
  return (allCells >>> (cellsPerUnit - count)) << first;
}

/** Places of the labels and superblocks, in cells of unit 0. */
export const placeOf = { label: 0, labelCopy: 1, superblocks: [2, 3, 4, 5] } as const;

/** Unit and slot numbers have 32 bits, and a slot is the sixteenth part of a unit. */
export const maxUnits = 2 ** 28 - 1;
/** 16 TiB. */
export const maxVolumeBytes = 2 ** 44;
export const maxVolumes = 2048;
export const maxSnapshots = 16_384;
export const maxDevices = 16;
/** Units of one copy of the image that a superblock can name. */
export const maxImageUnits = 384;
export const formatVersion = 1;

export const labelMagic = 0x4c50_4c55; // 'ULPL'
export const superblockMagic = 0x5350_4c55; // 'ULPS'
export const batchMagic = 0x4a50_4c55; // 'ULPJ'
export const imageMagic = 0x4950_4c55; // 'ULPI'

const check = u32(0x04, 'CRC32C of all that follows this field');
const version = u32(0x08, 'Version of the format');

export const Label = struct(
  { title: 'Device label', cite: 'format of the pool', bytes: 4096 },
  {
    magic: u32(0x00, 'Magic'),
    check,
    version,
    deviceIndex: u32(0x0c, 'Place of the device in the pool, 0 first'),
    poolId: wide(0x10, 16, 'id', 'Identity of the pool'),
    deviceId: wide(0x20, 16, 'id', 'Identity of the device'),
    unitCount: u32(0x30, 'Units of the device'),
    blockBytes: u32(0x34, 'Block size of the device when it was labelled'),
  },
);

export const Superblock = struct(
  { title: 'Superblock', cite: 'format of the pool', bytes: 4096 },
  {
    magic: u32(0x00, 'Magic'),
    check,
    version,
    deviceCount: u32(0x0c, 'Devices of the pool'),
    poolId: wide(0x10, 16, 'id', 'Identity of the pool'),
    generation: u64(0x20, 'Rises with every superblock; odd ones lie in A, even ones in B'),
    session: u32(0x28, 'Rises with every opening for writing; journal batches carry it'),
    journalUnits: u32(0x2c, 'Units of the journal'),
    journalSeq: u64(0x30, 'Number of the first batch that is not in the image'),
    journalBlock: u32(0x38, 'Block of the ring where that batch begins'),
    imageBytes: u32(0x3c, 'Length of the image'),
    imageCheck: u32(0x40, 'CRC32C of the image'),
    imageUnits: u32(0x44, 'Units of one copy of the image'),
    devices: wide(0x60, 16 * 20, 'raw', 'For each device or further part: identity and units'),
    firstCopy: wide(0x1a0, 4 * maxImageUnits, 'raw', 'Units of the first copy of the image'),
    secondCopy: wide(0x7a0, 4 * maxImageUnits, 'raw', 'Units of the second copy'),
  },
);

/** Dwords of a device's row in `Superblock.devices`, and where the unit count lies in it. */
export const deviceRow = { words: 5, unitCount: 4 } as const;

/** What one commit writes: this header, then records of 16 bytes, padded to blocks of 4 KiB. */
export const Batch = struct(
  { title: 'Journal batch', cite: 'format of the pool', bytes: 64 },
  {
    magic: u32(0x00, 'Magic'),
    check,
    session: u32(0x08, 'Session that wrote it'),
    length: u32(0x0c, 'Bytes of header and records'),
    seq: u64(0x10, 'Number of the batch'),
    poolId: wide(0x20, 16, 'id', 'Identity of the pool'),
  },
);

export const RecordKind = {
  /** Cells of an extent now lie in a unit. */
  assign: 1,
  /** Cells of an extent are no longer there. */
  unmap: 2,
  /** Whole extents are no longer there. */
  unmapRange: 3,
  /** A change of the catalog as JSON, in the 16-byte steps that follow. */
  catalog: 4,
  /** As `assign`, with the CRC32C of each cell in the 16-byte steps that follow, four in each. */
  assignChecked: 5,
} as const;

export const JournalRecord = struct(
  { title: 'Journal record', cite: 'format of the pool', bytes: 16 },
  {
    kind: bits(0x00, 7, 0, 'Kind'),
    cells: bits(0x00, 31, 16, 'Mask of cells'),
    object: u32(0x04, 'Volume'),
    extent: u32(0x08, 'First extent'),
    value: u32(0x0c, 'Unit, count of extents, or bytes of JSON'),
  },
);
export const recordBytes = 16;

/** Records that the CRCs of so many cells take. */
export function sumsRecords(cells: number): number {
  return (cells + 3) >>> 2;
}

export function cellCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** What a checkpoint writes beside the nodes: the catalog, and where each node lies. */
export const Image = struct(
  { title: 'Image', cite: 'format of the pool', bytes: 64 },
  {
    magic: u32(0x00, 'Magic'),
    nodeCount: u32(0x04, 'Rows of the directory, that of node 0 included'),
    catalogBytes: u32(0x08, 'Bytes of JSON, padded to 8 bytes in the image'),
    nextId: u32(0x0c, 'Identity that the next volume or snapshot gets'),
  },
);

/** A row of the directory: slot (0: no such node), CRC32C of the node. */
export const directoryRow = { words: 2, slot: 0, check: 1 } as const;
