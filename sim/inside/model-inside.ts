import { FirmwareCores, type Pace } from '../firmware/firmware-cores.js';
import type { Drive } from '../ftl/drive.js';
import type { CardInside } from '../nvme/card-inside.js';
import type { FirmwareTiming } from '../nvme/firmware-timing.js';
import type { InsideProfile } from '../profiles/inside.js';
import type { Profile } from '../profiles/profile.js';
import { type AddTracks, numbered } from '../spans.js';
import type { World } from '../world.js';
import { describeDrive, type MakeDrive } from './drive-kinds.js';
import { InsideMedia } from './inside-media.js';

export interface ModelInsideParts {
  readonly world: World;
  readonly profile: Profile;
  readonly inside: InsideProfile;
  /** Of the card, in its world. */
  readonly name: string;
  readonly pace: () => Pace;
  /** Other drives than those of the profile: for tests of what is above them. */
  readonly makeDrive?: MakeDrive;
}

/** A card whose firmware, buffers and drives are modelled. */
export class ModelInside implements CardInside {
  readonly media: InsideMedia;
  readonly firmware: FirmwareCores;
  onWear: () => void = () => {};

  constructor(parts: ModelInsideParts) {
    const { world, profile, inside } = parts;
    const { cores, stages } = inside;
    this.firmware = new FirmwareCores({
      cores,
      stages,
      firmware: profile.firmware,
      pace: parts.pace,
    });
    const kind = describeDrive(inside);
    this.media = new InsideMedia({
      world,
      profile: inside,
      isVolatile: profile.cache.isVolatile,
      allocationBytes: profile.subsystem.allocationBytes,
      firmware: this.firmware,
      ...kind,
      makeDrive: parts.makeDrive ?? kind.makeDrive(world, parts.name),
    });
    this.media.onChange = () => this.onWear();
  }

  get drives(): readonly Drive[] {
    return this.media.array.drives;
  }

  makeFirmware(): FirmwareTiming {
    return this.firmware;
  }

  paceChanged(): void {
    this.firmware.paceChanged();
  }

  watch(addTracks: AddTracks): void {
    const { front, back } = this.firmware;
    front.tracks = addTracks(numbered('front core', front.count));
    back.tracks = addTracks(numbered('back core', back.count));
    const isAlone = this.drives.length === 1;
    for (const [i, drive] of this.drives.entries()) {
      drive.watch(addTracks, isAlone ? 'drive' : `drive ${i}`);
    }
  }

  violations(nowNs: number): readonly string[] {
    const found: string[] = [];
    for (const name of ['front', 'back'] as const) {
      const group = this.firmware[name];
      // Work that was given out in advance counts as well, and the time until it is done.
      const thereNs = group.count * Math.max(nowNs, group.latestNs);
      if (group.busyNs > thereNs) found.push(`${name} cores: ${group.busyNs} of ${thereNs} ns`);
    }
    return found;
  }

  facts(): Readonly<Record<string, number | string>> {
    const { buffer } = this.media;
    const { drives } = this;
    return {
      ...this.firmware.facts(),
      drives: drives.length,
      'drive-requests': drives.reduce((sum, drive) => sum + drive.inFlight, 0),
      'buffer-units': buffer?.used ?? 0,
      'buffer-dirty-units': buffer?.dirty ?? 0,
    };
  }
}
