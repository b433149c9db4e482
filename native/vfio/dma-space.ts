import type { DmaAccess, DmaOptions, DmaRegion, DmaSpace } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { GiB, KiB, MiB } from '../../sdk/units.js';
import { errnoText, type Kernel } from '../kernel.js';
import type { AddressSpace } from './iommu.js';
import { IovaAllocator } from './iova-allocator.js';

export interface DmaSpaceOptions {
  /** Bytes of the arena that is mapped at open; 64 MiB when left out. */
  readonly arenaBytes?: number;
  /** Fill freed memory with 0xdb, so that a use after it shows. */
  readonly poisonsFreed?: boolean;
}

const hugePageBytes = 2 * MiB;
const lowestIova = 64 * KiB;
const maxRegionBytes = 4 * GiB;
const poison = 0xdb;

/** One mapping: memory of this process, and the device addresses it stands at. */
interface Arena {
  readonly buffer: ArrayBuffer;
  readonly iova: number;
  readonly length: number;
  readonly access: DmaAccess;
  /** Free device addresses inside it. */
  readonly free: IovaAllocator;
  /** Made for one large or restricted region: goes with it. */
  readonly isOwnedByRegion: boolean;
}

/** Where the memory itself comes from: the kernel, or something that hands it out likewise. */
export type MemorySource = Pick<Kernel, 'arena' | 'unmap' | 'addressOf' | 'pageBytes'>;

/**
 * DMA memory of one function. Mapping costs the kernel 20 µs to milliseconds, so one arena is
 * mapped
 * at open and regions are cut from it; a region that does not fit, or that the device may only read
 * or write, gets a mapping of its own.
 */
export class VfioDmaSpace implements DmaSpace {
  private readonly kernel: MemorySource;
  private readonly iommu: AddressSpace;
  private readonly addresses: IovaAllocator;
  private readonly poisonsFreed: boolean;
  private readonly arenaBytes: number;
  private readonly arenas: Arena[] = [];
  private readonly regions = new Map<DmaRegion, Arena>();
  private isClosed = false;

