import { assert } from '../assert.js';
import { BlockOp, BlockStatus, blockFlagFua } from '../block/request.js';
import { UltimaError } from '../errors.js';
import { copyBytes } from '../sockets/copy.js';
import type { Outbox } from '../sockets/outbox.js';
import {
  CommandFlag,
  ExtendedRequestHeader,
  extendedRequestMagic,
  leastPayloadLimit,
  NbdCommand,
  RequestHeader,
  requestMagic,
  StatusChoice,
  StatusChoiceContext,
} from '../spec/nbd/transmission.js';
import { GiB } from '../units.js';
import { Answers } from './answers.js';
import { faultOf, faults, type NbdFault } from './faults.js';
import type { MetadataContext } from './metadata.js';
import { ReplyStyle } from './replies.js';
import type { ServedExport } from './served-export.js';
import type { Slot, SlotOwner } from './slot.js';

// Looked up once: the tables lie behind imports.
const Header = RequestHeader;
const command = NbdCommand;

/** Requests of one connection that are looked after at the same time; more of them wait. */
const mostRequests = 64;

/** Largest read or write. */
export const mostPayloadBytes = leastPayloadLimit;

/** Contexts that a client can choose at once. */
export const mostChosen = 16;

/** Largest piece of a request without data that the device is given at once. */
const mostPieceBytes = GiB;
const choiceHeadBytes = StatusChoice.layout.bytes;
const choiceIdBytes = StatusChoiceContext.layout.bytes;

export interface TransmissionParts {
  readonly served: ServedExport;
  readonly outbox: Outbox;
  readonly style: ReplyStyle;
  readonly contexts: readonly MetadataContext[];
  /** There may be something to send: `turn` follows. */
  readonly touch: () => void;
}

/**
 * The second phase of a connection: requests and answers, the data path.
 *
 * What always holds
 *   - Nothing that a client sends is believed: every number is checked before anything is done.
 *     What cannot be understood any more (`violation`) ends this connection and nothing else.
 *   - A connection holds at most `mostRequests` slots, and a slot at most one part of a request in
 *     memory. When they are all in use, or answers are not read, no more input is taken.
 *   - A write is carried out part by part as its data arrives: a client that goes away in the
 *     middle of it leaves the parts written that had arrived whole.
 */
export class Transmission implements SlotOwner {
  /** Why the connection must end now; '' while all is well. */
  violation = '';
  /** The client has said goodbye: no more input. */
  isDisconnecting = false;
  /** Requests ever. */
  requestCount = 0;
  private readonly served: ServedExport;
  private readonly isExtended: boolean;
  /** That a read may have. */
  private readonly readFlags: number;
  private readonly contextCount: number;
  private readonly answers: Answers;
  private readonly touch: () => void;
  private readonly header: Uint8Array;
  private headerFill = 0;
  /** What block status is asked of, while it arrives. */
  private readonly choice = new Uint8Array(choiceHeadBytes + mostChosen * choiceIdBytes);
  private usedSlots = 0;
  /** The write whose data is arriving. */
  private payload: Slot | null = null;
  private isAbandoned = false;

  constructor(parts: TransmissionParts) {
    const { served, outbox, style, contexts } = parts;
    this.served = served;
    this.isExtended = style === ReplyStyle.extended;
    this.readFlags = CommandFlag.fua;
    if (style !== ReplyStyle.simple) this.readFlags |= CommandFlag.dontFragment;
    const header = this.isExtended ? ExtendedRequestHeader : RequestHeader;
    this.header = new Uint8Array(header.layout.bytes);
    this.contextCount = contexts.length;
    this.touch = parts.touch;
    this.answers = new Answers({
      outbox,
      style,
      contexts,
      readPart: (slot) => this.readPart(slot),
      wait: (slot, work) => served.wait(slot, work),
      release: (slot) => this.release(slot),
    });
  }

  /** Nothing is under way, and everything is answered. */
  get isIdle(): boolean {
    return this.usedSlots === 0;
  }

