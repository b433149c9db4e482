import type { DmaOptions, DmaRegion, DmaSpace } from '../../../sdk/device.js';

/** Memory of the fake function: regions have addresses of their own, freed ones are remembered. */
export class FakeMemory implements DmaSpace {
  /** Device accesses to memory that is not mapped. */
  readonly faults: string[] = [];
  readonly regions: FakeRegion[] = [];
  /** Allocations that still work; then DMA mapping fails. */
  budget = Number.POSITIVE_INFINITY;
  /** Where the next region starts, or behind it. */
  nextIova = 0x10_0000;

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    if (this.budget-- <= 0) throw new Error('mapping failed');
    const alignment = Math.max(4096, options.alignment ?? 4096);
    const iova = Math.ceil(this.nextIova / alignment) * alignment;
    // A gap behind each region, so that running over its end is seen.
    this.nextIova = iova + Math.ceil(length / 4096) * 4096 + 4096;
    const region = new FakeRegion(this, { iova, length });
    this.regions.push(region);
    return region;
  }

  free(region: DmaRegion): void {
    const found = this.regions.find((one) => one === region);
    if (found === undefined || found.isFreed) throw new TypeError('foreign or freed memory');
    found.isFreed = true;
  }

  get liveCount(): number {
    return this.regions.filter((region) => !region.isFreed).length;
  }

  /** As the device sees it: null and a fault for an address that is not mapped. */
  at(
    iova: number,
    length: number,
  ): { readonly region: FakeRegion; readonly offset: number } | null {
    for (const region of this.regions) {
      const offset = iova - region.iova;
      if (offset < 0 || offset + length > region.length) continue;
      if (!region.isFreed) return { region, offset };
      this.faults.push(`freed memory at 0x${iova.toString(16)}`);
      return null;
    }
    this.faults.push(`unmapped memory at 0x${iova.toString(16)}`);
    return null;
  }

  /** Dwords at a device address, or null. */
  words(iova: number, count: number): Uint32Array | null {
    const found = this.at(iova, count * 4);
    if (found === null) return null;
    return found.region.words.subarray(found.offset / 4, found.offset / 4 + count);
  }

  bytes(iova: number, length: number): Uint8Array | null {
    const found = this.at(iova, length);
    return found === null ? null : found.region.bytes.subarray(found.offset, found.offset + length);
  }
}

class FakeRegion implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;

  constructor(space: DmaSpace, parts: { readonly iova: number; readonly length: number }) {
    this.space = space;
    this.iova = parts.iova;
    this.length = parts.length;
    const buffer = new ArrayBuffer(Math.ceil(parts.length / 4) * 4);
    this.bytes = new Uint8Array(buffer, 0, parts.length);
    this.words = new Uint32Array(buffer);
  }
}
