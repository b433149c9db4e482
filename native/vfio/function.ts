import type { Bar, Clock, ConfigSpace, FunctionReset, PciFunction } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { type Kernel, OpenFlag, type Watcher } from '../kernel.js';
import { VfioIrq, VfioRegion } from '../uapi/vfio.js';
import { MonotonicClock } from './clock.js';
import { VfioDevice } from './device.js';
import { type DmaSpaceOptions, VfioDmaSpace } from './dma-space.js';
import { openGroup } from './group.js';
import { VfioInterrupts } from './interrupts.js';
import type { Iommu } from './iommu.js';
import { openIommufd } from './iommufd.js';
import { type Lendable, type LentWindow, Loan } from './loan.js';
import { iommufdNeed } from './node.js';
import { Sysfs } from './sysfs.js';
import { MappedBar, VfioConfigSpace } from './window.js';

export type IommuInterface = 'group' | 'iommufd';

export interface VfioOptions extends DmaSpaceOptions {
  readonly kernel: Kernel;
  readonly sysfs?: Sysfs;
  /** Left out: iommufd when both of its nodes exist, the legacy group otherwise. */
  readonly iommu?: IommuInterface;
  /**
   * Tells that the kernel wants the device back, and again every few seconds: end I/O, then close.
   * The device works until then. Left out, the function counts as removed and its I/O ends.
   */
  readonly onRemovalRequest?: () => void;
}

/**
 * Own a PCI function through VFIO. It must be bound to vfio-pci. The kernel resets it on opening;
 * bus mastering is off until the driver turns it on.
 *
 * @param address '0000:01:00.0'
 * @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY, IOMMU_MISSING, BACKEND_UNAVAILABLE,
 *   DMA_MAP_FAILED
 */
export async function openVfio(address: string, options: VfioOptions): Promise<PciFunction> {
  const sysfs = options.sysfs ?? new Sysfs();
  checkBound(sysfs, address);
  const iommu = await openIommu(sysfs, address, options);
  try {
    return new VfioFunction(address, iommu, options);
  } catch (error) {
    iommu.close();
    throw error;
  }
}

function checkBound(sysfs: Sysfs, address: string): void {
  if (!/^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(address)) {
    throw new UltimaError(
      ErrorCode.addressInvalid,
      `'${address}' is no PCI address; write it as 0000:01:00.0`,
      { address },
    );
  }
  if (!sysfs.hasFunction(address)) {
    throw new UltimaError(
      ErrorCode.addressInvalid,
      `there is no PCI function ${address} on this machine (see lspci -D)`,
      { address },
    );
  }
  const driver = sysfs.driver(address);
  if (driver !== 'vfio-pci') {
    throw new UltimaError(
      ErrorCode.deviceBusy,
      `${address} is held by ${driver ?? 'no driver'}, not by vfio-pci: 'ultima bind ${address}'`,
      { address, driver: driver ?? 'none' },
    );
  }
}

async function openIommu(sysfs: Sysfs, address: string, options: VfioOptions): Promise<Iommu> {
  const { kernel } = options;
  const device = sysfs.vfioDevice(address);
  const group = sysfs.group(address);
  if (device !== null && options.iommu !== 'group') {
    if (options.iommu === 'iommufd' || hasIommufd(kernel, device)) {
      return openIommufd({ kernel, device });
    }
  }
  if (options.iommu === 'iommufd') {
    throw new UltimaError(
      ErrorCode.backendUnavailable,
      `${address} has no character device for iommufd; ${iommufdNeed}`,
      { address },
    );
  }
  if (group === null) {
    throw new UltimaError(
      ErrorCode.iommuMissing,
      `${address} is in no IOMMU group: turn the IOMMU on (firmware set-up, and intel_iommu=on ` +
        'on the kernel command line for Intel)',
      { address },
    );
  }
  return openGroup({ kernel, address, group });
}

/** Kernels that have only one of the two nodes exist: both must open for this user. */
function hasIommufd(kernel: Kernel, device: string): boolean {
  return ['/dev/iommu', `/dev/vfio/devices/${device}`].every((path) => {
    const fd = kernel.open(path, OpenFlag.readWrite);
    if (fd < 0) return false;
    kernel.close(fd);
    return true;
  });
}

/**
 * Lend memory of a function to a worker thread. @throws what `Loan` throws; UltimaError
 * DEVICE_UNSUPPORTED for a function that is no VFIO function: a simulated one lives in one thread
 */
export function lendFunction(fn: PciFunction, bytes: number): Loan {
  if (fn instanceof VfioFunction) return new Loan(fn, bytes);
  throw new UltimaError(
    ErrorCode.deviceUnsupported,
    `${fn.address} lives in one thread and cannot be lent; only a function opened through VFIO can`,
    { address: fn.address },
  );
}

