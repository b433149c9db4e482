import { assert } from '../../sdk/assert.js';
import { Fuse, Psdt, Sqe } from '../../sdk/spec/nvme/command.js';
import { doNotRetry, Status, withMore } from '../../sdk/spec/nvme/status.js';
import type { Checker } from '../checker.js';
import type { HostLink } from '../pcie/endpoint.js';
import type { World } from '../world.js';
import type { Command } from './command.js';
import { CommandFault, type CommandJudge } from './command-fault.js';
import { type CommandPool, CommandState } from './command-pool.js';
import type { DataPointer } from './data-pointer.js';
import type { Dma } from './dma.js';
import type { AdminExecutor, CommandServices, Executor } from './executor.js';
import type { Fetcher, FetchListener } from './fetcher.js';
import type { FirmwareTiming } from './firmware-timing.js';
import type { Poster } from './poster.js';
import type { SubmissionQueue } from './submission-queue.js';

const sqe = Sqe;
const state = CommandState;
const faults = CommandFault;
const { first: fuseFirst, second: fuseSecond, normal: fuseNone } = Fuse;

export interface PipelineParts {
  readonly world: World;
  readonly link: HostLink;
  readonly checker: Checker;
  readonly pool: CommandPool;
  readonly dma: Dma;
  readonly dataPointer: DataPointer;
  readonly fetcher: Fetcher;
  readonly poster: Poster;
  readonly firmware: FirmwareTiming;
}

/**
 * What happens to a command between fetch and completion entry, in this order:
 *
 *   fetched ─ decode ─ begin ─┬─ (delay ─ finish)* ─┬─ complete ─ data on the link ─ entry posted
 *                             └─────────────────────┘
 *
 * The firmware says how long its stages take. `begin` runs when the entry arrives; its effects in
 * time are counted from `preparedNs`: decoded, and the data pointer followed.
 */
export class Pipeline implements CommandServices, FetchListener {
  onFatal: () => void = () => {};
  /** A fault plan; null without one. */
  judge: CommandJudge | null = null;
  protected admin: AdminExecutor | null = null;
  private io: Executor | null = null;
  protected readonly world: World;
  protected readonly link: HostLink;
  protected readonly checker: Checker;
  protected readonly pool: CommandPool;
  protected readonly dma: Dma;
  protected readonly dataPointer: DataPointer;
  protected readonly fetcher: Fetcher;
  protected readonly poster: Poster;
  private readonly firmware: FirmwareTiming;
  private readonly onDelay: number;

  constructor(parts: PipelineParts) {
    this.world = parts.world;
    this.link = parts.link;
    this.checker = parts.checker;
    this.pool = parts.pool;
    this.dma = parts.dma;
    this.dataPointer = parts.dataPointer;
    this.fetcher = parts.fetcher;
    this.poster = parts.poster;
    this.firmware = parts.firmware;
    this.onDelay = parts.world.register((slot) => this.delayOver(slot));
  }

  attach(admin: AdminExecutor, io: Executor): void {
    this.admin = admin;
    this.io = io;
  }

  // What a command needs.

  get nowNs(): number {
    return this.world.nowNs;
  }

  get memoryPageBytes(): number {
    return this.dataPointer.pageBytes;
  }

  complete(command: Command, status: number, dw0 = 0, dw1 = 0): void {
    assert(command.state === state.executing, 'a command completes once, and not while delayed');
    const nowNs = this.world.nowNs;
    command.status = status;
    command.dw0 = dw0;
    command.dw1 = dw1;
    this.pool.queues[command.slot]!.isReserved = command.isReserved;
    const readyNs = Math.max(nowNs, command.preparedNs);
    if (command.mediaEndNs === 0) {
      command.mediaStartNs = readyNs;
      command.mediaEndNs = readyNs;
    }
    command.dataEndNs = Math.max(readyNs, nowNs + this.chargeLink(command));
    const delayNs = this.firmware.complete(this.world, command.isReserved) + command.faultNs;
    this.poster.send(command, command.dataEndNs - nowNs + delayNs);
  }

  delay(command: Command, ns: number): void {
    assert(command.state === state.executing, 'a command waits for one thing at a time');
    const waitNs = this.untilPreparedNs(command);
    if (command.mediaStartNs === 0) command.mediaStartNs = this.world.nowNs + waitNs;
    command.state = state.delayed;
    this.pool.expectEvent(command.slot);
    this.world.schedule(waitNs + ns, this.onDelay, command.slot);
  }

  prepare(command: Command): number {
    return this.world.nowNs + this.untilPreparedNs(command);
  }

