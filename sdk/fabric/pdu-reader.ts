import { crc32cOfRange } from '../crc32c.js';
import { copyBytes } from '../sockets/copy.js';
import {
  digestBytes,
  FatalError,
  headerBytesOf,
  PduFlag,
  PduHeader,
  PduType,
} from '../spec/fabrics/pdu.js';

// Looked up once: the tables lie behind imports.
const Header = PduHeader;
const commonBytes = PduHeader.layout.bytes;
/** Header, its digest and the widest padding in front of data. */
const mostHeadBytes = 256;

/** Who is told what a PDU says. Each answers whether the connection may go on. */
export interface PduUser {
  /** The header is complete and its digest right; `dataBytes` of data follow. */
  header(type: number, dataBytes: number): boolean;
  /** Data of this PDU: `from`..`to` - 1. */
  data(bytes: Uint8Array, from: number, to: number): void;
  /** All data has come. @param isIntact  its digest was right, or there is none */
  dataEnd(isIntact: boolean): boolean;
  /** What came cannot be: nothing more of it will be looked at. */
  refuse(fes: FatalError, fei: number, why: string): void;
}

/** Which PDU types a side takes; the bit with the number of the type. */
export function typeSet(types: readonly number[]): number {
  return types.reduce((set, type) => set | (1 << type), 0);
}

