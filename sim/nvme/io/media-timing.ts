import type { MediaProfile } from '../../profiles/profile.js';
import { pageDataBytes } from '../../store/page-pool.js';
import type { Chance } from '../cache.js';
import type { Command } from '../command.js';
import type { CommandServices } from '../executor.js';
import type { Namespace } from '../namespace.js';
import type { MediaModel, MediaWear } from './media-model.js';

/**
 * Fixed service times on a number of parallel units: a command takes the first unit that is free,
 * or waits for the one that is free first.
 */
export class MediaTiming implements MediaModel {
  readonly typicalReadNs: number;
  readonly eraseAllNs = 0;
  readonly isReadOnly = false;
  private readonly media: MediaProfile;
  private readonly chance: Chance;
  private readonly freeAtNs: Float64Array;
  private cursor = 0;

  constructor(media: MediaProfile, chance: Chance) {
    this.media = media;
    this.typicalReadNs = media.readNs;
    this.chance = chance;
    this.freeAtNs = new Float64Array(media.parallelUnits);
  }

  read(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    _lba: number,
    count: number,
  ): void {
    this.serve(services, command, this.readNs(count * namespace.dataBytes));
  }

  write(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    _lba: number,
    count: number,
  ): void {
    this.serve(services, command, this.writeNs(count * namespace.dataBytes));
  }

  update(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    _source: number,
    _lba: number,
    count: number,
  ): void {
    const bytes = count * namespace.dataBytes;
    this.serve(services, command, this.readNs(bytes) + this.writeNs(bytes));
  }

  flush(services: CommandServices, command: Command, dirtyPages: number): void {
    this.serve(services, command, this.media.flushNs + this.media.flushNextNs * dirtyPages);
  }

  manage(services: CommandServices, command: Command, pieces: number): void {
    this.serve(services, command, this.media.trimNs * pieces);
  }

  retry(services: CommandServices, command: Command, attempts: number, limitNs: number): void {
    this.serve(services, command, Math.min(attempts * this.media.readNs, limitNs));
  }

  // Fixed times have no state: nothing follows from what happens to blocks.

  deallocate(): void {}
  place(): void {}
  forget(): void {}
  remove(): void {}
  fill(): void {}
  eraseAll(): void {}
  powerRestored(): void {}

  wear(): MediaWear | null {
    return null;
  }

  shutdownNs(dirtyPages: number): number {
    return dirtyPages * this.media.flushNextNs;
  }

  /** Nothing is in service any more. After a reset the media end their work. */
  powerLost(): void {
    this.freeAtNs.fill(0);
  }

  private readNs(bytes: number): number {
    return this.media.readNs + this.media.readNextNs * furtherPages(bytes);
  }

  private writeNs(bytes: number): number {
    return this.media.writeNs + this.media.writeNextNs * furtherPages(bytes);
  }

  private serve(services: CommandServices, command: Command, serviceNs: number): void {
    services.delay(command, this.reserve(services, serviceNs));
  }

  /** Reserve a unit for `serviceNs`. @returns ns from now until the service is over */
  private reserve(services: CommandServices, serviceNs: number): number {
    const { nowNs } = services;
    const free = this.freeAtNs;
    const count = free.length;
    let unit = this.cursor;
    if (free[unit]! > nowNs) unit = this.findUnit(services);
    this.cursor = unit + 1 === count ? 0 : unit + 1;
    const jitter = this.media.jitterPermille;
    const ns = jitter === 0 ? serviceNs : this.spread(serviceNs, jitter);
    const start = Math.max(free[unit]!, nowNs);
    free[unit] = start + ns;
    return start + ns - nowNs;
  }

  /** A unit that is free now, else the one that is free first. */
  private findUnit(services: CommandServices): number {
    const { nowNs } = services;
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
