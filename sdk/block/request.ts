import { assert } from '../assert.js';
import type { DmaRegion } from '../device.js';

/** What a block request asks for. Numbers, because they travel on the data path. */
export const BlockOp = {
  read: 1,
  write: 2,
  flush: 3,
  discard: 4,
  writeZeroes: 5,
} as const;

export type BlockOp = (typeof BlockOp)[keyof typeof BlockOp];

/** How a block request ended. 0 is success; every other value has a fixed outcome (`outcomeOf`). */
export const BlockStatus = {
  ok: 0,
  /** The device could not read or write the medium. */
  mediaError: 1,
  /** Stored data failed its check (protection information, checksum). */
  integrityError: 2,
  /** A block range, length or alignment that the device refuses. */
  invalidRequest: 3,
  /** The device is write-protected, or the range is reserved by another host. */
  accessDenied: 4,
  /** No space for a write on a thin device. */
  outOfSpace: 5,
  /** Some other failure that the device reported. */
  deviceError: 6,
  /** Never reached the device: nothing of it happened. */
  notExecuted: 7,
  /** Sent, and then the device was lost: it may have happened wholly, partly or not at all. */
  unknown: 8,
} as const;

export type BlockStatus = (typeof BlockStatus)[keyof typeof BlockStatus];

export type Outcome = 'completed' | 'failed' | 'not executed' | 'unknown';

/** The word that the layers above decide by. */
export function outcomeOf(status: BlockStatus): Outcome {
  if (status === BlockStatus.ok) return 'completed';
  if (status === BlockStatus.notExecuted) return 'not executed';
  return status === BlockStatus.unknown ? 'unknown' : 'failed';
}

/** The write is durable when it completes [NVM-1.0 §? FUA]. */
export const blockFlagFua = 1;

/** Segments that one request can scatter its data over. */
export const maxSegments = 128;

/**
 * One pooled request. Fill it, submit it, and do not touch it until `done` has run. Whoever made it
 * reuses it for ever: the data path allocates nothing.
 *
 * Data lies in `segmentCount` pieces in ascending block order; their lengths sum up to
 * blockCount × blockBytes for a read or a write, and `segmentCount` is 0 for the other operations.
 */
export class BlockRequest {
  // What the data path touches stands together: few cache lines of each request in flight.
  op: BlockOp = BlockOp.read;
  flags = 0;
  /** First block, below 2^53. */
  lba = 0;
  blockCount = 0;
  segmentCount = 0;
  status: BlockStatus = BlockStatus.ok;
  /** The device's own status word (NVMe: status code type and code), 0 when it has none. */
  detail = 0;
  /** Runs once per submission, never from inside `submit`. */
  done: (request: BlockRequest) => void;
  /** Clock of the device when it was submitted and completed; set by the device. */
  submittedNs = 0;
  completedNs = 0;
  /** For the owner of the request. */
  tag = 0;
  private firstRegion: DmaRegion | null = null;
  private firstAddress = 0;
  private soundLength = -1;
  private readonly regionList: (DmaRegion | null)[] = [null];
  private readonly offsetList: number[] = [0];
  private readonly lengthList: number[] = [0];

  constructor(done: (request: BlockRequest) => void) {
    this.done = done;
  }

  /** The first segment by itself: an array costs a look more, and most requests have one. */
  get region(): DmaRegion | null {
    return this.firstRegion;
  }

  /** Byte offset of the first segment inside its region. */
  get offset(): number {
    return this.offsetList[0]!;
  }

  /** Bytes of the first segment. */
  get length(): number {
    return this.lengthList[0]!;
  }

  /** Device address of the first segment. */
  get address(): number {
    return this.firstAddress;
  }

  /**
   * Bytes of the first segment when it is whole dwords inside its region, else -1. Looked into when
   * it is set: most requests carry the same memory again and again. It may have been freed since.
   */
  get soundBytes(): number {
    return this.soundLength;
  }

  get regions(): readonly (DmaRegion | null)[] {
    return this.regionList;
  }

  /** Byte offset of each segment inside its region. */
  get offsets(): readonly number[] {
    return this.offsetList;
  }

  /** Bytes of each segment. */
  get lengths(): readonly number[] {
    return this.lengthList;
  }

  /** Whether a function that its memory belongs to was closed: no data can be moved any more. */
  get hasLostMemory(): boolean {
    for (let i = 0; i < this.segmentCount; i++) {
      if (this.regionList[i]?.isLost === true) return true;
    }
    return false;
  }

  /** The usual case: all data in one piece. */
  setData(region: DmaRegion, offset: number, length: number): void {
    this.segmentCount = 0;
    this.addSegment(region, offset, length);
  }

  /** The data of another request, which has some. */
  shareData(other: BlockRequest): void {
    const count = other.segmentCount;
    this.segmentCount = count;
    this.firstRegion = other.firstRegion;
    this.firstAddress = other.firstAddress;
    this.soundLength = other.soundLength;
    for (let i = 0; i < count; i++) {
      this.regionList[i] = other.regionList[i]!;
      this.offsetList[i] = other.offsetList[i]!;
      this.lengthList[i] = other.lengthList[i]!;
    }
  }

  addSegment(region: DmaRegion, offset: number, length: number): void {
    assert(this.segmentCount < maxSegments, 'more segments than a request can carry');
    const i = this.segmentCount++;
    if (i === 0) {
      const isInside = length > 0 && offset + length <= region.length;
      this.firstRegion = region;
      this.firstAddress = region.iova + offset;
      this.soundLength = isInside && isDwords(offset) && isDwords(length) ? length : -1;
    }
    this.regionList[i] = region;
    this.offsetList[i] = offset;
    this.lengthList[i] = length;
  }
}

/** Whether a number is a multiple of 4 from 0 to 2^31 - 4. */
function isDwords(bytes: number): boolean {
  return (bytes & 0x7fff_fffc) === bytes;
}
