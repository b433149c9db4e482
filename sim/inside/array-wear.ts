import type { Drive } from '../ftl/drive.js';
import type { MediaWear } from '../nvme/io/media-model.js';
import { unitBytes } from './units.js';

/** What drives know about their wear: the worst of each, and what was written in all. */
export function wearOf(drives: readonly Drive[], isReadOnly: boolean): MediaWear {
  let sparePercent = 100;
  let usedPercent = 0;
  let mediaWrittenBytes = 0;
  for (const drive of drives) {
    const wear = drive.wear();
    sparePercent = Math.min(sparePercent, wear.sparePercent);
    usedPercent = Math.max(usedPercent, wear.usedPercent);
    mediaWrittenBytes += drive.statistics.mediaWriteUnits * unitBytes;
  }
  return { sparePercent, usedPercent, mediaWrittenBytes, isReadOnly };
}
