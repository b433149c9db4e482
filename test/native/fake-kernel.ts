import { Errno, type Kernel, type Watcher } from '../../native/kernel.js';
import {
  Destroy,
  IoasAlloc,
  IoasIovaRanges,
  IoasMap,
  IoasUnmap,
  IommufdRequest,
} from '../../native/uapi/iommufd.js';
import {
  AttachIommufd,
  BindIommufd,
  CapabilityHeader,
  DeviceInfo,
  DmaMap,
  DmaUnmap,
  GroupStatus,
  IommuInfo,
  IovaRange,
  IovaRangeCapability,
  IrqInfo,
  IrqSet,
  RegionInfo,
  SparseArea,
  SparseMmapCapability,
  VfioIommuType,
  VfioRegion,
  VfioRequest,
} from '../../native/uapi/vfio.js';

type Kind = 'container' | 'group' | 'iommu' | 'device' | 'eventfd';

interface Mapping {
  readonly iova: number;
  readonly length: number;
  /** What the device may do: 'r', 'w', 'rw'. */
  readonly access: string;
}

/** Identifier of the one address space of an iommufd. */
const addressSpace = 7;

const requestNames = new Map<number, string>(
  [...Object.entries(VfioRequest), ...Object.entries(IommufdRequest)].map(([name, id]) => [
    id,
    name,
  ]),
);

/**
 * The kernel's side of VFIO, written from its rules: what is valid in which state, and with which
 * error number the rest is refused. It records every call, and can fail any one of them.
 */
export class FakeKernel implements Kernel {
  readonly log: string[] = [];
  readonly mappings: Mapping[] = [];
  readonly buffers = new Set<ArrayBuffer>();
  readonly eventfdsOf = new Map<number, number[]>();
  readonly deviceFile = new Uint8Array(0x10_0000);
  ranges: [number, number][] = [
    [0, 0xfedf_ffff],
    [0xfef0_0000, 0x7f_ffff_ffff],
  ];
  isViable = true;
  hasIommufd = false;
  /** Whether functions have a character device of their own; most kernels with iommufd have. */
  hasCdev = true;
  barIsMappable = true;
  sparse: [offset: number, length: number][] | null = null;
  unmapsShort = false;
  memlock = 8 * 1024 * 1024;
  locked = 0;
  vectors = 9;
  /** Fail the call with this name, on its nth use from now (1 = next). */
  failure: { call: string; nth: number; errno: number } | null = null;
  /** Somebody has the lock of the function while it is asked for so many times. */
  lockedTries = 0;
  private readonly fds = new Map<number, Kind>();
  private nextFd = 10;
  private nextAddress = 0x7f00_0000_0000;
  private readonly addresses = new Map<ArrayBufferLike, number>();
  private readonly signalled = new Map<number, number>();
  private readonly callbacks = new Map<number, () => void>();
  private hasContainer = false;
  private hasModel = false;
  private isBound = false;
  private isAttached = false;

  get openCount(): number {
    return this.fds.size;
  }

  open(path: string): number {
    const refused = this.step(`open ${path}`);
    if (refused < 0) return refused;
    if (path === '/dev/vfio/vfio') return this.fd('container');
    if (path === '/dev/iommu') return this.hasIommufd ? this.fd('iommu') : -Errno.ENOENT;
    if (path.startsWith('/dev/vfio/devices/')) {
      return this.hasIommufd && this.hasCdev ? this.fd('device') : -Errno.ENOENT;
    }
    if (!path.startsWith('/dev/vfio/')) return -Errno.ENOENT;
    return [...this.fds.values()].includes('group') ? -Errno.EBUSY : this.fd('group');
  }

  close(fd: number): number {
    const kind = this.fds.get(fd);
    this.log.push(`close ${kind ?? 'nothing'}`);
    if (kind === 'group') this.hasContainer = false;
    if (kind === 'container') this.hasModel = false;
    if (kind === 'device') {
      this.isBound = false;
      this.isAttached = false;
    }
    return this.fds.delete(fd) ? 0 : -Errno.EINVAL;
  }

  read(_fd: number, bytes: Uint8Array, offset: number): number {
    bytes.set(this.deviceFile.subarray(offset, offset + bytes.length));
    return bytes.length;
  }

  write(_fd: number, bytes: Uint8Array, offset: number): number {
    this.log.push(`write ${offset.toString(16)}`);
    this.deviceFile.set(bytes, offset);
    return bytes.length;
  }

  /** Requests that were made off the JavaScript thread. */
  readonly elsewhere: string[] = [];

