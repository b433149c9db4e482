import { bits, struct, u32, u64 } from '../layout.js';

/**
 * Payload of dmaMap; the reply has none. A file descriptor comes along when the server may map the
 * region [vfio-user §VFIO_USER_DMA_MAP].
 */
export const DmaMap = struct(
  { title: 'vfio-user DMA map', cite: '[vfio-user §VFIO_USER_DMA_MAP]', bytes: 32 },
  {
    argsz: u32(0, 'Size of this structure'),
    isReadable: bits(4, 0, 0, 'The device may read (readable)'),
    isWritable: bits(4, 1, 1, 'The device may write (writeable)'),
    offset: u64(8, 'Where the region starts in the file; 0 without a file'),
    address: u64(16, 'First device address'),
    length: u64(24, 'Bytes (size)'),
  },
);

/**
 * Payload of dmaUnmap and of its reply, which follows when nothing of the region is in use any more
 * [vfio-user §VFIO_USER_DMA_UNMAP]. The flags are those of VFIO.
 */
export const DmaUnmap = struct(
  { title: 'vfio-user DMA unmap', cite: '[vfio-user §VFIO_USER_DMA_UNMAP]', bytes: 24 },
  {
    argsz: u32(0, 'Largest reply payload'),
    wantsBitmap: bits(4, 0, 0, 'Dirty pages of the region are wanted, before 0.0.2'),
    isAll: bits(4, 1, 1, 'All regions; address and size are 0 [Linux-UAPI vfio.h]'),
    reserved: bits(4, 31, 2, 'Reserved'),
    address: u64(8, 'As it was mapped'),
    length: u64(16, 'As it was mapped (size)'),
  },
);

/**
 * Payload of dmaRead and dmaWrite and of their replies; data follows in a write and in the reply to
 * a read [vfio-user §VFIO_USER_DMA_READ].
 */
export const DmaTransfer = struct(
  { title: 'vfio-user DMA read and write', cite: '[vfio-user §VFIO_USER_DMA_READ]', bytes: 16 },
  { address: u64(0, 'Device address'), count: u64(8, 'Bytes of data') },
);
