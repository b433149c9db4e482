import type { BlockDevice } from '../block/device.js';
import type { Report } from '../observe/report.js';
import { TestPrng } from '../testing/prng.js';
import type { ReplayResult } from '../trace/replay.js';
import type { ReplaySnapshots } from '../trace/snapshots.js';
import { cellBytes, maxVolumeBytes } from '../volume/format.js';
import { Pool } from '../volume/pool.js';
import type { Volume } from '../volume/volume.js';
import { bytesText, secondsText } from './replay-text.js';

/** What a replay runs on when that is more than a namespace. */
export interface ReplayTarget {
  readonly device: BlockDevice;
  snapshots(count: number): ReplaySnapshots;
  /** So many requests have ended. */
  progress?(ended: number, total: number): void;
  /** The run is over: look whether all is well, and close. @returns what is wrong */
  finish(): Promise<string[]>;
  lines(result: ReplayResult, faults: readonly string[]): string[];
  /** For the report. */
  readonly facts?: Report['conditions'];
  courses?(result: ReplayResult): NonNullable<Report['courses']>;
}

/** A pool on the card, and a volume of it that the replay runs on. */
export class ReplayVolume implements ReplayTarget {
  readonly device: Volume;
  /** Longest time that a snapshot has held writes back. */
  longestPauseNs = 0;
  private readonly pool: Pool;

  private constructor(pool: Pool, volume: Volume) {
    this.pool = pool;
    this.device = volume;
  }

  /** Identities follow from the seed, so that one seed gives one run. */
  static async make(device: BlockDevice, seed: number): Promise<ReplayVolume> {
    const chance = new TestPrng(seed);
    const random = (bytes: Uint8Array): void => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = chance.word();
    };
    const pool = await Pool.create([device], { random, overwrites: true });
    const size = Math.min(device.blockCount * device.blockBytes, maxVolumeBytes);
    const bytes = size - (size % cellBytes);
    const blockBytes = device.blockBytes === 512 ? 512 : 4096;
    return new ReplayVolume(pool, await pool.createVolume({ name: 'replay', bytes, blockBytes }));
  }

  snapshots(count: number): ReplaySnapshots {
    return { count, take: (index, atInstant) => this.take(index, atInstant) };
  }

  /** Close the pool. @returns what is wrong with it; nothing, if all is well */
  async finish(): Promise<string[]> {
    const findings = await this.pool.check();
    await this.pool.close();
    return findings.map(({ what, text }) => `${what}: ${text}`);
  }

  /** The snapshots, and the space that they and the volume take. */
  lines({ snapshots }: ReplayResult, faults: readonly string[]): string[] {
    if (snapshots === null) return [];
    const { taken, verifiedBytes, mismatches } = snapshots;
    const verdict = mismatches === 0 ? 'each as it must be' : `${mismatches} blocks are WRONG`;
    const { dataBytes, metadataBytes } = this.pool.space();
    const state = faults.length === 0 ? 'sound' : faults.join('; ');
    return [
      `  snapshots  ${taken} while it ran, writes held back ${secondsText(this.longestPauseNs)} ` +
        `at most: ${bytesText(verifiedBytes)} compared, ${verdict}`,
      `  pool       ${bytesText(dataBytes)} data, ${bytesText(metadataBytes)} metadata, ${state}`,
    ];
  }

  private async take(index: number, atInstant: () => void): Promise<BlockDevice> {
    const name = `s${index + 1}`;
    const members = [{ volume: 'replay', name }];
    const mostPauseNs = Number.POSITIVE_INFINITY;
    const { pauseNs } = await this.pool.takeSnapshot(members, { atInstant, mostPauseNs });
    this.longestPauseNs = Math.max(this.longestPauseNs, pauseNs);
    return this.pool.snapshot('replay', name);
  }
}
