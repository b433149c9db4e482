import { Prinfo, ProtectionInformation, Read } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { PagePool } from '../../store/page-pool.js';
import { type Namespace, protectionInformationBytes } from '../namespace.js';

const fields = Read;
const guardAt = ProtectionInformation.guard.offset;
const appAt = ProtectionInformation.app.offset;
const refAt = ProtectionInformation.ref.offset;
const { guardCheckError, applicationTagCheckError, referenceTagCheckError } = Status;
const { invalidProtectionInformation } = Status;

/** Tags that say "do not check this block". */
const escapeApp = 0xffff;
const escapeRef = 0xffff_ffff;
const dwordSpan = 0x1_0000_0000;

/** CRC-16 T10-DIF: polynomial 8BB7h, most significant bit first, from 0 [NVM-1.0 §5.2.1.1.1]. */
const polynomial = 0x8bb7;
const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ polynomial : crc << 1;
  return crc;
});

/** Continue the guard over `length` bytes. */
export function crc16(crc: number, bytes: Uint8Array, from: number, length: number): number {
  let next = crc;
  for (let i = from; i < from + length; i++) {
    next = ((next << 8) & 0xffff) ^ crcTable[(next >>> 8) ^ bytes[i]!]!;
  }
  return next;
}

/**
 * Protection information of one transfer [NVM-1.0 §5.2.1]: set from the command, then asked block
 * by
 * block. One object serves all commands of a controller, one after the other.
 */
export class Protection {
  /** PRACT: the controller makes and removes the information. */
  isMade = false;
  private checksGuard = false;
  private checksApp = false;
  private checksRef = false;
  private app = 0;
  private appMask = 0;
  private ref = 0;

  /**
   * Take PRINFO and the tags of a command. The fields stand at the same places in Read, Write,
   * Compare, Verify and Write Zeroes.
   *
   * @returns 0, or Invalid Protection Information for tags that the type forbids
   */
  load(namespace: Namespace, words: Uint32Array, lba: number): number {
    if (namespace.protectionType === 0) {
      this.clear();
      return 0;
    }
    this.isMade = fields.pract.get(words, 0) === 1;
    this.checksGuard = fields.prchkGuard.get(words, 0) === 1;
    this.checksApp = fields.prchkApp.get(words, 0) === 1;
    this.checksRef = fields.prchkRef.get(words, 0) === 1;
    this.app = fields.elbat.get(words, 0);
    this.appMask = fields.elbatm.get(words, 0);
    this.ref = fields.eilbrt.get(words, 0);
    return this.verdict(namespace, lba);
  }

  /** The same for the two halves of Copy, which carry PRINFO in other places. */
  set(namespace: Namespace, prinfo: number, tags: ProtectionTags): number {
    this.isMade = Prinfo.pract.of(prinfo) === 1;
    this.checksGuard = Prinfo.prchkGuard.of(prinfo) === 1;
    this.checksApp = Prinfo.prchkApp.of(prinfo) === 1;
    this.checksRef = Prinfo.prchkRef.of(prinfo) === 1;
    this.app = tags.app;
    this.appMask = tags.appMask;
    this.ref = tags.ref;
    return this.verdict(namespace, tags.lba);
  }

  clear(): void {
    this.isMade = false;
    this.checksGuard = false;
    this.checksApp = false;
    this.checksRef = false;
  }

  /** Type 1 counts from the low dword of the first block, type 3 has no reference to check. */
  private verdict(namespace: Namespace, lba: number): number {
    if (!this.checksRef) return 0;
    if (namespace.protectionType === 1 && this.ref !== lba % dwordSpan) {
      return invalidProtectionInformation;
    }
    return namespace.protectionType === 3 ? invalidProtectionInformation : 0;
  }

  get checksAnything(): boolean {
    return this.checksGuard || this.checksApp || this.checksRef;
  }

  /** Make the information of a block. @param index of the block in the transfer */
  make(namespace: Namespace, content: number, block: number, index: number): void {
    const { pool } = namespace.medium;
    const metadata = pool.changeMetadata(content);
    const at = positionOf(namespace, block);
    const guard = guardOf(namespace, pool, content, block);
    const ref = this.refOf(namespace, index);
    metadata[at + guardAt] = guard >>> 8;
    metadata[at + guardAt + 1] = guard;
    metadata[at + appAt] = this.app >>> 8;
    metadata[at + appAt + 1] = this.app;
    for (let i = 0; i < 4; i++) metadata[at + refAt + i] = ref >>> (8 * (3 - i));
  }

  /** @returns 0 or the end-to-end error of a block */
  check(namespace: Namespace, content: number, block: number, index: number): number {
    const { pool } = namespace.medium;
    const metadata = pool.metadataOf(content);
    const at = positionOf(namespace, block);
    const app = metadata[at + appAt]! * 256 + metadata[at + appAt + 1]!;
    const ref = bigEndian32(metadata, at + refAt);
    if (app === escapeApp && (namespace.protectionType !== 3 || ref === escapeRef)) return 0;
    if (this.checksGuard) {
      const guard = metadata[at + guardAt]! * 256 + metadata[at + guardAt + 1]!;
      if (guard !== guardOf(namespace, pool, content, block)) return guardCheckError;
    }
    if (this.checksApp && ((app ^ this.app) & this.appMask) !== 0) return applicationTagCheckError;
    if (this.checksRef && ref !== this.refOf(namespace, index)) return referenceTagCheckError;
    return 0;
  }

  /** Types 1 and 2 count on from block to block, type 3 does not. */
  private refOf(namespace: Namespace, index: number): number {
    return namespace.protectionType === 3 ? this.ref : (this.ref + index) % dwordSpan;
  }
}

export interface ProtectionTags {
  /** First block. */
  readonly lba: number;
  readonly app: number;
  readonly appMask: number;
  readonly ref: number;
}

/** Where the information of a block starts in the metadata of its page. */
function positionOf(namespace: Namespace, block: number): number {
  const start = block * namespace.metadataBytes;
  if (namespace.isProtectionFirst) return start;
  return start + namespace.metadataBytes - protectionInformationBytes;
}

/** The guard covers the block, and the metadata before the information when that comes last. */
function guardOf(namespace: Namespace, pool: PagePool, content: number, block: number): number {
  const { dataBytes, metadataBytes } = namespace;
  const crc = crc16(0, pool.dataOf(content), block * dataBytes, dataBytes);
  if (namespace.isProtectionFirst) return crc;
  const covered = metadataBytes - protectionInformationBytes;
  return crc16(crc, pool.metadataOf(content), block * metadataBytes, covered);
}

function bigEndian32(bytes: Uint8Array, at: number): number {
  const high = bytes[at]! * 256 + bytes[at + 1]!;
  return high * 0x1_0000 + bytes[at + 2]! * 256 + bytes[at + 3]!;
}
