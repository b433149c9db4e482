import { assert } from '../assert.js';
import { copyBytes } from '../sockets/copy.js';
import { type ChunkPool, Outbox } from '../sockets/outbox.js';
import type { Stream, StreamUser } from '../sockets/stream.js';
import {
  ControllerData,
  capsuleEntryDword,
  FatalError,
  HostData,
  InitializeRequest,
  InitializeResponse,
  mostDataAlignment,
  mostTermDataBytes,
  PduFlag,
  PduHeader,
  PduType,
  pduFormatVersion,
  ReadyToTransfer,
} from '../spec/fabrics/pdu.js';
import { commandDwords, Sqe, sgl1Dword } from '../spec/nvme/command.js';
import { Cqe } from '../spec/nvme/completion.js';
import { SglDescriptor, SglSubtype, SglType } from '../spec/nvme/data-pointer.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import { KiB } from '../units.js';
import type { Association } from './association.js';
import { PduReader, type PduUser, typeSet } from './pdu-reader.js';
import { PduWriter } from './pdu-writer.js';
import type { ServedNamespace } from './served-namespace.js';
import { Direction, TargetSlot, TargetSlotList } from './target-slot.js';

// Looked up once: the tables lie behind imports.
const Entry = Sqe;
const Sgl = SglDescriptor;
const Data = HostData;
const Answer = ControllerData;
const Ask = ReadyToTransfer;
const Completion = Cqe;

/** Data that a command capsule may carry [NVMe-TCP-1.0 §3.3.2: 8 KiB on admin queues]. */
export const inCapsuleBytes = 8 * KiB;
/** Most bytes of one H2CData PDU. */
const mostHostDataBytes = 128 * KiB;
/** Most data of one C2HData PDU: several of them fit into a chunk. */
const mostAnswerBytes = 64 * KiB;

const accepted = typeSet([PduType.icReq, PduType.h2cTermReq, PduType.capsuleCmd, PduType.h2cData]);
const mostData = Math.max(inCapsuleBytes, mostHostDataBytes, mostTermDataBytes);

/** What a queue does with commands; the association's part differs for admin and I/O. */
export interface QueueOwner {
  /** A capsule came: say what it wants. @returns 0, or the status that it ends with */
  prepare(slot: TargetSlot): number;
  /** Memory for the data of a prepared command; false: `retry` of the queue follows. */
  acquire(slot: TargetSlot, isForced: boolean): boolean;
  /** All data of the host is here, or there is none: carry it out. */
  execute(slot: TargetSlot): void;
  /** The device did a part. */
  ended(slot: TargetSlot): void;
  /** The slot's memory is not needed any more. */
  release(slot: TargetSlot): void;
  /** The connection is over. */
  lost(queue: TargetQueue, why: string): void;
}

/** The controller's side of an authentication transaction. */
export interface QueueAuthentication {
  readonly isDone: boolean;
  /** A message of the host. @returns the status of the command that carried it */
  take(message: Uint8Array): number | Promise<number>;
  /** The next message for the host. @returns the status of the command that fetches it */
  give(message: Uint8Array): number;
}

export interface QueueParts {
  readonly stream: Stream;
  readonly chunks: ChunkPool;
  readonly owner: QueueOwner;
  /** Something is to be done in this turn of the reactor. */
  readonly wake: (queue: TargetQueue) => void;
}

/**
 * One connection of a host, which is one queue. It knows neither sockets nor time.
 *
 * What the host sends is never kept beyond its slots: a queue has as many as the host said, more
 * commands than that end the connection, data has its place before it is asked for, and answers
 * that the host does not read wait in their slots.
 */
export class TargetQueue implements StreamUser, PduUser {
  /** Why we ended it; '' while we did not. */
  violation = '';
  isClosed = false;
  qid = -1;
  association: Association | null = null;
  /** The host does not look at our head pointer: a success need not be a PDU of its own. */
  hasNoFlowControl = false;
  isReady = false;
  /** Null where none is asked for. */
  authentication: QueueAuthentication | null = null;
  /** Commands of this queue that may still do something. */
  usedSlots = 0;
  commandCount = 0;
  owner: QueueOwner;
  isDirty = false;
  readonly stream: Stream;
  private readonly outbox: Outbox;
  private readonly reader: PduReader;
  private readonly writer: PduWriter;
  private readonly wake: (queue: TargetQueue) => void;
  private readonly slots: TargetSlot[] = [];
  private readonly free: TargetSlot[] = [];
  private readonly unsent = new TargetSlotList();
  private headEntry = 0;
  private entries = 1;
  /** Whose data the PDU at hand carries; null drops it. */
  private landing: TargetSlot | null = null;
  private isCapsule = false;
  private isTermination = false;

