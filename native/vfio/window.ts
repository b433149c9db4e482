import type { Bar, ConfigSpace } from '../../sdk/device.js';
import type { Kernel } from '../kernel.js';
import type { Region, VfioDevice } from './device.js';

const allOnes = 0xffff_ffff;

/**
 * A BAR. Where the kernel lets us, registers are loads and stores on mapped memory; elsewhere each
 * access is a system call. A window whose device is gone reads all-ones.
 */
export class MappedBar implements Bar {
  readonly index: number;
  readonly length: number;
  private readonly kernel: Kernel;
  private readonly fd: number;
  private readonly fileOffset: number;
  /** Dwords of the region from its start, empty when its start is not mappable. */
  private words = new Uint32Array(0);
  private mapping: ArrayBuffer | null = null;
  private readonly word = new Uint32Array(1);
  private readonly wordBytes = new Uint8Array(this.word.buffer);

  constructor(kernel: Kernel, device: VfioDevice, region: Region) {
    this.kernel = kernel;
    this.fd = device.fd;
    this.index = region.index;
    this.length = region.length;
    this.fileOffset = region.fileOffset;
    const head = region.mappable.find((area) => area.offset === 0);
    if (head === undefined) return;
    const mapping = kernel.map(this.fd, this.fileOffset, head.length, true, true);
    if (typeof mapping === 'number') return;
    this.mapping = mapping;
    this.words = new Uint32Array(mapping);
  }

  get isMapped(): boolean {
    return this.mapping !== null;
  }

  /** Where this process has the window, null when it is not mapped. */
  get place(): { readonly address: number; readonly length: number } | null {
    if (this.mapping === null) return null;
    return { address: this.kernel.addressOf(this.mapping), length: this.mapping.byteLength };
  }

  /** The device stopped answering a mapped access. */
  get wasHit(): boolean {
    return this.mapping !== null && this.kernel.wasHit(this.mapping);
  }

  read32(offset: number): number {
    const i = offset >>> 2;
    if (i < this.words.length) return this.words[i]!;
    if (!this.isInside(offset)) return allOnes;
    const count = this.kernel.read(this.fd, this.wordBytes, this.fileOffset + offset);
    return count === 4 ? this.word[0]! : allOnes;
  }

  write32(offset: number, value: number): void {
    const i = offset >>> 2;
    if (i < this.words.length) {
      // Plain, never Atomics: a locked exchange is wrong on an uncached BAR.
      this.words[i] = value;
      return;
    }
    if (!this.isInside(offset)) return;
    this.word[0] = value;
    this.kernel.write(this.fd, this.wordBytes, this.fileOffset + offset);
  }

  close(): void {
    this.words = new Uint32Array(0);
    if (this.mapping !== null) this.kernel.unmap(this.mapping);
    this.mapping = null;
    this.isOpen = false;
  }

  private isOpen = true;

  private isInside(offset: number): boolean {
    return this.isOpen && offset >= 0 && offset % 4 === 0 && offset + 4 <= this.length;
  }
}

/** Configuration space: every access is a system call, and the kernel decides what a write does. */
export class VfioConfigSpace implements ConfigSpace {
  private readonly kernel: Kernel;
  private readonly fd: number;
  private readonly region: Region;
  private readonly scratch = new Uint8Array(4);
  private readonly scratchView = new DataView(this.scratch.buffer);
  private isOpen = true;

  constructor(kernel: Kernel, device: VfioDevice, region: Region) {
    this.kernel = kernel;
    this.fd = device.fd;
    this.region = region;
  }

  read8(offset: number): number {
    return this.read(offset, 1) ? this.scratchView.getUint8(0) : 0xff;
  }

  read16(offset: number): number {
    return this.read(offset, 2) ? this.scratchView.getUint16(0, true) : 0xffff;
  }

  read32(offset: number): number {
    return this.read(offset, 4) ? this.scratchView.getUint32(0, true) : allOnes;
  }

  write8(offset: number, value: number): void {
    this.scratchView.setUint8(0, value);
    this.write(offset, 1);
  }

  write16(offset: number, value: number): void {
    this.scratchView.setUint16(0, value, true);
    this.write(offset, 2);
  }

  write32(offset: number, value: number): void {
    this.scratchView.setUint32(0, value, true);
    this.write(offset, 4);
  }

  close(): void {
    this.isOpen = false;
  }

  private read(offset: number, length: number): boolean {
    if (!this.isInside(offset, length)) return false;
    const bytes = this.scratch.subarray(0, length);
    return this.kernel.read(this.fd, bytes, this.region.fileOffset + offset) === length;
  }

  private write(offset: number, length: number): void {
    if (!this.isInside(offset, length)) return;
    const bytes = this.scratch.subarray(0, length);
    this.kernel.write(this.fd, bytes, this.region.fileOffset + offset);
  }

  private isInside(offset: number, length: number): boolean {
    return this.isOpen && offset >= 0 && offset + length <= this.region.length;
  }
}
