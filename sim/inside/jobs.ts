import type { Command } from '../nvme/command.js';
import type { CommandServices } from '../nvme/executor.js';

/** What a job waits for. */
export const JobState = {
  free: 0,
  /** An event of the world that names it. */
  timer: 1,
  /** Drives, the buffer or a flush. */
  waiting: 2,
  /** Its command is gone; the event that names it is still to come. */
  dead: 3,
} as const;

/**
 * Of a write: it begins or ends inside a unit; it has to be durable when it ends. Of any job: a
 * reservation pays for it; the card is still busy with its data pointer or data.
 */
export const JobFlag = { partial: 1, forced: 2, reserved: 4, preparing: 8 } as const;

/** In place of a namespace identifier: the namespace was deleted under the job. */
export const goneNsid = 0;

const firstCapacity = 64;

/**
 * The commands that the media work on, in tables. A job is a place in them; a place is not given
 * out again while an event names it.
 */
export class Jobs {
  count = 0;
  states = new Uint8Array(firstCapacity);
  /** What the job does next: a number of its owner. */
  steps = new Uint8Array(firstCapacity);
  nsids = new Int32Array(firstCapacity);
  /** First unit in the namespace, units, and how many of them are dealt with. */
  units = new Float64Array(firstCapacity);
  counts = new Int32Array(firstCapacity);
  cursors = new Int32Array(firstCapacity);
  /** First unit of the second half of an update. */
  targets = new Float64Array(firstCapacity);
  lists = new Uint16Array(firstCapacity);
  /** Bits of `JobFlag`. */
  flags = new Uint8Array(firstCapacity);
  /** Requests of the job that a drive has. */
  remaining = new Int32Array(firstCapacity);
  statuses = new Int32Array(firstCapacity);
  /** When it began to wait for the buffer, or the sequence number that it waits for. */
  marks = new Float64Array(firstCapacity);
  nexts = new Int32Array(firstCapacity);
  readonly services: (CommandServices | null)[] = [];
  readonly commands: (Command | null)[] = [];
  private readonly free: number[] = [];

  take(services: CommandServices, command: Command): number {
    const job = this.free.pop() ?? this.grow();
    this.count++;
    this.states[job] = JobState.timer;
    this.services[job] = services;
    this.commands[job] = command;
    this.cursors[job] = 0;
    this.flags[job] = command.isReserved ? JobFlag.reserved : 0;
    this.remaining[job] = 0;
    this.statuses[job] = 0;
    return job;
  }

  release(job: number): void {
    this.count--;
    this.states[job] = JobState.free;
    this.services[job] = null;
    this.commands[job] = null;
    this.free.push(job);
  }

  /** A namespace is deleted: no job of it touches the media any more. */
  forsake(nsid: number): void {
    for (let job = 0; job < this.size; job++) {
      if (this.commands[job] !== null && this.nsids[job] === nsid) this.nsids[job] = goneNsid;
    }
  }

  /** Every place made so far. */
  get size(): number {
    return this.services.length;
  }

  private grow(): number {
    const job = this.services.length;
    this.services.push(null);
    this.commands.push(null);
    if (job < this.states.length) return job;
    const size = 2 * this.states.length;
    const bytes = (old: Uint8Array): Uint8Array<ArrayBuffer> => {
      const table = new Uint8Array(size);
      table.set(old);
      return table;
    };
    const words = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const table = new Int32Array(size);
      table.set(old);
      return table;
    };
    const numbers = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const table = new Float64Array(size);
      table.set(old);
      return table;
    };
    const lists = new Uint16Array(size);
    lists.set(this.lists);
    this.states = bytes(this.states);
    this.steps = bytes(this.steps);
    this.flags = bytes(this.flags);
    this.nsids = words(this.nsids);
    this.counts = words(this.counts);
    this.cursors = words(this.cursors);
    this.remaining = words(this.remaining);
    this.statuses = words(this.statuses);
    this.nexts = words(this.nexts);
    this.units = numbers(this.units);
    this.targets = numbers(this.targets);
    this.marks = numbers(this.marks);
    this.lists = lists;
    return job;
  }
}
