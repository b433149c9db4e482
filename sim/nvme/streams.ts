/** Streams of the whole subsystem, and the most that one namespace can reserve. */
export const streamLimit = 16; // guess

/**
 * The Streams directive of one controller [NVMe-2.0 §8.7.3]: which namespaces have it enabled, what
 * they have reserved, and which identifiers are open.
 */
export class Streams {
  private readonly enabled = new Set<number>();
  private readonly reserved = new Map<number, number>();
  private readonly open = new Map<number, Set<number>>();

  isEnabled(nsid: number): boolean {
    return this.enabled.has(nsid);
  }

  enable(nsid: number, isEnabled: boolean): void {
    if (isEnabled) this.enabled.add(nsid);
    else {
      this.enabled.delete(nsid);
      this.release(nsid);
      this.open.delete(nsid);
    }
  }

  /** Streams that a namespace has for itself. */
  reservedBy(nsid: number): number {
    return this.reserved.get(nsid) ?? 0;
  }

  /** Streams that nobody has reserved. */
  get available(): number {
    let taken = 0;
    for (const count of this.reserved.values()) taken += count;
    return streamLimit - taken;
  }

  /** @returns how many the namespace got: what it asked for, or what was left */
  reserve(nsid: number, count: number): number {
    const granted = Math.min(count, this.available);
    if (granted > 0) this.reserved.set(nsid, granted);
    return granted;
  }

  release(nsid: number): void {
    this.reserved.delete(nsid);
  }

  /** A write used a stream: it opens. */
  use(nsid: number, stream: number): void {
    if (!this.isEnabled(nsid) || stream === 0) return;
    let set = this.open.get(nsid);
    if (set === undefined) {
      set = new Set();
      this.open.set(nsid, set);
    }
    set.add(stream);
  }

  close(nsid: number, stream: number): void {
    this.open.get(nsid)?.delete(stream);
  }

  /** Ascending. */
  openOf(nsid: number): number[] {
    return [...(this.open.get(nsid) ?? [])].sort((a, b) => a - b);
  }

  /** Sanitize releases every identifier; what is reserved stays. */
  closeAll(): void {
    this.open.clear();
  }

  get openCount(): number {
    let count = 0;
    for (const set of this.open.values()) count += set.size;
    return count;
  }

  /** A reset of the controller turns the directive off everywhere. */
  reset(): void {
    this.enabled.clear();
    this.reserved.clear();
    this.open.clear();
  }
}
