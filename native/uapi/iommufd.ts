import { bits, struct, u32, u64 } from '../../sdk/spec/layout.js';

/** `_IO(';', n)` [Linux-UAPI iommufd.h]; distributions older than the interface lack the header. */
const request = (number: number): number => (0x3b << 8) | number;

export const IommufdRequest = {
  destroy: request(0x80),
  ioasAlloc: request(0x81),
  ioasIovaRanges: request(0x84),
  ioasMap: request(0x85),
  ioasUnmap: request(0x86),
} as const;

const cite = '[Linux-UAPI iommufd.h]';

export const Destroy = struct(
  { title: 'iommu_destroy', cite, bytes: 8 },
  { size: u32(0, 'Size of the structure'), id: u32(4, 'Object to destroy') },
);

export const IoasAlloc = struct(
  { title: 'iommu_ioas_alloc', cite, bytes: 12 },
  {
    size: u32(0, 'Size of the structure'),
    flags: u32(4, 'Flags'),
    ioasId: u32(8, 'Out: identifier of the address space'),
  },
);

export const IoasIovaRanges = struct(
  { title: 'iommu_ioas_iova_ranges', cite, bytes: 32 },
  {
    size: u32(0, 'Size of the structure'),
    ioasId: u32(4, 'Address space'),
    count: u32(8, 'In: room for ranges; out: ranges there are (num_iovas)'),
    ranges: u64(16, 'Address of the array of ranges (allowed_iovas)'),
    alignment: u64(24, 'Out: alignment that mappings need (out_iova_alignment)'),
  },
);

export const IoasMap = struct(
  { title: 'iommu_ioas_map', cite, bytes: 40 },
  {
    size: u32(0, 'Size of the structure'),
    isFixed: bits(4, 0, 0, 'The caller chose the address (FIXED_IOVA)'),
    isWritable: bits(4, 1, 1, 'The device may write (WRITEABLE)'),
    isReadable: bits(4, 2, 2, 'The device may read (READABLE)'),
    ioasId: u32(8, 'Address space'),
    virtualAddress: u64(16, 'Address in the process (user_va)'),
    length: u64(24, 'Bytes'),
    iova: u64(32, 'Address for the device'),
  },
);

export const IoasUnmap = struct(
  { title: 'iommu_ioas_unmap', cite, bytes: 24 },
  {
    size: u32(0, 'Size of the structure'),
    ioasId: u32(4, 'Address space'),
    iova: u64(8, 'Address for the device'),
    length: u64(16, 'Bytes to unmap; on return the bytes that were unmapped'),
  },
);
