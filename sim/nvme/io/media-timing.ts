import type { MediaProfile } from '../../profiles/profile.js';
import { pageDataBytes } from '../../store/page-pool.js';
import type { Chance } from '../cache.js';

/**
 * Fixed service times on a number of parallel units: a command takes the first unit that is free,
 * or waits for the one that is free first.
 */
export class MediaTiming {
  private readonly media: MediaProfile;
  private readonly chance: Chance;
  private readonly freeAtNs: Float64Array;
  private cursor = 0;

  constructor(media: MediaProfile, chance: Chance) {
    this.media = media;
    this.chance = chance;
    this.freeAtNs = new Float64Array(media.parallelUnits);
  }

  readNs(bytes: number): number {
    return this.media.readNs + this.media.readNextNs * furtherPages(bytes);
  }

  writeNs(bytes: number): number {
    return this.media.writeNs + this.media.writeNextNs * furtherPages(bytes);
  }

  flushNs(dirtyPages: number): number {
    return this.media.flushNs + this.media.flushNextNs * dirtyPages;
  }

  trimNs(ranges: number): number {
    return this.media.trimNs * ranges;
  }

  /** Reserve a unit for `serviceNs`. @returns ns from `nowNs` until the service is over */
  reserve(nowNs: number, serviceNs: number): number {
    const free = this.freeAtNs;
    const count = free.length;
    let unit = this.cursor;
    if (free[unit]! > nowNs) unit = this.findUnit(nowNs);
    this.cursor = unit + 1 === count ? 0 : unit + 1;
    const jitter = this.media.jitterPermille;
    const ns = jitter === 0 ? serviceNs : this.spread(serviceNs, jitter);
    const start = Math.max(free[unit]!, nowNs);
    free[unit] = start + ns;
    return start + ns - nowNs;
  }

  /** Nothing is in service any more: the power went. After a reset the media end their work. */
  clear(): void {
    this.freeAtNs.fill(0);
  }

  /** A unit that is free now, else the one that is free first. */
  private findUnit(nowNs: number): number {
    const free = this.freeAtNs;
    let best = 0;
    for (let unit = 0; unit < free.length; unit++) {
      if (free[unit]! < free[best]!) best = unit;
      if (free[best]! <= nowNs) break;
    }
    return best;
  }

  private spread(serviceNs: number, permille: number): number {
    return Math.round(serviceNs * (1 + (permille / 1000) * (this.chance.unit() * 2 - 1)));
  }
}

function furtherPages(bytes: number): number {
  return bytes <= pageDataBytes ? 0 : Math.ceil(bytes / pageDataBytes) - 1;
}
