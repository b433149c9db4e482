import type { Command } from './command.js';

/**
 * A command set of the controller: the admin set, or the I/O sets. The controller fetches, checks
 * and times commands; an executor decides what they do.
 *
 * Each command ends exactly once, by `services.complete`, from `begin`, `finish` or any later
 * event.
 * A status is the 15-bit status field of the completion entry, 0 = success.
 */
export interface Executor {
  /** A command has arrived. Both halves of a fused pair arrive in order, with `partner` set. */
  begin(command: Command): void;
  /** The time asked for with `services.delay` has passed. Not called for a command that ended. */
  finish(command: Command): void;
  /**
   * The controller ends the command itself (Abort, its queue deleted): forget it, do not complete
   * it and touch neither its data nor the host. What it has changed in the medium stays.
   */
  cancel(command: Command): void;
  /** All commands in flight are gone (any reset, power): forget every one, complete none. */
  abandon(): void;
}

/** An error without an executor: a doorbell, or a command that never reached one. */
export interface ControllerError {
  readonly queueId: number;
  readonly cid?: number;
  readonly status: number;
}

/** The admin set also owns what the controller's registers set in motion. */
export interface AdminExecutor extends Executor {
  /** Report an asynchronous event now, or when a request for it arrives. */
  postEvent(type: number, information: number, logPage: number): void;
  /** The firmware has failed an assertion: keep what it knew for whoever reads the telemetry. */
  crashed(code: number): void;
  /** The controller itself found an error, for the error log; status 0 ended no command. */
  logError(error: ControllerError): void;
  /** CC.EN went from 0 to 1 and was accepted: features stand at their saved or default values. */
  enabled(): void;
  /** CC.SHN was written. @returns nanoseconds until CSTS.SHST may say that shutdown is complete */
  shutdown(isAbrupt: boolean): number;
  /** CSTS.SHST is about to say that shutdown is complete: what ended meanwhile is durable, too. */
  shutdownOver(): void;
}

/** Create I/O Completion Queue, decoded but not checked. */
export interface CompletionQueueRequest {
  readonly queueId: number;
  readonly entries: number;
  /** PRP1. */
  readonly address: number;
  readonly isContiguous: boolean;
  readonly areInterruptsEnabled: boolean;
  readonly vector: number;
}

/** Create I/O Submission Queue, decoded but not checked. */
export interface SubmissionQueueRequest {
  readonly queueId: number;
  readonly entries: number;
  /** PRP1. */
  readonly address: number;
  readonly isContiguous: boolean;
  /** QPRIO: 0 urgent, 1 high, 2 medium, 3 low. */
  readonly priority: number;
  readonly completionQueueId: number;
}

/** Feature 01h, counts as counts (the table undoes the 0's base). */
export interface Arbitration {
  /** Largest number of entries fetched at once from one queue; Infinity for no limit. */
  readonly burst: number;
  readonly highWeight: number;
  readonly mediumWeight: number;
  readonly lowWeight: number;
}

/** Feature 08h: an interrupt waits for `threshold` entries, but no longer than `timeNs`. */
export interface InterruptCoalescing {
  readonly threshold: number;
  readonly timeNs: number;
}

/**
 * What the controller does for a command. All of it works on virtual time, and nothing that a host
 * wrote makes it throw.
 */
export interface CommandServices {
  readonly nowNs: number;
  /** 2^(12 + CC.MPS) */
  readonly memoryPageBytes: number;

  /** End the command: data under way is charged to the link first, then the entry is posted. */
  complete(command: Command, status: number, dw0?: number, dw1?: number): void;
  /** Call `finish` after `ns`, an integer from 0 on; DMA so far is charged to the link first. */
  delay(command: Command, ns: number): void;

  /** DMA so far is charged to the link. @returns when it is over and the firmware is ready */
  prepare(command: Command): number;
  /**
   * The command waits for something else than time: `resume` follows exactly once, also when the
   * command has ended meanwhile.
   */
  hold(command: Command, mediaStartNs: number): void;
  /** What a held command waited for has come: `finish` runs now, unless the command has ended. */
  resume(command: Command): void;

  /**
   * Find the `length` bytes of the command's data (interleaved metadata included) through PRP or
   * SGL and check every rule. 0 bytes need no data pointer.
   *
   * @returns 0, or the status to complete with
   */
  mapData(command: Command, length: number): number;
  /** The same for separate metadata, through MPTR. */
  mapMetadata(command: Command, length: number): number;

  /**
   * DMA of `length` bytes at `dataOffset` of the mapped data. Fastest when `from` is 0, `length` is
   * `bytes.length` and the bytes fill one page: hand in the stored page itself.
   *
   * @param bytes       device memory; read by `toHost`, written by `fromHost`
   * @param from        first byte in `bytes`
   * @param dataOffset  first byte in the mapped data
   * @returns           0, or Data Transfer Error after a fault, which the checker has then recorded
   */
  toHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number;
  fromHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number;
  metadataToHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number;
  metadataFromHost(
    command: Command,
    bytes: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): number;

  /**
   * End a command of this controller from outside: its executor's `cancel` runs, then it completes.
   *
   * @returns false when it is too late: its entry is on the way
   */
  stop(command: Command, status: number): boolean;

  /** Report an asynchronous event: type, information and log page as the standard numbers them. */
  postEvent(type: number, information: number, logPage: number): void;
}

/** What the admin set does to the controller besides. A number returned is 0 or a status. */
export interface ControllerServices extends CommandServices {
  createCompletionQueue(request: CompletionQueueRequest): number;
  /** Refused while a submission queue uses it. */
  deleteCompletionQueue(queueId: number): number;
  createSubmissionQueue(request: SubmissionQueueRequest): number;
  /** Commands of the queue that are in flight end first, as aborted due to SQ deletion. */
  deleteSubmissionQueue(queueId: number): number;
  /** Whether any I/O queue exists: Number of Queues may be set only while none does. */
  readonly hasIoQueues: boolean;
  /** I/O queues that may exist from now on, without the admin queue. */
  setQueueCounts(counts: { readonly submission: number; readonly completion: number }): void;

  /**
   * End the named command as aborted by request if it is queued or in flight.
   *
   * @returns whether it was aborted; false when it is not there or can no longer be stopped
   */
  abort(queueId: number, cid: number): boolean;

  setArbitration(arbitration: Arbitration): void;
  setInterruptCoalescing(coalescing: InterruptCoalescing): void;
  /** Feature 09h. @returns Invalid Field for a vector that no queue uses */
  setVectorCoalescing(vector: number, isDisabled: boolean): number;
  /** Doorbell Buffer Config: one memory page each, PRP1 and PRP2. */
  setShadowDoorbells(shadowAddress: number, eventIndexAddress: number): number;
  /** Internal error: sets CSTS.CFS; only a reset helps. */
  failController(): void;
}
