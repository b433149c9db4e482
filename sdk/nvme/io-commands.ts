import { BlockStatus } from '../block/request.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { commandDwords, Fuse, Sqe } from '../spec/nvme/command.js';
import { opcodeText } from '../spec/nvme/opcodes.js';
import { highDword, lowDword } from '../units.js';
import type { CommandResult, DmaSlice } from './admin-queue.js';
import { blockStatusOf } from './block-status.js';
import type { SegmentCursor } from './data-pointer.js';
import { type AbortCause, endCause, type IoOptions, ioError } from './io-options.js';
import type { SglUse } from './options.js';
import { type Pump, pumpOf, type Waiter } from './pump.js';
import type { QueuePair } from './queue-pair.js';
import { SlotEnd, type SlotOwner, type SubmissionQueue } from './submission-queue.js';

/** A command of the I/O sets, with its data. */
export interface IoCommand {
  /** 16 dwords; identifier and data pointer are filled in. */
  readonly words: Uint32Array;
  readonly data?: readonly DmaSlice[];
  readonly metadata?: DmaSlice;
}

/**
 * Any I/O command as a promise: compare, verify, copy, reservations, fused pairs, protection
 * information. Control-path code: it may allocate.
 */
export class IoCommands implements SlotOwner {
  readonly pair: QueuePair;
  readonly ownerId: number;
  readonly pump: Pump;
  readonly memory: DmaSpace;
  readonly abortSlot: (queueId: number, commandId: number) => void;
  private readonly sgl: SglUse;
  private readonly running: (Running | null)[];
  private readonly backlog: Running[] = [];

  constructor(parts: IoCommandParts) {
    this.pair = parts.pair;
    this.ownerId = parts.pair.submission.takeOwnerId();
    this.sgl = parts.sgl;
    this.abortSlot = parts.abortSlot;
    this.memory = parts.pair.data.region.space;
    this.pump = pumpOf(parts.pair);
    this.running = new Array<Running | null>(parts.pair.submission.slotCount).fill(null);
    this.pump.onTurn(() => {
      if (this.backlog.length > 0) this.startWaiting();
    });
  }

  /**
   * Carry out commands one after the other in the ring, under one doorbell.
   *
   * @returns their results in order; a failure is a result, not a rejection
   * @throws  as a rejection: RangeError for data that no data pointer can name; UltimaError
   *   COMMAND_ABORTED, COMMAND_TIMEOUT, DEVICE_REMOVED with the outcome
   */
  run(commands: readonly IoCommand[], options: IoOptions): Promise<readonly CommandResult[]> {
    for (const { data } of commands) if (data !== undefined) this.check(data);
    return new Promise((resolve, reject) => {
      const running = new Running(this, { commands, options, resolve, reject });
      this.pump.enter(running);
      if (this.backlog.length > 0 || !this.start(running)) this.backlog.push(running);
    });
  }

  ended(queue: SubmissionQueue, slot: number): void {
    const running = this.running[slot]!;
    this.running[slot] = null;
    running?.ended(queue, slot);
  }

  dropWaiting(running: Running): boolean {
    const at = this.backlog.indexOf(running);
    if (at === -1) return false;
    this.backlog.splice(at, 1);
    return true;
  }

  private startWaiting(): void {
    while (this.backlog.length > 0 && this.start(this.backlog[0]!)) this.backlog.shift();
    if (!this.pair.submission.isDead) return;
    for (const running of this.backlog.splice(0)) running.refuse();
  }

  private start(running: Running): boolean {
    const queue = this.pair.submission;
    if (!queue.hasRoom(running.commands.length)) return false;
    running.commands.forEach((command, index) => {
      const slot = queue.take(this);
      this.running[slot] = running;
      running.slots[index] = slot;
      this.write(command, slot);
    });
    return true;
  }

  private write(command: IoCommand, slot: number): void {
    const queue = this.pair.submission;
    const at = queue.entryAt;
    for (let i = 0; i < commandDwords; i++) queue.words[at + i] = command.words[i] ?? 0;
    Sqe.cid.set(queue.words, at, queue.takenCid);
    if (command.metadata !== undefined) {
      const address = command.metadata.region.iova + command.metadata.offset;
      queue.words[at + Sqe.mptr.dword] = lowDword(address);
      queue.words[at + Sqe.mptr.dword + 1] = highDword(address);
    }
    if (command.data === undefined) return;
    const segments = segmentsOf(command.data);
    const { data } = this.pair;
    data.layAll(queue.words, at, slot, segments, segments.total, !this.fitsPrp(segments));
  }

  private fitsPrp(segments: SliceSegments): boolean {
    if (this.sgl === 'always') return false;
    return this.pair.data.reach(segments, start(), segments.total) === segments.total;
  }