  ioctlAsync(fd: number, request: number, argument: Uint32Array | number): Promise<number> {
    this.elsewhere.push(requestName(this.fds.get(fd), request));
    const opens =
      request === VfioRequest.groupGetDeviceFd || request === VfioRequest.deviceBindIommufd;
    if (opens && this.lockedTries > 0) {
      this.lockedTries--;
      return Promise.resolve(-Errno.EAGAIN);
    }
    return Promise.resolve(this.ioctl(fd, request, argument));
  }

  ioctl(fd: number, request: number, argument: Uint32Array | number): number {
    const kind = this.fds.get(fd);
    const refused = this.step(requestName(kind, request));
    if (refused < 0) return refused;
    const words = typeof argument === 'number' ? new Uint32Array(0) : argument;
    if (kind === 'container') return this.container(request, argument, words);
    if (kind === 'group') return this.group(request, words);
    if (kind === 'iommu') return this.iommu(request, words);
    if (kind === 'device') return this.device(request, words);
    return -Errno.EINVAL;
  }

  private container(request: number, argument: Uint32Array | number, words: Uint32Array): number {
    switch (request) {
      case VfioRequest.getApiVersion:
        return 0;
      case VfioRequest.checkExtension:
        return argument === VfioIommuType.type1v2 ? 1 : 0;
      case VfioRequest.setIommu:
        this.hasModel = this.hasContainer;
        return this.hasContainer ? 0 : -Errno.EINVAL;
      case VfioRequest.iommuGetInfo:
        return this.iommuInfo(words);
      case VfioRequest.iommuMapDma:
        return this.map1(DmaMap, words);
      case VfioRequest.iommuUnmapDma:
        DmaUnmap.length.set(words, 0, this.unmap1(DmaUnmap.iova.get(words, 0)));
        return 0;
      default:
        return -Errno.ENOTTY;
    }
  }

  private group(request: number, words: Uint32Array): number {
    if (request === VfioRequest.groupGetStatus) {
      GroupStatus.isViable.set(words, 0, this.isViable ? 1 : 0);
      return 0;
    }
    if (request === VfioRequest.groupSetContainer) {
      this.hasContainer = true;
      return 0;
    }
    if (request !== VfioRequest.groupGetDeviceFd) return -Errno.ENOTTY;
    if (!this.hasContainer) return -Errno.EBUSY;
    return this.hasModel ? this.fd('device') : -Errno.EINVAL;
  }

  private iommu(request: number, words: Uint32Array): number {
    // Every structure of iommufd starts with its own size.
    if (words[0] !== words.byteLength) return -Errno.EINVAL;
    switch (request) {
      case IommufdRequest.ioasAlloc:
        IoasAlloc.ioasId.set(words, 0, addressSpace);
        return 0;
      case IommufdRequest.ioasIovaRanges:
        if (IoasIovaRanges.ioasId.get(words, 0) !== addressSpace) return -Errno.ENOENT;
        return this.isAttached ? this.iovaRanges(words) : -Errno.EINVAL;
      case IommufdRequest.ioasMap:
        if (IoasMap.ioasId.get(words, 0) !== addressSpace) return -Errno.ENOENT;
        // Without FIXED_IOVA the kernel chooses the address.
        if (IoasMap.isFixed.get(words, 0) === 0) return -Errno.EINVAL;
        return this.map1(IoasMap, words);
      case IommufdRequest.ioasUnmap:
        if (IoasUnmap.ioasId.get(words, 0) !== addressSpace) return -Errno.ENOENT;
        IoasUnmap.length.set(words, 0, this.unmap1(IoasUnmap.iova.get(words, 0)));
        return 0;
      case IommufdRequest.destroy:
        if (Destroy.id.get(words, 0) !== addressSpace) return -Errno.ENOENT;
        return this.isAttached ? -Errno.EBUSY : 0;
      default:
        return -Errno.ENOTTY;
    }
  }

  private device(request: number, words: Uint32Array): number {
    // Every structure of VFIO starts with the size that the caller knows.
    const hasStructure = request !== VfioRequest.deviceReset;
    if (hasStructure && words[0] !== words.byteLength) return -Errno.EINVAL;
    switch (request) {
      case VfioRequest.deviceBindIommufd:
        this.isBound = this.fds.get(BindIommufd.iommufd.get(words, 0)) === 'iommu';
        return this.isBound ? 0 : -Errno.EINVAL;
      case VfioRequest.deviceAttachIommufdPt:
        if (AttachIommufd.pageTableId.get(words, 0) !== addressSpace) return -Errno.ENOENT;
        this.isAttached = this.isBound;
        return this.isAttached ? 0 : -Errno.EINVAL;
      case VfioRequest.deviceDetachIommufdPt:
        this.isAttached = false;
        return 0;
      case VfioRequest.deviceReset:
        return 0;
      case VfioRequest.deviceGetInfo:
        DeviceInfo.canReset.set(words, 0, 1);
        DeviceInfo.isPci.set(words, 0, 1);
        return 0;
      case VfioRequest.deviceGetRegionInfo:
        return this.regionInfo(words);
      case VfioRequest.deviceGetIrqInfo:
        IrqInfo.count.set(words, 0, IrqInfo.index.get(words, 0) === 2 ? this.vectors : 1);
        IrqInfo.hasEventfd.set(words, 0, 1);
        return 0;
      case VfioRequest.deviceSetIrqs:
        return this.setIrqs(words);
      default:
        return -Errno.ENOTTY;
    }
  }

