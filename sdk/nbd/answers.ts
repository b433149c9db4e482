import type { Outbox } from '../sockets/outbox.js';
import { CommandFlag, NbdCommand } from '../spec/nbd/transmission.js';
import { faultOfError } from './faults.js';
import { runOf } from './holes.js';
import { findExtents, type MetadataContext } from './metadata.js';
import { type ReplyStyle, ReplyWriter } from './replies.js';
import { mostExtents, type Slot, SlotList, Stage } from './slot.js';

const { dontFragment, oneExtent } = CommandFlag;

export interface AnswerParts {
  readonly outbox: Outbox;
  readonly style: ReplyStyle;
  readonly contexts: readonly MetadataContext[];
  /** Read the next part; `readEnded` follows. */
  readonly readPart: (slot: Slot) => void;
  /** Something else that has to be waited for; `give` follows. */
  readonly wait: (slot: Slot, work: Promise<void>) => void;
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
  private readonly writer: ReplyWriter;
  private readonly contexts: readonly MetadataContext[];
  private readonly readPart: (slot: Slot) => void;
  private readonly wait: (slot: Slot, work: Promise<void>) => void;
  private readonly release: (slot: Slot) => void;
  private readonly waiting = new SlotList();
  /** Whose answer has begun. */
  private speaker: Slot | null = null;
  private isTurning = false;

  constructor(parts: AnswerParts) {
    this.outbox = parts.outbox;
    this.writer = new ReplyWriter(parts.outbox, parts.style);
    this.contexts = parts.contexts;
    this.readPart = parts.readPart;
    this.wait = parts.wait;
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
    const { fault } = slot;
    const isSaid =
      fault === null ? this.writer.success(slot) : this.writer.fault(slot, fault, placeOf(slot));
    if (isSaid) this.release(slot);
    return isSaid;
  }

  private speakRead(slot: Slot): boolean {
    const isWhole = !this.writer.isChunked || (slot.flags & dontFragment) !== 0;
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
    if (!isWhole || !this.writer.isChunked || slot.part === slot.length) {
      this.release(slot);
      return true;
    }
    slot.stage = Stage.tail;
    return this.endRead(slot);
  }

  /** An answer in one piece whose head has promised more than could be read. */
  private endWhole(slot: Slot): boolean {
    if (slot.stage !== Stage.tail && !this.writer.isChunked) {
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
    const { writer } = this;
    const { fault } = slot;
    const isSaid = fault === null ? writer.none(slot) : writer.fault(slot, fault, placeOf(slot));
    if (isSaid) this.release(slot);
    return isSaid;
  }

  /** The head of an answer in one piece. */
  private putReadHead(slot: Slot): boolean {
    return this.writer.data(slot, slot.length, slot.part === slot.length);
  }

  /** The head of the next run of a part; of zeroes it is all that is sent. */
  private putRunHead(slot: Slot): boolean {
    const from = slot.filled;
    const run = runOf(slot.region!.words, from, slot.part);
    const isHole = run < 0;
    const end = isHole ? -run : run;
    // Nothing can fail any more when the last data is in memory.
    const isLast = slot.cursor + end === slot.length;
    const { writer } = this;
    const isSaid = isHole
      ? writer.hole(slot, end - from, isLast)
      : writer.data(slot, end - from, isLast);
    if (!isSaid) return false;
    slot.runEnd = end;
    if (isHole) slot.filled = end;
    return true;
  }

  /** A chunk for each context that is asked for, the cursor counting them. */
  private speakStatus(slot: Slot): boolean {
    const { contexts, writer } = this;
    while (slot.cursor < contexts.length) {
      const bit = 1 << slot.cursor;
      if ((slot.contexts & bit) !== 0) {
        if (slot.extentCount < 0) this.find(slot, contexts[slot.cursor]!);
        // Others are answered until the extents have been found.
        if (slot.isBusy) return true;
        if (slot.fault !== null) return this.speak(slot);
        const isLast = slot.contexts < 2 * bit;
        const { extents, extentCount } = slot;
        if (!writer.status(slot, slot.cursor + 1, extents, extentCount, isLast)) return false;
        slot.extentCount = -1;
      }
      slot.cursor++;
    }
    this.release(slot);
    return true;
  }

  /** The extents of a context; the slot is busy while something is read for that. */
  private find(slot: Slot, context: MetadataContext): void {
    const { offset, length, extents } = slot;
    const most = (slot.flags & oneExtent) !== 0 ? 1 : mostExtents;
    try {
      const found = findExtents(context, { offset, length, most }, extents);
      if (typeof found === 'number') slot.extentCount = found;
      else this.wait(slot, keepCount(slot, found));
    } catch (error) {
      // The context may be that of a snapshot that is gone.
      slot.fault = faultOfError(error);
    }
  }
}

async function keepCount(slot: Slot, found: Promise<number>): Promise<void> {
  slot.extentCount = await found;
}

/** Where a read has stopped is worth knowing; -1 for everything else. */
function placeOf(slot: Slot): number {
  const hasPlace = slot.command === NbdCommand.read && slot.stage === Stage.head && slot.part > 0;
  return hasPlace ? slot.offset + slot.cursor : -1;
}