  private check(data: readonly DmaSlice[]): void {
    const segments = segmentsOf(data);
    for (const { region, offset, length } of data) {
      if (region.isFreed || region.space !== this.memory) {
        throw new TypeError('data lies in freed or foreign memory');
      }
      if (!(offset >= 0 && length >= 1 && offset + length <= region.length)) {
        throw new RangeError('data lies outside its region');
      }
    }
    if (this.fitsPrp(segments)) return;
    const bySgl =
      this.sgl === 'never' ? 0 : this.pair.data.reachSgl(segments, start(), segments.total);
    if (bySgl !== segments.total) {
      throw new RangeError('no data pointer can name this data: align its pieces to pages');
    }
  }
}

interface Run {
  readonly commands: readonly IoCommand[];
  readonly options: IoOptions;
  readonly resolve: (results: readonly CommandResult[]) => void;
  readonly reject: (error: unknown) => void;
}

class Running implements Waiter {
  readonly deadlineNs: number;
  readonly commands: readonly IoCommand[];
  readonly slots: number[];
  private readonly owner: IoCommands;
  private readonly run: Run;
  private readonly results: (CommandResult | null)[];
  private left: number;
  private end: SlotEnd = SlotEnd.completed;
  private cause: AbortCause = 'none';
  private readonly onAbort = () => this.abort('signal');

  constructor(owner: IoCommands, run: Run) {
    this.owner = owner;
    this.run = run;
    this.commands = run.commands;
    this.left = run.commands.length;
    this.slots = run.commands.map(() => -1);
    this.results = run.commands.map(() => null);
    this.deadlineNs = run.options.deadlineNs ?? Number.POSITIVE_INFINITY;
    run.options.signal?.addEventListener('abort', this.onAbort, { once: true });
    if (run.options.signal?.aborted === true) queueMicrotask(this.onAbort);
  }

  ended(queue: SubmissionQueue, slot: number): void {
    const index = this.slots.indexOf(slot);
    this.slots[index] = -1;
    if (queue.end !== SlotEnd.completed) this.end = queue.end;
    this.results[index] = { status: queue.status, dw0: queue.dw0, dw1: queue.dw1 };
    if (--this.left > 0) return;
    this.leave();
    const results = this.results.filter((result) => result !== null);
    const failed = results.find((result) => result.status !== 0)?.status ?? 0;
    if (this.end !== SlotEnd.completed) this.reject(blockStatusOf(this.end, 0), 0);
    else if (this.cause === 'none' || failed === 0) this.run.resolve(results);
    else this.reject(blockStatusOf(SlotEnd.completed, failed), failed);
  }

  /** Never started, and never will be. */
  refuse(): void {
    this.leave();
    this.reject(BlockStatus.notExecuted, 0);
  }

  late(): void {
    this.abort('deadline');
  }

  private abort(cause: 'signal' | 'deadline'): void {
    if (this.cause !== 'none') return;
    this.cause = cause;
    if (this.owner.dropWaiting(this)) {
      this.refuse();
      return;
    }
    const queue = this.owner.pair.submission;
    for (const slot of this.slots) {
      if (slot !== -1) this.owner.abortSlot(queue.id, queue.cidOf(slot));
    }
  }

  private leave(): void {
    this.run.options.signal?.removeEventListener('abort', this.onAbort);
    this.owner.pump.leave(this);
  }

  private reject(status: BlockStatus, detail: number): void {
    const name = opcodeText(Sqe.opc.get(this.commands[0]!.words, 0), 'nvm');
    const cause = endCause(this.cause, this.owner.pair.isRemoved);
    this.run.reject(ioError(name, { status, detail, cause }));
  }
}

interface SliceSegments {
  readonly segmentCount: number;
  readonly regions: readonly DmaRegion[];
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
  readonly total: number;
}

function segmentsOf(data: readonly DmaSlice[]): SliceSegments {
  return {
    segmentCount: data.length,
    regions: data.map((slice) => slice.region),
    offsets: data.map((slice) => slice.offset),
    lengths: data.map((slice) => slice.length),
    total: data.reduce((sum, slice) => sum + slice.length, 0),
  };
}

function start(): SegmentCursor {
  return { segment: 0, offset: 0 };
}

/** Mark two commands as one fused operation [NVMe-2.0 §? Fused Operations]. */
export function fuse(first: Uint32Array, second: Uint32Array): void {
  Sqe.fuse.set(first, 0, Fuse.first);
  Sqe.fuse.set(second, 0, Fuse.second);
}

export interface IoCommandParts {
  readonly pair: QueuePair;
  readonly sgl: SglUse;
  readonly abortSlot: (queueId: number, commandId: number) => void;
}
