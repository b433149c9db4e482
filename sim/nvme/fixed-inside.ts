import type { FirmwareProfile, MediaProfile } from '../profiles/profile.js';
import type { Chance } from './cache.js';
import type { CardInside } from './card-inside.js';
import { type FirmwareTiming, FixedFirmware } from './firmware-timing.js';
import { MediaTiming } from './io/media-timing.js';

/** A card without an inside: fixed service times, a decoder per controller. */
export class FixedInside implements CardInside {
  readonly media: MediaTiming;
  readonly drives = [];
  onWear: () => void = () => {};
  private readonly firmware: FirmwareProfile;

  constructor(media: MediaProfile, firmware: FirmwareProfile, chance: Chance) {
    this.media = new MediaTiming(media, chance);
    this.firmware = firmware;
  }

  makeFirmware(): FirmwareTiming {
    return new FixedFirmware(this.firmware);
  }

  paceChanged(): void {
    // Fixed times know no temperature.
  }

  watch(): void {
    // Fixed times have no parts.
  }

  violations(): readonly string[] {
    return [];
  }

  facts(): Readonly<Record<string, number | string>> {
    return {};
  }
}
