import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { errnoText, type Kernel, OpenFlag } from '../kernel.js';
import {
  DmaMap,
  DmaUnmap,
  GroupStatus,
  IommuInfo,
  IovaRange,
  IovaRangeCapability,
  VfioCapability,
  VfioIommuType,
  VfioRequest,
  vfioApiVersion,
} from '../uapi/vfio.js';
import { capabilityAt } from './capability.js';
import {
  type AddressRange,
  type Iommu,
  type MapRequest,
  mapFailure,
  unmapFailure,
} from './iommu.js';
import { claim, openLocked } from './node.js';

export interface GroupOptions {
  readonly kernel: Kernel;
  /** '0000:01:00.0' */
  readonly address: string;
  /** IOMMU group number. */
  readonly group: string;
}

/**
 * The legacy interface: container, group, device. Each step is valid only after the one before it,
 * and a failed one closes what the earlier ones opened, so that the next open finds all free.
 *
 * @throws UltimaError DEVICE_BUSY, IOMMU_MISSING, BACKEND_UNAVAILABLE
 */
export async function openGroup(options: GroupOptions): Promise<Iommu> {
  const { kernel, address, group } = options;
  const opened: number[] = [];
  try {
    // 1. The container, and its version.
    const container = claim(kernel, '/dev/vfio/vfio', OpenFlag.readWrite);
    opened.push(container);
    const version = kernel.ioctl(container, VfioRequest.getApiVersion, 0);
    if (version !== vfioApiVersion) throw refused('VFIO_GET_API_VERSION', version);
    // 2. The group, when every device in it is ours to take.
    const groupFd = claim(kernel, `/dev/vfio/${group}`, OpenFlag.readWrite);
    opened.push(groupFd);
    checkViable(kernel, groupFd, group);
    const containerWord = Uint32Array.of(container);
    check(kernel.ioctl(groupFd, VfioRequest.groupSetContainer, containerWord), 'SET_CONTAINER');
    // 3. The IOMMU model.
    const hasV2 = kernel.ioctl(container, VfioRequest.checkExtension, VfioIommuType.type1v2) === 1;
    const model = hasV2 ? VfioIommuType.type1v2 : VfioIommuType.type1;
    check(kernel.ioctl(container, VfioRequest.setIommu, model), 'VFIO_SET_IOMMU');
    // 4. What it can map.
    const { ranges, pageBytes } = readIommuInfo(kernel, container);
    // 5. The device.
    const name = nameWords(address);
    const deviceFd = await openLocked(kernel, groupFd, VfioRequest.groupGetDeviceFd, name);
    if (deviceFd < 0) throw refused('VFIO_GROUP_GET_DEVICE_FD', deviceFd);
    opened.push(deviceFd);
    return new GroupIommu({ kernel, opened, ranges, pageBytes });
  } catch (error) {
    for (const fd of opened.reverse()) kernel.close(fd);
    throw error;
  }
}

function checkViable(kernel: Kernel, groupFd: number, group: string): void {
  const status = new Uint32Array(GroupStatus.layout.bytes / 4);
  GroupStatus.argsz.set(status, 0, GroupStatus.layout.bytes);
  check(kernel.ioctl(groupFd, VfioRequest.groupGetStatus, status), 'VFIO_GROUP_GET_STATUS');
  if (GroupStatus.isViable.get(status, 0) === 1) return;
  throw new UltimaError(
    ErrorCode.deviceBusy,
    `IOMMU group ${group} is not viable: another device in it is held by a kernel driver; ` +
      'bind every endpoint of the group to vfio-pci or unbind it',
    { group },
  );
}

