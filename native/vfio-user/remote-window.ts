import type { Bar, ConfigSpace } from '../../sdk/device.js';
import { Region } from '../../sdk/spec/vfio-user/device.js';
import type { NativeKernel } from '../kernel.js';
import { mapDescriptor } from '../shared-memory.js';
import type { RemoteDevice } from './remote-device.js';
import type { RemoteArea, RemoteRegion } from './remote-region.js';

const allOnes = 0xffff_ffff;

/** Where registers are reached that are not mapped: the device, or nothing while it is gone. */
export interface Reach {
  /** Null when the device is gone. It may come back inside this call. */
  device(): RemoteDevice | null;
  /** Whether any register of any window is a store that no message can hold back. */
  readonly hasMappedRegisters: boolean;
}

/** A mapped part of a BAR. */
interface Window {
  readonly firstWord: number;
  readonly words: Uint32Array<ArrayBuffer>;
}

const nowhere: Window = { firstWord: 0, words: new Uint32Array(new ArrayBuffer(0)) };

/**
 * A BAR behind a connection. What the server lets us map is plain loads and stores on shared
 * memory; each other access is a message and its answer. All ones when the server is gone.
 */
export class RemoteBar implements Bar {
  readonly index: number;
  readonly length: number;
  private readonly reach: Reach;
  private readonly kernel: NativeKernel;
  /** The largest mapped part: of an NVMe controller, its doorbells. */
  private firstWord = 0;
  private words = nowhere.words;
  private others: Window[] = [];

  /** @throws UltimaError DMA_MAP_FAILED when what the server offers to map is not there */
  constructor(kernel: NativeKernel, reach: Reach, region: RemoteRegion) {
    this.kernel = kernel;
    this.reach = reach;
    this.index = region.index;
    this.length = region.length;
    this.attach(region);
  }

  read32(offset: number): number {
    const i = (offset >>> 2) - this.firstWord;
    if (i >= 0 && i < this.words.length) return this.words[i]!;
    return this.readElsewhere(offset);
  }

  write32(offset: number, value: number): void {
    const i = (offset >>> 2) - this.firstWord;
    // Plain: what the server polls is memory, and on x86 stores keep their order.
    if (i >= 0 && i < this.words.length) this.words[i] = value;
    else this.writeElsewhere(offset, value);
  }

  /**
   * Map what the region offers, instead of what was mapped before.
   *
   * @throws UltimaError DMA_MAP_FAILED; then nothing has changed
   */
  attach(region: RemoteRegion): void {
    const pageBytes = this.kernel.pageBytes();
    const windows: Window[] = [];
    try {
      for (const area of region.fd < 0 ? [] : region.areas) {
        if (isMappable(region, area, pageBytes)) windows.push(this.mapArea(region, area));
      }
    } catch (error) {
      for (const { words } of windows) this.kernel.unmap(words.buffer);
      throw error;
    } finally {
      if (region.fd >= 0) this.kernel.close(region.fd);
    }
    windows.sort((a, b) => b.words.length - a.words.length);
    this.detach();
    const [largest = nowhere, ...others] = windows;
    this.firstWord = largest.firstWord;
    this.words = largest.words;
    this.others = others;
  }

  /** Reads are all ones and stores go nowhere from here on. */
  detach(): void {
    for (const { words } of [{ words: this.words }, ...this.others]) {
      if (words.length > 0) this.kernel.unmap(words.buffer);
    }
    this.firstWord = 0;
    this.words = nowhere.words;
    this.others = [];
  }

  /** The server has cut short what it let us map. */
  get wasHit(): boolean {
    return [{ words: this.words }, ...this.others].some(
      ({ words }) => words.length > 0 && this.kernel.wasHit(words.buffer),
    );
  }

  /** Bytes that are loads and stores. */
  get mappedBytes(): number {
    return this.others.reduce((sum, { words }) => sum + 4 * words.length, 4 * this.words.length);
  }

  private readElsewhere(offset: number): number {
    if (!this.isInside(offset)) return allOnes;
    const window = this.windowAt(offset);
    if (window !== null) return window.words[(offset >>> 2) - window.firstWord]!;
    return readThrough(this.reach, { region: this.index, offset, count: 4 });
  }

  private writeElsewhere(offset: number, value: number): void {
    if (!this.isInside(offset)) return;
    const window = this.windowAt(offset);
    if (window !== null) {
      window.words[(offset >>> 2) - window.firstWord] = value;
      return;
    }
    // A message could be overtaken by a store to what is mapped, here or in another window, unless
    // it is waited for. A message cannot overtake another.
    const isPosted = !this.reach.hasMappedRegisters;
    this.reach.device()?.write({ region: this.index, offset, count: 4, value }, isPosted);
  }

  private windowAt(offset: number): Window | null {
    for (const window of this.others) {
      const i = (offset >>> 2) - window.firstWord;
      if (i >= 0 && i < window.words.length) return window;
    }
    return null;
  }

  private mapArea(region: RemoteRegion, area: RemoteArea): Window {
    const buffer = mapDescriptor(this.kernel, region.fd, {
      offset: region.fileOffset + area.offset,
      length: area.length,
      isWritable: true,
      whenLost: 'ones',
    });
    return { firstWord: area.offset / 4, words: new Uint32Array(buffer) };
  }

  private isInside(offset: number): boolean {
    return offset >= 0 && offset % 4 === 0 && offset + 4 <= this.length;
  }
}

/** A read during which the connection ends is tried again, once, on the one that follows it. */
function readThrough(reach: Reach, access: ReadAccess): number {
  const { region, offset, count } = access;
  const device = reach.device();
  const value = device?.read(region, offset, count) ?? 2 ** (8 * count) - 1;
  if (device === null || device.isAlive) return value;
  return reach.device()?.read(region, offset, count) ?? value;
}

interface ReadAccess {
  readonly region: number;
  readonly offset: number;
  readonly count: number;
}

/** What does not lie in whole pages is reached in messages. */
function isMappable(region: RemoteRegion, area: RemoteArea, pageBytes: number): boolean {
  return (region.fileOffset + area.offset) % pageBytes === 0 && area.length % 4 === 0;
}

/** Configuration space: every access is a message, and the server decides what a write does. */
export class RemoteConfigSpace implements ConfigSpace {
  private readonly reach: Reach;
  private readonly length: number;

  /** @param length bytes that the server has of it */
  constructor(reach: Reach, length: number) {
    this.reach = reach;
    this.length = length;
  }

  read8(offset: number): number {
    return this.read(offset, 1);
  }

  read16(offset: number): number {
    return this.read(offset, 2);
  }

  read32(offset: number): number {
    return this.read(offset, 4);
  }

  write8(offset: number, value: number): void {
    this.write(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.write(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    this.write(offset, 4, value);
  }

  private read(offset: number, count: number): number {
    if (!this.isInside(offset, count)) return 2 ** (8 * count) - 1;
    return readThrough(this.reach, { region: Region.config, offset, count });
  }

  private write(offset: number, count: number, value: number): void {
    if (!this.isInside(offset, count)) return;
    this.reach.device()?.write({ region: Region.config, offset, count, value }, false);
  }

  private isInside(offset: number, count: number): boolean {
    return Number.isInteger(offset) && offset >= 0 && offset + count <= this.length;
  }
}