  hold(command: Command, mediaStartNs: number): void {
    assert(command.state === state.executing, 'a command waits for one thing at a time');
    if (command.mediaStartNs === 0) command.mediaStartNs = mediaStartNs;
    command.state = state.delayed;
    this.pool.expectEvent(command.slot);
  }

  resume(command: Command): void {
    this.delayOver(command.slot);
  }

  mapData(command: Command, length: number): number {
    this.dma.name(command.queueId, command.cid);
    if (command.fault !== 0 && this.isFetchLost(command, length)) return Status.dataTransferError;
    const status = this.dataPointer.map(command, length);
    const { world } = this;
    const waitNs = Math.max(0, command.preparedNs - world.nowNs);
    const pieces = Math.ceil(length / this.memoryPageBytes);
    const walkNs = this.firmware.walk(world, waitNs, pieces, command.isReserved);
    command.preparedNs = world.nowNs + walkNs;
    return status;
  }

  mapMetadata(command: Command, length: number): number {
    this.dma.name(command.queueId, command.cid);
    return this.dataPointer.mapMetadata(command, length);
  }

  toHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number {
    command.pendingToHostBytes += length;
    this.dma.name(command.queueId, command.cid);
    const isDone = this.dma.scatter(command.data, bytes, from, dataOffset, length);
    return isDone ? 0 : Status.dataTransferError;
  }

  fromHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number {
    command.pendingFromHostBytes += length;
    this.dma.name(command.queueId, command.cid);
    const isDone = this.dma.gather(command.data, bytes, from, dataOffset, length);
    return isDone ? 0 : Status.dataTransferError;
  }

  metadataToHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number {
    command.pendingToHostBytes += length;
    this.dma.name(command.queueId, command.cid);
    const isDone = this.dma.scatter(command.metadata, bytes, from, dataOffset, length);
    return isDone ? 0 : Status.dataTransferError;
  }

  metadataFromHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number {
    command.pendingFromHostBytes += length;
    this.dma.name(command.queueId, command.cid);
    const isDone = this.dma.gather(command.metadata, bytes, from, dataOffset, length);
    return isDone ? 0 : Status.dataTransferError;
  }

  postEvent(type: number, information: number, logPage: number): void {
    this.admin?.postEvent(type, information, logPage);
  }

  // What ends commands from outside.

  /**
   * End a command that is with its executor, or held.
   *
   * @returns false when it is too late: its entry is on the way
   */
  stop(command: Command, status: number): boolean {
    const isHeld = command.state === state.held;
    const isRunning = command.state === state.executing || command.state === state.delayed;
    if (!isHeld && !isRunning) return false;
    if ((command.fault & faults.deaf) !== 0) return false;
    command.isAborted = true;
    if (isHeld) this.pool.queues[command.slot]!.fusedFirst = null;
    else this.executorOf(command)?.cancel(command);
    // A timer that is still to come finds the command in another state and does nothing.
    command.state = state.executing;
    command.pendingToHostBytes = 0;
    command.pendingFromHostBytes = 0;
    this.complete(command, status);
    return true;
  }

  /** Forget everything in flight; nothing of it touches the host any more. */
  abandon(): void {
    this.admin?.abandon();
    this.io?.abandon();
    for (const command of this.pool.commands) {
      if (command.state === state.free || command.state === state.orphan) continue;
      command.partner = null;
      command.next = null;
      this.pool.audit.drop(command, this.world);
      this.pool.release(command);
    }
  }

  // What the first stage delivers.

  fetchFailed(): void {
    this.checker.report('queueMemoryInvalid');
    this.onFatal();
  }

  fetched(command: Command, queue: SubmissionQueue): void {
    this.decode(command, queue);
    if (this.judge !== null) this.judge.judge(command);
    const slot = command.slot + 1;
    if (queue.slotOfCid[command.cid] !== 0) {
      this.checker.report('commandIdReused', { queue: queue.queueId, cid: command.cid });
      this.refuse(command, Status.commandIdConflict);
      return;
    }
    queue.slotOfCid[command.cid] = slot;
    if (command.isAborted) this.skip(command);
    else if (command.fuse !== fuseNone || queue.fusedFirst !== null) this.fuse(command, queue);
    else this.begin(command);
  }

  private decode(command: Command, queue: SubmissionQueue): void {
    const words = command.words;
    command.decodedNs = command.fetchedNs + this.firmware.decode(this.world);
    command.preparedNs = command.decodedNs;
    command.queueId = queue.queueId;
    command.cid = sqe.cid.get(words, 0);
    command.opcode = sqe.opc.get(words, 0);
    command.nsid = sqe.nsid.get(words, 0);
    command.fuse = sqe.fuse.get(words, 0);
    command.step = 0;
    command.scratch0 = 0;
    command.scratch1 = 0;
    command.scratch2 = 0;
    command.scratch3 = 0;
    command.shareNs = 0;
    command.mediaStartNs = 0;
    command.mediaEndNs = 0;
    command.interruptNs = 0;
    command.isReserved = false;
    command.mapReads = 0;
    command.mediaStatus = 0;
    command.bufferNs = 0;
    command.mapNs = 0;
    command.queueNs = 0;
    command.arrayNs = 0;
    command.transferNs = 0;
    command.pendingToHostBytes = 0;
    command.pendingFromHostBytes = 0;
    command.data.clear();
    command.metadata.clear();
  }

