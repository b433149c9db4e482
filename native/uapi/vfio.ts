import { bits, struct, u32, u64 } from '../../sdk/spec/layout.js';

/** `_IO(';', 100 + n)` [Linux-UAPI vfio.h]. */
const request = (number: number): number => (0x3b << 8) | number;

export const VfioRequest = {
  getApiVersion: request(100),
  checkExtension: request(101),
  setIommu: request(102),
  groupGetStatus: request(103),
  groupSetContainer: request(104),
  groupUnsetContainer: request(105),
  groupGetDeviceFd: request(106),
  deviceGetInfo: request(107),
  deviceGetRegionInfo: request(108),
  deviceGetIrqInfo: request(109),
  deviceSetIrqs: request(110),
  deviceReset: request(111),
  deviceGetPciHotResetInfo: request(112),
  devicePciHotReset: request(113),
  /** On the container the number 112 means this. */
  iommuGetInfo: request(112),
  iommuMapDma: request(113),
  iommuUnmapDma: request(114),
  deviceFeature: request(117),
  deviceBindIommufd: request(118),
  deviceAttachIommufdPt: request(119),
  deviceDetachIommufdPt: request(120),
} as const;

export const vfioApiVersion = 0;

/** Values of checkExtension and setIommu. */
export const VfioIommuType = { type1: 1, type1v2: 3 } as const;

/** Indices of deviceGetRegionInfo. */
export const VfioRegion = { bar0: 0, bar5: 5, rom: 6, config: 7, vga: 8 } as const;

/** Indices of deviceGetIrqInfo and deviceSetIrqs. */
export const VfioIrq = { intx: 0, msi: 1, msix: 2, error: 3, request: 4 } as const;

export const VfioCapability = { regionSparseMmap: 1, regionMsixMappable: 3, iovaRange: 1 } as const;

const cite = '[Linux-UAPI vfio.h]';

export const GroupStatus = struct(
  { title: 'vfio_group_status', cite, bytes: 8 },
  {
    argsz: u32(0, 'Size of the structure'),
    isViable: bits(4, 0, 0, 'All devices of the group are free or bound to VFIO (VIABLE)'),
    isContainerSet: bits(4, 1, 1, 'The group belongs to a container (CONTAINER_SET)'),
  },
);

export const IommuInfo = struct(
  { title: 'vfio_iommu_type1_info', cite, bytes: 24 },
  {
    argsz: u32(0, 'Size of the structure'),
    hasPageSizes: bits(4, 0, 0, 'Page sizes are given (PGSIZES)'),
    hasCapabilities: bits(4, 1, 1, 'Capabilities follow (CAPS)'),
    pageSizes: u64(8, 'Bit mask of page sizes (iova_pgsizes)'),
    capabilityOffset: u32(16, 'First capability from the start (cap_offset)'),
  },
);

/** Head of every capability in a chain. */
export const CapabilityHeader = struct(
  { title: 'vfio_info_cap_header', cite, bytes: 8 },
  {
    id: bits(0, 15, 0, 'Which capability (id)'),
    version: bits(0, 31, 16, 'Its version'),
    next: u32(4, 'Offset of the next one from the start of the structure, 0 at the end'),
  },
);

/** The same pair of numbers in both interfaces: first and last address of a usable range. */
export const IovaRange = struct(
  { title: 'iova range', cite, bytes: 16 },
  { start: u64(0, 'First address'), last: u64(8, 'Last address, inclusive') },
);

export const IovaRangeCapability = struct(
  { title: 'vfio_iommu_type1_info_cap_iova_range', cite, bytes: 16 },
  { count: u32(8, 'Ranges that follow (nr_iovas)') },
);

export const DmaMap = struct(
  { title: 'vfio_iommu_type1_dma_map', cite, bytes: 32 },
  {
    argsz: u32(0, 'Size of the structure'),
    isReadable: bits(4, 0, 0, 'The device may read (READ)'),
    isWritable: bits(4, 1, 1, 'The device may write (WRITE)'),
    virtualAddress: u64(8, 'Address in the process (vaddr)'),
    iova: u64(16, 'Address for the device'),
    length: u64(24, 'Bytes (size)'),
  },
);

