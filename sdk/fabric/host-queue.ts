import { assert } from '../assert.js';
import type { BlockRequest } from '../block/request.js';
import { copyBytes } from '../sockets/copy.js';
import { type ChunkPool, Outbox } from '../sockets/outbox.js';
import type { Stream, StreamUser } from '../sockets/stream.js';
import {
  ControllerData,
  capsuleEntryDword,
  FatalError,
  HostData as HostDataPdu,
  InitializeRequest,
  InitializeResponse,
  leastMaxDataBytes,
  mostDataAlignment,
  mostTermDataBytes,
  PduFlag,
  PduHeader,
  PduType,
  pduFormatVersion,
  ReadyToTransfer,
} from '../spec/fabrics/pdu.js';
import { commandDwords, Psdt, Sqe, sgl1Dword } from '../spec/nvme/command.js';
import { Cqe } from '../spec/nvme/completion.js';
import { SglDescriptor, SglSubtype, SglType } from '../spec/nvme/data-pointer.js';
import { Status } from '../spec/nvme/status.js';
import { KiB, MiB } from '../units.js';
import { HostCommand, HostData } from './host-command.js';
import { PduReader, type PduUser, typeSet } from './pdu-reader.js';
import { PduWriter } from './pdu-writer.js';

// Looked up once: the tables lie behind imports.
const Entry = Sqe;
const Sgl = SglDescriptor;
const Answer = ControllerData;
const Ours = HostDataPdu;
const Ask = ReadyToTransfer;
const Completion = Cqe;

/**
 * Most data of a command of ours, so that it fits into one H2CData PDU where the controller takes
 * so much: Linux's target checks one data digest for a command, not one for a PDU.
 */
export const mostCommandBytes = MiB;
/** A controller may put a whole transfer into one PDU. */
const mostAnswerBytes = 16 * MiB;
const accepted = typeSet([
  PduType.icResp,
  PduType.c2hTermReq,
  PduType.capsuleResp,
  PduType.c2hData,
  PduType.r2t,
]);

export interface HostQueueParts {
  readonly stream: Stream;
  readonly chunks: ChunkPool;
  readonly entries: number;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** An I/O command ended with this status; to be recycled by whoever is told. */
  readonly ended: (command: HostCommand, status: number, queue: HostQueue) => void;
  /** The connection is over. */
  readonly lost: (queue: HostQueue, why: string) => void;
}

/**
 * One connection to a controller, which is one queue. What the controller sends is checked against
 * what was asked of it: anything else ends this connection and nothing more.
 */
export class HostQueue implements StreamUser, PduUser {
  isClosed = false;
  /** Why we ended it; '' while we did not. */
  violation = '';
  /** Data that may travel with a command. */
  inCapsuleBytes: number = 8 * KiB;
  usedCommands = 0;
  readonly stream: Stream;
  readonly entries: number;
  private readonly parts: HostQueueParts;
  private readonly outbox: Outbox;
  private readonly reader: PduReader;
  private readonly writer: PduWriter;
  private readonly commands: HostCommand[] = [];
  private readonly free: HostCommand[] = [];
  /** Commands with something to send that found no room, in order. */
  private firstWaiting: HostCommand | null = null;
  private lastWaiting: HostCommand | null = null;
  private mostHostData = leastMaxDataBytes;
  private isReady = false;
  private whenReady: ((isReady: boolean) => void) | null = null;
  private landing: HostCommand | null = null;
  private landingFlags = 0;
  private isTermination = false;

  constructor(parts: HostQueueParts) {
    this.parts = parts;
    this.stream = parts.stream;
    this.entries = parts.entries;
    this.outbox = new Outbox(parts.stream, parts.chunks);
    this.reader = new PduReader(this, accepted, Math.max(mostAnswerBytes, mostTermDataBytes));
    this.writer = new PduWriter(this.outbox);
    // One entry stays empty: a full queue would look like an empty one.
    for (let cid = 0; cid < parts.entries - 1; cid++) {
      const command = new HostCommand(cid);
      this.commands.push(command);
      this.free.push(command);
    }
  }

