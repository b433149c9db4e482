import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import { cellBytes, unitBytes } from './format.js';
import type { Journal, SealedBatch } from './journal.js';
import type { Port } from './port.js';
import type { DeferredReleases } from './unit-space.js';

/** Something that waits until what it has done is durable. */
export interface CommitWaiter {
  /** @param status BlockStatus.ok, or why nothing is known to be durable */
  committed(status: BlockStatus): void;
}

/** What a commit needs of its pool. */
export interface CommitOwner {
  readonly ports: readonly Port[];
  readonly journal: Journal;
  readonly deferred: DeferredReleases;
  readonly isFailed: boolean;
  /** Batches up to this one are durable. */
  settle(seq: number): void;
  /** A flush or the journal failed: nothing more becomes durable. */
  fail(what: string): void;
}

/**
 * Makes things durable, one commit at a time, everybody who waits by then with it:
 *
 *   1. flush every device with a volatile cache that has completed writes in it: a record must
 *      never name data that is not there;
 *   2. write the batch of records with FUA;
 *   3. release what the batch has given up, and tell those who wait.
 */
export class Committer {
  /** The batch is in a checkpoint instead; commits wait until that one is durable. */
  isHeld = false;
  private readonly owner: CommitOwner;
  private waiting: CommitWaiter[] = [];
  private served: CommitWaiter[] = [];
  private held: CommitWaiter[] = [];
  private isWanted = false;
  private isRunning = false;
  private flushesLeft = 0;
  private status: BlockStatus = BlockStatus.ok;
  private batch: SealedBatch | null = null;
  private readonly flushes: BlockRequest[] = [];
  private readonly write: BlockRequest;

  constructor(owner: CommitOwner) {
    this.owner = owner;
    this.write = new BlockRequest((request) => this.written(request));
  }

  get isIdle(): boolean {
    return !this.isRunning;
  }

  /** Commit soon, for the sake of space or of the buffer. */
  want(): void {
    this.isWanted = true;
  }

  /** Commit, and say so. */
  join(waiter: CommitWaiter): void {
    this.waiting.push(waiter);
    this.isWanted = true;
  }

  /** Called with every poll. */
  turn(): void {
    const { owner } = this;
    if (!this.isWanted || this.isRunning || this.isHeld) return;
    if (owner.isFailed) this.serve(BlockStatus.deviceError);
    else if (!owner.journal.hasRecords || owner.journal.fitsRing) this.start();
  }

  /** Close the batch now; the caller has seen that nothing runs and that it fits. */
  start(): void {
    const { owner } = this;
    this.isRunning = true;
    this.isWanted = false;
    this.status = BlockStatus.ok;
    this.batch = owner.journal.hasRecords ? owner.journal.seal() : null;
    if (this.batch !== null) owner.deferred.seal(this.batch.seq);
    const { waiting } = this;
    this.waiting = this.served;
    this.served = waiting;
    // One more than there are, so that none ends the stage before all are submitted.
    this.flushesLeft = 1;
    for (const port of owner.ports) {
      if (!port.needsFlush || !port.device.limits.hasVolatileCache) continue;
      port.needsFlush = false;
      this.flushesLeft++;
      port.submit(this.flushOf(port.index));
    }
    this.flushed();
  }

  /** The filling batch becomes durable with a checkpoint: those who wait now are served then. */
  hold(): void {
    this.isHeld = true;
    this.isWanted = false;
    const { waiting } = this;
    this.waiting = this.held;
    this.held = waiting;
  }

  /** The checkpoint is durable, or will never be. */
  release(status: BlockStatus): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    if (this.waiting.length > 0) this.isWanted = true;
    const { held } = this;
    for (let i = 0; i < held.length; i++) held[i]!.committed(status);
    held.length = 0;
  }

  private flushOf(index: number): BlockRequest {
    let request = this.flushes[index];
    if (request === undefined) {
      request = new BlockRequest((ended) => {
        if (ended.status !== BlockStatus.ok) this.status = ended.status;
        this.flushed();
      });
      request.op = BlockOp.flush;
      this.flushes[index] = request;
    }
    return request;
  }

  private flushed(): void {
    if (--this.flushesLeft > 0) return;
    if (this.status !== BlockStatus.ok) {
      this.owner.fail(`a flush ended with status ${this.status}`);
      this.finish();
      return;
    }
    const { batch, write } = this;
    if (batch === null) {
      this.finish();
      return;
    }
    const port = this.owner.ports[0]!;
    write.op = BlockOp.write;
    write.flags = blockFlagFua;
    port.aim(write, unitBytes + batch.block * cellBytes, batch.byteLength);
    write.setData(batch.region, 0, batch.byteLength);
    port.submit(write);
  }

  private written(request: BlockRequest): void {
    this.status = request.status;
    if (request.status === BlockStatus.ok) this.owner.settle(this.batch!.seq);
    else this.owner.fail(`writing the journal ended with status ${request.status}`);
    this.finish();
  }

  private finish(): void {
    this.isRunning = false;
    this.batch = null;
    this.serve(this.status);
  }

  private serve(status: BlockStatus): void {
    if (this.owner.isFailed && !this.isRunning) {
      for (const waiter of this.waiting) this.served.push(waiter);
      this.waiting.length = 0;
      this.isWanted = false;
    }
    const { served } = this;
    // A waiter may join again from inside.
    for (let i = 0; i < served.length; i++) served[i]!.committed(status);
    served.length = 0;
  }
}