const Phase = { common: 0, header: 1, data: 2, digest: 3, dead: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** FEI of an invalid header field: the byte at which the field starts. */
const fieldOf = { type: 0, flags: 1, hlen: 2, pdo: 3, plen: 4 } as const;
/** Types that may carry data. */
const withData = typeSet([
  PduType.h2cTermReq,
  PduType.c2hTermReq,
  PduType.capsuleCmd,
  PduType.h2cData,
  PduType.c2hData,
]);
/** Types that never have digests, whatever was agreed [NVMe-TCP-1.0 §3.3.1.1]. */
const withoutDigest = typeSet([
  PduType.icReq,
  PduType.icResp,
  PduType.h2cTermReq,
  PduType.c2hTermReq,
]);

/**
 * Cuts a stream into PDUs. Every length is checked before anything is done with it, so that a lie
 * costs the connection and no memory: what is kept is one header.
 */
export class PduReader {
  /** The header at hand, for the tables. */
  readonly words = new Uint32Array(mostHeadBytes / 4);
  hasHeaderDigest = false;
  hasDataDigest = false;
  private readonly head = new Uint8Array(this.words.buffer);
  private readonly user: PduUser;
  private readonly types: number;
  private readonly mostDataBytes: number;
  private phase: Phase = Phase.common;
  private fill = 0;
  private wanted = commonBytes;
  private headerBytes = 0;
  private dataLeft = 0;
  private crc = 0;
  private hasDigest = false;

  /**
   * @param types          the PDUs that the peer may send
   * @param mostDataBytes  of one PDU
   */
  constructor(user: PduUser, types: number, mostDataBytes: number) {
    this.user = user;
    this.types = types;
    this.mostDataBytes = mostDataBytes;
  }

  /** Nothing more is looked at. */
  stop(): void {
    this.phase = Phase.dead;
  }

  /** Take all of it. */
  take(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.phase === Phase.data) at = this.takeData(bytes, at, to);
      else if (this.phase === Phase.dead) return;
      else at = this.takeHead(bytes, at, to);
    }
  }

  private takeHead(bytes: Uint8Array, from: number, to: number): number {
    const count = Math.min(to - from, this.wanted - this.fill);
    copyBytes(bytes, from, this.head, this.fill, count);
    this.fill += count;
    if (this.fill < this.wanted) return from + count;
    if (this.phase === Phase.common) this.openHeader();
    else if (this.phase === Phase.header) this.closeHeader();
    else this.closeData();
    return from + count;
  }

  /** The common header says how long everything is. */
  private openHeader(): undefined {
    const { words } = this;
    const type = Header.type.get(words, 0);
    const headerBytes = headerBytesOf(type);
    const isKnown = type < 32 && (this.types & (1 << type)) !== 0;
    if (!isKnown) return this.fail(fieldOf.type, 'a PDU of a type that has no place here');
    if (Header.hlen.get(words, 0) !== headerBytes) {
      return this.fail(fieldOf.hlen, 'a header length that the type does not have');
    }
    const isBare = (withoutDigest & (1 << type)) !== 0;
    const flags = Header.flags.get(words, 0);
    const hasHeaderDigest = this.hasHeaderDigest && !isBare;
    if (((flags & PduFlag.headerDigest) !== 0) !== hasHeaderDigest) {
      return this.fail(fieldOf.flags, 'a header digest other than agreed');
    }
    const fixedBytes = headerBytes + (hasHeaderDigest ? digestBytes : 0);
    const length = Header.plen.get(words, 0);
    this.headerBytes = headerBytes;
    this.hasDigest = false;
    this.dataLeft = 0;
    this.wanted = fixedBytes;
    this.phase = Phase.header;
    if (length === fixedBytes) return;
    this.hasDigest = this.hasDataDigest && !isBare;
    this.openData(isBare ? fixedBytes : Header.pdo.get(words, 0), fixedBytes);
  }

  private openData(start: number, fixedBytes: number): undefined {
    const { words, hasDigest } = this;
    const length = Header.plen.get(words, 0);
    const mayCarry = (withData & (1 << Header.type.get(words, 0))) !== 0;
    const dataBytes = length - start - (hasDigest ? digestBytes : 0);
    if (!mayCarry || length < fixedBytes || dataBytes < 1 || dataBytes > this.mostDataBytes) {
      return this.fail(fieldOf.plen, 'a PDU length that cannot be');
    }
    if (start < fixedBytes || start > mostHeadBytes) {
      return this.fail(fieldOf.pdo, 'a data offset that cannot be');
    }
    if (((Header.flags.get(words, 0) & PduFlag.dataDigest) !== 0) !== hasDigest) {
      return this.fail(fieldOf.flags, 'a data digest other than agreed');
    }
    this.dataLeft = dataBytes;
    this.wanted = start;
  }

  private closeHeader(): undefined {
    const { head, headerBytes, words, dataLeft } = this;
    const type = Header.type.get(words, 0);
    if (this.hasHeaderDigest && (withoutDigest & (1 << type)) === 0) {
      const found = words[headerBytes / 4]!;
      if (crc32cOfRange(head, 0, headerBytes) !== found) {
        return this.end(FatalError.headerDigestError, found, 'a wrong header digest');
      }
    }
    this.crc = 0;
    if (dataLeft > 0) this.phase = Phase.data;
    else this.restart();
    if (!this.user.header(type, dataLeft)) this.stop();
  }

  private takeData(bytes: Uint8Array, from: number, to: number): number {
    const count = Math.min(to - from, this.dataLeft);
    const end = from + count;
    if (this.hasDigest) this.crc = crc32cOfRange(bytes, from, end, this.crc);
    this.dataLeft -= count;
    this.user.data(bytes, from, end);
    if (this.dataLeft > 0 || this.phase === Phase.dead) return end;
    if (this.hasDigest) {
      this.phase = Phase.digest;
      this.fill = 0;
      this.wanted = digestBytes;
    } else {
      this.restart();
      if (!this.user.dataEnd(true)) this.stop();
    }
    return end;
  }

  private closeData(): void {
    const isIntact = this.words[0] === this.crc;
    this.restart();
    if (!this.user.dataEnd(isIntact)) this.stop();
  }

  private restart(): void {
    this.phase = Phase.common;
    this.fill = 0;
    this.wanted = commonBytes;
  }

  private fail(field: number, why: string): undefined {
    this.end(FatalError.invalidHeaderField, field, why);
  }

  private end(fes: FatalError, fei: number, why: string): undefined {
    this.stop();
    this.user.refuse(fes, fei, why);
  }
}