  constructor(parts: QueueParts) {
    this.stream = parts.stream;
    this.owner = parts.owner;
    this.wake = parts.wake;
    this.outbox = new Outbox(parts.stream, parts.chunks);
    this.reader = new PduReader(this, accepted, mostData);
    this.writer = new PduWriter(this.outbox);
    this.resize(1);
  }

  /** A Connect said how many entries the queue has: as many commands may be under way. */
  resize(entries: number): void {
    this.entries = entries;
    while (this.slots.length < entries) {
      const slot = new TargetSlot(this, this.slots.length);
      this.slots.push(slot);
      this.free.push(slot);
    }
  }

  receive(bytes: Uint8Array, from: number, to: number): void {
    if (this.isClosed) return;
    this.reader.take(bytes, from, to);
    this.touch();
  }

  sent(): void {
    this.outbox.sent();
    if (!this.isClosed) this.touch();
  }

  gone(why: string): void {
    this.close(why);
  }

  /** What is collected goes, and what had no room before. */
  turn(): void {
    if (this.isClosed) return;
    for (let slot = this.unsent.first; slot !== null; slot = this.unsent.first) {
      if (!this.send(slot)) break;
      this.unsent.shift();
      if (slot.isAnswering) this.recycle(slot);
    }
    this.outbox.flush();
  }

  /** End the connection, whoever asks. */
  close(why: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.reader.stop();
    this.outbox.close();
    for (let slot = this.unsent.shift(); slot !== null; slot = this.unsent.shift()) {
      this.recycle(slot);
    }
    this.stream.destroy();
    this.owner.lost(this, why);
    for (const slot of this.slots) if (slot.isUsed && !slot.isBusy) this.forget(slot);
  }

  /** Say goodbye: what is collected still goes. */
  finishAndClose(why: string): void {
    this.turn();
    this.stream.end();
    this.close(why);
  }

  header(type: number, dataBytes: number): boolean {
    const { words } = this.reader;
    if (type === PduType.h2cTermReq) {
      this.isTermination = true;
      if (dataBytes === 0) this.close('the host ended the connection');
      return !this.isClosed;
    }
    if ((type === PduType.icReq) === this.isReady) {
      return this.refuse(FatalError.sequenceError, 0, 'a PDU out of order');
    }
    if (type === PduType.icReq) return this.initialize(words);
    return type === PduType.capsuleCmd
      ? this.command(words, dataBytes)
      : this.hostData(words, dataBytes);
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    const { landing } = this;
    if (landing === null || landing.hasLostMemory) return;
    copyBytes(bytes, from, landing.memory, landing.received, to - from);
    landing.received += to - from;
  }

  dataEnd(isIntact: boolean): boolean {
    if (this.isTermination) {
      this.close('the host ended the connection');
      return false;
    }
    const { landing } = this;
    this.landing = null;
    if (landing === null) return true;
    if (!isIntact) landing.isDataSpoiled = true;
    if (this.isCapsule || landing.received === landing.transfer) this.dataComplete(landing);
    return !this.isClosed;
  }

  refuse(fes: FatalError, fei: number, why: string): false {
    if (this.isClosed) return false;
    this.violation = why;
    this.writer.writeTermination(PduType.c2hTermReq, { fes, fei }, this.reader.words);
    this.outbox.flush();
    this.stream.end();
    this.close(why);
    return false;
  }

  /** There is memory now for a slot that waited for it. */
  retry(slot: TargetSlot): void {
    if (this.isClosed) this.forget(slot);
    else this.proceed(slot, false);
    if (!this.isClosed) this.touch();
  }

  /** The device never heard of it, and never will. */
  abandoned(slot: TargetSlot): void {
    this.forget(slot);
  }

  /** The device did a part of it. */
  ended(slot: TargetSlot): void {
    this.owner.ended(slot);
    if (!this.isClosed) this.touch();
  }

  /** A command has its outcome: answer. */
  finish(slot: TargetSlot, status: number): void {
    if (this.isClosed) {
      this.forget(slot);
      return;
    }
    slot.status = status;
    slot.isAnswering = true;
    if (this.unsent.first === null && this.send(slot)) this.recycle(slot);
    else this.unsent.push(slot);
    this.touch();
  }

  forget(slot: TargetSlot): void {
    if (slot.isUsed) this.recycle(slot);
  }