  /** Exchange the first PDUs. @returns false when the connection was lost over it */
  open(): Promise<boolean> {
    return new Promise((resolve) => {
      this.whenReady = resolve;
      this.stream.attach(this);
      const at = this.writer.open(PduType.icReq, 0);
      assert(at >= 0, 'no room for the first PDU');
      const { words } = this.outbox.chunk;
      InitializeRequest.pfv.set(words, at, pduFormatVersion);
      InitializeRequest.headerDigest.set(words, at, this.parts.headerDigest ? 1 : 0);
      InitializeRequest.dataDigest.set(words, at, this.parts.dataDigest ? 1 : 0);
      InitializeRequest.maxr2t.set(words, at, 1);
      this.outbox.flush();
    });
  }

  get hasRoom(): boolean {
    return this.free.length > 0;
  }

  /** A command to fill in and to `issue`; there must be room. */
  take(): HostCommand {
    const command = this.free.pop();
    assert(command !== undefined, 'more commands than the queue has entries');
    command.reset();
    this.usedCommands++;
    return command;
  }

  /** Send a filled command, at the next `flush` at the latest. */
  issue(command: HostCommand): void {
    const { words } = command;
    Entry.cid.set(words, 0, command.cid);
    Entry.psdt.set(words, 0, Psdt.sgl);
    this.describeData(command);
    if (this.firstWaiting !== null || !this.sendCapsule(command)) this.wait(command);
  }

  /** What is collected goes. */
  flush(): void {
    if (this.isClosed) return;
    while (this.firstWaiting !== null) {
      const command = this.firstWaiting;
      if (!(command.isSent ? this.sendData(command) : this.sendCapsule(command))) break;
      this.firstWaiting = command.next;
      if (this.firstWaiting === null) this.lastWaiting = null;
      command.next = null;
      command.isWaiting = false;
    }
    this.outbox.flush();
  }

  receive(bytes: Uint8Array, from: number, to: number): void {
    if (!this.isClosed) this.reader.take(bytes, from, to);
    // What was asked for goes now: nobody may be polling.
    if (this.firstWaiting !== null) this.flush();
  }

  sent(): void {
    this.outbox.sent();
    this.flush();
  }

  gone(why: string): void {
    this.close(why);
  }

  /** End the connection. Commands that were sent have an unknown outcome from here on. */
  close(why: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.reader.stop();
    this.outbox.close();
    this.firstWaiting = null;
    this.lastWaiting = null;
    this.stream.destroy();
    this.whenReady?.(false);
    this.whenReady = null;
    this.parts.lost(this, why);
  }

  /** Every command that is under way, once the connection is over. */
  drain(each: (command: HostCommand) => void): void {
    for (const command of this.commands) {
      if (!command.isUsed) continue;
      each(command);
      this.recycle(command);
    }
  }

  /** The command may be used again. */
  recycle(command: HostCommand): void {
    assert(command.isUsed, 'a command that is free already');
    command.isUsed = false;
    command.request = null;
    command.settle = null;
    this.usedCommands--;
    this.free.push(command);
  }

  header(type: number, dataBytes: number): boolean {
    const { words } = this.reader;
    if (type === PduType.c2hTermReq) {
      this.isTermination = true;
      if (dataBytes === 0) this.close('the controller ended the connection');
      return !this.isClosed;
    }
    if ((type === PduType.icResp) === this.isReady) {
      return this.refuse(FatalError.sequenceError, 0, 'a PDU out of order');
    }
    if (type === PduType.icResp) return this.initialized(words);
    if (type === PduType.capsuleResp) return this.completed(words);
    return type === PduType.r2t ? this.asked(words) : this.answered(words, dataBytes);
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    const { landing } = this;
    if (landing === null) return;
    const { request } = landing;
    const count = to - from;
    if (request === null) copyBytes(bytes, from, landing.memory, landing.received, count);
    else if (!request.hasLostMemory) scatter(bytes, from, count, request, landing.received);
    landing.received += count;
  }

  dataEnd(isIntact: boolean): boolean {
    if (this.isTermination) {
      this.close('the controller ended the connection');
      return false;
    }
    const command = this.landing!;
    this.landing = null;
    if (!isIntact) command.isDataSpoiled = true;
    if ((this.landingFlags & PduFlag.success) !== 0) this.end(command, 0, 0, 0);
    return !this.isClosed;
  }

  refuse(fes: FatalError, fei: number, why: string): false {
    if (this.isClosed) return false;
    this.violation = why;
    this.writer.writeTermination(PduType.h2cTermReq, { fes, fei }, this.reader.words);
    this.outbox.flush();
    this.stream.end();
    this.close(`the controller broke the protocol: ${why}`);
    return false;
  }

