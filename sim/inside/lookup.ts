import { lookUpAndIssue, type Stages } from '../firmware/stages.js';
import type { World } from '../world.js';
import { JobFlag, type Jobs } from './jobs.js';

export interface LookupParts {
  readonly world: World;
  readonly jobs: Jobs;
  readonly stages: Stages;
  /** Units of a job in a row; 0: all of them. */
  readonly lookupUnits: number;
}

/**
 * Reads look their units up in the map and issue them. A large read does so in turns, and what
 * others want looked up meanwhile goes before its next turn.
 */
export class Lookup {
  private readonly world: World;
  private readonly jobs: Jobs;
  private readonly stages: Stages;
  private readonly lookupUnits: number;

  constructor(parts: LookupParts) {
    this.world = parts.world;
    this.jobs = parts.jobs;
    this.stages = parts.stages;
    this.lookupUnits = parts.lookupUnits;
  }

  /** A turn of a job, from `startNs` on. @returns when it is over: the next one, or the medium */
  run(job: number, startNs: number): number {
    const { jobs, stages, lookupUnits } = this;
    const left = jobs.counts[job]! - jobs.cursors[job]!;
    const units = lookupUnits === 0 ? left : Math.min(left, lookupUnits);
    const isReserved = (jobs.flags[job]! & JobFlag.reserved) !== 0;
    jobs.cursors[job]! += units;
    const readyNs = lookUpAndIssue(stages, startNs, units, isReserved);
    if (units === left) return readyNs;
    // The next turn begins when there is a slot for it, not when these are issued.
    const freeNs = stages.lookup.hardwareFreeAtNs;
    return Math.max(this.world.nowNs, freeNs === 0 ? readyNs : Math.min(readyNs, freeNs));
  }

  /** There were turns of the job, and there is another one to come. */
  isUnfinished(job: number): boolean {
    const cursor = this.jobs.cursors[job]!;
    return cursor > 0 && cursor < this.jobs.counts[job]!;
  }
}
