import { assert } from '../../sdk/assert.js';
import { MemoryDevice } from '../../sdk/block/memory.js';
import { type BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import type { Clock, DmaOptions, DmaRegion, DmaSpace } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';

/** Memory as that of a card behind an IOMMU: closing takes it away, views of it have length 0. */
export class TakenSpace implements DmaSpace {
  readonly regions: TakenRegion[] = [];
  isClosed = false;

  allocate(length: number, _options?: DmaOptions): DmaRegion {
    if (this.isClosed) throw new UltimaError(ErrorCode.dmaMapFailed, 'the function is closed');
    const region = new TakenRegion(this, 4096 * (this.regions.length + 1), length);
    this.regions.push(region);
    return region;
  }

  free(region: DmaRegion): void {
    const mine = this.regions.find((each) => each === region);
    if (mine?.isLost === true) return;
    assert(mine?.isFreed === false, 'memory was freed twice, or is foreign');
    mine.isFreed = true;
  }

  close(): void {
    this.isClosed = true;
    for (const region of this.regions) region.take();
  }

  get heldCount(): number {
    return this.regions.filter(({ isFreed }) => !isFreed).length;
  }
}

class TakenRegion implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;
  isLost = false;
  private readonly buffer: ArrayBuffer;

  constructor(space: DmaSpace, iova: number, length: number) {
    const buffer = new ArrayBuffer(length);
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.iova = iova;
    this.length = length;
    this.space = space;
  }

  take(): void {
    structuredClone(this.buffer, { transfer: [this.buffer] });
    this.isLost = !this.isFreed;
    this.isFreed = true;
  }
}

/** A device of a card: once that is closed, nothing is carried out any more. */
export class TakenDevice extends MemoryDevice {
  override readonly memory: DmaSpace;
  private readonly space: TakenSpace;
  private under: BlockRequest[] = [];
  /** It has no room for requests. */
  isFull = false;
  /** Nothing ends. */
  isHeld = false;
  submitted = 0;

  constructor(space: TakenSpace, clock: Clock, blockCount: number) {
    super({ blockBytes: 4096, blockCount, clock });
    this.memory = space;
    this.space = space;
  }

  override canSubmit(): boolean {
    return !this.isFull && super.canSubmit();
  }

  override submit(request: BlockRequest): void {
    this.submitted++;
    this.under.push(request);
  }

  override poll(): number {
    if (this.isHeld) return 0;
    const { under } = this;
    this.under = [];
    if (!this.space.isClosed) {
      for (const request of under) super.submit(request);
      return super.poll();
    }
    for (const request of under) {
      request.status = BlockStatus.unknown;
      request.done(request);
    }
    return under.length;
  }
}
