import { copyBytes } from '../sockets/copy.js';
import type { Outbox } from '../sockets/outbox.js';
import {
  BlockStatusHead,
  Chunk,
  ChunkFlag,
  ChunkType,
  ErrorOffset,
  ErrorPayload,
  ExtendedChunk,
  ExtendedExtent,
  ExtendedStatusHead,
  ExtentDescriptor,
  extendedReplyMagic,
  OffsetData,
  OffsetHole,
  SimpleReply,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../spec/nbd/transmission.js';
import type { NbdFault } from './faults.js';
import type { Slot } from './slot.js';

// Looked up once: the tables lie behind imports.
const Simple = SimpleReply;
const Structured = Chunk;
const Extended = ExtendedChunk;
const simpleBytes = SimpleReply.layout.bytes;
const dataHeadBytes = OffsetData.layout.bytes;
const holeHeadBytes = OffsetHole.layout.bytes;
const errorBytes = ErrorPayload.layout.bytes;

/**
 * What the two sides have agreed on: answers in one piece, in chunks, or chunks and requests whose
 * lengths have 64 bits [NBD-ext §Extended reply chunk message].
 */
export const ReplyStyle = { simple: 0, structured: 1, extended: 2 } as const;

export type ReplyStyle = (typeof ReplyStyle)[keyof typeof ReplyStyle];

/** The messages of the server in the transmission phase. Each says whether it found room. */
export class ReplyWriter {
  /** Answers to reads are chunks. */
  readonly isChunked: boolean;
  private readonly isExtended: boolean;
  private readonly headBytes: number;
  private readonly outbox: Outbox;

  constructor(outbox: Outbox, style: ReplyStyle) {
    this.outbox = outbox;
    this.isChunked = style !== ReplyStyle.simple;
    this.isExtended = style === ReplyStyle.extended;
    this.headBytes = (this.isExtended ? ExtendedChunk : Chunk).layout.bytes;
  }

  /** Success without data. In chunks it may be a simple reply, unless lengths are extended. */
  success(slot: Slot): boolean {
    return this.isExtended ? this.none(slot) : this.simple(slot, 0);
  }

  /** The last chunk of an answer, with nothing in it. */
  none(slot: Slot): boolean {
    return this.claim(slot, ChunkFlag.done, ChunkType.none, 0) >= 0;
  }

  /** @param offset  where a read has stopped: what came before is good; -1 for no place */
  fault(slot: Slot, { error, text }: NbdFault, offset: number): boolean {
    if (!this.isChunked) return this.simple(slot, error);
    const hasOffset = offset >= 0;
    const payloadBytes = errorBytes + text.length + (hasOffset ? ErrorOffset.layout.bytes : 0);
    const type = hasOffset ? ChunkType.errorOffset : ChunkType.error;
    const at = this.claim(slot, ChunkFlag.done, type, payloadBytes);
    if (at < 0) return false;
    const { bytes } = this.outbox;
    ErrorPayload.error.set(bytes, at, error);
    ErrorPayload.textBytes.set(bytes, at, text.length);
    copyBytes(text, 0, bytes, at + errorBytes, text.length);
    if (hasOffset) ErrorOffset.offset.set(bytes, at + errorBytes + text.length, offset);
    return true;
  }

  /** The head of data that follows: from the slot's cursor on, or all where there are no chunks. */
  data(slot: Slot, dataBytes: number, isLast: boolean): boolean {
    if (!this.isChunked) return this.simple(slot, 0);
    const flags = isLast ? ChunkFlag.done : 0;
    const room = dataHeadBytes;
    const at = this.claim(slot, flags, ChunkType.offsetData, room + dataBytes, room);
    if (at < 0) return false;
    OffsetData.offset.set(this.outbox.bytes, at, slot.offset + slot.cursor + slot.filled);
    return true;
  }

  hole(slot: Slot, length: number, isLast: boolean): boolean {
    const flags = isLast ? ChunkFlag.done : 0;
    const at = this.claim(slot, flags, ChunkType.offsetHole, holeHeadBytes);
    if (at < 0) return false;
    const { bytes } = this.outbox;
    OffsetHole.offset.set(bytes, at, slot.offset + slot.cursor + slot.filled);
    OffsetHole.length.set(bytes, at, length);
    return true;
  }

  /**
   * What one context tells.
   *
   * @param id       number of the context
   * @param extents  pairs of length and flags, `count` of them
   */
  status(slot: Slot, id: number, extents: Float64Array, count: number, isLast: boolean): boolean {
    const { isExtended } = this;
    const flags = isLast ? ChunkFlag.done : 0;
    const type = isExtended ? ChunkType.blockStatusExtended : ChunkType.blockStatus;
    const headBytes = (isExtended ? ExtendedStatusHead : BlockStatusHead).layout.bytes;
    const extentBytes = (isExtended ? ExtendedExtent : ExtentDescriptor).layout.bytes;
    const at = this.claim(slot, flags, type, headBytes + count * extentBytes);
    if (at < 0) return false;
    const { bytes } = this.outbox;
    const Extent = isExtended ? ExtendedExtent : ExtentDescriptor;
    BlockStatusHead.context.set(bytes, at, id);
    if (isExtended) ExtendedStatusHead.count.set(bytes, at, count);
    for (let i = 0, place = at + headBytes; i < count; i++, place += extentBytes) {
      Extent.length.set(bytes, place, extents[2 * i]!);
      Extent.flags.set(bytes, place, extents[2 * i + 1]!);
    }
    return true;
  }

  private simple(slot: Slot, error: number): boolean {
    const at = this.outbox.claim(simpleBytes);
    if (at < 0) return false;
    const { bytes } = this.outbox;
    Simple.magic.set(bytes, at, simpleReplyMagic);
    Simple.error.set(bytes, at, error);
    Simple.cookieHigh.set(bytes, at, slot.cookieHigh);
    Simple.cookieLow.set(bytes, at, slot.cookieLow);
    return true;
  }

  /**
   * Room for a chunk, its head filled in.
   *
   * @param room  of the payload; the rest of it is written behind
   * @returns where the payload starts, -1 without room
   */
  private claim(
    slot: Slot,
    flags: number,
    type: number,
    payloadBytes: number,
    room = payloadBytes,
  ): number {
    const { headBytes, isExtended } = this;
    const at = this.outbox.claim(headBytes + room);
    if (at < 0) return -1;
    const { bytes } = this.outbox;
    Structured.magic.set(bytes, at, isExtended ? extendedReplyMagic : structuredReplyMagic);
    Structured.flags.set(bytes, at, flags);
    Structured.type.set(bytes, at, type);
    Structured.cookieHigh.set(bytes, at, slot.cookieHigh);
    Structured.cookieLow.set(bytes, at, slot.cookieLow);
    if (isExtended) {
      Extended.offsetHigh.set(bytes, at, slot.offsetHigh);
      Extended.offsetLow.set(bytes, at, slot.offsetLow);
      Extended.payloadBytes.set(bytes, at, payloadBytes);
    } else Structured.payloadBytes.set(bytes, at, payloadBytes);
    return at + headBytes;
  }
}
