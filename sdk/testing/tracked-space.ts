import type { DmaOptions, DmaRegion, DmaSpace } from '../device.js';

/** DMA memory of one test: what it allocated is given back when it ends. */
export class TrackedSpace implements DmaSpace {
  private readonly inner: DmaSpace;
  private readonly regions: DmaRegion[] = [];

  constructor(inner: DmaSpace) {
    this.inner = inner;
  }

  allocate(length: number, options?: DmaOptions): DmaRegion {
    const region = this.inner.allocate(length, options);
    this.regions.push(region);
    return region;
  }

  free(region: DmaRegion): void {
    this.inner.free(region);
  }

  freeAll(): void {
    for (const region of this.regions.splice(0)) {
      if (!region.isFreed) this.inner.free(region);
    }
  }
}
