import { UltimaError } from '../errors.js';
import { copyBytes } from '../sockets/copy.js';
import type { Outbox } from '../sockets/outbox.js';
import {
  BlockStatusHead,
  Chunk,
  ChunkFlag,
  ChunkType,
  CommandFlag,
  ErrorOffset,
  ErrorPayload,
  ExtentDescriptor,
  NbdCommand,
  OffsetData,
  OffsetHole,
  SimpleReply,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../spec/nbd/transmission.js';
import { faults, type NbdFault } from './faults.js';
import { runOf } from './holes.js';
import { findExtents, type MetadataContext } from './metadata.js';
import { type Slot, SlotList, Stage } from './slot.js';

// Looked up once: the tables lie behind imports.
const Simple = SimpleReply;
const simpleBytes = SimpleReply.layout.bytes;
const chunkHeadBytes = Chunk.layout.bytes;
const dataHeadBytes = OffsetData.layout.bytes;
const holeHeadBytes = OffsetHole.layout.bytes;
const errorBytes = ErrorPayload.layout.bytes;
const extentBytes = ExtentDescriptor.layout.bytes;
const dontFragment = CommandFlag.dontFragment;

/** Extents of one context in one answer. A client asks again from where they end. */
export const mostExtents = 1024;
/** Shared: what is found goes into the outbox at once. */
const extents = new Uint32Array(2 * mostExtents);

export interface AnswerParts {
  readonly outbox: Outbox;
  readonly isStructured: boolean;
  readonly contexts: readonly MetadataContext[];
  /** Read the next part; `readEnded` follows. */
  readonly readPart: (slot: Slot) => void;
  readonly release: (slot: Slot) => void;
}

/**
 * Answers of one connection, one after the other. An answer that finds no room waits, and all
 * others behind it, because a message must not be interrupted.
 *
 * A read that is larger than a part is answered in pieces, each read when the one before is on its
 * way. With structured replies a piece is a chunk of its own, or several: whole cells of zeroes are
 * holes, which are named and not sent. What fails in the middle is an error with its offset. Where
 * the client wants one piece (DF), the rest is padded and the error follows; without structured
 * replies nothing is left but to end the connection [NBD §Request types, NBD_CMD_READ].
 */
export class Answers {
  /** Why the connection must end; '' while all is well. */
  violation = '';
  private readonly outbox: Outbox;
  private readonly isStructured: boolean;
  private readonly contexts: readonly MetadataContext[];
  private readonly readPart: (slot: Slot) => void;
  private readonly release: (slot: Slot) => void;
  private readonly waiting = new SlotList();
  /** Whose answer has begun. */
  private speaker: Slot | null = null;
  private isTurning = false;

  constructor(parts: AnswerParts) {
    this.outbox = parts.outbox;
    this.isStructured = parts.isStructured;
    this.contexts = parts.contexts;
    this.readPart = parts.readPart;
    this.release = parts.release;
  }

  /** Answer a request that has come to its end. */
  give(slot: Slot): void {
    this.waiting.push(slot);
    this.turn();
  }

  /** A part of a read is there, or has failed. */
  readEnded(slot: Slot): void {
    if (slot === this.speaker) this.turn();
    else this.give(slot);
  }

  turn(): void {
    if (this.isTurning) return;
    this.isTurning = true;
    while (this.violation === '') {
      this.speaker ??= this.waiting.shift();
      const slot = this.speaker;
      if (slot === null || slot.isBusy || !this.speak(slot)) break;
      this.speaker = null;
    }
    this.isTurning = false;
  }

  abandon(): void {
    const { speaker } = this;
    this.speaker = null;
    if (speaker !== null && !speaker.isBusy) this.release(speaker);
    for (let slot = this.waiting.shift(); slot !== null; slot = this.waiting.shift()) {
      this.release(slot);
    }
  }

  /** @returns whether the outbox is free for others */
  private speak(slot: Slot): boolean {
    if (slot.command === NbdCommand.read) return this.speakRead(slot);
    if (slot.fault === null && slot.command === NbdCommand.blockStatus) {
      return this.speakStatus(slot);
    }
    if (slot.fault === null ? !this.putSimple(slot, 0) : !this.putFault(slot, slot.fault)) {
      return false;
    }
    this.release(slot);
    return true;
  }

  private speakRead(slot: Slot): boolean {
    const isWhole = !this.isStructured || (slot.flags & dontFragment) !== 0;
    do {
      if (slot.stage === Stage.head) {
        if (slot.fault !== null) return this.endRead(slot);
        if (!(isWhole ? this.putReadHead(slot) : this.putRunHead(slot))) return false;
        slot.stage = Stage.data;
      }
      if (slot.stage !== Stage.data || slot.fault !== null) return this.endWhole(slot);
      const end = isWhole ? slot.part : slot.runEnd;
      slot.filled += this.outbox.write(slot.region!.bytes, slot.filled, end - slot.filled);
      if (slot.filled < end) return false;
      if (end < slot.part) slot.stage = Stage.head;
    } while (slot.filled < slot.part);
    slot.cursor += slot.part;
    if (slot.cursor < slot.length) return this.readOn(slot, isWhole);
    if (!isWhole || !this.isStructured || slot.part === slot.length) {
      this.release(slot);
      return true;
    }
    slot.stage = Stage.tail;
    return this.endRead(slot);
  }

  /** An answer in one piece whose head has promised more than could be read. */
  private endWhole(slot: Slot): boolean {
    if (slot.stage !== Stage.tail && !this.isStructured) {
      this.violation = 'a read failed in the middle of its answer';
      return false;
    }
    if (slot.stage !== Stage.tail) {
      slot.stage = Stage.padding;
      slot.cursor += this.outbox.zeroes(slot.length - slot.cursor);
      if (slot.cursor < slot.length) return false;
      slot.stage = Stage.tail;
    }
    return this.endRead(slot);
  }

  /** The next piece; an answer in one piece keeps the outbox until it is there. */
  private readOn(slot: Slot, isWhole: boolean): boolean {
    if (!isWhole) slot.stage = Stage.head;
    // A failure without the device being asked comes back here at once, as a waiting answer.
    if (!isWhole) this.speaker = null;
    this.readPart(slot);
    if (isWhole && !slot.isBusy) return this.speakRead(slot);
    return !isWhole;
  }

  private endRead(slot: Slot): boolean {
    const { fault } = slot;
    if (fault === null ? !this.putNone(slot) : !this.putFault(slot, fault)) return false;
    this.release(slot);
    return true;
  }

  /** The head of an answer in one piece. */
  private putReadHead(slot: Slot): boolean {
    if (!this.isStructured) return this.putSimple(slot, 0);
    return this.putContent(slot, slot.length, slot.part === slot.length);
  }

  /** The head of the next run of a part; of zeroes it is all that is sent. */
  private putRunHead(slot: Slot): boolean {
    const from = slot.filled;
    const run = runOf(slot.region!.words, from, slot.part);
    const isHole = run < 0;
    const end = isHole ? -run : run;
    // Nothing can fail any more when the last data is in memory.
    const isLast = slot.cursor + end === slot.length;
    if (isHole ? !this.putHole(slot, end, isLast) : !this.putContent(slot, end - from, isLast)) {
      return false;
    }
    slot.runEnd = end;
    if (isHole) slot.filled = end;
    return true;
  }

  private putContent(slot: Slot, dataBytes: number, isLast: boolean): boolean {
    const { outbox } = this;
    const at = outbox.claim(chunkHeadBytes + dataHeadBytes);
    if (at < 0) return false;
    const flags = isLast ? ChunkFlag.done : 0;
    this.putHead(slot, at, flags, ChunkType.offsetData, dataHeadBytes + dataBytes);
    const offset = slot.offset + slot.cursor + slot.filled;
    OffsetData.offset.set(outbox.bytes, at + chunkHeadBytes, offset);
    return true;
  }

  private putHole(slot: Slot, end: number, isLast: boolean): boolean {
    const { outbox } = this;
    const at = outbox.claim(chunkHeadBytes + holeHeadBytes);
    if (at < 0) return false;
    const flags = isLast ? ChunkFlag.done : 0;
    this.putHead(slot, at, flags, ChunkType.offsetHole, holeHeadBytes);
    const payload = at + chunkHeadBytes;
    OffsetHole.offset.set(outbox.bytes, payload, slot.offset + slot.cursor + slot.filled);
    OffsetHole.length.set(outbox.bytes, payload, end - slot.filled);
    return true;
  }

  private putNone(slot: Slot): boolean {
    const at = this.outbox.claim(chunkHeadBytes);
    if (at >= 0) this.putHead(slot, at, ChunkFlag.done, ChunkType.none, 0);
    return at >= 0;
  }

  private putSimple(slot: Slot, error: number): boolean {
    const at = this.outbox.claim(simpleBytes);
    if (at < 0) return false;
    const { bytes } = this.outbox;
    Simple.magic.set(bytes, at, simpleReplyMagic);
    Simple.error.set(bytes, at, error);
    Simple.cookieHigh.set(bytes, at, slot.cookieHigh);
    Simple.cookieLow.set(bytes, at, slot.cookieLow);
    return true;
  }

  private putFault(slot: Slot, { error, text }: NbdFault): boolean {
    if (!this.isStructured) return this.putSimple(slot, error);
    const { outbox } = this;
    // Where a read has stopped is worth knowing; what was read before it is good.
    const hasOffset =
      slot.command === NbdCommand.read && slot.stage === Stage.head && slot.part > 0;
    const payloadBytes = errorBytes + text.length + (hasOffset ? ErrorOffset.layout.bytes : 0);
    const at = outbox.claim(chunkHeadBytes + payloadBytes);
    if (at < 0) return false;
    const type = hasOffset ? ChunkType.errorOffset : ChunkType.error;
    this.putHead(slot, at, ChunkFlag.done, type, payloadBytes);
    const { bytes } = outbox;
    const payload = at + chunkHeadBytes;
    ErrorPayload.error.set(bytes, payload, error);
    ErrorPayload.textBytes.set(bytes, payload, text.length);
    copyBytes(text, 0, bytes, payload + errorBytes, text.length);
    if (hasOffset) {
      ErrorOffset.offset.set(bytes, payload + errorBytes + text.length, slot.offset + slot.cursor);
    }
    return true;
  }

  private putHead(slot: Slot, at: number, flags: number, type: number, payloadBytes: number): void {
    const { bytes } = this.outbox;
    Chunk.magic.set(bytes, at, structuredReplyMagic);
    Chunk.flags.set(bytes, at, flags);
    Chunk.type.set(bytes, at, type);
    Chunk.cookieHigh.set(bytes, at, slot.cookieHigh);
    Chunk.cookieLow.set(bytes, at, slot.cookieLow);
    Chunk.payloadBytes.set(bytes, at, payloadBytes);
  }

  /** A chunk for each context, the cursor counting them. */
  private speakStatus(slot: Slot): boolean {
    const { outbox, contexts } = this;
    while (slot.cursor < contexts.length) {
      const count = this.find(slot, contexts[slot.cursor]!);
      if (count === 0) {
        slot.fault = faults.lostContext;
        return this.speak(slot);
      }
      const payloadBytes = BlockStatusHead.layout.bytes + count * extentBytes;
      const at = outbox.claim(chunkHeadBytes + payloadBytes);
      if (at < 0) return false;
      const isLast = slot.cursor + 1 === contexts.length;
      const flags = isLast ? ChunkFlag.done : 0;
      this.putHead(slot, at, flags, ChunkType.blockStatus, payloadBytes);
      BlockStatusHead.context.set(outbox.bytes, at + chunkHeadBytes, slot.cursor + 1);
      const first = at + chunkHeadBytes + BlockStatusHead.layout.bytes;
      for (let i = 0; i < count; i++) {
        ExtentDescriptor.length.set(outbox.bytes, first + i * extentBytes, extents[2 * i]!);
        ExtentDescriptor.flags.set(outbox.bytes, first + i * extentBytes, extents[2 * i + 1]!);
      }
      slot.cursor++;
    }
    this.release(slot);
    return true;
  }

  /** @returns extents found; 0 when the context cannot tell any more */
  private find(slot: Slot, context: MetadataContext): number {
    const { offset, length } = slot;
    const most = (slot.flags & CommandFlag.oneExtent) !== 0 ? 1 : mostExtents;
    try {
      return findExtents(context, { offset, length, most }, extents);
    } catch (error) {
      if (error instanceof UltimaError) return 0;
      throw error;
    }
  }
}
