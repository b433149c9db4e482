import type { Clock, DmaRegion, PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import type { AdminQueue } from './admin-queue.js';
import type { BadCompletion } from './completion-queue.js';
import type { ControllerEvent } from './events.js';
import type { Settings } from './options.js';
import type { PciIdentity } from './pci-probe.js';
import { Procedure, type Steps } from './procedure.js';
import type { QueueKeeper, QueuePair } from './queue-pair.js';
import type { Applied } from './quirks.js';
import type { Capabilities, Registers } from './registers.js';

export type ControllerState =
  | 'starting'
  | 'ready'
  | 'resetting'
  | 'shut down'
  | 'failed'
  | 'removed'
  | 'closed';

/** What Identify and Set Features said, as far as the driver decides by it. */
export interface Limits {
  readonly maxTransferBytes: number;
  readonly abortLimit: number;
  readonly eventLimit: number;
  readonly hasVolatileCache: boolean;
  readonly canDeallocate: boolean;
  readonly canWriteZeroes: boolean;
  readonly canUseSgl: boolean;
  readonly sglAlignment: number;
  readonly hasShadowDoorbells: boolean;
  readonly atomicWriteBlocks: number;
  /** Longest time that a shutdown takes. */
  readonly shutdownNs: number;
  /** Write Zeroes and Dataset Management limits in bytes and blocks, 0 for none. */
  readonly zeroBytes: number;
  readonly deallocateBlocks: number;
  readonly submissionQueues: number;
  readonly completionQueues: number;
  readonly namespaceCount: number;
}

/** Shared memory of the doorbells that the controller reads by itself. */
export interface ShadowMemory {
  readonly shadow: DmaRegion;
  readonly eventIndex: DmaRegion;
}

/** A queue pair whose rings another thread holds. */
export interface LentQueue {
  readonly id: number;
  /**
   * The controller does not know the queue any more, and reaches none of its memory.
   *
   * @param isFinal  the controller never comes back
   */
  forgotten(isFinal: boolean): void;
}

/**
 * The state that the procedures of a controller's life share: bring-up, queue creation, recovery,
 * shutdown. Each changes `state` at its own transitions; nobody else does.
 */
export class Core implements QueueKeeper {
  readonly fn: PciFunction;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly registers: Registers;
  readonly identity: PciIdentity;
  readonly quirks: Applied;
  readonly capabilities: Capabilities;
  readonly pageBytes: number;
  state: ControllerState = 'starting';
  limits: Limits | null = null;
  /** Identify Controller as last read. */
  controllerPage: Uint32Array = new Uint32Array(1024);
  admin: AdminQueue | null = null;
  readonly pairs: QueuePair[] = [];
  readonly lent = new Set<LentQueue>();
  /** Identifiers of pairs whose creation is under way. */
  readonly promisedIds = new Set<number>();
  /** Set when the controller never comes back. */
  private isDead = false;
  shadow: ShadowMemory | null = null;
  /** Interrupt vectors that were enabled. */
  vectorCount = 0;
  /** The procedure that changes the controller's life, when one is under way. */
  life: Procedure<void> | null = null;
  /** Starts recovery; set by the controller, which knows the ladder. */
  recover: (cause: string) => void = () => {};
  /** Arms asynchronous event requests; set by the controller. */
  rearm: () => void = () => {};
  /** Called by polling when the controller is up. */
  watch: (nowNs: number) => void = () => {};

  constructor(parts: CoreParts) {
    this.fn = parts.fn;
    this.clock = parts.fn.clock;
    this.settings = parts.settings;
    this.registers = parts.registers;
    this.identity = parts.identity;
    this.quirks = parts.quirks;
    this.capabilities = parts.capabilities;
    this.pageBytes = parts.pageBytes;
  }

  get isRecovering(): boolean {
    return this.life !== null;
  }

  get isRemoved(): boolean {
    return this.state === 'removed';
  }

  /** Polling passes here now and then. */
  tick(nowNs: number): void {
    if (this.life !== null) this.life.step();
    else if (this.state === 'ready') this.watch(nowNs);
  }

  emit(event: ControllerEvent): void {
    this.settings.onEvent?.(event);
  }

  /** The admin queue of a controller that has one. @throws UltimaError */
  adminQueue(): AdminQueue {
    if (this.admin !== null) return this.admin;
    throw this.notUsable();
  }

  limitsNow(): Limits {
    if (this.limits !== null) return this.limits;
    throw this.notUsable();
  }

  notUsable(): UltimaError {
    const { address } = this.fn;
    const code = this.state === 'removed' ? ErrorCode.deviceRemoved : ErrorCode.controllerFatal;
    return new UltimaError(code, `${address}: the controller is ${this.state}`, {
      address,
      state: this.state,
    });
  }

  /** @throws UltimaError when the controller takes no commands */
  demandReady(): void {
    if (this.state !== 'ready' && this.state !== 'resetting') throw this.notUsable();
  }

  /** Start a procedure that changes the controller's life; one at a time. */
  live(steps: Steps<void>): Procedure<void> {
    const procedure = new Procedure<void>(steps, () => {
      this.life = null;
    });
    this.life = procedure;
    return procedure;
  }

  /** Nothing of the function reaches memory any more: end every command. */
  endAllCommands(): void {
    // A completion that is already in memory says more than "unknown".
    for (const pair of this.pairs) pair.completion.drain();
    for (const pair of this.pairs) pair.submission.endAll();
    this.admin?.pair.submission.endAll();
    for (const queue of this.lent) queue.forgotten(this.isDead);
  }

  /** I/O queues take commands, or do not. */
  setOpen(isOpen: boolean): void {
    for (const pair of this.pairs) {
      pair.submission.isOpen = isOpen && !pair.submission.isDead;
    }
  }

  /** The controller is about to be disabled: whoever polls writes to no doorbell from here on. */
  mute(): void {
    for (const pair of [...this.pairs, ...(this.admin === null ? [] : [this.admin.pair])]) {
      pair.submission.isMuted = true;
      pair.completion.isMuted = true;
    }
  }

  /** The controller never comes back. */
  setDead(): void {
    this.isDead = true;
    for (const pair of [...this.pairs, ...(this.admin === null ? [] : [this.admin.pair])]) {
      pair.submission.isOpen = false;
      pair.submission.isDead = true;
    }
  }

  /** The device wrote a completion that cannot be. */
  misbehaved(bad: BadCompletion): void {
    const error = new UltimaError(
      ErrorCode.deviceMisbehaved,
      `${this.fn.address}: a completion in queue ${bad.queueId} names ${bad.what} ${bad.value}, ` +
        'which no command in flight has; the controller is reset',
      { queueId: bad.queueId, what: bad.what, value: bad.value, entry: bad.words.join(' ') },
    );
    this.emit({ kind: 'misbehaviour', error });
    this.recover(error.message);
  }

  /**
   * How control procedures wait: on the admin queue's interrupt when there are interrupts, so that
   * a format of ten minutes does not keep a processor busy. Another task may take the interrupt
   * first, so nobody relies on it for longer than a millisecond.
   */
  sleep(untilNs: number): Promise<unknown> {
    if (this.vectorCount === 0) return this.clock.turn(untilNs);
    return this.fn.interrupts.wait(0, Math.min(untilNs, this.clock.nowNs() + msNs));
  }
}

export interface CoreParts {
  readonly fn: PciFunction;
  readonly settings: Settings;
  readonly registers: Registers;
  readonly identity: PciIdentity;
  readonly quirks: Applied;
  readonly capabilities: Capabilities;
  readonly pageBytes: number;
}