  private initialized(words: Uint32Array): boolean {
    const { headerDigest, dataDigest } = this.parts;
    const alignment = InitializeResponse.cpda.get(words, 0);
    const most = InitializeResponse.maxh2cdata.get(words, 0);
    if (
      InitializeResponse.pfv.get(words, 0) !== pduFormatVersion ||
      alignment > mostDataAlignment ||
      most < leastMaxDataBytes ||
      (InitializeResponse.headerDigest.get(words, 0) === 1) !== headerDigest ||
      (InitializeResponse.dataDigest.get(words, 0) === 1) !== dataDigest
    ) {
      return this.refuse(FatalError.unsupportedParameter, 8, 'parameters that were not agreed');
    }
    this.writer.dataAlignment = (alignment + 1) * 4;
    this.mostHostData = Math.min(most & ~3, mostCommandBytes);
    this.reader.hasHeaderDigest = headerDigest;
    this.writer.hasHeaderDigest = headerDigest;
    this.reader.hasDataDigest = dataDigest;
    this.writer.hasDataDigest = dataDigest;
    this.isReady = true;
    this.whenReady?.(true);
    this.whenReady = null;
    return true;
  }

  private completed(words: Uint32Array): boolean {
    const at = capsuleEntryDword;
    const command = this.find(Completion.cid.get(words, at));
    if (command === null) {
      return this.refuse(FatalError.invalidHeaderField, 20, 'an answer that nobody waits for');
    }
    const status = Completion.status.get(words, at);
    const isShort = command.direction === HostData.toHost && command.received < command.transfer;
    if (status === 0 && isShort) {
      return this.refuse(FatalError.sequenceError, 20, 'a success before the data');
    }
    this.end(command, status, Completion.dw0.get(words, at), Completion.dw1.get(words, at));
    return !this.isClosed;
  }

  private answered(words: Uint32Array, dataBytes: number): boolean {
    const command = this.find(Answer.cccid.get(words, 0));
    if (command === null || command.direction !== HostData.toHost) {
      return this.refuse(FatalError.invalidHeaderField, 8, 'data that nobody waits for');
    }
    const offset = Answer.offset.get(words, 0);
    const left = command.transfer - command.received;
    if (offset !== command.received || dataBytes > left || dataBytes === 0) {
      return this.refuse(FatalError.dataOutOfRange, 12, 'data outside what was asked for');
    }
    const flags = PduHeader.flags.get(words, 0);
    const isLast = (flags & PduFlag.last) !== 0;
    const isWrong = (flags & PduFlag.success) !== 0 && !(isLast && dataBytes === left);
    if (Answer.length.get(words, 0) !== dataBytes || isWrong) {
      return this.refuse(FatalError.invalidHeaderField, 1, 'data that ends too early');
    }
    this.landing = command;
    this.landingFlags = flags;
    return true;
  }

  private asked(words: Uint32Array): boolean {
    const command = this.find(Ask.cccid.get(words, 0));
    const isOurs = command?.direction === HostData.toController && command.isSent;
    if (command === null || !isOurs || command.isWaiting) {
      return this.refuse(FatalError.r2tLimitExceeded, 8, 'a request for data that is not there');
    }
    const offset = Ask.offset.get(words, 0);
    const length = Ask.length.get(words, 0);
    if (offset !== command.sendTo || length === 0 || offset + length > command.transfer) {
      return this.refuse(FatalError.dataOutOfRange, 12, 'a request for data beyond the command');
    }
    command.tag = Ask.ttag.get(words, 0);
    command.sendFrom = offset;
    command.sendTo = offset + length;
    this.wait(command);
    return true;
  }

  /** The command that is under way under an identifier. */
  private find(cid: number): HostCommand | null {
    const command = this.commands[cid];
    return command?.isUsed === true && command.isSent ? command : null;
  }

  private end(command: HostCommand, status: number, low: number, high: number): void {
    // A controller that fails a command need not take all of its data first.
    if (command.isWaiting) this.unwait(command);
    const { settle } = command;
    const found = status === 0 && command.isDataSpoiled ? Status.transientTransportError : status;
    if (settle === null) {
      this.parts.ended(command, found, this);
      return;
    }
    this.recycle(command);
    settle({ status: found, result: low, resultHigh: high });
  }