  private begin(command: Command): void {
    command.state = state.executing;
    if (command.fault !== 0 && this.isKept(command)) return;
    if (command.queueId !== 0) {
      this.io!.begin(command);
      return;
    }
    // SGLs are for I/O queues alone over PCIe [NVMe-PCIe-1.0 §? PSDT].
    if (sqe.psdt.get(command.words, 0) === Psdt.prp) this.admin!.begin(command);
    else this.refuse(command, Status.invalidField);
  }

  /** End a command that no executor has seen; the error log says more about it. */
  private refuse(command: Command, status: number): void {
    const field = withMore(status === Status.invalidField ? doNotRetry(status) : status);
    this.admin?.logError({ queueId: command.queueId, cid: command.cid, status: field });
    command.state = state.executing;
    this.complete(command, field);
  }

  /** End a command that was aborted while it was queued. */
  private skip(command: Command): void {
    command.state = state.executing;
    this.complete(command, Status.abortRequested);
  }

  /**
   * Pair the halves of a fused operation: they stand next to each other in one queue
   * [NVMe-2.0 §3.4.2 fused operations]. A half without its partner does nothing.
   */
  private fuse(command: Command, queue: SubmissionQueue): void {
    const held = queue.fusedFirst;
    queue.fusedFirst = null;
    if (held !== null && command.fuse === fuseSecond) {
      held.partner = command;
      command.partner = held;
      // Both are in flight before the first can end.
      command.state = state.executing;
      this.begin(held);
      this.begin(command);
      return;
    }
    if (held !== null) this.refuse(held, Status.abortedMissingFused);
    if (command.fuse === fuseNone) {
      this.begin(command);
    } else if (queue.queueId === 0 || command.fuse > fuseSecond) {
      this.refuse(command, Status.invalidField);
    } else if (command.fuse === fuseFirst) {
      command.state = state.held;
      queue.fusedFirst = command;
    } else {
      this.refuse(command, Status.abortedMissingFused);
    }
  }

  /** A fault keeps the command from its executor. */
  private isKept(command: Command): boolean {
    if ((command.fault & faults.writeFault) === 0) return (command.fault & faults.stuck) !== 0;
    this.refuse(command, Status.writeFault);
    return true;
  }

  /** What goes to the host is posted: only what is fetched, data or a list, can come back wrong. */
  private isFetchLost(command: Command, length: number): boolean {
    const isPoisoned = (command.fault & faults.poisoned) !== 0;
    if (!isPoisoned && (command.fault & faults.refused) === 0) return false;
    const isFetching = takesData(command.opcode) || length > 2 * this.memoryPageBytes;
    if (isFetching) this.link.fetchFailed(isPoisoned);
    return isFetching;
  }

  private delayOver(slot: number): void {
    const command = this.pool.meetEvent(slot);
    if (command === null || command.state !== state.delayed) return;
    command.state = state.executing;
    command.mediaEndNs = this.world.nowNs;
    this.executorOf(command)?.finish(command);
  }

  private executorOf(command: Command): Executor | null {
    return command.queueId === 0 ? this.admin : this.io;
  }

  /** DMA so far is charged to the link. @returns ns until it is over and the firmware is ready */
  private untilPreparedNs(command: Command): number {
    return Math.max(this.chargeLink(command), command.preparedNs - this.world.nowNs);
  }

  /** @returns ns from now until the bytes moved since the last call have crossed the link */
  private chargeLink(command: Command): number {
    let ns = 0;
    if (command.pendingFromHostBytes > 0) {
      ns = this.link.reserveRead(command.pendingFromHostBytes, command.isReserved);
      command.pendingFromHostBytes = 0;
    }
    if (command.pendingToHostBytes > 0) {
      const bytes = command.pendingToHostBytes;
      ns = Math.max(ns, this.link.reserveWrite(bytes, command.isReserved));
      command.pendingToHostBytes = 0;
    }
    return ns;
  }
}

/** Bits 1:0 of an opcode say which way data goes [NVMe-2.0 §3.3.3.1 OPC]. */
function takesData(opcode: number): boolean {
  return (opcode & 3) === 1;
}