  private iommuInfo(words: Uint32Array): number {
    const head = IommuInfo.layout.bytes / 4;
    const itemWords = IovaRange.layout.bytes / 4;
    const capWords = IovaRangeCapability.layout.bytes / 4;
    const needed = (head + capWords + itemWords * this.ranges.length) * 4;
    const hasRoom = words.byteLength >= needed;
    IommuInfo.argsz.set(words, 0, needed);
    IommuInfo.hasPageSizes.set(words, 0, 1);
    IommuInfo.pageSizes.set(words, 0, 0x4020_1000);
    IommuInfo.hasCapabilities.set(words, 0, 1);
    if (!hasRoom) return 0;
    IommuInfo.capabilityOffset.set(words, 0, head * 4);
    CapabilityHeader.id.set(words, head, 1);
    IovaRangeCapability.count.set(words, head, this.ranges.length);
    this.ranges.forEach(([first, last], i) => {
      IovaRange.start.set(words, head + capWords + i * itemWords, first);
      IovaRange.last.set(words, head + capWords + i * itemWords, last);
    });
    return 0;
  }

  private iovaRanges(words: Uint32Array): number {
    const room = IoasIovaRanges.count.get(words, 0);
    IoasIovaRanges.count.set(words, 0, this.ranges.length);
    IoasIovaRanges.alignment.set(words, 0, 4096);
    if (room < this.ranges.length) return -Errno.EMSGSIZE;
    const address = IoasIovaRanges.ranges.get(words, 0);
    for (const [memory, at] of this.addresses) {
      if (at !== address) continue;
      const target = new Uint32Array(memory);
      this.ranges.forEach(([first, last], i) => {
        IovaRange.start.set(target, (i * IovaRange.layout.bytes) / 4, first);
        IovaRange.last.set(target, (i * IovaRange.layout.bytes) / 4, last);
      });
      return 0;
    }
    return -Errno.EFAULT;
  }

  private regionInfo(words: Uint32Array): number {
    const index = RegionInfo.index.get(words, 0);
    const isConfig = index === VfioRegion.config;
    const length = index === 0 ? 0x4000 : isConfig ? 4096 : 0;
    RegionInfo.length.set(words, 0, length);
    RegionInfo.offset.set(words, 0, isConfig ? 0x1_0000 : 0);
    RegionInfo.isMappable.set(words, 0, index === 0 && this.barIsMappable ? 1 : 0);
    if (index !== 0 || this.sparse === null) return 0;
    const head = RegionInfo.layout.bytes / 4;
    const needed =
      RegionInfo.layout.bytes +
      SparseMmapCapability.layout.bytes +
      this.sparse.length * SparseArea.layout.bytes;
    RegionInfo.argsz.set(words, 0, needed);
    RegionInfo.hasCapabilities.set(words, 0, 1);
    if (words.byteLength < needed) return 0;
    RegionInfo.capabilityOffset.set(words, 0, head * 4);
    CapabilityHeader.id.set(words, head, 1);
    SparseMmapCapability.count.set(words, head, this.sparse.length);
    this.sparse.forEach(([offset, bytes], i) => {
      const at = head + (SparseMmapCapability.layout.bytes + i * SparseArea.layout.bytes) / 4;
      SparseArea.offset.set(words, at, offset);
      SparseArea.length.set(words, at, bytes);
    });
    return 0;
  }

  private setIrqs(words: Uint32Array): number {
    const index = IrqSet.index.get(words, 0);
    const count = IrqSet.count.get(words, 0);
    if (IrqSet.hasEventfds.get(words, 0) === 0) {
      if (count === 0) this.eventfdsOf.delete(index);
      else this.signalEvent(this.eventfdsOf.get(index)![IrqSet.start.get(words, 0)]!);
      return 0;
    }
    // Kernels before 6.4: the vectors of an index are connected together or not at all.
    if (this.eventfdsOf.has(index)) return -Errno.EINVAL;
    const head = IrqSet.layout.bytes / 4;
    this.eventfdsOf.set(index, [...words.subarray(head, head + count)]);
    return 0;
  }

