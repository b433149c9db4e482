import { configBytes } from '../../sdk/spec/pcie/header.js';
import { Region, regionCount } from '../../sdk/spec/vfio-user/device.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import type { SimFunction } from '../pcie/function.js';

/** Accesses to configuration space and windows, of any length that the region has. */
export class Regions {
  /** Told of a dword that was written into a window, before the device sees it. */
  onWrite: ((bar: number, offset: number, value: number) => void) | null = null;
  /** Whose regions they are; another one's after a migration. */
  fn: SimFunction;

  constructor(fn: SimFunction) {
    this.fn = fn;
  }

  /** Bytes of a region, 0 when there is none of that index. */
  lengthOf(index: number): number {
    if (index === Region.config) return configBytes;
    return index <= Region.bar5 ? this.fn.barBytes(index) : 0;
  }

  /** @returns 0 or a UNIX error number */
  check(index: number, offset: number, count: number): number {
    const isInside = index < regionCount && offset + count <= this.lengthOf(index);
    return isInside ? 0 : Errno.EINVAL;
  }

  /** Registers are dwords: a part of one cannot be written, in configuration space it can. */
  checkWrite(index: number, offset: number, count: number): number {
    const isWhole = index === Region.config || (offset % 4 === 0 && count % 4 === 0);
    return isWhole ? this.check(index, offset, count) : Errno.EINVAL;
  }

  /** Fill all of `target`. The range has been checked. */
  read(index: number, offset: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const dword = this.readDword(index, at - (at % 4));
      const run = Math.min(4 - (at % 4), target.length - done);
      for (let i = 0; i < run; i++) target[done + i] = dword >>> (8 * ((at % 4) + i));
      done += run;
    }
  }

  /** Write all of `source`, lowest dword first. The range has been checked. */
  write(index: number, offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const at = offset + done;
      const run = Math.min(4 - (at % 4), source.length - done);
      let value = 0;
      let mask = 0;
      for (let i = 0; i < run; i++) {
        const shift = 8 * ((at % 4) + i);
        value |= source[done + i]! << shift;
        mask |= 0xff << shift;
      }
      this.writeDword(index, at - (at % 4), value >>> 0, mask >>> 0);
      done += run;
    }
  }

  private readDword(index: number, offset: number): number {
    if (index === Region.config) return this.fn.readConfig(offset);
    return this.fn.readDword(index, offset);
  }

  private writeDword(index: number, offset: number, value: number, mask: number): void {
    if (index === Region.config) {
      this.fn.writeConfig(offset, value, mask);
      return;
    }
    this.onWrite?.(index, offset, value);
    this.fn.writeDword(index, offset, value);
  }
}
