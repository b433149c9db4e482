import { bits, struct, u32, u64 } from '../layout.js';

/** Regions of a PCI device, by index [Linux-UAPI vfio.h]. */
export const Region = { bar0: 0, bar5: 5, rom: 6, config: 7, vga: 8 } as const;
export const regionCount = 9;

/** Payload of deviceGetInfo and of its reply [vfio-user §VFIO_USER_DEVICE_GET_INFO]. */
export const DeviceInfo = struct(
  { title: 'vfio-user device info', cite: '[vfio-user §VFIO_USER_DEVICE_GET_INFO]', bytes: 16 },
  {
    argsz: u32(0, 'Largest reply payload; in the reply the bytes of a whole one'),
    canReset: bits(4, 0, 0, 'deviceReset works (VFIO_DEVICE_FLAGS_RESET)'),
    isPci: bits(4, 1, 1, 'A PCI device (VFIO_DEVICE_FLAGS_PCI)'),
    regionCount: u32(8, 'Regions (num_regions)'),
    irqCount: u32(12, 'Kinds of interrupts (num_irqs)'),
  },
);

/**
 * Payload of deviceGetRegionInfo and of its reply, in which capabilities and a file descriptor to
 * map may follow [vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO].
 */
export const RegionInfo = struct(
  {
    title: 'vfio-user region info',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO]',
    bytes: 32,
  },
  {
    argsz: u32(0, 'Largest reply payload; in the reply the bytes of a whole one'),
    isReadable: bits(4, 0, 0, 'The client may read (VFIO_REGION_INFO_FLAG_READ)'),
    isWritable: bits(4, 1, 1, 'The client may write (VFIO_REGION_INFO_FLAG_WRITE)'),
    isMappable: bits(4, 2, 2, 'A file to map comes along (VFIO_REGION_INFO_FLAG_MMAP)'),
    hasCapabilities: bits(4, 3, 3, 'Capabilities follow (VFIO_REGION_INFO_FLAG_CAPS)'),
    index: u32(8, 'Which region'),
    capabilityOffset: u32(12, 'First capability from the start of this structure (cap_offset)'),
    length: u64(16, 'Bytes (size)'),
    offset: u64(24, 'Where the region lies in the file'),
  },
);

export const RegionCapability = { sparseMmap: 1, type: 2 } as const;

/** Head of every capability of a region. */
export const CapabilityHeader = struct(
  {
    title: 'vfio-user region capability header',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO]',
    bytes: 8,
  },
  {
    id: bits(0, 15, 0, 'Which capability', RegionCapability),
    version: bits(0, 31, 16, 'Its version; 1 for sparse mmap'),
    next: u32(4, 'Next capability from the start of the region info; 0 at the end'),
  },
);

/** The parts of a region that may be mapped; a `SparseArea` for each follows. */
export const SparseMmap = struct(
  {
    title: 'vfio-user sparse mmap capability',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO]',
    bytes: 16,
  },
  { areaCount: u32(8, 'Areas that follow (nr_areas)') },
);

export const SparseArea = struct(
  {
    title: 'vfio-user sparse mmap area',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO]',
    bytes: 16,
  },
  {
    offset: u64(0, 'From the start of the region; add the offset of the region for the file'),
    length: u64(8, 'Bytes (size)'),
  },
);

/** Payload of deviceGetRegionIoFds and of its reply; sub-regions and descriptors follow there. */
export const RegionIoFds = struct(
  {
    title: 'vfio-user region I/O descriptors',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_IO_FDS]',
    bytes: 16,
  },
  {
    argsz: u32(0, 'Largest reply payload; in the reply the bytes of a whole one'),
    flags: u32(4, '0'),
    index: u32(8, 'Which region'),
    count: u32(12, 'Sub-regions that follow'),
  },
);

export const IoFdType = { ioeventfd: 0, ioregionfd: 1 } as const;

/** A part of a region with a descriptor of its own. */
export const SubRegionIoFd = struct(
  {
    title: 'vfio-user sub-region I/O descriptor',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_REGION_IO_FDS]',
    bytes: 40,
  },
  {
    offset: u64(0, 'From the start of the region'),
    length: u64(8, 'Bytes, or 0: accesses of any size'),
    fdIndex: u32(16, 'Which of the descriptors that came along (fd_index)'),
    type: bits(20, 31, 0, 'What kind of descriptor', IoFdType),
    flags: u32(24, 'As KVM has them for the type'),
    value: u64(32, 'Of an ioeventfd the value to match (datamatch), else opaque (user_data)'),
  },
);
