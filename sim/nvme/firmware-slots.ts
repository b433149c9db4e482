import { Status } from '../../sdk/spec/nvme/status.js';
import { ActivationNeeds, readFirmwareImage } from '../../sdk/spec/ultima/firmware.js';

interface Slot {
  readonly revision: string;
  readonly needs: number;
}

/** What happened that may start another image, weakest first. */
export const ResetStrength = { controller: 1, subsystem: 2, conventional: 3 } as const;

/**
 * Firmware slots of a card [NVMe-2.0 §3.11 Firmware Update Process]. Slot 1 leaves the factory full
 * and can be replaced. One slot runs; at most one waits for a reset.
 */
export class FirmwareSlots {
  readonly count: number;
  running = 1;
  /** Slot that starts at the next reset that is strong enough; 0 none. */
  next = 0;
  private readonly slots: (Slot | null)[];
  private runningImage: Slot;

  constructor(count: number, revision: string) {
    this.count = count;
    this.slots = new Array<Slot | null>(count + 1).fill(null);
    this.runningImage = { revision, needs: ActivationNeeds.controllerReset };
    this.slots[1] = this.runningImage;
  }

  /** What Identify Controller reports: the image that runs, not what its slot holds now. */
  get runningRevision(): string {
    return this.runningImage.revision;
  }

  /** @returns '' for an empty slot */
  revisionOf(slot: number): string {
    return this.slots[slot]?.revision ?? '';
  }

  /** @returns 0, or the status of an image that is damaged */
  store(slot: number, image: Uint8Array): number {
    const facts = readFirmwareImage(image);
    if (facts === null) return Status.invalidFirmwareImage;
    this.slots[slot] = facts;
    return 0;
  }

  /** A slot to replace when the host leaves the choice: an empty one, else one not needed. */
  choose(): number {
    for (let slot = 1; slot <= this.count; slot++) if (this.slots[slot] === null) return slot;
    for (let slot = this.count; slot >= 1; slot--) {
      if (slot !== this.running && slot !== this.next) return slot;
    }
    return this.running;
  }

  isEmpty(slot: number): boolean {
    return this.slots[slot] === null;
  }

  needsOf(slot: number): number {
    return this.slots[slot]?.needs ?? ActivationNeeds.nothing;
  }

  activateAtReset(slot: number): void {
    this.next = slot;
  }

  activateNow(slot: number): void {
    const image = this.slots[slot];
    if (!image) return;
    this.running = slot;
    this.runningImage = image;
    this.next = 0;
  }

  /** A reset happened: the waiting image starts when the reset is strong enough for it. */
  reset(strength: number): boolean {
    const image = this.slots[this.next];
    if (this.next === 0 || !image || image.needs > strength) return false;
    this.activateNow(this.next);
    return true;
  }
}