  private map1(table: typeof DmaMap | typeof IoasMap, words: Uint32Array): number {
    const iova = table.iova.get(words, 0);
    const length = table.length.get(words, 0);
    const canRead = table.isReadable.get(words, 0) === 1;
    const canWrite = table.isWritable.get(words, 0) === 1;
    const access = `${canRead ? 'r' : ''}${canWrite ? 'w' : ''}`;
    if (access === '') return -Errno.EINVAL;
    const last = iova + length - 1;
    if (iova % 4096 !== 0 || length % 4096 !== 0 || length === 0) return -Errno.EINVAL;
    if (!this.ranges.some(([first, end]) => iova >= first && last <= end)) return -Errno.EINVAL;
    if (this.mappings.some((other) => iova < other.iova + other.length && last >= other.iova)) {
      return -Errno.EEXIST;
    }
    if (this.locked + length > this.memlock) return -Errno.ENOMEM;
    this.locked += length;
    this.mappings.push({ iova, length, access });
    return 0;
  }

  private unmap1(iova: number): number {
    const i = this.mappings.findIndex((mapping) => mapping.iova === iova);
    if (i < 0) return 0;
    const [mapping] = this.mappings.splice(i, 1);
    this.locked -= mapping!.length;
    return this.unmapsShort ? 0 : mapping!.length;
  }

  map(_fd: number, offset: number, length: number): ArrayBuffer | number {
    const refused = this.step(`map ${offset.toString(16)}+${length.toString(16)}`);
    return refused < 0 ? refused : this.buffer(length);
  }

  arena(length: number, isHuge: boolean): ArrayBuffer | number {
    const refused = this.step(`arena ${length}${isHuge ? ' huge' : ''}`);
    if (refused < 0 || isHuge) return refused < 0 ? refused : -Errno.ENOMEM;
    return this.buffer(length);
  }

  unmap(buffer: ArrayBuffer): number {
    this.log.push('munmap');
    return this.buffers.delete(buffer) ? 0 : -Errno.EINVAL;
  }

  view(): ArrayBuffer | number {
    return -Errno.EINVAL;
  }

  dropView(): number {
    return -Errno.EINVAL;
  }

  isViewed(): boolean {
    return false;
  }

  addressOf(memory: ArrayBuffer | Uint32Array): number {
    const buffer = memory instanceof Uint32Array ? memory.buffer : memory;
    const known = this.addresses.get(buffer);
    if (known !== undefined) return known;
    this.nextAddress += 0x1000_0000;
    this.addresses.set(buffer, this.nextAddress);
    return this.nextAddress;
  }

  wasHit(): boolean {
    return false;
  }

  memlockLimit(): number {
    return this.memlock;
  }

  pageBytes(): number {
    return 4096;
  }

  eventfd(): number {
    const refused = this.step('eventfd');
    return refused < 0 ? refused : this.fd('eventfd');
  }

  takeEvent(fd: number): number {
    const count = this.signalled.get(fd) ?? 0;
    this.signalled.delete(fd);
    return count;
  }

  signalEvent(fd: number): number {
    this.signalled.set(fd, (this.signalled.get(fd) ?? 0) + 1);
    const callback = this.callbacks.get(fd);
    if (callback !== undefined) setImmediate(callback);
    return 8;
  }

  watch(fd: number, onReadable: () => void): Watcher {
    this.callbacks.set(fd, onReadable);
    if (this.signalled.has(fd)) setImmediate(onReadable);
    return { hold: () => undefined, close: () => void this.callbacks.delete(fd) };
  }

  private buffer(length: number): ArrayBuffer {
    const buffer = new ArrayBuffer(length);
    this.buffers.add(buffer);
    return buffer;
  }

  private fd(kind: Kind): number {
    const fd = this.nextFd++;
    this.fds.set(fd, kind);
    return fd;
  }

  /** @returns a negative error number when this call is the one to fail */
  private step(name: string): number {
    this.log.push(name);
    const failure = this.failure;
    if (failure === null || !name.startsWith(failure.call)) return 0;
    failure.nth--;
    if (failure.nth > 0) return 0;
    this.failure = null;
    return -failure.errno;
  }
}

/** The number 112 is two requests: which one depends on what it is asked of. */
function requestName(kind: Kind | undefined, request: number): string {
  if (request === VfioRequest.iommuGetInfo && kind === 'container') return 'iommuGetInfo';
  if (request === VfioRequest.iommuMapDma && kind === 'container') return 'iommuMapDma';
  return requestNames.get(request) ?? `request ${request}`;
}
