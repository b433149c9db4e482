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
  /** All units of the job are in the buffer. */
  readonly admitted: (job: number) => void;
}

/**
 * Writes on their way into the buffer. Who finds no room waits, first come first served, and the
 * buffer is drained for him: that is the back-pressure that makes writes as slow as the medium. The
 * rules of a profile give the buffer room for two rows of each drive and stream: when it is full, a
 * row is full or on its way.
 */
export class Admission {
  private readonly parts: AdmissionParts;
  private head = none;
  private tail = none;

  constructor(parts: AdmissionParts) {
    this.parts = parts;
  }

  admit(job: number): void {
    const { jobs, drain, world } = this.parts;
    if (this.head === none && this.fill(job)) {
      this.parts.admitted(job);
      return;
    }
    jobs.marks[job] = world.nowNs;
    jobs.nexts[job] = none;
    if (this.head === none) this.head = job;
    else jobs.nexts[this.tail] = job;
    this.tail = job;
    drain.isPressed = true;
    drain.kickAll();
  }

  /** There may be room. */
  serve(): void {
    const { jobs, drain, world } = this.parts;
    while (this.head !== none) {
      const job = this.head;
      if (!this.fill(job)) return;
      this.head = jobs.nexts[job]!;
      jobs.commands[job]!.bufferNs = world.nowNs - jobs.marks[job]!;
      this.parts.admitted(job);
    }
    drain.isPressed = false;
  }

  clear(): void {
    this.head = none;
    this.tail = none;
  }

  /** @returns whether all units of the job have found room */
  private fill(job: number): boolean {
    const { jobs, array, placement, buffer, drain, cache } = this.parts;
    if (jobs.nsids[job] === goneNsid) return true;
    const count = jobs.counts[job]!;
    for (let cursor = jobs.cursors[job]!; cursor < count; cursor++) {
      const at = placement.find(jobs.nsids[job]!, jobs.targets[job]! + cursor);
      const driveIndex = array.indexOf(at);
      const list = drain.listOf(driveIndex, jobs.lists[job]!);
      const isEdge = cursor === 0 || cursor === count - 1;
      const isPartial = isEdge && (jobs.flags[job]! & JobFlag.partial) !== 0;
      const needsOld = isPartial && !buffer.has(at) && !cache.has(at);
      if (!buffer.put(at, list)) {
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
