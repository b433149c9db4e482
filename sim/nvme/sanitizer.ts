import {
  SanitizeStatus,
  sanitizeProgressDone,
  sanitizeProgressSpan,
} from '../../sdk/spec/nvme/logs.js';
import type { World } from '../world.js';

export const SanitizeMethod = { block: 2, overwrite: 3, crypto: 4 } as const;

export interface SanitizeRequest {
  /** The controller that was asked: it alone reports the end. */
  readonly controllerId: number;
  /** One of `SanitizeMethod`: SANACT of the command. */
  readonly method: number;
  /** Failure may be left with Exit Failure Mode (AUSE). */
  readonly isUnrestricted: boolean;
  readonly passes: number;
  /** The host asked not to deallocate, which this card cannot honour. */
  readonly wantsNoDeallocate: boolean;
  /** Command dword 10, for the log. */
  readonly cdw10: number;
}

/** What the operation does to the world around it. */
export interface SanitizeTarget {
  /** Erase all user data of the subsystem, now. */
  eraseAll(): void;
  /** The operation ended; tell the controllers. */
  sanitizeEnded(): void;
}

/**
 * The sanitize operation of a subsystem [NVMe-2.0 §8.21]. It runs in virtual time over resets of
 * controllers and, after a pause, over power cycles; user data is unreachable from its start until
 * it has succeeded.
 */
export class Sanitizer {
  status: number = SanitizeStatus.never;
  passes = 0;
  /** The last operation has succeeded: the subsystem knows whether data was written since. */
  isErased = false;
  /** A rig demands that the next operation fails. */
  failsNext = false;
  request: SanitizeRequest | null = null;
  private readonly world: World;
  private readonly target: SanitizeTarget;
  private readonly passNs: number;
  private readonly onEnd: number;
  private startNs = 0;
  private totalNs = 0;
  private doneNs = 0;
  private generation = 0;

  /** @param passNs time for one pass over all media */
  constructor(world: World, target: SanitizeTarget, passNs: number) {
    this.world = world;
    this.target = target;
    this.passNs = passNs;
    this.onEnd = world.register((generation) => this.end(generation));
  }

  get isRunning(): boolean {
    return this.status === SanitizeStatus.inProgress;
  }

  get hasFailed(): boolean {
    return this.status === SanitizeStatus.failed;
  }

  start(request: SanitizeRequest): void {
    this.request = request;
    this.status = SanitizeStatus.inProgress;
    this.isErased = false;
    this.passes = 0;
    this.totalNs = this.timeOf(request.method) * request.passes;
    this.doneNs = 0;
    this.target.eraseAll();
    this.resume();
  }

  /** Leave the failure mode of an unrestricted operation. @returns whether that is allowed */
  exitFailure(): boolean {
    if (!this.hasFailed) return true;
    if (this.request?.isUnrestricted !== true) return false;
    this.status = SanitizeStatus.never;
    return true;
  }

  /** Virtual nanoseconds for one pass. */
  timeOf(method: number): number {
    // A key is forgotten in the time of a small part of an erase.
    return method === SanitizeMethod.crypto ? Math.ceil(this.passNs / cryptoShare) : this.passNs;
  }

  /** SPROG: 65536ths of the operation; all ones when none is running. */
  get progress(): number {
    if (!this.isRunning) return sanitizeProgressDone;
    const part = this.elapsedNs() / this.totalNs;
    return Math.min(sanitizeProgressDone - 1, Math.floor(part * sanitizeProgressSpan));
  }

  get completedPasses(): number {
    const request = this.request;
    if (request === null || request.method !== SanitizeMethod.overwrite) return 0;
    if (!this.isRunning) return this.passes;
    return Math.floor((this.elapsedNs() / this.totalNs) * request.passes);
  }

  powerLost(): void {
    if (!this.isRunning) return;
    this.doneNs = this.elapsedNs();
    this.generation++;
  }

  powerRestored(): void {
    if (this.isRunning) this.resume();
  }

  private resume(): void {
    this.startNs = this.world.nowNs;
    this.generation++;
    this.world.schedule(this.totalNs - this.doneNs, this.onEnd, this.generation);
  }

  private elapsedNs(): number {
    return Math.min(this.totalNs, this.doneNs + this.world.nowNs - this.startNs);
  }

  private end(generation: number): void {
    if (generation !== this.generation || !this.isRunning) return;
    const request = this.request;
    this.passes = request?.passes ?? 0;
    if (this.failsNext) {
      this.failsNext = false;
      this.status = SanitizeStatus.failed;
    } else {
      const isOdd = request?.wantsNoDeallocate === true;
      this.status = isOdd ? SanitizeStatus.completedNoDeallocate : SanitizeStatus.completed;
      this.isErased = true;
    }
    this.target.sanitizeEnded();
  }
}

const cryptoShare = 64; // guess
