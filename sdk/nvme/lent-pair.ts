import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { commandBytes } from '../spec/nvme/command.js';
import { completionBytes } from '../spec/nvme/completion.js';
import { Status, statusKind, statusText } from '../spec/nvme/status.js';
import type { CommandResult } from './admin-queue.js';
import type { Core, LentQueue } from './core.js';
import { ControlWord, controlBytes } from './loan-messages.js';
import { inRange } from './options.js';
import { type Poll, type Steps, until } from './procedure.js';
import {
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
} from './queue-commands.js';

/** Device addresses of what a borrower made, as it says. */
export interface Rings {
  readonly epoch: number;
  readonly submission: number;
  readonly completion: number;
  readonly control: number;
}

/**
 * A queue pair whose rings lie in lent memory, as the thread that owns the controller sees it: the
 * admin commands, and the words that tell the borrower what has become of it.
 *
 * `isKnown` is true from before the first command that could make the controller use the memory
 * until it certainly does not any more: the queues are deleted, or the controller was reset or cut
 * off from memory.
 */
export class LentPair implements LentQueue {
  readonly id: number;
  readonly entries: number;
  isKnown = false;
  isOver = false;
  private epoch = 1;
  private control: Uint32Array | null = null;
  private readonly core: Core;
  private readonly memory: DmaRegion;
  /** The borrower shall look at its words. */
  private readonly nudge: () => void;

  constructor(parts: LentParts) {
    this.core = parts.core;
    this.memory = parts.memory;
    this.id = parts.id;
    this.entries = parts.entries;
    this.nudge = parts.nudge;
  }

  forgotten(isFinal: boolean): void {
    this.isKnown = false;
    this.isOver ||= isFinal;
    this.epoch++;
    this.tell();
  }

  /**
   * Make the controller use the rings, once it is up.
   *
   * @throws RangeError for rings outside the lent memory; UltimaError of the commands, and when the
   *   controller does not come up
   */
  *announce(rings: Rings): Steps<void> {
    this.demandInside(rings);
    const { epoch } = rings;
    const isSettled = yield* until(() => this.isOver || this.isUp, this.poll());
    if (!isSettled) throw this.core.notUsable();
    if (this.isOver || epoch !== this.epoch) {
      // The controller has forgotten what the borrower knows of: it hears so, and sends new rings.
      this.tell();
      return;
    }
    const admin = this.core.adminQueue();
    const { id, entries } = this;
    this.isKnown = true;
    try {
      yield* createCompletionQueue(admin, { id, entries, iova: rings.completion }, null);
      if (epoch === this.epoch) {
        const ring = { id, entries, iova: rings.submission };
        yield* createSubmissionQueue(admin, ring, { completionId: id, priority: 0 });
      }
    } catch (error) {
      if (epoch === this.epoch) {
        yield* this.remove();
        throw error;
      }
    }
    if (epoch === this.epoch) {
      this.put(ControlWord.opened, epoch);
      this.nudge();
      return;
    }
    // A reset came in between, and what was created may have been created after it.
    this.isKnown = true;
    yield* this.remove();
  }

  /**
   * Make the controller forget the rings: by deleting the queues, and by a reset where that fails.
   *
   * @throws UltimaError CONTROLLER_TIMEOUT when the controller may still use the memory
   */
  *remove(): Steps<void> {
    if (!this.isKnown) return;
    try {
      const admin = this.core.adminQueue();
      const how = { allowsFailure: true } as const;
      demandGone(yield* deleteSubmissionQueue(admin, this.id, how));
      demandGone(yield* deleteCompletionQueue(admin, this.id, how));
      this.isKnown = false;
    } catch (error) {
      if (!this.isKnown) return;
      this.core.recover(`lent queue pair ${this.id} could not be deleted: ${String(error)}`);
      const isForgotten = yield* until(() => !this.isKnown, this.poll());
      if (!isForgotten) throw this.stillKnown(error);
    }
  }

  /** The queues never come back; they are removed already. */
  finish(): void {
    this.isOver = true;
    this.tell();
  }

  private get isUp(): boolean {
    return this.core.state === 'ready' && this.core.life === null;
  }

  private poll(): Poll {
    const { clock, settings } = this.core;
    const deadlineNs = clock.nowNs() + settings.adminTimeoutNs;
    return { clock, deadlineNs, intervalNs: lookIntervalNs };
  }

  /** The words of a borrower who has not said where they are follow with its rings. */
  private tell(): void {
    this.put(ControlWord.isOver, this.isOver ? 1 : 0);
    this.put(ControlWord.epoch, this.epoch);
    this.nudge();
  }

  private put(word: number, value: number): void {
    if (this.control !== null) Atomics.store(this.control, word, value);
  }

  private demandInside(rings: Rings): void {
    this.demandRange('submission', rings.submission, this.entries * commandBytes);
    this.demandRange('completion', rings.completion, this.entries * completionBytes);
    this.demandRange('control', rings.control, controlBytes);
    const at = (rings.control - this.memory.iova) / 4;
    this.control ??= this.memory.words.subarray(at, at + controlBytes / 4);
  }

  private demandRange(name: string, address: number, length: number): void {
    const { iova } = this.memory;
    inRange(name, address, [iova, iova + this.memory.length - length]);
    const alignment = name === 'control' ? 4 : this.core.pageBytes;
    if (address % alignment !== 0) throw new RangeError(`${name} is not aligned to ${alignment}`);
  }

  private stillKnown(cause: unknown): UltimaError {
    const { address } = this.core.fn;
    return new UltimaError(
      ErrorCode.controllerTimeout,
      `${address}: queue pair ${this.id} is neither deleted nor forgotten by a reset; its memory ` +
        'must stay until the controller is closed',
      { address, queueId: this.id },
      cause,
    );
  }
}

/** A queue that was never made cannot be deleted, which is as good. */
function demandGone({ status }: CommandResult): void {
  const isGone =
    status === Status.success ||
    statusKind(status) === Status.invalidQueueIdentifier ||
    statusKind(status) === Status.completionQueueInvalid;
  if (isGone) return;
  throw new UltimaError(ErrorCode.commandFailed, statusText(status), { status });
}

/** Between two looks for the end of somebody else's procedure. */
const lookIntervalNs = 10_000;

export interface LentParts {
  readonly core: Core;
  readonly memory: DmaRegion;
  readonly id: number;
  readonly entries: number;
  readonly nudge: () => void;
}
