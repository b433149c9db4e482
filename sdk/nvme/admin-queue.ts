import { outcomeOf } from '../block/request.js';
import type { DmaRegion, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { commandDwords, Sqe } from '../spec/nvme/command.js';
import { opcodeText } from '../spec/nvme/opcodes.js';
import { Status, statusText } from '../spec/nvme/status.js';
import { blockStatusOf } from './block-status.js';
import { checkIntervalNs } from './options.js';
import { type Steps, until } from './procedure.js';
import type { QueuePair } from './queue-pair.js';
import { SlotEnd, type SlotOwner, type SubmissionQueue } from './submission-queue.js';

/** What a command brought back. */
export interface CommandResult {
  /** Status field, 0 for success; see `statusText`. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
}

/** A piece of device-visible memory. */
export interface DmaSlice {
  readonly region: DmaRegion;
  readonly offset: number;
  readonly length: number;
}

export interface Exchange {
  readonly result: CommandResult;
  readonly words: Uint32Array;
}

export interface ExecuteOptions {
  readonly data?: DmaSlice;
  readonly timeoutNs?: number;
  /** Return the result of a command that failed instead of throwing. */
  readonly allowsFailure?: boolean;
}

/** A command under way. Memory lent to it goes back when the controller is done with it. */
interface Pending {
  isPosted: boolean;
  isEnded: boolean;
  end: SlotEnd;
  status: number;
  dw0: number;
  dw1: number;
  release: DmaRegion | null;
  onEnd: (() => void) | null;
}

const adminPollNs = 2_000;

/**
 * Commands of the admin queue. Several may be under way; each is a procedure that polls the queue
 * until its own completion is there.
 */
export class AdminQueue implements SlotOwner {
  readonly pair: QueuePair;
  readonly ownerId: number;
  private readonly memory: DmaSpace;
  private readonly defaultTimeoutNs: number;
  private readonly pending: (Pending | null)[];
  /** An admin command was not completed in time: the controller needs a reset. */
  private readonly stuck: (slot: number, waitedNs: number) => void;
  private readonly isServed: () => boolean;

  constructor(parts: AdminQueueParts) {
    this.pair = parts.pair;
    this.ownerId = parts.pair.submission.takeOwnerId();
    this.memory = parts.memory;
    this.defaultTimeoutNs = parts.timeoutNs;
    this.stuck = parts.stuck;
    this.isServed = parts.isServed;
    this.pending = new Array<Pending | null>(parts.pair.submission.slotCount).fill(null);
  }

  /**
   * Post a command and return: for commands that are answered when something happens.
   *
   * @returns false when no slot is free
   */
  post(words: Uint32Array, onEnd: (result: CommandResult | null) => void): boolean {
    const pending = newPending();
    pending.onEnd = () => onEnd(pending.end === SlotEnd.completed ? pending : null);
    const slot = this.start(words, undefined, pending);
    if (slot === -1) return false;
    this.pair.submission.ring();
    return true;
  }

  /**
   * Carry out a command.
   *
   * @throws UltimaError COMMAND_FAILED with the status, COMMAND_TIMEOUT, COMMAND_ABORTED with the
   *   outcome when the controller was reset or lost under it
   */
  *execute(words: Uint32Array, options: ExecuteOptions = {}): Steps<CommandResult> {
    return yield* this.run(words, options, newPending());
  }

  /**
   * Carry out a command with data in memory of the driver's own. Memory of a command that was not
   * completed stays mapped until the controller can no longer reach it.
   *
   * @param fill  writes what the controller shall read
   * @returns     the result, and a copy of the memory
   */
  *exchange(
    words: Uint32Array,
    length: number,
    options: ExecuteOptions = {},
    fill?: (region: DmaRegion) => void,
  ): Steps<Exchange> {
    const region = this.memory.allocate(length);
    const pending = newPending();
    try {
      fill?.(region);
      const data = { region, offset: 0, length };
      const result = yield* this.run(words, { ...options, data }, pending);
      return { result, words: region.words.slice(0, Math.ceil(length / 4)) };
    } finally {
      if (pending.isPosted && !pending.isEnded) pending.release = region;
      else this.memory.free(region);
    }
  }

  private *run(
    words: Uint32Array,
    options: ExecuteOptions,
    pending: Pending,
  ): Steps<CommandResult> {
    const { pair } = this;
    const timeoutNs = options.timeoutNs ?? this.defaultTimeoutNs;
    const deadlineNs = pair.clock.nowNs() + timeoutNs;
    const poll = { clock: pair.clock, deadlineNs, intervalNs: adminPollNs };
    let slot = -1;
    const hasStarted = yield* until(() => {
      slot = this.start(words, options.data, pending);
      if (slot === -1) pair.poll();
      return slot !== -1 || pair.submission.isDead;
    }, poll);
    if (slot === -1) throw this.noSlot(words, hasStarted);
    pair.submission.ring();
    let lookNs = pair.clock.nowNs() + checkIntervalNs;
    let isServed = true;
    const isOver = yield* until(() => {
      if (!pending.isEnded) pair.poll();
      if (pending.isEnded) return true;
      if (pair.clock.nowNs() < lookNs) return false;
      lookNs = pair.clock.nowNs() + checkIntervalNs;
      isServed = this.isServed();
      return !isServed;
    }, poll);
    if (!isServed) throw lost(words, SlotEnd.unknown);
    if (!isOver) {
      this.stuck(slot, timeoutNs);
      throw timedOut(words, timeoutNs);
    }
    if (pending.end !== SlotEnd.completed) throw lost(words, pending.end);
    if (pending.status !== Status.success && options.allowsFailure !== true) {
      throw commandFailed(words, pending);
    }
    return { status: pending.status, dw0: pending.dw0, dw1: pending.dw1 };
  }

  /** A slot of the admin queue has ended. */
  ended(queue: SubmissionQueue, slot: number): void {
    const pending = this.pending[slot]!;
    this.pending[slot] = null;
    if (pending === null) return;
    pending.end = queue.end;
    pending.status = queue.status;
    pending.dw0 = queue.dw0;
    pending.dw1 = queue.dw1;
    pending.isEnded = true;
    if (pending.release !== null) this.memory.free(pending.release);
    pending.onEnd?.();
  }

  private start(words: Uint32Array, data: DmaSlice | undefined, pending: Pending): number {
    const queue = this.pair.submission;
    const slot = queue.take(this);
    if (slot === -1) return -1;
    this.pending[slot] = pending;
    pending.isPosted = true;
    const at = queue.entryAt;
    for (let i = 0; i < commandDwords; i++) queue.words[at + i] = words[i] ?? 0;
    Sqe.cid.set(queue.words, at, queue.takenCid);
    if (data !== undefined) {
      const { region, offset, length } = data;
      this.pair.data.layRange(queue.words, at, slot, region, offset, length);
    }
    return slot;
  }

  private noSlot(words: Uint32Array, hasStarted: boolean): UltimaError {
    return hasStarted ? lost(words, SlotEnd.notExecuted) : timedOut(words, 0);
  }
}

export interface AdminQueueParts {
  readonly pair: QueuePair;
  readonly memory: DmaSpace;
  readonly timeoutNs: number;
  readonly stuck: (slot: number, waitedNs: number) => void;
  /**
   * Whether there is a controller that could answer at all. Looked at now and then, so that a
   * command whose controller is gone, or was reset by something else, is not waited for.
   *
   * @throws UltimaError DEVICE_REMOVED
   */
  readonly isServed: () => boolean;
}

/** An entry of a command with its opcode, for a table's setters to fill in. */
export function command(opcode: number, nsid = 0): Uint32Array {
  const words = new Uint32Array(commandDwords);
  Sqe.opc.set(words, 0, opcode);
  Sqe.nsid.set(words, 0, nsid);
  return words;
}

function newPending(): Pending {
  return {
    isPosted: false,
    isEnded: false,
    end: SlotEnd.completed,
    status: 0,
    dw0: 0,
    dw1: 0,
    release: null,
    onEnd: null,
  };
}

function nameOf(words: Uint32Array): string {
  return opcodeText(Sqe.opc.get(words, 0), 'admin');
}

function commandFailed(words: Uint32Array, result: CommandResult): UltimaError {
  const { status, dw0 } = result;
  return new UltimaError(ErrorCode.commandFailed, `${nameOf(words)}: ${statusText(status)}`, {
    command: nameOf(words),
    nsid: Sqe.nsid.get(words, 0),
    status,
    dw0,
  });
}

function timedOut(words: Uint32Array, waitedNs: number): UltimaError {
  return new UltimaError(
    ErrorCode.commandTimeout,
    `${nameOf(words)}: no completion within ${waitedNs / 1e6} ms`,
    { command: nameOf(words), waitedNs },
  );
}

function lost(words: Uint32Array, end: SlotEnd): UltimaError {
  const outcome = outcomeOf(blockStatusOf(end, 0));
  return new UltimaError(
    ErrorCode.commandAborted,
    `${nameOf(words)}: the controller was reset or lost under it; outcome: ${outcome}`,
    { command: nameOf(words), outcome },
  );
}