  /** Take input from `at` to `end`. @returns where the input starts that cannot be taken yet */
  take(bytes: Uint8Array, at: number, end: number): number {
    while (at < end && this.violation === '' && !this.isDisconnecting) {
      if (this.payload !== null) {
        const used = this.takePayload(this.payload, bytes, at, end);
        if (used === 0) return at;
        at += used;
        continue;
      }
      if (this.headerFill === 0 && this.usedSlots === mostRequests) return at;
      const headerBytes = this.header.length;
      const part = Math.min(end - at, headerBytes - this.headerFill);
      copyBytes(bytes, at, this.header, this.headerFill, part);
      this.headerFill += part;
      at += part;
      if (this.headerFill === headerBytes) {
        this.headerFill = 0;
        this.begin();
      }
    }
    return at;
  }

  /** There may be room for answers again. */
  turn(): void {
    this.answers.turn();
    if (this.answers.violation !== '') this.violation = this.answers.violation;
  }

  /** The device is done with a part. */
  ended(slot: Slot): void {
    const status = slot.request.status;
    if (status !== BlockStatus.ok && slot.fault === null) slot.fault = faultOf(status);
    if (this.isAbandoned) {
      this.release(slot);
      return;
    }
    if (slot.command === command.read) this.answers.readEnded(slot);
    else if (slot.command === command.write) this.writeEnded(slot);
    else if (slot.command >= command.blockStatus) this.answers.give(slot);
    else this.otherEnded(slot);
    this.touch();
  }

  /** Nothing more comes from the client: what has not wholly arrived is dropped. */
  stopInput(): void {
    this.isDisconnecting = true;
    const { payload } = this;
    this.payload = null;
    if (payload === null) return;
    payload.remaining = 0;
    payload.fault ??= faults.cutShort;
    if (!payload.isBusy) this.answers.give(payload);
  }

  /** The client is gone: nobody reads answers. What the device has comes to its end. */
  abandon(): void {
    if (this.isAbandoned) return;
    this.stopInput();
    this.isAbandoned = true;
    this.answers.abandon();
  }

  private begin(): void {
    const { header, isExtended } = this;
    if (Header.magic.get(header, 0) !== (isExtended ? extendedRequestMagic : requestMagic)) {
      this.violation = 'a request without its magic number';
      return;
    }
    const what = Header.command.get(header, 0);
    if (what === command.disconnect) {
      this.isDisconnecting = true;
      return;
    }
    this.requestCount++;
    const slot = this.served.take();
    this.usedSlots++;
    slot.owner = this;
    slot.start(header, isExtended);
    slot.contexts = 2 ** this.contextCount - 1;
    const payloadBytes = this.payloadOf(slot);
    if (payloadBytes > mostPayloadBytes) {
      this.violation = 'more data than the maximum block size';
      this.release(slot);
    } else if (payloadBytes > 0) this.beginPayload(slot, payloadBytes);
    else this.carryOut(slot);
  }

  /** Data that follows a request: that of a write even where it does not say so, as QEMU's. */
  private payloadOf({ command: what, flags, length }: Slot): number {
    const saysSo = this.isExtended && (flags & CommandFlag.payloadLength) !== 0;
    return saysSo || what === command.write ? length : 0;
  }

  private beginPayload(slot: Slot, payloadBytes: number): void {
    slot.remaining = payloadBytes;
    this.payload = slot;
    // What block status is asked of is known when all of it has come.
    if (slot.command === command.blockStatus) slot.fault = this.checkChoice(payloadBytes);
    else slot.fault = this.check(slot);
    if (slot.command === command.write && slot.fault === null) this.openPart(slot);
  }

  private checkChoice(payloadBytes: number): NbdFault | null {
    const idBytes = payloadBytes - choiceHeadBytes;
    const isList = idBytes > 0 && idBytes % choiceIdBytes === 0;
    return isList && payloadBytes <= this.choice.length ? null : faults.contextChoice;
  }

