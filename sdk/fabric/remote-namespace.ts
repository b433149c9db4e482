import { checkRequest } from '../block/check.js';
import type { BlockLimits } from '../block/device.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import type { DeviceReservations, SharedBlockDevice } from '../block/reservations.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { Sqe } from '../spec/nvme/command.js';
import { AnaState } from '../spec/nvme/logs.js';
import {
  DatasetManagement,
  DatasetRange,
  Read,
  Write,
  WriteZeroes,
} from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { Status, statusKind } from '../spec/nvme/status.js';
import { dwordSpan } from '../units.js';
import { type HostCommand, HostData } from './host-command.js';
import { type HostQueue, mostCommandBytes } from './host-queue.js';
import { RemoteReservations } from './remote-reservations.js';
import { blockStatusOf } from './remote-status.js';

// Looked up once: the tables lie behind imports.
const Entry = Sqe;
const ReadTable = Read;
const WriteTable = Write;
const Zeroes = WriteZeroes;
const Dataset = DatasetManagement;
const Range = DatasetRange;
const rangeBytes = DatasetRange.layout.bytes;
const mostRanges = 256;
const mostRangeBlocks = dwordSpan - 1;
/** The most that NLB says. */
const mostBlocks = 0x1_0000;

/** What a namespace needs of its association. */
export interface NamespacePort {
  readonly clock: Clock;
  readonly memory: DmaSpace;
  /** A queue with room for one more command; null when there is none, or no connection. */
  queue(): HostQueue | null;
  readonly isConnected: boolean;
  /** Look at the sockets and send what is collected. */
  turn(): void;
}

export interface NamespaceFacts {
  readonly nsid: number;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly nguid: string;
  readonly anaGroup: number;
  readonly limits: BlockLimits;
  /** Identify as the controller gave it. */
  readonly page: Uint32Array;
}

/**
 * A namespace of another machine as a block device. Nothing is ever sent twice: a command that was
 * sent and whose connection was lost is `unknown`, one that was not is `notExecuted`, and while
 * there is no connection, or the path is inaccessible, that is what every request ends with;
 * `detail` is then the status that says why.
 */
export class RemoteNamespace implements SharedBlockDevice {
  readonly nsid: number;
  readonly blockBytes: number;
  readonly nguid: string;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  blockCount: number;
  anaGroup: number;
  readonly reservations: DeviceReservations;
  /** How the controller stands to it (`AnaState`). */
  anaState: number = AnaState.optimized;
  /** The controller does not have it any more. */
  isGone = false;
  private readonly port: NamespacePort;
  /** Requests that ended and whose `done` has not run, in a ring. */
  private readonly ended: (BlockRequest | null)[];
  private endedHead = 0;
  private endedCount = 0;
  private inFlight = 0;

  constructor(port: NamespacePort, facts: NamespaceFacts) {
    this.port = port;
    this.nsid = facts.nsid;
    this.blockBytes = facts.blockBytes;
    this.blockCount = facts.blockCount;
    this.nguid = facts.nguid;
    this.anaGroup = facts.anaGroup;
    this.limits = facts.limits;
    this.clock = port.clock;
    this.memory = port.memory;
    this.reservations = new RemoteReservations(facts.nsid, facts.page, () => port.queue());
    this.ended = new Array<BlockRequest | null>(facts.limits.maxInFlight).fill(null);
  }

  canSubmit(): boolean {
    if (this.inFlight >= this.limits.maxInFlight) return false;
    return !this.port.isConnected || this.port.queue() !== null;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    if (!this.canSubmit()) {
      const { maxInFlight: limit } = this.limits;
      throw new UltimaError(ErrorCode.queueFull, `${limit} requests are in flight`, { limit });
    }
    this.inFlight++;
    request.submittedNs = this.clock.nowNs();
    const queue = this.port.queue();
    const cannotBeSent = queue === null || request.hasLostMemory;
    const refusal = cannotBeSent ? Status.hostPathingError : this.refusal();
    if (refusal !== 0) {
      this.end(request, BlockStatus.notExecuted, refusal);
      return;
    }
    const command = queue!.take();
    command.request = request;
    command.namespace = this;
    this.fill(command, request);
    queue!.issue(command);
  }

  poll(): number {
    this.port.turn();
    const count = this.endedCount;
    for (let i = 0; i < count; i++) {
      const request = this.ended[this.endedHead]!;
      this.ended[this.endedHead] = null;
      this.endedHead = (this.endedHead + 1) % this.ended.length;
      this.endedCount--;
      this.inFlight--;
      request.done(request);
    }
    return count;
  }

