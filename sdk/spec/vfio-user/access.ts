import { struct, u32, u64, wide } from '../layout.js';

/**
 * Payload of regionRead and regionWrite and of their replies; data follows in a write and in the
 * reply to a read [vfio-user §VFIO_USER_REGION_READ].
 */
export const RegionAccess = struct(
  {
    title: 'vfio-user region read and write',
    cite: '[vfio-user §VFIO_USER_REGION_READ]',
    bytes: 16,
  },
  {
    offset: u64(0, 'First byte, from the start of the region'),
    region: u32(8, 'Which region'),
    count: u32(12, 'Bytes of data'),
  },
);

/** Payload of regionWriteMulti and of its reply; in the command the writes follow. */
export const RegionWriteMulti = struct(
  {
    title: 'vfio-user multiple region writes',
    cite: '[vfio-user §VFIO_USER_REGION_WRITE_MULTI]',
    bytes: 8,
  },
  { count: u64(0, 'Writes (wr_cnt)') },
);

/** One of the writes. */
export const RegionWriteItem = struct(
  {
    title: 'vfio-user single region write',
    cite: '[vfio-user §VFIO_USER_REGION_WRITE_MULTI]',
    bytes: 24,
  },
  {
    offset: u64(0, 'First byte, from the start of the region'),
    region: u32(8, 'Which region'),
    count: u32(12, 'Bytes of data, at most 8'),
    data: wide(16, 8, 'raw', 'The data'),
  },
);