class VfioFunction implements Lendable {
  readonly address: string;
  readonly clock: Clock = new MonotonicClock();
  readonly config: ConfigSpace;
  readonly dma: VfioDmaSpace;
  readonly interrupts: VfioInterrupts;
  readonly kernel: Kernel;
  private readonly iommu: Iommu;
  private readonly device: VfioDevice;
  private readonly configSpace: VfioConfigSpace;
  private readonly bars = new Map<number, MappedBar>();
  private readonly eventfds: number[] = [];
  private readonly watchers: Watcher[] = [];
  private isGone = false;
  private isClosed = false;

  constructor(address: string, iommu: Iommu, options: VfioOptions) {
    const { kernel } = options;
    this.address = address;
    this.kernel = kernel;
    this.iommu = iommu;
    this.device = new VfioDevice(kernel, iommu.deviceFd);
    this.configSpace = new VfioConfigSpace(
      kernel,
      this.device,
      this.device.region(VfioRegion.config),
    );
    this.config = this.configSpace;
    this.interrupts = new VfioInterrupts(kernel, this.device, this.clock);
    this.dma = new VfioDmaSpace(kernel, iommu, options);
    try {
      this.watch(VfioIrq.error, () => {
        this.isGone = true;
      });
      this.watch(VfioIrq.request, () => {
        if (options.onRemovalRequest === undefined) this.isGone = true;
        else options.onRemovalRequest();
      });
    } catch (error) {
      this.release();
      throw error;
    }
  }

  get isRemoved(): boolean {
    if (this.isGone) return true;
    for (const bar of this.bars.values()) if (bar.wasHit) this.isGone = true;
    return this.isGone;
  }

  bar(index: number): Bar {
    const known = this.bars.get(index);
    if (known !== undefined) return known;
    if (this.isClosed) throw new TypeError(`${this.address} is closed`);
    if (!Number.isInteger(index) || index < VfioRegion.bar0 || index > VfioRegion.bar5) {
      throw new RangeError(`BAR ${index} is not in 0..5`);
    }
    const region = this.device.region(index);
    if (region.length === 0) throw new RangeError(`${this.address} has no BAR ${index}`);
    const bar = new MappedBar(this.kernel, this.device, region);
    this.bars.set(index, bar);
    return bar;
  }

  mappedWindows(): readonly LentWindow[] {
    const windows: LentWindow[] = [];
    for (const bar of this.bars.values()) {
      const { place } = bar;
      if (place !== null) windows.push({ index: bar.index, ...place });
    }
    return windows;
  }

  /**
   * VFIO resets functions; the bus behind a bridge belongs to the kernel, which takes that way by
   * itself when the function knows no other.
   */
  async reset(_kind: FunctionReset): Promise<void> {
    await this.device.reset();
  }

  close(): Promise<void> {
    this.release();
    return Promise.resolve();
  }

  /** In the order in which nothing that still runs loses what it stands on. */
  private release(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stopBusMaster();
    const steps: (() => void)[] = [
      ...this.watchers.map((watcher) => () => watcher.close()),
      () => this.interrupts.close(),
      () => this.device.setEventfds(VfioIrq.request, []),
      () => this.device.setEventfds(VfioIrq.error, []),
      ...this.eventfds.map((fd) => () => void this.kernel.close(fd)),
      () => this.dma.close(),
      ...[...this.bars.values()].map((bar) => () => bar.close()),
      () => this.configSpace.close(),
      () => this.iommu.close(),
    ];
    const failures: unknown[] = [];
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        // A device that is gone refuses some of this; the rest must be given back all the same.
        failures.push(error);
      }
    }
    if (failures.length > 0 && !this.isGone) throw failures[0];
  }

  /** DMA ends before the memory behind it goes [PCIe-4.0 §? Bus Master Enable]. */
  private stopBusMaster(): void {
    const offset = Header.busMasterEnable.dword * 4;
    const command = this.config.read16(offset);
    if (command === 0xffff) return;
    this.config.write16(offset, Header.busMasterEnable.put(command, 0));
  }

  private watch(index: number, onEvent: () => void): void {
    if (this.device.irq(index).count === 0) return;
    const fd = this.kernel.eventfd();
    if (fd < 0) return;
    this.eventfds.push(fd);
    this.device.setEventfds(index, [fd]);
    this.watchers.push(
      this.kernel.watch(fd, () => {
        if (this.kernel.takeEvent(fd) > 0) onEvent();
      }),
    );
  }
}
