import { blankImage, CrashDevice, type CrashEvent } from './crash-device.js';
import type { VolumeModel } from './volume-model.js';
import { mostGrowths } from './volume-steps.js';

const blockBytes = 512;
export const firstBytes = 4 * 1024 * 1024;
const growthBytes = 256 * 1024;
const mostBlocks = (firstBytes + mostGrowths * growthBytes) / blockBytes;
const secondBytes = 1024 * 1024;

/** Both devices, as large as they ever become, and never written. */
export function blankDisks(hasProtection: boolean): Uint8Array {
  return blankImage(mostBlocks + secondBytes / blockBytes, blockBytes, hasProtection);
}

export interface DiskOptions {
  readonly hasProtection: boolean;
  readonly pollsPerEnd?: number;
}

/** The two devices of a storm in one image, so that a cut cuts both. */
export class CrashDisks {
  readonly first: CrashDevice;
  readonly second: CrashDevice;

  constructor(image: Uint8Array, options: DiskOptions) {
    const common = { blockBytes, ...options };
    this.first = new CrashDevice({ ...common, bytes: firstBytes }, image);
    const at = mostBlocks * this.first.storedBytes;
    this.second = new CrashDevice({ ...common, bytes: secondBytes, at }, image);
    this.second.log = this.first.log;
  }

  get both(): CrashDevice[] {
    return [this.first, this.second];
  }

  get log(): CrashEvent[] {
    return this.first.log;
  }

  /** As large as a model has the first device. */
  size({ growths }: VolumeModel): void {
    this.first.blockCount = (firstBytes + growths * growthBytes) / blockBytes;
  }

  /** Those that a model has in the pool. */
  of({ hasSecond }: VolumeModel): CrashDevice[] {
    return hasSecond ? this.both : [this.first];
  }

  record(isLogging: boolean): void {
    for (const disk of this.both) disk.isLogging = isLogging;
  }

  /** The machine is gone. */
  forget(): void {
    for (const disk of this.both) disk.forget();
  }
}
