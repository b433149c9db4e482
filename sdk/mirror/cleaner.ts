import { BlockOp, BlockStatus } from '../block/request.js';
import { type MirrorEvents, mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';
import type { Verb } from './verbs.js';

export interface CleanerOptions {
  readonly io: MirrorIo;
  readonly events: MirrorEvents;
  /** Whether every configured member is connected and written. */
  readonly isComplete: () => boolean;
  /** Carry out a verb on a member; one that does not is given up. @returns whether it did */
  readonly ask: (member: number, verb: Verb) => Promise<boolean>;
}

/** Regions that are cleared at one time. */
const mostAtOnce = 32;

/**
 * Clears bits of the write-intent maps, some time after the last write. A bit goes only when every
 * configured member has the region, nothing is under way in it, and a flush that began after its
 * last write has ended on all of them.
 */
export class Cleaner {
  private readonly options: CleanerOptions;

  constructor(options: CleanerOptions) {
    this.options = options;
  }

  /** @returns how many regions are clean now that were not before */
  async pass(): Promise<number> {
    const { io, isComplete } = this.options;
    if (!isComplete()) return 0;
    const regions = io.regions.idle(mostAtOnce);
    if (regions.length === 0 || !(await this.flush())) return 0;
    const locks = await Promise.all(regions.map((region) => io.lockRegion(region)));
    try {
      return await this.clear(regions);
    } finally {
      for (const lock of locks) if (lock !== null) io.unlock(lock);
    }
  }

  /** Everything is flushed, and nobody writes: the caller holds all blocks. */
  async clearAll(): Promise<void> {
    const { regions } = this.options.io;
    const all = Array.from({ length: regions.count }, (_, region) => region);
    for (const region of all) if (regions.touched[region] === 2) regions.touched[region] = 1;
    await this.clear(all);
  }

  private async clear(regions: readonly number[]): Promise<number> {
    const { io, isComplete, ask } = this.options;
    // Whoever wrote after the flush began has touched it again.
    const idle = regions.filter((region) => io.regions.isIdle(region));
    if (io.isStopped || idle.length === 0 || !isComplete()) return 0;
    for (const region of idle) io.regions.touched[region] = 0;
    const verb: Verb = { verb: 'clear', regions: idle };
    await Promise.all(this.members().map((member) => ask(member, verb)));
    return idle.length;
  }

  /** Everything that has completed is durable on all members. */
  async flush(): Promise<boolean> {
    const { io, events } = this.options;
    const flushes = this.members().map(async (member) => {
      const path = io.paths[member];
      if (path == null) return false;
      const none = { lba: 0, blockCount: 0, region: null, offset: 0, isUrgent: true };
      const status = await path.transfer({ op: BlockOp.flush, ...none });
      if (status === BlockStatus.ok) return true;
      events.failed(member, 'it cannot be flushed');
      return false;
    });
    return (await Promise.all(flushes)).every((isDone) => isDone);
  }

  private members(): number[] {
    const { io } = this.options;
    const all = io.live | io.target;
    return Array.from({ length: mostMembers }, (_, i) => i).filter((i) => (all & (1 << i)) !== 0);
  }
}