  /** What is wrong with a request; null for nothing. */
  private check(slot: Slot): NbdFault | null {
    const { served } = this;
    const { length } = slot;
    const what = slot.command;
    if (what > command.resize) return faults.command;
    if ((slot.flags & ~this.flagsOf(what)) !== 0) return faults.flags;
    if (what === command.flush) {
      return slot.offset === 0 && length === 0 ? null : faults.flushRange;
    }
    const isLook = what === command.read || what === command.cache;
    const isChange = !isLook && what !== command.blockStatus;
    if (isChange && served.isReadOnly) return faults.readOnly;
    if (what === command.trim && !served.device.limits.canDiscard) return faults.command;
    if (what === command.resize) return this.checkSize(slot);
    if (length === 0) return faults.empty;
    // Exact below 2^53, and larger numbers are beyond the end anyway.
    if (slot.offset + length > served.bytes) {
      const isWrite = what === command.write || what === command.writeZeroes;
      return isWrite ? faults.writeBeyond : faults.beyond;
    }
    const block = served.blockBytes;
    if (slot.offset % block !== 0 || length % block !== 0) return faults.alignment;
    if (what === command.read && length > mostPayloadBytes) return faults.length;
    if (what === command.blockStatus && this.contextCount === 0) return faults.noContext;
    const wantsFast = (slot.flags & CommandFlag.fastZero) !== 0;
    return wantsFast && this.mustWriteZeroes(slot) ? faults.slowZero : null;
  }

  /** Whether an export can get this size, as far as that is not for the device to say. */
  private checkSize({ offset: bytes, length }: Slot): NbdFault | null {
    const { served } = this;
    if (served.grow === null) return faults.command;
    if (length !== 0) return faults.resizeRange;
    if (bytes % served.blockBytes !== 0) return faults.alignment;
    return bytes < served.bytes ? faults.shrink : null;
  }

  private flagsOf(what: number): number {
    const flag = CommandFlag;
    if (what === command.read) return this.readFlags;
    if (what === command.write) return flag.fua | (this.isExtended ? flag.payloadLength : 0);
    if (what === command.writeZeroes) return flag.fua | flag.noHole | flag.fastZero;
    if (what !== command.blockStatus) return flag.fua;
    const choice = this.isExtended ? flag.payloadLength : 0;
    return flag.fua | flag.oneExtent | choice;
  }

  /** Zeroes that take up space, and devices that only know writes. */
  private mustWriteZeroes(slot: Slot): boolean {
    return (slot.flags & CommandFlag.noHole) !== 0 || !this.served.device.limits.canWriteZeroes;
  }

  private carryOut(slot: Slot): void {
    slot.fault = this.check(slot);
    if (slot.fault !== null) {
      this.answers.give(slot);
      return;
    }
    slot.request.segmentCount = 0;
    switch (slot.command) {
      case command.read:
      case command.cache:
        this.readPart(slot);
        return;
      case command.blockStatus:
        this.answers.give(slot);
        return;
      case command.resize:
        this.served.wait(slot, this.served.grow!(slot.offset));
        return;
      case command.flush:
        this.submit(slot, BlockOp.flush, 0, 0);
        return;
      case command.trim:
        this.clearPiece(slot, BlockOp.discard);
        return;
      default:
        if (this.mustWriteZeroes(slot)) this.writeZeroPart(slot);
        else this.clearPiece(slot, BlockOp.writeZeroes);
    }
  }

  /** The next piece of what the device empties by itself. */
  private clearPiece(slot: Slot, op: BlockOp): void {
    slot.needsFlush = this.isFua(slot);
    slot.part = Math.min(mostPieceBytes, slot.length - slot.cursor);
    this.submit(slot, op, slot.offset + slot.cursor, slot.part);
  }

  /** Whether a change is durable when it is answered. */
  private isFua({ flags }: Slot): boolean {
    return this.served.isWriteThrough || (flags & CommandFlag.fua) !== 0;
  }

  private submit(slot: Slot, op: BlockOp, offset: number, length: number): void {
    const { request } = slot;
    const { blockBytes } = this.served;
    request.op = op;
    request.flags = 0;
    request.lba = offset / blockBytes;
    request.blockCount = length / blockBytes;
    if (op === BlockOp.write && this.isFua(slot)) request.flags = blockFlagFua;
    if (op === BlockOp.read || op === BlockOp.write) request.setData(slot.region!, 0, length);
    this.served.submit(slot);
  }

