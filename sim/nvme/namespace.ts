import { assert } from '../../sdk/assert.js';
import { Reservations } from '../../sdk/reservations/reservations.js';
import type { Medium } from './medium.js';

/** One entry of the LBA format list of Identify Namespace. */
export interface LbaFormat {
  readonly dataBytes: number;
  /** Per block, 0 for none. */
  readonly metadataBytes: number;
  /** 0 best .. 3 degraded. */
  readonly relativePerformance: number;
}

/** How blocks are formatted now. */
export interface NamespaceFormat {
  /** Into the namespace's list of LBA formats. */
  readonly formatIndex: number;
  /** Metadata follows its block inside the data buffer; otherwise it has a buffer of its own. */
  readonly isMetadataExtended: boolean;
  /** End-to-end protection: 0 none, or type 1, 2, 3. */
  readonly protectionType: number;
  /** Protection information is in the first eight bytes of metadata, not in the last. */
  readonly isProtectionFirst: boolean;
}

/** Counts of blocks, all as counts; a boundary of 0 is no boundary [NVM-1.0 §2.1.4]. */
export interface AtomicUnits {
  /** NAWUN: a write of at most so many blocks is never seen half by another command. */
  readonly writeBlocks: number;
  /** NAWUPF: a write of at most so many blocks is not torn by a power cut or a media error. */
  readonly powerFailBlocks: number;
  /** NACWU: largest fused compare-and-write. */
  readonly compareWriteBlocks: number;
  /** NABSN, NABO, NABSPF. */
  readonly boundaryBlocks: number;
  readonly boundaryOffset: number;
  readonly powerFailBoundaryBlocks: number;
}

/** Limits of the copy command. */
export interface CopyLimits {
  /** MSSRL: blocks of one source range. */
  readonly maxRangeBlocks: number;
  /** MCL: blocks of all source ranges together. */
  readonly maxBlocks: number;
  /** MSRC as a count. */
  readonly maxRanges: number;
}

/** NWPS and feature 84h [NVMe-2.0 §5.27.1.28]. */
export const WriteProtection = {
  none: 0,
  writeProtect: 1,
  untilPowerCycle: 2,
  permanent: 3,
} as const;

export interface NamespaceIdentifiers {
  readonly eui64: Uint8Array;
  readonly nguid: Uint8Array;
  readonly uuid: Uint8Array;
}

export interface NamespaceOptions {
  readonly nsid: number;
  readonly sizeBlocks: number;
  /** NCAP: blocks that may be allocated at a time, at most `sizeBlocks`. */
  readonly capacityBlocks: number;
  readonly formats: readonly LbaFormat[];
  readonly format: NamespaceFormat;
  readonly atomicity: AtomicUnits;
  readonly copyLimits: CopyLimits;
  /** NOIOB: boundary that reads and writes should not cross, 0 for none. */
  readonly optimalBoundaryBlocks: number;
  /** NMIC bit 0: more than one controller may attach it. */
  readonly isShared: boolean;
  readonly anaGroupId: number;
  readonly nvmSetId: number;
  readonly enduranceGroupId: number;
  readonly identifiers: NamespaceIdentifiers;
  readonly medium: Medium;
}

/**
 * One namespace of a subsystem, shared by the controllers it is attached to. Admin commands change
 * it, I/O commands read it; its blocks live in `medium`.
 */
export class Namespace {
  readonly nsid: number;
  readonly formats: readonly LbaFormat[];
  readonly isShared: boolean;
  readonly anaGroupId: number;
  readonly nvmSetId: number;
  readonly enduranceGroupId: number;
  readonly identifiers: NamespaceIdentifiers;
  readonly atomicity: AtomicUnits;
  readonly copyLimits: CopyLimits;
  readonly optimalBoundaryBlocks: number;
  readonly medium: Medium;
  readonly reservations = new Reservations();
  /** Controller identifiers that it is attached to. */
  readonly attached = new Set<number>();

  sizeBlocks: number;
  capacityBlocks: number;
  /**
   * Bytes of data and of metadata per block, and where protection information is: for the data
   * path.
   */
  dataBytes = 0;
  metadataBytes = 0;
  isMetadataExtended = false;
  protectionType = 0;
  isProtectionFirst = false;
  formatIndex = 0;

  writeProtection: number = WriteProtection.none;
  /** False while a format runs: commands end as Format In Progress. */
  isReady = true;
  /** Feature 05h DULBE: reading a deallocated or unwritten block is an error. */
  isDeallocatedErrorEnabled = false;
  /** Feature 05h TLER, in 100 ms; 0 is no limit. */
  errorRecoveryLimit = 0;