  private wait(command: HostCommand): void {
    command.next = null;
    command.isWaiting = true;
    if (this.lastWaiting === null || this.firstWaiting === null) this.firstWaiting = command;
    else this.lastWaiting.next = command;
    this.lastWaiting = command;
  }

  private unwait(command: HostCommand): void {
    let before: HostCommand | null = null;
    for (let each = this.firstWaiting; each !== null && each !== command; each = each.next) {
      before = each;
    }
    if (before === null) this.firstWaiting = command.next;
    else before.next = command.next;
    if (this.lastWaiting === command) this.lastWaiting = before;
    command.isWaiting = false;
    command.next = null;
  }

  private describeData(command: HostCommand): void {
    const { words, transfer, direction } = command;
    const isInCapsule = direction === HostData.toController && transfer <= this.inCapsuleBytes;
    Sgl.length.set(words, sgl1Dword, transfer);
    Sgl.type.set(words, sgl1Dword, isInCapsule ? SglType.dataBlock : SglType.transportDataBlock);
    const subtype = isInCapsule ? SglSubtype.offset : SglSubtype.transport;
    Sgl.subtype.set(words, sgl1Dword, subtype);
  }

  private sendCapsule(command: HostCommand): boolean {
    // What cannot be sent stands until whoever waits for it gives the connection up.
    if (command.request?.hasLostMemory === true) return false;
    const { transfer, direction } = command;
    const isInCapsule = direction === HostData.toController && transfer <= this.inCapsuleBytes;
    const dataBytes = isInCapsule ? transfer : 0;
    const at = this.writer.open(PduType.capsuleCmd, dataBytes);
    if (at < 0) return false;
    const { words, bytes } = this.outbox.chunk;
    const entry = command.words;
    for (let i = 0; i < commandDwords; i++) words[at + capsuleEntryDword + i] = entry[i]!;
    if (dataBytes > 0) gather(command, 0, bytes, this.writer.dataAt, dataBytes);
    this.writer.close(at, dataBytes);
    command.isSent = true;
    // What went with the command is not asked for again.
    command.sendTo = dataBytes;
    return true;
  }

  private sendData(command: HostCommand): boolean {
    if (command.request?.hasLostMemory === true) return false;
    while (command.sendFrom < command.sendTo) {
      const count = Math.min(this.mostHostData, command.sendTo - command.sendFrom);
      const isLast = command.sendFrom + count === command.sendTo;
      const at = this.writer.open(PduType.h2cData, count, isLast ? PduFlag.last : 0);
      if (at < 0) return false;
      const { words, bytes } = this.outbox.chunk;
      Ours.cccid.set(words, at, command.cid);
      Ours.ttag.set(words, at, command.tag);
      Ours.offset.set(words, at, command.sendFrom);
      Ours.length.set(words, at, count);
      gather(command, command.sendFrom, bytes, this.writer.dataAt, count);
      this.writer.close(at, count);
      command.sendFrom += count;
    }
    return true;
  }
}

/** Data of a command, from its byte `from` on, into a chunk. */
function gather(
  command: HostCommand,
  from: number,
  target: Uint8Array,
  to: number,
  count: number,
): void {
  const { request } = command;
  if (request === null || command.memory.length > 0) {
    copyBytes(command.memory, from, target, to, count);
    return;
  }
  let skip = from;
  let left = count;
  let at = to;
  for (let i = 0; left > 0; i++) {
    const length = request.lengths[i]!;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const part = Math.min(left, length - skip);
    copyBytes(request.regions[i]!.bytes, request.offsets[i]! + skip, target, at, part);
    at += part;
    left -= part;
    skip = 0;
  }
}

/** Bytes that came, to their places in a request: `done` bytes of it are there already. */
function scatter(
  bytes: Uint8Array,
  from: number,
  count: number,
  request: BlockRequest,
  done: number,
): void {
  if (request.segmentCount === 1) {
    copyBytes(bytes, from, request.region!.bytes, request.offset + done, count);
    return;
  }
  let skip = done;
  let left = count;
  let at = from;
  for (let i = 0; left > 0; i++) {
    const length = request.lengths[i]!;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const part = Math.min(left, length - skip);
    copyBytes(bytes, at, request.regions[i]!.bytes, request.offsets[i]! + skip, part);
    at += part;
    left -= part;
    skip = 0;
  }
}
