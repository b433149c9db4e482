import { crc32cOfRange } from '../crc32c.js';
import { copyBytes } from '../sockets/copy.js';
import type { Outbox } from '../sockets/outbox.js';
import {
  digestBytes,
  type FatalError,
  headerBytesOf,
  PduFlag,
  PduHeader,
  type PduType,
  TermRequest,
} from '../spec/fabrics/pdu.js';

// Looked up once: the tables lie behind imports.
const Header = PduHeader;

/** Writes the frames of PDUs: lengths, offsets, digests. The rest of a header is its caller's. */
export class PduWriter {
  hasHeaderDigest = false;
  hasDataDigest = false;
  /** Data starts at a multiple of so many bytes, counted from the header. */
  dataAlignment = 4;
  /** Byte of the outbox's chunk at which the data of the PDU at hand starts. */
  dataAt = 0;
  private readonly outbox: Outbox;

  constructor(outbox: Outbox) {
    this.outbox = outbox;
  }

  /**
   * Room for a PDU, its common header filled in and the rest of its header zeroed. The caller fills
   * in the rest of the header and the data at `dataAt`, then calls `close`.
   *
   * @returns the dword of the chunk at which it starts, -1 without room
   */
  open(type: PduType, dataBytes: number, flags = 0): number {
    const headerBytes = headerBytesOf(type);
    const fixedBytes = headerBytes + (this.hasHeaderDigest ? digestBytes : 0);
    let offset = 0;
    let length = fixedBytes;
    if (dataBytes > 0) {
      offset = Math.ceil(fixedBytes / this.dataAlignment) * this.dataAlignment;
      length = offset + dataBytes + (this.hasDataDigest ? digestBytes : 0);
    }
    const at = this.outbox.claimWords(length);
    if (at < 0) return -1;
    const { words } = this.outbox.chunk;
    const dword = at >> 2;
    const end = (at + (offset === 0 ? fixedBytes : offset)) >> 2;
    for (let i = dword; i < end; i++) words[i] = 0;
    let all = flags;
    if (this.hasHeaderDigest) all |= PduFlag.headerDigest;
    if (this.hasDataDigest && dataBytes > 0) all |= PduFlag.dataDigest;
    Header.type.set(words, dword, type);
    Header.flags.set(words, dword, all);
    Header.hlen.set(words, dword, headerBytes);
    Header.pdo.set(words, dword, offset);
    Header.plen.set(words, dword, length);
    this.dataAt = at + offset;
    return dword;
  }

  /** Everything is filled in: the digests follow. */
  close(dword: number, dataBytes: number): void {
    if (!this.hasHeaderDigest && !this.hasDataDigest) return;
    const { bytes, words } = this.outbox.chunk;
    const headerBytes = Header.hlen.get(words, dword);
    if (this.hasHeaderDigest) {
      words[dword + headerBytes / 4] = crc32cOfRange(bytes, dword * 4, dword * 4 + headerBytes);
    }
    if (!this.hasDataDigest || dataBytes === 0) return;
    const end = this.dataAt + dataBytes;
    const crc = crc32cOfRange(bytes, this.dataAt, end);
    // Data of odd length: no dword starts there.
    for (let i = 0; i < digestBytes; i++) bytes[end + i] = crc >>> (8 * i);
  }

  /** The last word to a peer: what was wrong, and the header that it was wrong in. */
  writeTermination(
    type: PduType,
    reason: { readonly fes: FatalError; readonly fei: number },
    header: Uint32Array,
  ): void {
    const shown = Math.min(Header.hlen.get(header, 0) & ~3, header.length * 4);
    this.hasHeaderDigest = false;
    this.hasDataDigest = false;
    const fixedBytes = headerBytesOf(type);
    const at = this.outbox.claimWords(fixedBytes + shown);
    if (at < 0) return;
    const { bytes, words } = this.outbox.chunk;
    const dword = at >> 2;
    words.fill(0, dword, dword + fixedBytes / 4);
    Header.type.set(words, dword, type);
    Header.hlen.set(words, dword, fixedBytes);
    Header.plen.set(words, dword, fixedBytes + shown);
    TermRequest.fes.set(words, dword, reason.fes);
    TermRequest.feiLow.set(words, dword, reason.fei & 0xffff);
    TermRequest.feiHigh.set(words, dword, reason.fei >>> 16);
    const copy = new Uint8Array(header.buffer, header.byteOffset, shown);
    copyBytes(copy, 0, bytes, at + fixedBytes, shown);
  }
}