  /** The controller's answer to a command of ours. */
  completed(command: HostCommand, status: number, queue: HostQueue): void {
    const request = command.request!;
    if (
      status === 0 &&
      request.op === BlockOp.writeZeroes &&
      command.received < request.blockCount
    ) {
      this.goOn(command, queue);
      return;
    }
    queue.recycle(command);
    this.end(request, blockStatusOf(statusKind(status)), statusKind(status));
  }

  /** The connection of a command of ours is over. */
  lost(command: HostCommand): void {
    const status = command.isSent ? BlockStatus.unknown : BlockStatus.notExecuted;
    this.end(command.request!, status, Status.hostPathingError);
  }

  private refusal(): number {
    if (this.isGone) return Status.invalidNamespaceOrFormat;
    if (this.anaState === AnaState.inaccessible) return Status.asymmetricAccessInaccessible;
    if (this.anaState === AnaState.persistentLoss) return Status.asymmetricAccessPersistentLoss;
    return 0;
  }

  private end(request: BlockRequest, status: BlockStatus, detail: number): void {
    request.status = status;
    request.detail = detail;
    request.completedNs = this.clock.nowNs();
    this.ended[(this.endedHead + this.endedCount) % this.ended.length] = request;
    this.endedCount++;
  }

  private fill(command: HostCommand, request: BlockRequest): void {
    const { words } = command;
    const { op, lba, blockCount } = request;
    Entry.nsid.set(words, 0, this.nsid);
    if (op === BlockOp.read) {
      Entry.opc.set(words, 0, NvmOpcode.read);
      ReadTable.slba.set(words, 0, lba);
      ReadTable.nlb.set(words, 0, blockCount);
      command.direction = HostData.toHost;
      command.transfer = blockCount * this.blockBytes;
    } else if (op === BlockOp.write) {
      Entry.opc.set(words, 0, NvmOpcode.write);
      WriteTable.slba.set(words, 0, lba);
      WriteTable.nlb.set(words, 0, blockCount);
      if (request.flags === blockFlagFua) WriteTable.fua.set(words, 0, 1);
      command.direction = HostData.toController;
      command.transfer = blockCount * this.blockBytes;
    } else if (op === BlockOp.flush) Entry.opc.set(words, 0, NvmOpcode.flush);
    else if (op === BlockOp.writeZeroes) this.fillZeroes(command, 0);
    else this.fillDiscard(command, request);
  }

  /** `received` counts the blocks that the commands so far were about. */
  private fillZeroes(command: HostCommand, done: number): void {
    const { words } = command;
    const request = command.request!;
    const count = Math.min(mostBlocks, request.blockCount - done);
    Entry.opc.set(words, 0, NvmOpcode.writeZeroes);
    Entry.nsid.set(words, 0, this.nsid);
    Zeroes.slba.set(words, 0, request.lba + done);
    Zeroes.nlb.set(words, 0, count);
    if (request.flags === blockFlagFua) Zeroes.fua.set(words, 0, 1);
    command.received = done + count;
  }

  /** Write the rest of a long range of zeroes, in the place of the command that has ended. */
  private goOn(command: HostCommand, queue: HostQueue): void {
    const { request, received } = command;
    queue.recycle(command);
    const next = queue.take();
    next.request = request;
    next.namespace = this;
    this.fillZeroes(next, received);
    queue.issue(next);
  }

  private fillDiscard(command: HostCommand, request: BlockRequest): void {
    const { words } = command;
    const ranges = Math.min(mostRanges, Math.ceil(request.blockCount / mostRangeBlocks));
    const list = new Uint32Array((ranges * rangeBytes) / 4);
    for (let i = 0; i < ranges; i++) {
      const from = i * mostRangeBlocks;
      const at = (i * rangeBytes) / 4;
      Range.slba.set(list, at, request.lba + from);
      Range.length.set(list, at, Math.min(mostRangeBlocks, request.blockCount - from));
    }
    Entry.opc.set(words, 0, NvmOpcode.datasetManagement);
    Dataset.nr.set(words, 0, ranges);
    Dataset.ad.set(words, 0, 1);
    command.memory = new Uint8Array(list.buffer);
    command.direction = HostData.toController;
    command.transfer = ranges * rangeBytes;
  }
}

/** Limits of a namespace behind queues of this size. */
export function limitsOf(facts: {
  readonly mostTransferBytes: number;
  readonly blockBytes: number;
  readonly atomicWriteBlocks: number;
  readonly maxInFlight: number;
  readonly hasVolatileCache: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
}): BlockLimits {
  const { mostTransferBytes, blockBytes, ...rest } = facts;
  const most = Math.min(mostTransferBytes, mostBlocks * blockBytes, mostCommandBytes);
  return { ...rest, maxTransferBytes: most - (most % blockBytes) };
}