  /** Whether a command of it is inside the device of a namespace, or in front of it. */
  hasInside(namespace: ServedNamespace): boolean {
    return this.slots.some((slot) => slot.isBusy && slot.namespace === namespace);
  }

  /** The slot may be used again. */
  private recycle(slot: TargetSlot): void {
    assert(slot.isUsed && !slot.isBusy, 'a slot that is free, or with the device');
    slot.isUsed = false;
    this.usedSlots--;
    this.owner.release(slot);
    slot.namespace = null;
    this.free.push(slot);
  }

  private touch(): void {
    this.wake(this);
  }

  private initialize(words: Uint32Array): boolean {
    const { writer, reader } = this;
    const alignment = InitializeRequest.hpda.get(words, 0);
    if (InitializeRequest.pfv.get(words, 0) !== pduFormatVersion || alignment > mostDataAlignment) {
      return this.refuse(FatalError.unsupportedParameter, 8, 'a format that nobody knows');
    }
    const headerDigest = InitializeRequest.headerDigest.get(words, 0);
    const dataDigest = InitializeRequest.dataDigest.get(words, 0);
    const at = writer.open(PduType.icResp, 0);
    assert(at >= 0, 'no room for the first answer');
    const out = this.outbox.chunk.words;
    InitializeResponse.pfv.set(out, at, pduFormatVersion);
    InitializeResponse.headerDigest.set(out, at, headerDigest);
    InitializeResponse.dataDigest.set(out, at, dataDigest);
    InitializeResponse.maxh2cdata.set(out, at, mostHostDataBytes);
    reader.hasHeaderDigest = headerDigest === 1;
    writer.hasHeaderDigest = headerDigest === 1;
    reader.hasDataDigest = dataDigest === 1;
    writer.hasDataDigest = dataDigest === 1;
    writer.dataAlignment = (alignment + 1) * 4;
    this.isReady = true;
    return true;
  }

  private command(words: Uint32Array, dataBytes: number): boolean {
    const slot = this.free.pop();
    if (slot === undefined) {
      return this.refuse(FatalError.sequenceError, 0, 'more commands than the queue has entries');
    }
    slot.reset();
    this.usedSlots++;
    this.commandCount++;
    this.headEntry = this.headEntry + 1 >= this.entries ? 0 : this.headEntry + 1;
    for (let i = 0; i < commandDwords; i++) slot.words[i] = words[capsuleEntryDword + i]!;
    let status = this.owner.prepare(slot);
    if (this.isClosed) return false;
    if (status === 0) status = this.checkPointer(slot, dataBytes);
    if (status !== 0) {
      slot.direction = Direction.none;
      slot.status = status;
      this.isCapsule = true;
      this.landing = null;
      // Data that comes with it is dropped.
      this.finish(slot, status);
      return !this.isClosed;
    }
    if (dataBytes === 0) {
      this.proceed(slot, false);
      return !this.isClosed;
    }
    if (slot.direction !== Direction.toController) {
      return this.refuse(FatalError.dataOutOfRange, 0, 'data with a command that takes none');
    }
    if (!this.owner.acquire(slot, true)) {
      this.close('there is no memory for its data');
      return false;
    }
    this.landing = slot;
    this.isCapsule = true;
    return true;
  }

  /** Whether the descriptor says what the command and its capsule say. */
  private checkPointer(slot: TargetSlot, dataBytes: number): number {
    if (slot.transfer === 0 || slot.direction === Direction.none) return 0;
    const { words } = slot;
    if (Entry.psdt.get(words, 0) === 0) return doNotRetry(Status.invalidField);
    const type = Sgl.type.get(words, sgl1Dword);
    const subtype = Sgl.subtype.get(words, sgl1Dword);
    const isInCapsule = type === SglType.dataBlock && subtype === SglSubtype.offset;
    if (!isInCapsule && (type !== SglType.transportDataBlock || subtype !== SglSubtype.transport)) {
      return doNotRetry(Status.sglDescriptorTypeInvalid);
    }
    if (Sgl.length.get(words, sgl1Dword) !== slot.transfer) {
      return doNotRetry(Status.dataSglLengthInvalid);
    }
    if (isInCapsule === dataBytes > 0 && (!isInCapsule || dataBytes === slot.transfer)) {
      if (!isInCapsule || Sgl.address.get(words, sgl1Dword) === 0) return 0;
      return doNotRetry(Status.sglOffsetInvalid);
    }
    return doNotRetry(Status.dataSglLengthInvalid);
  }

