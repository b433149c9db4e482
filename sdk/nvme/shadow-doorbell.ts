/**
 * A doorbell in memory that the controller reads by itself; the register is written only when the
 * controller asks for it through the event index [NVMe-2.0 §5.8 Doorbell Buffer Config].
 */
export class ShadowDoorbell {
  private readonly shadow: Uint32Array;
  private readonly eventIndex: Uint32Array;
  private readonly at: number;
  private value = 0;

  constructor(parts: ShadowParts) {
    this.shadow = parts.shadow;
    this.eventIndex = parts.eventIndex;
    this.at = parts.at;
  }

  /** Store the new index. @returns whether the register must be written as well */
  mustRing(index: number): boolean {
    const old = this.value;
    this.value = index;
    // The store must be visible before the event index is read: Atomics.store is a full barrier.
    Atomics.store(this.shadow, this.at, index);
    const event = Atomics.load(this.eventIndex, this.at);
    // Wrap-safe at 16 bits: the register is due when the event index lies in old..index - 1.
    return ((index - event - 1) & 0xffff) < ((index - old) & 0xffff);
  }

  /** As after Doorbell Buffer Config or the deletion of the queue. */
  reset(): void {
    this.value = 0;
    this.shadow[this.at] = 0;
    this.eventIndex[this.at] = 0;
  }
}

export interface ShadowParts {
  readonly shadow: Uint32Array;
  readonly eventIndex: Uint32Array;
  /** Dword index of this doorbell. */
  readonly at: number;
}