  constructor(kernel: MemorySource, iommu: AddressSpace, options: DmaSpaceOptions = {}) {
    this.kernel = kernel;
    this.iommu = iommu;
    this.poisonsFreed = options.poisonsFreed ?? false;
    this.arenaBytes = options.arenaBytes ?? 64 * MiB;
    this.addresses = new IovaAllocator(iommu.ranges, lowestIova);
    this.arenas.push(this.mapArena(this.arenaBytes, 'readWrite', false));
  }

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = options.alignment ?? this.iommu.pageBytes;
    checkRequest(length, alignment);
    if (this.isClosed) throw closedSpace(length);
    const access = options.access ?? 'readWrite';
    const rounded = Math.ceil(length / 4) * 4;
    for (const arena of access === 'readWrite' ? this.arenas : []) {
      if (arena.isOwnedByRegion) continue;
      const iova = arena.free.take(rounded, alignment);
      if (iova >= 0) return this.cut(arena, iova, length);
    }
    // Its own mapping, aligned as asked.
    const isShared = access === 'readWrite' && rounded <= this.arenaBytes / 4;
    const arena = this.mapArena(isShared ? this.arenaBytes : rounded, access, !isShared, alignment);
    this.arenas.push(arena);
    return this.cut(arena, arena.free.take(rounded, alignment), length);
  }

  free(region: DmaRegion): void {
    if (region.isLost === true && region.space === this) return;
    const arena = this.regions.get(region);
    if (arena === undefined || !(region instanceof VfioDmaRegion)) {
      throw new TypeError('this memory was freed already or belongs to another function');
    }
    this.regions.delete(region);
    if (this.poisonsFreed) region.bytes.fill(poison);
    region.forget();
    if (arena.isOwnedByRegion) this.unmapArena(arena);
    else arena.free.give(region.iova, Math.ceil(region.length / 4) * 4);
  }

  /** Unmap everything, whoever still holds it. Views of it then have length 0. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const region of this.regions.keys()) {
      if (region instanceof VfioDmaRegion) region.lose();
    }
    this.regions.clear();
    for (const arena of [...this.arenas]) this.unmapArena(arena);
  }

  private cut(arena: Arena, iova: number, length: number): DmaRegion {
    const offset = iova - arena.iova;
    const region = new VfioDmaRegion(this, arena.buffer, { iova, offset, length });
    // Cut from used memory, or fresh: zero either way.
    region.bytes.fill(0);
    this.regions.set(region, arena);
    return region;
  }

  private mapArena(
    wanted: number,
    access: DmaAccess,
    isOwnedByRegion: boolean,
    alignment = this.iommu.pageBytes,
  ): Arena {
    const { buffer, length, isHuge } = this.memory(wanted);
    const step = Math.max(alignment, isHuge ? hugePageBytes : this.iommu.pageBytes);
    const iova = this.addresses.take(length, step);
    if (iova < 0) {
      this.kernel.unmap(buffer);
      throw new UltimaError(
        ErrorCode.dmaExhausted,
        `no ${length} device addresses in a row are left in the reach of the IOMMU`,
        { length },
      );
    }
    try {
      const virtualAddress = this.kernel.addressOf(buffer);
      this.iommu.map({ virtualAddress, iova, length, access });
    } catch (error) {
      this.addresses.give(iova, length);
      this.kernel.unmap(buffer);
      throw error;
    }
    const free = new IovaAllocator([{ first: iova, last: iova + length - 1 }], 0);
    return { buffer, iova, length, access, free, isOwnedByRegion };
  }

  /** Large pages when the system has some free, ordinary ones otherwise. */
  private memory(wanted: number): { buffer: ArrayBuffer; length: number; isHuge: boolean } {
    if (wanted >= hugePageBytes) {
      const length = Math.ceil(wanted / hugePageBytes) * hugePageBytes;
      const buffer = this.kernel.arena(length, true);
      if (typeof buffer !== 'number') return { buffer, length, isHuge: true };
    }
    const pageBytes = Math.max(this.iommu.pageBytes, this.kernel.pageBytes());
    const length = Math.ceil(wanted / pageBytes) * pageBytes;
    const buffer = this.kernel.arena(length, false);
    if (typeof buffer !== 'number') return { buffer, length, isHuge: false };
    throw new UltimaError(
      ErrorCode.dmaExhausted,
      `the system has no ${length} bytes of memory for the device: ${errnoText(buffer)}`,
      { length, errno: errnoText(buffer) },
    );
  }

  private unmapArena(arena: Arena): void {
    this.arenas.splice(this.arenas.indexOf(arena), 1);
    try {
      this.iommu.unmap(arena.iova, arena.length);
    } finally {
      this.kernel.unmap(arena.buffer);
      this.addresses.give(arena.iova, arena.length);
    }
  }
}

export function closedSpace(length: number): UltimaError {
  return new UltimaError(ErrorCode.dmaMapFailed, 'the function is closed', { length });
}

/** @throws RangeError for a length or an alignment out of range */
export function checkRequest(length: number, alignment: number): void {
  if (!Number.isInteger(length) || length < 1 || length > maxRegionBytes) {
    throw new RangeError(`DMA length ${length} is not in 1..${maxRegionBytes}`);
  }
  const isPowerOfTwo = Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo || alignment < 4 || alignment > GiB) {
    throw new RangeError(`DMA alignment ${alignment} is not a power of two in 4..${GiB}`);
  }
}

class VfioDmaRegion implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;
  isLost = false;

  constructor(
    space: DmaSpace,
    buffer: ArrayBuffer,
    place: { iova: number; offset: number; length: number },
  ) {
    this.space = space;
    this.iova = place.iova;
    this.length = place.length;
    this.bytes = new Uint8Array(buffer, place.offset, place.length);
    this.words = new Uint32Array(buffer, place.offset, Math.floor(place.length / 4));
  }

  forget(): void {
    this.isFreed = true;
  }

  lose(): void {
    this.isFreed = true;
    this.isLost = true;
  }
}