  constructor(options: NamespaceOptions) {
    assert(options.nsid > 0, 'a namespace has an identifier above 0');
    assert(options.sizeBlocks > 0, 'a namespace has blocks');
    assert(options.capacityBlocks <= options.sizeBlocks, 'capacity above the size');
    this.nsid = options.nsid;
    this.sizeBlocks = options.sizeBlocks;
    this.capacityBlocks = options.capacityBlocks;
    this.formats = options.formats;
    this.isShared = options.isShared;
    this.anaGroupId = options.anaGroupId;
    this.nvmSetId = options.nvmSetId;
    this.enduranceGroupId = options.enduranceGroupId;
    this.identifiers = options.identifiers;
    this.atomicity = options.atomicity;
    this.copyLimits = options.copyLimits;
    this.optimalBoundaryBlocks = options.optimalBoundaryBlocks;
    this.medium = options.medium;
    this.applyFormat(options.format);
  }

  /** NUSE: blocks allocated now. A namespace that is not thin reports all of its capacity. */
  get usedBlocks(): number {
    return this.medium.usedBlocks;
  }

  get isWriteProtected(): boolean {
    return this.writeProtection !== WriteProtection.none;
  }

  /**
   * Whether `format` can be taken: the index exists, and protection information needs eight bytes
   * of
   * metadata. Sizes stay in blocks of the old format, so that bytes must fit.
   */
  canFormat(format: NamespaceFormat): boolean {
    const entry = this.formats[format.formatIndex];
    if (entry === undefined) return false;
    if (format.protectionType > 3) return false;
    return format.protectionType === 0 || entry.metadataBytes >= protectionInformationBytes;
  }

  /**
   * All blocks become deallocated and take the new format; the size in bytes stays. Durable at
   * once,
   * reservations stay [NVM-1.0 §5.? FORMAT].
   */
  format(format: NamespaceFormat): void {
    assert(this.canFormat(format), 'a format that the namespace cannot take');
    const sizeBytes = this.sizeBlocks * this.dataBytes;
    const capacityBytes = this.capacityBlocks * this.dataBytes;
    this.applyFormat(format);
    this.sizeBlocks = Math.floor(sizeBytes / this.dataBytes);
    this.capacityBlocks = Math.floor(capacityBytes / this.dataBytes);
  }

  /** All blocks become deallocated, durably and at once; format and size stay. */
  erase(): void {
    this.applyFormat({
      formatIndex: this.formatIndex,
      isMetadataExtended: this.isMetadataExtended,
      protectionType: this.protectionType,
      isProtectionFirst: this.isProtectionFirst,
    });
  }

  /** Power came back: what lasts until a power cycle is over. */
  powerOn(): void {
    if (this.writeProtection === WriteProtection.untilPowerCycle) {
      this.writeProtection = WriteProtection.none;
    }
    this.reservations.powerOn();
  }

  private applyFormat(format: NamespaceFormat): void {
    const entry = this.formats[format.formatIndex];
    assert(entry !== undefined, 'a format outside the list of LBA formats');
    this.formatIndex = format.formatIndex;
    this.dataBytes = entry.dataBytes;
    this.metadataBytes = entry.metadataBytes;
    this.isMetadataExtended = format.isMetadataExtended && entry.metadataBytes > 0;
    this.protectionType = format.protectionType;
    this.isProtectionFirst = format.isProtectionFirst;
    this.medium.reformat(entry.dataBytes, blankMetadata(entry.metadataBytes, format));
  }
}

/**
 * Metadata of a block that is not written: zeroes, and all-ones where protection information lies,
 * which says that nothing is to be checked [NVM-1.0 §3.2.3.2.1 deallocated blocks].
 */
function blankMetadata(metadataBytes: number, format: NamespaceFormat): Uint8Array {
  const metadata = new Uint8Array(metadataBytes);
  if (format.protectionType === 0) return metadata;
  const at = format.isProtectionFirst ? 0 : metadataBytes - protectionInformationBytes;
  return metadata.fill(0xff, at, at + protectionInformationBytes);
}

/** Guard, application tag, reference tag [NVM-1.0 §5.2.1]. */
export const protectionInformationBytes = 8;

/**
 * EUI-64, NGUID and UUID of a namespace, a function of the seed alone. `salt` tells apart
 * namespaces
 * that had the same identifier one after the other: an identifier is never given twice.
 */
export function namespaceIdentifiers(identity: {
  readonly seed: number;
  readonly nsid: number;
  readonly salt: number;
}): NamespaceIdentifiers {
  const bytes = new Uint8Array(24);
  let state = (identity.seed ^ Math.imul(identity.nsid, 0x9e3779b1)) >>> 0;
  state = (state ^ Math.imul(identity.salt + 1, 0x85ebca6b)) >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) >>> 0;
    bytes[i] = (state >>> 11) & 0xff;
  }
  // The organisation's part first, then what it assigned: the shape of EUI-64 and NGUID.
  const eui64 = Uint8Array.from([...organisation, ...bytes.subarray(0, 5)]);
  const nguid = Uint8Array.from([
    ...bytes.subarray(0, 8),
    ...organisation,
    ...bytes.subarray(8, 13),
  ]);
  const uuid = bytes.slice(8, 24);
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return { eui64, nguid, uuid };
}

/** A locally administered organisation identifier: ours is not registered. */
const organisation = [0x02, 0x55, 0x4c];
