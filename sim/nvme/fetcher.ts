import { commandBytes, commandDwords } from '../../sdk/spec/nvme/command.js';
import type { HostLink } from '../pcie/endpoint.js';
import type { World } from '../world.js';
import type { Arbiter } from './arbiter.js';
import type { Command } from './command.js';
import { type CommandPool, CommandState } from './command-pool.js';
import type { Dma } from './dma.js';
import type { Doorbells } from './doorbells.js';
import type { FirmwareTiming } from './firmware-timing.js';
import type { SubmissionQueue } from './submission-queue.js';

/** The queue itself is accessed, for no command of it. */
const noCommand = -1;

/** Command slots that I/O commands leave free. */
const adminSlots = 64;

/** Takes what was fetched. */
export interface FetchListener {
  /** A command has arrived; `isAborted` is set when an Abort named it while it was queued. */
  fetched(command: Command, queue: SubmissionQueue): void;
  /** The entries of a queue cannot be read. */
  fetchFailed(): void;
}

/** Who may say that fewer entries are fetched at one time than the host's burst allows. */
export interface FetchLimit {
  readonly fetchBurst: number;
}

export interface FetcherParts {
  readonly world: World;
  readonly link: HostLink;
  readonly pool: CommandPool;
  readonly dma: Dma;
  readonly arbiter: Arbiter;
  readonly doorbells: Doorbells;
  readonly firmware: FirmwareTiming;
  readonly limit: FetchLimit | null;
}

/**
 * The first stage: one fetch at a time, of the queue that the arbiter names and of as many entries
 * as its burst allows. While the firmware is behind, the next fetch waits until it would just keep
 * it busy: so the arbiter decides as late as possible, which is what makes weights count.
 */
export class Fetcher {
  listener: FetchListener | null = null;
  private readonly world: World;
  private readonly link: HostLink;
  private readonly pool: CommandPool;
  private readonly dma: Dma;
  private readonly arbiter: Arbiter;
  private readonly doorbells: Doorbells;
  private readonly firmware: FirmwareTiming;
  private readonly limit: FetchLimit | null;
  private readonly onArrival: number;
  private readonly onTurn: number;
  private isRunning = false;
  private isBusy = false;
  /** There may be work, but every command slot is taken. */
  private isStarved = false;
  /** Counts starts and stops: an event of an earlier one finds nothing to do. */
  private epoch = 0;
  /** What the last fetch took: the next one starts so long before the firmware is free. */
  private lastFetchNs = 0;
  private queue: SubmissionQueue | null = null;
  private count = 0;

  constructor(parts: FetcherParts) {
    this.world = parts.world;
    this.link = parts.link;
    this.pool = parts.pool;
    this.dma = parts.dma;
    this.arbiter = parts.arbiter;
    this.doorbells = parts.doorbells;
    this.firmware = parts.firmware;
    this.limit = parts.limit;
    this.onArrival = parts.world.register((epoch) => this.arrived(epoch));
    this.onTurn = parts.world.register((epoch) => this.turn(epoch));
  }

  start(): void {
    this.isRunning = true;
    this.firmware.start(this.world);
  }

  /** Nothing of what is under way arrives any more. */
  stop(): void {
    this.isRunning = false;
    this.isBusy = false;
    this.queue = null;
    this.epoch = (this.epoch + 1) | 0;
  }

  /** There may be work, or room for it. */
  kick(): void {
    if (this.isRunning && !this.isBusy) this.fetch();
  }

  /** A command slot is free again. */
  slotFreed(): void {
    if (this.isStarved) this.kick();
  }

  private fetch(): void {
    let queue = this.next();
    // A queue whose completions have no room takes no more commands; it comes back with the room.
    while (queue !== null && queue.completionQueue.backlogCount > 0) queue = this.next();
    if (queue === null) return;
    const count = this.arbiter.count;
    this.queue = queue;
    this.count = count;
    this.isBusy = true;
    let delayNs = this.firmware.fetch(this.world);
    if (!this.dma.hasBuffer || !this.dma.isLocal(queue.memory.at(queue.head), commandBytes)) {
      delayNs += this.link.reserveRead(count * commandBytes, true);
    }
    this.lastFetchNs = delayNs;
    this.world.schedule(delayNs, this.onArrival, this.epoch);
  }

  /** The next queue to serve; the last slots are for the admin queue, so that it can abort. */
  private next(): SubmissionQueue | null {
    const slots = this.pool.available;
    this.isStarved = slots <= adminSlots;
    if (this.isStarved) return slots > 0 ? this.arbiter.nextAdmin(slots) : null;
    const room = slots - adminSlots;
    const { limit } = this;
    return this.arbiter.next(limit === null ? room : Math.min(room, limit.fetchBurst));
  }

  private arrived(epoch: number): void {
    if (epoch !== this.epoch) return;
    const queue = this.queue!;
    this.queue = null;
    if (!queue.isDeleted && !this.take(queue, epoch)) return;
    this.isBusy = false;
    const spareNs = this.firmware.busyNs(this.world) - this.lastFetchNs;
    if (spareNs <= 0) {
      this.kick();
      return;
    }
    this.isBusy = true;
    this.world.schedule(spareNs, this.onTurn, this.epoch);
  }

  /** @returns false when the controller was stopped on the way */
  private take(queue: SubmissionQueue, epoch: number): boolean {
    for (let left = this.count; left > 0; left--) {
      const index = queue.head;
      this.dma.name(queue.queueId, noCommand);
      const command = this.pool.take(queue);
      if (!this.dma.readWords(queue.memory.at(index), command.words, 0, commandDwords)) {
        this.pool.release(command);
        this.listener?.fetchFailed();
        return false;
      }
      queue.advance();
      queue.inFlight++;
      command.doorbellNs = queue.publishedNs[index]!;
      command.fetchedNs = this.world.nowNs;
      command.state = CommandState.fetched;
      this.pool.audit.enter(command);
      command.isAborted = queue.takeAborted(index);
      this.listener!.fetched(command, queue);
      if (epoch !== this.epoch) return false;
      if (queue.isDeleted) return true;
    }
    if (queue.available > 0) this.arbiter.enter(queue);
    else this.doorbells.pollTail(queue);
    return true;
  }

  private turn(epoch: number): void {
    if (epoch !== this.epoch) return;
    this.isBusy = false;
    this.kick();
  }
}
