import type { FirmwareProfile } from '../profiles/profile.js';
import type { World } from '../world.js';

/**
 * What the card's software costs a command before and after its media work. Times are whole virtual
 * nanoseconds from now: small integers, which cost no allocation where absolute times would.
 */
export interface FirmwareTiming {
  /** @returns ns until one more command could be decoded, not above 0 when it could be now */
  busyNs(world: World): number;
  /** The controller was enabled. */
  start(world: World): void;
  /** A queue has entries. @returns ns until the request for them goes out */
  fetch(world: World): number;
  /** An entry is here. @returns ns until its command set can have it */
  decode(world: World): number;
  /** The data pointer has so many pieces. @returns ns until all were followed */
  walk(world: World, startInNs: number, pieces: number, isReserved: boolean): number;
  /** @returns ns from the end of the work until the completion entry goes out */
  complete(world: World, isReserved: boolean): number;
  /** @returns ns until the message of an interrupt goes out */
  interrupt(world: World): number;
}

/** Fixed times, and one core that decodes one command after the other. */
export class FixedFirmware implements FirmwareTiming {
  private freeAtNs = 0;
  private readonly fetchNs: number;
  private readonly decodeNs: number;
  private readonly completeNs: number;

  constructor(profile: FirmwareProfile) {
    this.fetchNs = profile.fetchNs;
    this.decodeNs = profile.decodeNs;
    this.completeNs = profile.completeNs;
  }

  busyNs(world: World): number {
    return this.freeAtNs - world.nowNs;
  }

  start(world: World): void {
    this.freeAtNs = world.nowNs;
  }

  fetch(): number {
    return this.fetchNs;
  }

  decode(world: World): number {
    const { nowNs } = world;
    this.freeAtNs = Math.max(this.freeAtNs, nowNs) + this.decodeNs;
    return this.freeAtNs - nowNs;
  }

  walk(_world: World, startInNs: number): number {
    return startInNs;
  }

  complete(): number {
    return this.completeNs;
  }

  interrupt(): number {
    return 0;
  }
}
