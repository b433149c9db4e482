import { Cqe, completionBytes, completionDwords } from '../../sdk/spec/nvme/completion.js';
import type { HostLink } from '../pcie/endpoint.js';
import type { World } from '../world.js';
import type { Command } from './command.js';
import { CommandFault } from './command-fault.js';
import { type CommandPool, CommandState } from './command-pool.js';
import type { CompletionQueue } from './completion-queue.js';
import type { Dma } from './dma.js';
import type { Doorbells } from './doorbells.js';
import type { InterruptSource } from './interrupt-source.js';

const entry = Cqe;
const faults = CommandFault;

/** Sees every command when its completion entry is in host memory. Must not keep the command. */
export interface CommandObserver {
  completed(command: Command): void;
}

/** What follows from a posted entry. */
export interface PostListener {
  /** A completion queue that was full has no backlog any more. */
  backlogDrained(queue: CompletionQueue): void;
  /** A command slot is free. */
  slotFreed(): void;
  /** The host's memory refused the entry. */
  postFailed(): void;
}

export interface PosterParts {
  readonly world: World;
  readonly link: HostLink;
  readonly pool: CommandPool;
  readonly dma: Dma;
  readonly doorbells: Doorbells;
  readonly interrupts: InterruptSource;
}

/**
 * The last stage: completion entries go out in the order in which they become ready, each with the
 * phase of its queue, the head of its submission queue and its status, and never into an entry that
 * the host has not released.
 */
export class Poster {
  observer: CommandObserver | null = null;
  postedCount = 0;
  listener: PostListener | null = null;
  private readonly world: World;
  private readonly link: HostLink;
  private readonly pool: CommandPool;
  private readonly dma: Dma;
  private readonly doorbells: Doorbells;
  private readonly interrupts: InterruptSource;
  /** When the last entry that is on its way will be there. */
  private latestNs = 0;
  private readonly words = new Uint32Array(completionDwords);
  private readonly onReady: number;

  constructor(parts: PosterParts) {
    this.world = parts.world;
    this.link = parts.link;
    this.pool = parts.pool;
    this.dma = parts.dma;
    this.doorbells = parts.doorbells;
    this.interrupts = parts.interrupts;
    this.onReady = parts.world.register((slot) => this.ready(slot));
  }

  /** The work of a command is done: its entry goes out after `delayNs` at the earliest. */
  send(command: Command, delayNs: number): void {
    const arrivalNs = this.link.reserveWrite(completionBytes, command.isReserved);
    let waitNs = Math.max(delayNs, arrivalNs);
    const nowNs = this.world.nowNs;
    // An admin command is done when everything before it is: a queue is deleted after its last
    // entry was posted.
    if (command.queueId === 0) waitNs = Math.max(waitNs, this.latestNs - nowNs);
    this.latestNs = Math.max(this.latestNs, nowNs + waitNs);
    command.state = CommandState.posting;
    this.pool.expectEvent(command.slot);
    this.world.schedule(waitNs, this.onReady, command.slot);
  }

  /** The host has released entries of a queue with a backlog. */
  drain(queue: CompletionQueue): void {
    // A queue that cannot be written stops the controller, and with it every queue.
    while (queue.backlogCount > 0 && !queue.isDeleted && this.hasRoom(queue)) {
      const command = queue.takeBacklog();
      if (command !== null) this.post(queue, command);
    }
    if (queue.backlogCount === 0 && !queue.isDeleted) this.listener?.backlogDrained(queue);
  }

  /** The queue is gone, and with it the entries that never fitted. */
  drop(queue: CompletionQueue): void {
    for (let command = queue.takeBacklog(); command !== null; command = queue.takeBacklog()) {
      this.forget(command);
    }
  }

  private ready(slot: number): void {
    const command = this.pool.meetEvent(slot);
    if (command === null) return;
    const queue = this.pool.queues[slot]!.completionQueue;
    const isLost = (command.fault & faults.lostEntry) !== 0;
    if (queue.isDeleted || isLost) this.forget(command);
    else if (queue.backlogCount > 0 || !this.hasRoom(queue)) queue.pushBacklog(command);
    else this.post(queue, command);
  }

  private hasRoom(queue: CompletionQueue): boolean {
    return !queue.isFull || this.doorbells.pollHead(queue);
  }

  private post(queue: CompletionQueue, command: Command): void {
    const submission = this.pool.queues[command.slot]!;
    const words = this.words;
    words[0] = command.dw0;
    words[1] = command.dw1;
    entry.sqhd.set(words, 0, submission.head);
    entry.sqid.set(words, 0, submission.queueId);
    entry.cid.set(words, 0, command.cid);
    entry.p.set(words, 0, queue.phase);
    entry.status.set(words, 0, command.status);
    // The identifier is the host's again as soon as the host can see the entry.
    if (submission.slotOfCid[command.cid] === command.slot + 1) {
      submission.slotOfCid[command.cid] = 0;
    }
    submission.inFlight--;
    this.dma.name(command.queueId, command.cid);
    if (command.fault !== 0 && !this.spoil(queue, command)) {
      this.listener?.postFailed();
      return;
    }
    if (!this.dma.writeWords(queue.memory.at(queue.tail), words, 0, completionDwords)) {
      this.listener?.postFailed();
      return;
    }
    queue.advance();
    this.postedCount++;
    command.postedNs = this.world.nowNs;
    this.pool.audit.complete(command);
    this.world.hostVisible();
    const isAnnounced = (command.fault & faults.lostInterrupt) === 0 && queue.areInterruptsEnabled;
    if (isAnnounced && this.interrupts.announce(queue.vector, queue.queueId === 0)) {
      command.interruptNs = this.world.nowNs;
    }
    if (this.observer !== null) this.observer.completed(command);
    this.pool.release(command);
    this.listener?.slotFreed();
  }

  /**
   * A fault: the entry goes out twice, or with an identifier that no command in flight has.
   *
   * @returns false when the host's memory refused the first of two
   */
  private spoil(queue: CompletionQueue, command: Command): boolean {
    const { words } = this;
    const submission = this.pool.queues[command.slot]!;
    if ((command.fault & faults.wrongCid) !== 0) {
      let cid = command.cid ^ 0x8000;
      while (submission.slotOfCid[cid] !== 0) cid = (cid + 1) & 0xffff;
      entry.cid.set(words, 0, cid);
    }
    if ((command.fault & faults.wrongQueue) !== 0) {
      entry.sqid.set(words, 0, submission.queueId ^ 0x4000);
    }
    if ((command.fault & faults.wrongHead) !== 0) {
      entry.sqhd.set(words, 0, Math.min(0xffff, submission.entries + submission.head));
    }
    const isDoubled = (command.fault & faults.doubledEntry) !== 0;
    // One entry of the ring always stays empty, and the second of the two needs the last.
    if (!isDoubled || queue.posted + 1 >= queue.entries - 1) return true;
    if (!this.dma.writeWords(queue.memory.at(queue.tail), words, 0, completionDwords)) return false;
    queue.advance();
    entry.p.set(words, 0, queue.phase);
    return true;
  }

  private forget(command: Command): void {
    const submission = this.pool.queues[command.slot]!;
    if (submission.slotOfCid[command.cid] === command.slot + 1) {
      submission.slotOfCid[command.cid] = 0;
    }
    submission.inFlight--;
    this.pool.audit.drop(command, this.world);
    this.pool.release(command);
    this.listener?.slotFreed();
  }
}
