import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { errnoText, type Kernel } from '../kernel.js';
import {
  DeviceInfo,
  IrqInfo,
  IrqSet,
  RegionInfo,
  SparseArea,
  SparseMmapCapability,
  VfioCapability,
  VfioRequest,
} from '../uapi/vfio.js';
import { capabilityAt } from './capability.js';

/** A part of a region that may be mapped. */
export interface MappableArea {
  readonly offset: number;
  readonly length: number;
}

/** A region of the device file: a BAR or configuration space. */
export interface Region {
  readonly index: number;
  readonly length: number;
  /** Where it lies in the device file. */
  readonly fileOffset: number;
  readonly mappable: readonly MappableArea[];
}

export interface IrqIndex {
  readonly count: number;
  readonly hasEventfd: boolean;
}

/** The device file of a function that this process owns: what it has, and the calls on it. */
export class VfioDevice {
  readonly fd: number;
  readonly canReset: boolean;
  readonly regionCount: number;
  readonly irqCount: number;
  private readonly kernel: Kernel;

  /** @throws UltimaError DEVICE_UNSUPPORTED for a device that is not a PCI function */
  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    const info = new Uint32Array(DeviceInfo.layout.bytes / 4);
    DeviceInfo.argsz.set(info, 0, info.byteLength);
    this.check(kernel.ioctl(fd, VfioRequest.deviceGetInfo, info), 'VFIO_DEVICE_GET_INFO');
    if (DeviceInfo.isPci.get(info, 0) === 0) {
      throw new UltimaError(ErrorCode.deviceUnsupported, 'this VFIO device is not a PCI function');
    }
    this.canReset = DeviceInfo.canReset.get(info, 0) === 1;
    this.regionCount = DeviceInfo.regionCount.get(info, 0);
    this.irqCount = DeviceInfo.irqCount.get(info, 0);
  }

  region(index: number): Region {
    let info = this.askRegion(index, RegionInfo.layout.bytes);
    const needed = Math.min(RegionInfo.argsz.get(info, 0), 65_536);
    if (needed > info.byteLength) info = this.askRegion(index, needed);
    const length = RegionInfo.length.get(info, 0);
    return {
      index,
      length,
      fileOffset: RegionInfo.offset.get(info, 0),
      mappable: mappableAreas(info, length),
    };
  }

  irq(index: number): IrqIndex {
    const info = new Uint32Array(IrqInfo.layout.bytes / 4);
    IrqInfo.argsz.set(info, 0, info.byteLength);
    IrqInfo.index.set(info, 0, index);
    // An index that the device lacks is an error of the call: it has no vectors then.
    if (this.kernel.ioctl(this.fd, VfioRequest.deviceGetIrqInfo, info) < 0) {
      return { count: 0, hasEventfd: false };
    }
    return {
      count: IrqInfo.count.get(info, 0),
      hasEventfd: IrqInfo.hasEventfd.get(info, 0) === 1,
    };
  }

  /**
   * Connect vectors 0..n - 1 of an index to eventfds, all in one call: kernels before 6.4 refuse to
   * add vectors later. An empty list turns the index off.
   */
  setEventfds(index: number, eventfds: readonly number[]): void {
    const head = IrqSet.layout.bytes / 4;
    const words = new Uint32Array(head + eventfds.length);
    IrqSet.argsz.set(words, 0, words.byteLength);
    IrqSet.hasEventfds.set(words, 0, eventfds.length > 0 ? 1 : 0);
    IrqSet.hasNone.set(words, 0, eventfds.length > 0 ? 0 : 1);
    IrqSet.trigger.set(words, 0, 1);
    IrqSet.index.set(words, 0, index);
    IrqSet.count.set(words, 0, eventfds.length);
    words.set(eventfds, head);
    this.check(this.kernel.ioctl(this.fd, VfioRequest.deviceSetIrqs, words), 'SET_IRQS');
  }

  /** Fire a vector's eventfd from software: tests the plumbing without the device. */
  trigger(index: number, vector: number): void {
    const words = new Uint32Array(IrqSet.layout.bytes / 4);
    IrqSet.argsz.set(words, 0, words.byteLength);
    IrqSet.hasNone.set(words, 0, 1);
    IrqSet.trigger.set(words, 0, 1);
    IrqSet.index.set(words, 0, index);
    IrqSet.start.set(words, 0, vector);
    IrqSet.count.set(words, 0, 1);
    this.check(this.kernel.ioctl(this.fd, VfioRequest.deviceSetIrqs, words), 'SET_IRQS');
  }

  /** The kernel resets the function and restores its configuration space. Takes about 100 ms. */
  async reset(): Promise<void> {
    if (!this.canReset) {
      throw new UltimaError(
        ErrorCode.deviceUnsupported,
        'the kernel knows no way to reset this function',
      );
    }
    this.check(await this.kernel.ioctlAsync(this.fd, VfioRequest.deviceReset, 0), 'DEVICE_RESET');
  }

  private askRegion(index: number, bytes: number): Uint32Array {
    const info = new Uint32Array(Math.ceil(bytes / 4));
    RegionInfo.argsz.set(info, 0, info.byteLength);
    RegionInfo.index.set(info, 0, index);
    const result = this.kernel.ioctl(this.fd, VfioRequest.deviceGetRegionInfo, info);
    this.check(result, 'VFIO_DEVICE_GET_REGION_INFO');
    return info;
  }

  private check(result: number, call: string): void {
    if (result >= 0) return;
    throw new UltimaError(ErrorCode.deviceMisbehaved, `${call} failed: ${errnoText(result)}`, {
      call,
      errno: errnoText(result),
    });
  }
}

/** What may be mapped: all of it, the areas that a sparse capability lists, or nothing. */
function mappableAreas(info: Uint32Array, length: number): MappableArea[] {
  if (RegionInfo.isMappable.get(info, 0) === 0 || length === 0) return [];
  const first = RegionInfo.hasCapabilities.get(info, 0)
    ? RegionInfo.capabilityOffset.get(info, 0)
    : 0;
  const whole = [{ offset: 0, length }];
  if (capabilityAt(info, first, VfioCapability.regionMsixMappable) >= 0) return whole;
  const sparse = capabilityAt(info, first, VfioCapability.regionSparseMmap);
  if (sparse < 0) return whole;
  const areas: MappableArea[] = [];
  const count = SparseMmapCapability.count.get(info, sparse);
  for (let i = 0; i < count; i++) {
    const at = sparse + (SparseMmapCapability.layout.bytes + i * SparseArea.layout.bytes) / 4;
    if (at + SparseArea.layout.bytes / 4 > info.length) break;
    const area = {
      offset: SparseArea.offset.get(info, at),
      length: SparseArea.length.get(info, at),
    };
    if (area.length > 0 && area.offset + area.length <= length) areas.push(area);
  }
  return areas;
}
