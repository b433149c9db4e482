import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Errno, errnoText, type Kernel, OpenFlag } from '../kernel.js';
import {
  Destroy,
  IoasAlloc,
  IoasIovaRanges,
  IoasMap,
  IoasUnmap,
  IommufdRequest,
} from '../uapi/iommufd.js';
import { AttachIommufd, BindIommufd, DetachIommufd, IovaRange, VfioRequest } from '../uapi/vfio.js';
import {
  type AddressRange,
  type Iommu,
  type MapRequest,
  mapFailure,
  unmapFailure,
} from './iommu.js';
import { claim, openLocked } from './node.js';

export interface IommufdOptions {
  readonly kernel: Kernel;
  /** 'vfio3': the character device of the function under /dev/vfio/devices. */
  readonly device: string;
}

/**
 * The newer interface: the device has a node of its own and is attached to an address space of an
 * iommufd. A failed step closes what the earlier ones opened.
 *
 * @throws UltimaError DEVICE_BUSY, BACKEND_UNAVAILABLE
 */
export async function openIommufd(options: IommufdOptions): Promise<Iommu> {
  const { kernel } = options;
  const opened: number[] = [];
  try {
    const iommu = claim(kernel, '/dev/iommu', OpenFlag.readWrite);
    opened.push(iommu);
    const device = claim(kernel, `/dev/vfio/devices/${options.device}`, OpenFlag.readWrite);
    opened.push(device);
    const bind = new Uint32Array(BindIommufd.layout.bytes / 4);
    BindIommufd.argsz.set(bind, 0, bind.byteLength);
    BindIommufd.iommufd.set(bind, 0, iommu);
    check(await openLocked(kernel, device, VfioRequest.deviceBindIommufd, bind), 'BIND_IOMMUFD');
    const ioasId = allocateAddressSpace(kernel, iommu);
    const attach = new Uint32Array(AttachIommufd.layout.bytes / 4);
    AttachIommufd.argsz.set(attach, 0, attach.byteLength);
    AttachIommufd.pageTableId.set(attach, 0, ioasId);
    check(kernel.ioctl(device, VfioRequest.deviceAttachIommufdPt, attach), 'ATTACH_IOMMUFD_PT');
    // Only an attached device makes its reserved windows known.
    const { ranges, pageBytes } = readRanges(kernel, iommu, ioasId);
    return new IommufdIommu({ kernel, iommu, device, ioasId, ranges, pageBytes });
  } catch (error) {
    for (const fd of opened.reverse()) kernel.close(fd);
    throw error;
  }
}

function allocateAddressSpace(kernel: Kernel, iommu: number): number {
  const words = new Uint32Array(IoasAlloc.layout.bytes / 4);
  IoasAlloc.size.set(words, 0, words.byteLength);
  check(kernel.ioctl(iommu, IommufdRequest.ioasAlloc, words), 'IOMMU_IOAS_ALLOC');
  return IoasAlloc.ioasId.get(words, 0);
}

function readRanges(
  kernel: Kernel,
  iommu: number,
  ioasId: number,
): { ranges: AddressRange[]; pageBytes: number } {
  const words = new Uint32Array(IoasIovaRanges.layout.bytes / 4);
  let list = new Uint32Array(0);
  const ask = (): number => {
    IoasIovaRanges.size.set(words, 0, words.byteLength);
    IoasIovaRanges.ioasId.set(words, 0, ioasId);
    IoasIovaRanges.count.set(words, 0, (list.byteLength / IovaRange.layout.bytes) | 0);
    IoasIovaRanges.ranges.set(words, 0, list.length === 0 ? 0 : kernel.addressOf(list));
    return kernel.ioctl(iommu, IommufdRequest.ioasIovaRanges, words);
  };
  const first = ask();
  // Without room the kernel answers how many there are.
  if (first !== -Errno.EMSGSIZE) check(first, 'IOMMU_IOAS_IOVA_RANGES');
  const count = Math.min(IoasIovaRanges.count.get(words, 0), 4096);
  list = new Uint32Array((count * IovaRange.layout.bytes) / 4);
  check(ask(), 'IOMMU_IOAS_IOVA_RANGES');
  const ranges: AddressRange[] = [];
  for (let i = 0; i < count; i++) {
    const at = (i * IovaRange.layout.bytes) / 4;
    ranges.push({ first: IovaRange.start.get(list, at), last: IovaRange.last.get(list, at) });
  }
  return { ranges, pageBytes: Math.max(4096, IoasIovaRanges.alignment.get(words, 0)) };
}

function check(result: number, what: string): void {
  if (result >= 0) return;
  throw new UltimaError(
    ErrorCode.backendUnavailable,
    `${what} failed: ${errnoText(result)}; run 'ultima doctor' for the reason`,
    { call: what, errno: errnoText(result) },
  );
}

interface IommufdState {
  readonly kernel: Kernel;
  readonly iommu: number;
  readonly device: number;
  readonly ioasId: number;
  readonly ranges: readonly AddressRange[];
  readonly pageBytes: number;
}

class IommufdIommu implements Iommu {
  readonly kind = 'iommufd';
  readonly deviceFd: number;
  readonly ranges: readonly AddressRange[];
  readonly pageBytes: number;
  private readonly state: IommufdState;
  private isClosed = false;

  constructor(state: IommufdState) {
    this.state = state;
    this.deviceFd = state.device;
    this.ranges = state.ranges;
    this.pageBytes = state.pageBytes;
  }

  map(request: MapRequest): void {
    const { kernel, iommu, ioasId } = this.state;
    const words = new Uint32Array(IoasMap.layout.bytes / 4);
    IoasMap.size.set(words, 0, words.byteLength);
    IoasMap.isFixed.set(words, 0, 1);
    IoasMap.isReadable.set(words, 0, request.access === 'write' ? 0 : 1);
    IoasMap.isWritable.set(words, 0, request.access === 'read' ? 0 : 1);
    IoasMap.ioasId.set(words, 0, ioasId);
    IoasMap.virtualAddress.set(words, 0, request.virtualAddress);
    IoasMap.length.set(words, 0, request.length);
    IoasMap.iova.set(words, 0, request.iova);
    const result = kernel.ioctl(iommu, IommufdRequest.ioasMap, words);
    if (result < 0) throw mapFailure(request, result, kernel.memlockLimit());
  }

  unmap(iova: number, length: number): void {
    const { kernel, iommu, ioasId } = this.state;
    const words = new Uint32Array(IoasUnmap.layout.bytes / 4);
    IoasUnmap.size.set(words, 0, words.byteLength);
    IoasUnmap.ioasId.set(words, 0, ioasId);
    IoasUnmap.iova.set(words, 0, iova);
    IoasUnmap.length.set(words, 0, length);
    const result = kernel.ioctl(iommu, IommufdRequest.ioasUnmap, words);
    const unmapped = result < 0 ? 0 : IoasUnmap.length.get(words, 0);
    if (unmapped !== length) throw unmapFailure(iova, length, unmapped);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { kernel, iommu, device, ioasId } = this.state;
    const detach = new Uint32Array(DetachIommufd.layout.bytes / 4);
    DetachIommufd.argsz.set(detach, 0, detach.byteLength);
    kernel.ioctl(device, VfioRequest.deviceDetachIommufdPt, detach);
    const destroy = new Uint32Array(Destroy.layout.bytes / 4);
    Destroy.size.set(destroy, 0, destroy.byteLength);
    Destroy.id.set(destroy, 0, ioasId);
    kernel.ioctl(iommu, IommufdRequest.destroy, destroy);
    kernel.close(device);
    kernel.close(iommu);
  }
}