  /** Memory for the next part of a request. @returns false, with a fault, when there is none */
  private openPart(slot: Slot): boolean {
    slot.part = Math.min(this.served.partBytes, slot.length - slot.cursor);
    slot.filled = 0;
    try {
      slot.grow(slot.part);
      return true;
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      slot.fault = faults.memory;
      return false;
    }
  }

  private readPart(slot: Slot): void {
    if (this.openPart(slot)) {
      this.submit(slot, BlockOp.read, slot.offset + slot.cursor, slot.part);
    } else if (slot.command === command.read) this.answers.readEnded(slot);
    else this.answers.give(slot);
  }

  private writeZeroPart(slot: Slot): void {
    if (!this.openPart(slot)) {
      this.answers.give(slot);
      return;
    }
    slot.region!.bytes.fill(0, 0, slot.part);
    this.submit(slot, BlockOp.write, slot.offset + slot.cursor, slot.part);
  }

  /** @returns bytes of data taken; 0 while the part before is with the device */
  private takePayload(slot: Slot, bytes: Uint8Array, at: number, end: number): number {
    if (slot.isBusy) return 0;
    if (slot.command === command.blockStatus && slot.fault === null) {
      return this.takeChoice(slot, bytes, at, end);
    }
    if (slot.fault !== null) {
      const dropped = Math.min(end - at, slot.remaining);
      slot.remaining -= dropped;
      if (slot.remaining === 0) {
        this.payload = null;
        this.answers.give(slot);
      }
      return dropped;
    }
    const count = Math.min(end - at, slot.part - slot.filled);
    copyBytes(bytes, at, slot.region!.bytes, slot.filled, count);
    slot.filled += count;
    slot.remaining -= count;
    if (slot.filled === slot.part) {
      if (slot.remaining === 0) this.payload = null;
      this.submit(slot, BlockOp.write, slot.offset + slot.cursor, slot.part);
    }
    return count;
  }

  private takeChoice(slot: Slot, bytes: Uint8Array, at: number, end: number): number {
    const count = Math.min(end - at, slot.remaining);
    copyBytes(bytes, at, this.choice, slot.length - slot.remaining, count);
    slot.remaining -= count;
    if (slot.remaining > 0) return count;
    this.payload = null;
    if (this.readChoice(slot)) this.carryOut(slot);
    else {
      slot.fault = faults.contextChoice;
      this.answers.give(slot);
    }
    return count;
  }

  /** @returns whether the contexts are some of those that were chosen, each once */
  private readChoice(slot: Slot): boolean {
    const { choice } = this;
    const end = slot.length;
    slot.contexts = 0;
    for (let at = choiceHeadBytes; at < end; at += choiceIdBytes) {
      const id = StatusChoiceContext.id.get(choice, at);
      if (id < 1 || id > this.contextCount) return false;
      const bit = 2 ** (id - 1);
      if ((slot.contexts & bit) !== 0) return false;
      slot.contexts += bit;
    }
    slot.length = StatusChoice.length.get(choice, 0);
    return true;
  }

  private writeEnded(slot: Slot): void {
    slot.cursor += slot.part;
    if (slot.remaining > 0) {
      if (slot.fault === null) this.openPart(slot);
    } else this.answers.give(slot);
  }

  private otherEnded(slot: Slot): void {
    const { op } = slot.request;
    if (slot.fault === null && op !== BlockOp.flush) {
      slot.cursor += slot.part;
      if (slot.cursor < slot.length) {
        if (op === BlockOp.write) this.writeZeroPart(slot);
        else if (op === BlockOp.read) this.readPart(slot);
        else this.clearPiece(slot, op);
        return;
      }
    }
    if (slot.fault === null && slot.needsFlush) {
      slot.needsFlush = false;
      this.submit(slot, BlockOp.flush, 0, 0);
      return;
    }
    this.answers.give(slot);
  }

  private release(slot: Slot): void {
    assert(!slot.isBusy, 'the device has it');
    this.usedSlots--;
    this.served.give(slot);
  }
}
