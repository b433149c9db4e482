import { assert } from '../../sdk/assert.js';
import { Command, FuseRole } from './command.js';
import { CommandAudit } from './command-audit.js';
import type { SubmissionQueue } from './submission-queue.js';

/** Commands inside one controller at a time, outstanding event requests included. */
export const commandSlots = 4096;

/** Where a command is inside the controller. */
export const CommandState = {
  free: 0,
  /** It has just arrived, and nobody has seen it. */
  fetched: 6,
  /** First half of a fused pair that waits for the second; its executor has not seen it. */
  held: 1,
  /** With its executor. */
  executing: 2,
  /** With its executor, which waits for a timer. */
  delayed: 3,
  /** Complete: its entry is on the way, or waits for room in the completion queue. */
  posting: 4,
  /** Ended from outside while an event for it is pending: free when that event comes. */
  orphan: 5,
} as const;

/**
 * All commands of a controller. Slots are made on first use and reused for ever. A slot with a
 * pending event is not given out again before that event has come: an event thus never finds
 * another command in its slot.
 */
export class CommandPool {
  /** Every slot made so far, by slot number. */
  readonly commands: Command[] = [];
  /** The submission queue of the command in each slot, deleted or not. */
  readonly queues: (SubmissionQueue | null)[] = [];
  /** Events of the world that name the slot, by slot. */
  private readonly pendingEvents: Uint8Array;
  readonly audit = new CommandAudit();
  private readonly free: Command[] = [];
  private readonly limit: number;
  private used = 0;

  constructor(limit: number) {
    assert(limit >= 2 && limit < 65_536, 'command slots are numbered in 16 bits');
    this.limit = limit;
    this.pendingEvents = new Uint8Array(limit);
  }

  /** Slots that can be taken now. */
  get available(): number {
    return this.limit - this.used;
  }

  /** Commands that are inside now; what ended while an event names its slot is not. */
  get held(): number {
    let count = 0;
    for (const { state } of this.commands) {
      if (state !== CommandState.free && state !== CommandState.orphan) count++;
    }
    return count;
  }

  take(queue: SubmissionQueue): Command {
    assert(this.used < this.limit, 'a command was fetched without a slot for it');
    this.used++;
    let command = this.free.pop();
    if (command === undefined) {
      command = new Command(this.commands.length);
      this.commands.push(command);
      this.queues.push(null);
    }
    this.queues[command.slot] = queue;
    return command;
  }

  /** Give the slot back, at once or when its last event has come. */
  release(command: Command): void {
    if (this.pendingEvents[command.slot] !== 0) {
      command.state = CommandState.orphan;
      return;
    }
    const partner = command.partner;
    if (partner !== null) {
      partner.partner = null;
      command.partner = null;
    }
    this.queues[command.slot] = null;
    command.state = CommandState.free;
    command.fuse = FuseRole.none;
    // A command without a result must not answer with that of the slot's last user.
    command.dw0 = 0;
    command.dw1 = 0;
    this.used--;
    this.free.push(command);
  }

  /** An event that names this slot is in the world's queue. */
  expectEvent(slot: number): void {
    this.pendingEvents[slot]!++;
  }

  /** That event has come. @returns the command, or null when it had ended meanwhile */
  meetEvent(slot: number): Command | null {
    const left = this.pendingEvents[slot]! - 1;
    this.pendingEvents[slot] = left;
    const command = this.commands[slot]!;
    if (command.state !== CommandState.orphan) return command;
    if (left === 0) this.release(command);
    return null;
  }
}