export const DmaUnmap = struct(
  { title: 'vfio_iommu_type1_dma_unmap', cite, bytes: 24 },
  {
    argsz: u32(0, 'Size of the structure'),
    flags: u32(4, 'Flags'),
    iova: u64(8, 'Address for the device'),
    length: u64(16, 'Bytes to unmap; on return the bytes that were unmapped (size)'),
  },
);

export const DeviceInfo = struct(
  { title: 'vfio_device_info', cite, bytes: 16 },
  {
    argsz: u32(0, 'Size of the structure'),
    canReset: bits(4, 0, 0, 'The device can be reset (RESET)'),
    isPci: bits(4, 1, 1, 'A PCI device (PCI)'),
    regionCount: u32(8, 'Regions (num_regions)'),
    irqCount: u32(12, 'Interrupt indices (num_irqs)'),
  },
);

export const RegionInfo = struct(
  { title: 'vfio_region_info', cite, bytes: 32 },
  {
    argsz: u32(0, 'Size of the structure'),
    isReadable: bits(4, 0, 0, 'READ'),
    isWritable: bits(4, 1, 1, 'WRITE'),
    isMappable: bits(4, 2, 2, 'MMAP'),
    hasCapabilities: bits(4, 3, 3, 'CAPS'),
    index: u32(8, 'Which region'),
    capabilityOffset: u32(12, 'First capability from the start (cap_offset)'),
    length: u64(16, 'Bytes (size)'),
    offset: u64(24, 'Where the region lies in the device file'),
  },
);

export const SparseMmapCapability = struct(
  { title: 'vfio_region_info_cap_sparse_mmap', cite, bytes: 16 },
  { count: u32(8, 'Areas that follow (nr_areas)') },
);

export const SparseArea = struct(
  { title: 'vfio_region_sparse_mmap_area', cite, bytes: 16 },
  { offset: u64(0, 'From the start of the region'), length: u64(8, 'Bytes (size)') },
);

export const IrqInfo = struct(
  { title: 'vfio_irq_info', cite, bytes: 16 },
  {
    argsz: u32(0, 'Size of the structure'),
    hasEventfd: bits(4, 0, 0, 'EVENTFD'),
    isMaskable: bits(4, 1, 1, 'MASKABLE'),
    isAutomasked: bits(4, 2, 2, 'AUTOMASKED'),
    cannotResize: bits(4, 3, 3, 'All vectors at once or none (NORESIZE)'),
    index: u32(8, 'Which interrupt'),
    count: u32(12, 'Vectors'),
  },
);

/** Followed by `count` eventfds as 32-bit integers when `hasEventfds` is set. */
export const IrqSet = struct(
  { title: 'vfio_irq_set', cite, bytes: 20 },
  {
    argsz: u32(0, 'Size with what follows'),
    hasNone: bits(4, 0, 0, 'No data follows (DATA_NONE)'),
    hasEventfds: bits(4, 2, 2, 'Eventfds follow (DATA_EVENTFD)'),
    trigger: bits(4, 5, 5, 'Connect or fire (ACTION_TRIGGER)'),
    index: u32(8, 'Which interrupt'),
    start: u32(12, 'First vector'),
    count: u32(16, 'Vectors; 0 with DATA_NONE and TRIGGER turns the index off'),
  },
);

export const BindIommufd = struct(
  { title: 'vfio_device_bind_iommufd', cite, bytes: 16 },
  {
    argsz: u32(0, 'Size of the structure'),
    flags: u32(4, 'Flags'),
    iommufd: u32(8, 'Descriptor of /dev/iommu'),
    deviceId: u32(12, 'Out: identifier of the device (out_devid)'),
  },
);

export const AttachIommufd = struct(
  { title: 'vfio_device_attach_iommufd_pt', cite, bytes: 12 },
  {
    argsz: u32(0, 'Size of the structure'),
    flags: u32(4, 'Flags'),
    pageTableId: u32(8, 'Address space to attach to (pt_id)'),
  },
);

export const DetachIommufd = struct(
  { title: 'vfio_device_detach_iommufd_pt', cite, bytes: 8 },
  { argsz: u32(0, 'Size of the structure'), flags: u32(4, 'Flags') },
);
