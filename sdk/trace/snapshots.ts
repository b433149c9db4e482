import type { BlockDevice } from '../block/device.js';
import { readBlocks } from '../block/promised.js';
import type { Shadow } from './shadow.js';
import type { Stamp } from './stamp.js';
import { type Mismatch, Verifier } from './verify.js';

/** Snapshots that a replay takes of its device while it runs. */
export interface ReplaySnapshots {
  /** How many, spread evenly over the requests. */
  readonly count: number;
  /**
   * Take one. `atInstant` is called at the instant that the snapshot shows: when every change that
   * has ended is in it, and no other.
   *
   * @returns the snapshot, to be read at the end
   */
  take(index: number, atInstant: () => void): Promise<BlockDevice>;
}

export interface SnapshotsResult {
  readonly taken: number;
  readonly verifiedBytes: number;
  readonly mismatches: number;
  readonly firstMismatches: readonly Mismatch[];
}

/** What the run knows of its blocks. */
export interface SnapshotSource {
  readonly stamp: Stamp;
  readonly initial: 'zeroes' | 'any';
  /** Longest read, in blocks. */
  readonly maxBlocks: number;
  freeze(): Shadow;
}

interface Taken {
  readonly device: BlockDevice;
  readonly frozen: Shadow;
}

/** Takes snapshots in the midst of a run, and compares each with the model as it was then. */
export class SnapshotTaker {
  private readonly options: ReplaySnapshots;
  private readonly source: SnapshotSource;
  private readonly every: number;
  private started = 0;
  private readonly taken: Promise<Taken>[] = [];

  constructor(options: ReplaySnapshots, source: SnapshotSource, requests: number) {
    this.options = options;
    this.source = source;
    this.every = requests / (options.count + 1);
  }

  /** Start those that are due when so many requests have ended. The run goes on meanwhile. */
  turn(ended: number): void {
    const { count } = this.options;
    while (this.started < count && ended >= this.every * (this.started + 1)) {
      const promise = this.take(this.started++);
      // Rejected before anybody waits for it; `finish` throws it.
      promise.catch(() => {});
      this.taken.push(promise);
    }
  }

  /** Read every snapshot and compare. */
  async finish(): Promise<SnapshotsResult> {
    let verifiedBytes = 0;
    let mismatches = 0;
    const firstMismatches: Mismatch[] = [];
    for (const promise of this.taken) {
      const { device, frozen } = await promise;
      const verifier = await this.compare(device, frozen);
      verifiedBytes += (verifier.blocks - verifier.unknownBlocks) * device.blockBytes;
      mismatches += verifier.mismatches;
      firstMismatches.push(...verifier.first);
    }
    return { taken: this.taken.length, verifiedBytes, mismatches, firstMismatches };
  }

  private async take(index: number): Promise<Taken> {
    let frozen: Shadow | null = null;
    const device = await this.options.take(index, () => {
      frozen = this.source.freeze();
    });
    if (frozen === null) throw new Error('a snapshot was taken, and nobody said when');
    return { device, frozen };
  }

  private async compare(device: BlockDevice, frozen: Shadow): Promise<Verifier> {
    const { stamp, initial, maxBlocks } = this.source;
    const verifier = new Verifier({ stamp, shadow: frozen, initial, keep: 16 });
    const floors = new Uint32Array(maxBlocks);
    const words = new Uint32Array(maxBlocks * stamp.blockWords);
    for (const { lba, count } of frozen.changedRuns(maxBlocks)) {
      await readBlocks(device, lba, new Uint8Array(words.buffer, 0, count * device.blockBytes));
      frozen.snapshot(lba, count, floors);
      const timeNs = device.clock.nowNs();
      verifier.check({ lba, count, at: 0, request: -1, timeNs }, words, floors);
    }
    return verifier;
  }
}
