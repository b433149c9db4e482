import { doNotRetry, Status, withMore } from '../../../sdk/spec/nvme/status.js';
import { blankPage } from '../../store/page-pool.js';
import type { Chance } from '../cache.js';
import type { Command } from '../command.js';
import type { CommandServices } from '../executor.js';
import type { Namespace } from '../namespace.js';
import type { CardQos } from '../qos/card-qos.js';
import type { IoController } from './controller.js';
import type { MediaModel } from './media-model.js';

/** What an operation does to the medium, for write protection and reservations. */
export const Access = { none: 0, read: 1, write: 2, flush: 3 } as const;

/** One I/O command of the NVM command set: what the executor calls for its opcode. */
export interface Operation {
  readonly access: number;
  /** The command is in; the namespace is there, ready and accessible. */
  begin(command: Command, namespace: Namespace): void;
  /** The media are done with it, or the time asked for with `services.delay` is over. */
  finish(command: Command, namespace: Namespace): void;
}

/** The tables follow the controller's pool, which makes slots on first use. */
const firstSlots = 64;

/**
 * The I/O commands in flight: what each of them holds, and how one ends. Tables by command slot, so
 * that a command allocates nothing.
 */
export class Work {
  readonly services: CommandServices;
  readonly controller: IoController;
  readonly media: MediaModel;
  readonly chance: Chance;
  /** Null on a card without. */
  readonly qos: CardQos | null;
  private readonly isPrimary: boolean;
  /** What the scheduler of the card counts this controller's slots from. */
  qosBase = 0;
  inFlight = 0;
  private readonly commands: (Command | null)[] = [];
  private readonly namespaces: (Namespace | null)[] = [];
  /** Contents fetched from the host, one per page, chained in the pool; and the medium's epoch. */
  private chains = new Int32Array(firstSlots);
  private epochs = new Int32Array(firstSlots);

  constructor(parts: WorkParts) {
    this.services = parts.services;
    this.controller = parts.controller;
    this.media = parts.media;
    this.chance = parts.chance;
    this.qos = parts.qos ?? null;
    this.isPrimary = parts.isPrimary ?? false;
  }

  enter(command: Command): void {
    const slot = command.slot;
    if (this.commands.length <= slot) this.growTo(slot + 1);
    this.commands[slot] = command;
    this.namespaces[slot] = null;
    this.chains[slot] = blankPage;
    this.inFlight++;
    this.controller.health.enter();
  }

  /** Whether the card's scheduler has others go first; it releases the command later. */
  holds(command: Command, namespace: Namespace | null): boolean {
    const { qos } = this;
    if (qos?.isActive !== true) return false;
    command.heldNs = this.services.nowNs;
    return qos.holds(this.qosBase, command, namespace, this.isPrimary);
  }

  bind(command: Command, namespace: Namespace): void {
    this.namespaces[command.slot] = namespace;
    this.epochs[command.slot] = namespace.medium.epoch;
  }

  /** The namespace was formatted since: blocks and buffers no longer have the same size. */
  isStale(command: Command, namespace: Namespace): boolean {
    return this.epochs[command.slot] !== namespace.medium.epoch;
  }

  namespaceOf(command: Command): Namespace | null {
    return this.namespaces[command.slot] ?? null;
  }

  /** The command in a slot, null when it has ended. */
  commandIn(slot: number): Command | null {
    return this.commands[slot] ?? null;
  }

  isIn(command: Command): boolean {
    return this.commands[command.slot] === command;
  }

  /** End a command well. */
  succeed(command: Command): void {
    this.leave(command);
    this.services.complete(command, 0);
  }

  /** End a command with an error about a block, or about nothing in particular. */
  fail(command: Command, status: number, lba = 0, dw0 = 0): void {
    this.leave(command);
    // There is more to read about it: an entry of the error log.
    const flagged = withMore(isFinal(status) ? doNotRetry(status) : status);
    this.controller.recordError(command, flagged, lba);
    this.services.complete(command, flagged, dw0);
  }

  /** End with 0 or an error. */
  end(command: Command, status: number, lba = 0): void {
    if (status === 0) this.succeed(command);
    else this.fail(command, status, lba);
  }

  /** An error of the medium also counts in the SMART page. */
  failMedia(command: Command, status: number, lba: number): void {
    this.controller.health.countMediaError();
    this.fail(command, status, lba);
  }

  /** The command now holds this chain of contents. */
  holdChain(command: Command, chain: number): void {
    this.chains[command.slot] = chain;
  }

  /** @returns the chain, which the caller owns now; `blankPage` when a format has made it void */
  takeChain(command: Command, namespace: Namespace): number {
    const chain = this.chains[command.slot]!;
    this.chains[command.slot] = blankPage;
    return this.isStale(command, namespace) ? blankPage : chain;
  }

  /** Forget a command that somebody else ends. */
  forget(command: Command): void {
    if (this.isIn(command)) this.leave(command);
  }

  /** Every command in flight, in the order of slots. */
  forEach(visit: (command: Command, namespace: Namespace | null) => void): void {
    for (let slot = 0; slot < this.commands.length; slot++) {
      const command = this.commands[slot] ?? null;
      if (command !== null) visit(command, this.namespaces[slot] ?? null);
    }
  }

  private growTo(count: number): void {
    while (this.commands.length < count) {
      this.commands.push(null);
      this.namespaces.push(null);
    }
    if (this.chains.length >= count) return;
    const length = Math.max(count, 2 * this.chains.length);
    const { chains, epochs } = this;
    this.chains = new Int32Array(length);
    this.chains.set(chains);
    this.epochs = new Int32Array(length);
    this.epochs.set(epochs);
  }

  private leave(command: Command): void {
    const { slot } = command;
    if (this.chains[slot] !== blankPage) this.releaseChain(command);
    this.commands[slot] = null;
    this.namespaces[slot] = null;
    this.inFlight--;
    this.controller.health.leave();
    if (this.qos !== null) this.qos.left(this.qosBase + slot, command.mapReads);
  }

  private releaseChain(command: Command): void {
    const namespace = this.namespaces[command.slot] ?? null;
    if (namespace === null) return;
    const { pool } = namespace.medium;
    for (let content = this.takeChain(command, namespace); content !== blankPage; ) {
      const next = pool.next[content]!;
      pool.release(content);
      content = next;
    }
  }
}

export interface WorkParts {
  readonly services: CommandServices;
  readonly controller: IoController;
  readonly media: MediaModel;
  readonly chance: Chance;
  /** None when left out. */
  readonly qos?: CardQos | null;
  /** The controller that programs policies: its queues can have some of their own. */
  readonly isPrimary?: boolean;
}

/** Errors that may be gone the next time; the same command with any other error fails again. */
const transient: ReadonlySet<number> = new Set([
  Status.dataTransferError,
  Status.internalError,
  Status.abortRequested,
  Status.abortedSqDeletion,
  Status.abortedFailedFused,
  Status.abortedMissingFused,
  Status.abortedPreemptAndAbort,
  Status.namespaceNotReady,
  Status.formatInProgress,
  Status.sanitizeInProgress,
  Status.commandInterrupted,
  Status.writeFault,
  Status.asymmetricAccessTransition,
]);

function isFinal(status: number): boolean {
  return !transient.has(status);
}
