import type { FirmwareProfile } from '../profiles/profile.js';

/**
 * What the card's software costs a command before and after its media work. Absolute times are
 * whole virtual nanoseconds, and none lies before the `nowNs` or `startNs` that was given.
 */
export interface FirmwareTiming {
  /** When one more command could be decoded. */
  readonly freeAtNs: number;
  /** The controller was enabled. */
  start(nowNs: number): void;
  /** A queue has entries. @returns ns until the request for them goes out */
  fetch(nowNs: number): number;
  /** An entry is here. @returns when its command set can have it */
  decode(nowNs: number): number;
  /** The data pointer has so many pieces. @returns when all were followed */
  walk(startNs: number, pieces: number): number;
  /** @returns ns from the end of the work until the completion entry goes out */
  complete(nowNs: number): number;
  /** @returns ns until the message of an interrupt goes out */
  interrupt(nowNs: number): number;
}

/** Fixed times, and one core that decodes one command after the other. */
export class FixedFirmware implements FirmwareTiming {
  freeAtNs = 0;
  private readonly fetchNs: number;
  private readonly decodeNs: number;
  private readonly completeNs: number;

  constructor(profile: FirmwareProfile) {
    this.fetchNs = profile.fetchNs;
    this.decodeNs = profile.decodeNs;
    this.completeNs = profile.completeNs;
  }

  start(nowNs: number): void {
    this.freeAtNs = nowNs;
  }

  fetch(): number {
    return this.fetchNs;
  }

  decode(nowNs: number): number {
    this.freeAtNs = Math.max(this.freeAtNs, nowNs) + this.decodeNs;
    return this.freeAtNs;
  }

  walk(startNs: number): number {
    return startNs;
  }

  complete(): number {
    return this.completeNs;
  }

  interrupt(): number {
    return 0;
  }
}
