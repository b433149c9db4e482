import type { Drive } from '../ftl/drive.js';
import type { AddTracks } from '../spans.js';
import type { FirmwareTiming } from './firmware-timing.js';
import type { MediaModel } from './io/media-model.js';

/**
 * What a card is behind its controllers: media and the cores of its firmware. Fixed times and a
 * model of the inside both stand behind it; nothing above can tell which.
 */
export interface CardInside {
  readonly media: MediaModel;
  /** What the media are made of; none with fixed times. */
  readonly drives: readonly Drive[];
  /** For one more controller. */
  makeFirmware(): FirmwareTiming;
  /** Temperature, thermal limits or a power state have changed. */
  paceChanged(): void;
  /** Wear, spare or the state of a drive has changed: the subsystem listens. */
  onWear: () => void;
  /** Tell when cores, channels and dies are busy. */
  watch(addTracks: AddTracks): void;
  /** What does not add up, in words: resources that were busy for longer than there was time. */
  violations(nowNs: number): readonly string[];
  /** What a crash log says about it. */
  facts(): Readonly<Record<string, number | string>>;
}