function readIommuInfo(
  kernel: Kernel,
  container: number,
): { ranges: AddressRange[]; pageBytes: number } {
  let info = new Uint32Array(IommuInfo.layout.bytes / 4);
  IommuInfo.argsz.set(info, 0, info.byteLength);
  check(kernel.ioctl(container, VfioRequest.iommuGetInfo, info), 'VFIO_IOMMU_GET_INFO');
  // The first call says how large the whole answer is, the second one fetches it.
  const needed = Math.min(IommuInfo.argsz.get(info, 0), 65_536);
  info = new Uint32Array(Math.max(info.length, Math.ceil(needed / 4)));
  IommuInfo.argsz.set(info, 0, info.byteLength);
  check(kernel.ioctl(container, VfioRequest.iommuGetInfo, info), 'VFIO_IOMMU_GET_INFO');
  const pageBytes = smallestPage(IommuInfo.pageSizes.get(info, 0));
  const first = IommuInfo.hasCapabilities.get(info, 0)
    ? IommuInfo.capabilityOffset.get(info, 0)
    : 0;
  const at = capabilityAt(info, first, VfioCapability.iovaRange);
  if (at < 0) return { ranges: [{ first: 0, last: 0xffff_ffff }], pageBytes };
  const ranges: AddressRange[] = [];
  const count = IovaRangeCapability.count.get(info, at);
  for (let i = 0; i < count; i++) {
    const item = at + IovaRangeCapability.layout.bytes / 4 + (i * IovaRange.layout.bytes) / 4;
    if (item + IovaRange.layout.bytes / 4 > info.length) break;
    ranges.push({ first: IovaRange.start.get(info, item), last: IovaRange.last.get(info, item) });
  }
  return { ranges, pageBytes };
}

function smallestPage(mask: number): number {
  for (let bytes = 1; bytes <= mask; bytes *= 2) {
    if (Math.floor(mask / bytes) % 2 === 1) return bytes;
  }
  return 4096;
}

/** The name of a function as the zero-terminated string that the kernel wants. */
function nameWords(address: string): Uint32Array {
  const bytes = new Uint8Array(4 * Math.ceil((address.length + 1) / 4));
  for (let i = 0; i < address.length; i++) bytes[i] = address.charCodeAt(i);
  return new Uint32Array(bytes.buffer);
}

function check(result: number, what: string): void {
  if (result < 0) throw refused(what, result);
}

function refused(what: string, result: number): UltimaError {
  return new UltimaError(
    ErrorCode.backendUnavailable,
    `${what} failed: ${errnoText(result)}; run 'ultima doctor' for the reason`,
    { call: what, errno: errnoText(result) },
  );
}

interface GroupState {
  readonly kernel: Kernel;
  /** Container, group, device. */
  readonly opened: number[];
  readonly ranges: readonly AddressRange[];
  readonly pageBytes: number;
}

class GroupIommu implements Iommu {
  readonly kind = 'group';
  readonly deviceFd: number;
  readonly ranges: readonly AddressRange[];
  readonly pageBytes: number;
  private readonly kernel: Kernel;
  private readonly container: number;
  private opened: number[];

  constructor(state: GroupState) {
    this.kernel = state.kernel;
    this.opened = state.opened;
    this.container = state.opened[0]!;
    this.deviceFd = state.opened[2]!;
    this.ranges = state.ranges;
    this.pageBytes = state.pageBytes;
  }

  map(request: MapRequest): void {
    const words = new Uint32Array(DmaMap.layout.bytes / 4);
    DmaMap.argsz.set(words, 0, words.byteLength);
    DmaMap.isReadable.set(words, 0, request.access === 'write' ? 0 : 1);
    DmaMap.isWritable.set(words, 0, request.access === 'read' ? 0 : 1);
    DmaMap.virtualAddress.set(words, 0, request.virtualAddress);
    DmaMap.iova.set(words, 0, request.iova);
    DmaMap.length.set(words, 0, request.length);
    const result = this.kernel.ioctl(this.container, VfioRequest.iommuMapDma, words);
    if (result < 0) throw mapFailure(request, result, this.kernel.memlockLimit());
  }

  unmap(iova: number, length: number): void {
    const words = new Uint32Array(DmaUnmap.layout.bytes / 4);
    DmaUnmap.argsz.set(words, 0, words.byteLength);
    DmaUnmap.iova.set(words, 0, iova);
    DmaUnmap.length.set(words, 0, length);
    const result = this.kernel.ioctl(this.container, VfioRequest.iommuUnmapDma, words);
    // Success with another size means that something else was mapped there.
    const unmapped = result < 0 ? 0 : DmaUnmap.length.get(words, 0);
    if (unmapped !== length) throw unmapFailure(iova, length, unmapped);
  }

  close(): void {
    for (const fd of this.opened.reverse()) this.kernel.close(fd);
    this.opened = [];
  }
}
