import type { World } from '../world.js';
import type { Drain } from './drain.js';
import { type DriveArray, TokenKind } from './drive-array.js';
import { goneNsid, JobFlag, type Jobs } from './jobs.js';
import type { Placement } from './placement.js';
import type { ReadCache } from './read-cache.js';
import type { WriteBuffer } from './write-buffer.js';

const none = -1;

export interface AdmissionParts {
  readonly world: World;
  readonly jobs: Jobs;
  readonly array: DriveArray;
  readonly placement: Placement;
  readonly cache: ReadCache;
  readonly buffer: WriteBuffer;
  readonly drain: Drain;
  /** Of the buffer, for writes that a reservation pays for. */
  readonly reservedUnits: number;
  /** All units of the job are in the buffer. */
  readonly admitted: (job: number) => void;
}

/**
 * Writes on their way into the buffer. Who finds no room waits, first come first served, and the
 * buffer is drained for him: that is the back-pressure that makes writes as slow as the medium.
 *
 * Writes that a reservation pays for have a line of their own, which goes first, and a part of the
 * buffer that no other write fills: so they wait for the medium only when they are faster than it.
 * The rules of a profile give the rest of the buffer room for two rows of each drive and stream:
 * when it is full, a row is full or on its way.
 */
export class Admission {
  private readonly parts: AdmissionParts;
  private readonly reserved: Line;
  private readonly others: Line;

  constructor(parts: AdmissionParts) {
    this.parts = parts;
    this.reserved = new Line(parts.jobs);
    this.others = new Line(parts.jobs);
  }

  admit(job: number): void {
    const { jobs, drain, world } = this.parts;
    const isReserved = (jobs.flags[job]! & JobFlag.reserved) !== 0;
    const line = isReserved ? this.reserved : this.others;
    const isFirst = line.head === none && (isReserved || this.reserved.head === none);
    if (isFirst && this.fill(job, isReserved)) {
      this.parts.admitted(job);
      return;
    }
    jobs.marks[job] = world.nowNs;
    line.push(job);
    drain.isPressed = true;
    drain.kickAll();
  }

  /** There may be room. */
  serve(): void {
    if (!this.serveLine(this.reserved, true) || !this.serveLine(this.others, false)) return;
    this.parts.drain.isPressed = false;
  }

  clear(): void {
    this.reserved.clear();
    this.others.clear();
  }

  /** @returns whether nobody is left in it */
  private serveLine(line: Line, isReserved: boolean): boolean {
    const { jobs, world } = this.parts;
    while (line.head !== none) {
      const job = line.head;
      if (!this.fill(job, isReserved)) return false;
      line.take();
      jobs.commands[job]!.bufferNs = world.nowNs - jobs.marks[job]!;
      this.parts.admitted(job);
    }
    return true;
  }

  /** @returns whether all units of the job have found room */
  private fill(job: number, isReserved: boolean): boolean {
    const { jobs, array, placement, buffer, drain, cache } = this.parts;
    const keepFree = isReserved ? 0 : this.parts.reservedUnits;
    if (jobs.nsids[job] === goneNsid) return true;
    const count = jobs.counts[job]!;
    for (let cursor = jobs.cursors[job]!; cursor < count; cursor++) {
      const at = placement.find(jobs.nsids[job]!, jobs.targets[job]! + cursor);
      const driveIndex = array.indexOf(at);
      const list = drain.listOf(driveIndex, jobs.lists[job]!);
      const isEdge = cursor === 0 || cursor === count - 1;
      const isPartial = isEdge && (jobs.flags[job]! & JobFlag.partial) !== 0;
      const needsOld = isPartial && !buffer.has(at) && !cache.has(at);
      if (!buffer.put(at, list, keepFree)) {
        jobs.cursors[job] = cursor;
        return false;
      }
      if (needsOld) {
        const token = array.tokenOf(TokenKind.background, 0);
        array.drive(driveIndex).read(array.localOf(at), 1, token);
      }
      cache.drop(at);
      drain.kick(list);
    }
    return true;
  }
}

/** Jobs in the order in which they came. */
class Line {
  head = none;
  private tail = none;
  private readonly jobs: Jobs;

  constructor(jobs: Jobs) {
    this.jobs = jobs;
  }

  push(job: number): void {
    this.jobs.nexts[job] = none;
    if (this.head === none) this.head = job;
    else this.jobs.nexts[this.tail] = job;
    this.tail = job;
  }

  take(): void {
    this.head = this.jobs.nexts[this.head]!;
  }

  clear(): void {
    this.head = none;
  }
}