  /** Memory first, then the host's data, then the work. */
  private proceed(slot: TargetSlot, isForced: boolean): void {
    if (!this.owner.acquire(slot, isForced)) return;
    if (slot.direction !== Direction.toController || slot.transfer === 0) {
      this.owner.execute(slot);
      return;
    }
    slot.isAsking = true;
    if (this.unsent.first !== null || !this.send(slot)) this.unsent.push(slot);
  }

  private hostData(words: Uint32Array, dataBytes: number): boolean {
    const slot = this.slots[Data.ttag.get(words, 0)];
    const isAwaited = slot?.isUsed === true && slot.isAsking && !slot.isBusy;
    if (slot === undefined || !isAwaited || slot.received === slot.transfer) {
      return this.refuse(FatalError.invalidHeaderField, 10, 'data that nobody asked for');
    }
    if (Data.cccid.get(words, 0) !== Entry.cid.get(slot.words, 0)) {
      return this.refuse(FatalError.invalidHeaderField, 8, 'data of another command');
    }
    const offset = Data.offset.get(words, 0);
    const left = slot.transfer - slot.received;
    if (offset !== slot.received || Data.length.get(words, 0) !== dataBytes || dataBytes > left) {
      return this.refuse(FatalError.dataOutOfRange, 12, 'data beyond what was asked for');
    }
    if (dataBytes === 0) {
      return this.refuse(FatalError.invalidHeaderField, 4, 'data of no bytes');
    }
    const isLast = (PduHeader.flags.get(words, 0) & PduFlag.last) !== 0;
    if (isLast !== (dataBytes === left)) {
      return this.refuse(FatalError.invalidHeaderField, 1, 'last data that is not the last');
    }
    this.landing = slot;
    this.isCapsule = false;
    return true;
  }

  private dataComplete(slot: TargetSlot): void {
    if (slot.isDataSpoiled) this.finish(slot, Status.transientTransportError);
    else this.owner.execute(slot);
  }

  /** Write what a slot has to say. @returns false when something of it found no room */
  private send(slot: TargetSlot): boolean {
    return slot.isAnswering ? this.sendAnswer(slot) : this.sendAsk(slot);
  }

  private sendAsk(slot: TargetSlot): boolean {
    const at = this.writer.open(PduType.r2t, 0);
    if (at < 0) return false;
    const { words } = this.outbox.chunk;
    Ask.cccid.set(words, at, Entry.cid.get(slot.words, 0));
    Ask.ttag.set(words, at, slot.tag);
    Ask.length.set(words, at, slot.transfer);
    this.writer.close(at, 0);
    return true;
  }

  private sendAnswer(slot: TargetSlot): boolean {
    const hasData = slot.direction === Direction.toHost && slot.status === 0;
    // The card below was closed: the host gives up, as there is no answer to this.
    if (hasData && slot.hasLostMemory) return false;
    const isBare = slot.result === 0 && slot.resultHigh === 0 && this.hasNoFlowControl;
    while (hasData && slot.sent < slot.transfer) {
      const count = Math.min(mostAnswerBytes, slot.transfer - slot.sent);
      const isLast = slot.sent + count === slot.transfer;
      let flags = isLast ? PduFlag.last : 0;
      if (isLast && isBare) flags |= PduFlag.success;
      const at = this.writer.open(PduType.c2hData, count, flags);
      if (at < 0) return false;
      const { words, bytes } = this.outbox.chunk;
      Answer.cccid.set(words, at, Entry.cid.get(slot.words, 0));
      Answer.offset.set(words, at, slot.sent);
      Answer.length.set(words, at, count);
      copyBytes(slot.memory, slot.sent, bytes, this.writer.dataAt, count);
      this.writer.close(at, count);
      slot.sent += count;
    }
    if (hasData && isBare && slot.transfer > 0) return true;
    const at = this.writer.open(PduType.capsuleResp, 0);
    if (at < 0) return false;
    this.fillCompletion(slot, at + capsuleEntryDword);
    this.writer.close(at, 0);
    return true;
  }

  private fillCompletion(slot: TargetSlot, at: number): void {
    // The entry lies inside the header of its capsule, which was zeroed up to the digest.
    const { words } = this.outbox.chunk;
    Completion.dw0.set(words, at, slot.result);
    Completion.dw1.set(words, at, slot.resultHigh);
    Completion.sqhd.set(words, at, this.headEntry);
    Completion.cid.set(words, at, Entry.cid.get(slot.words, 0));
    Completion.status.set(words, at, slot.status);
  }
}
