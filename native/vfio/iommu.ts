import type { DmaAccess } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Errno, errnoText } from '../kernel.js';

/** Addresses a device may use, both ends inclusive. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

export interface MapRequest {
  /** In this process, page-aligned. */
  readonly virtualAddress: number;
  /** For the device, page-aligned. */
  readonly iova: number;
  readonly length: number;
  readonly access: DmaAccess;
}

/** Device addresses, and memory put at them. */
export interface AddressSpace {
  /** Usable device addresses, ascending; reserved windows are already left out. */
  readonly ranges: readonly AddressRange[];
  readonly pageBytes: number;
  /** @throws UltimaError DMA_MAP_FAILED, with the limit that was hit and the remedy */
  map(request: MapRequest): void;
  /** @throws UltimaError DMA_MAP_FAILED when the kernel unmapped anything but exactly this */
  unmap(iova: number, length: number): void;
}

/**
 * A device that this process owns, in an address space of its own: the legacy group interface or
 * iommufd. Both give the same.
 */
export interface Iommu extends AddressSpace {
  readonly kind: 'group' | 'iommufd';
  readonly deviceFd: number;
  /** Closes the device too. Idempotent. */
  close(): void;
}

/** A refused mapping in words: the kernel says only a number. */
export function mapFailure(request: MapRequest, result: number, memlockBytes: number): UltimaError {
  const facts = { iova: request.iova, length: request.length, errno: errnoText(result) };
  if (result === -Errno.ENOMEM) {
    const message =
      `cannot lock ${request.length} bytes for the device: the limit of locked memory is ` +
      `${memlockBytes} bytes in all; raise it (ulimit -l, or LimitMEMLOCK= of the service)`;
    return new UltimaError(ErrorCode.dmaMapFailed, message, { ...facts, memlockBytes });
  }
  const reasons: Readonly<Record<number, string>> = {
    [Errno.EEXIST]: 'the device addresses are mapped already',
    [Errno.EINVAL]: 'the address range is unaligned, reserved or beyond the reach of the IOMMU',
    [Errno.EFAULT]: 'the memory cannot be written by the device',
    [Errno.ENOSPC]: 'the kernel allows no more mappings (dma_entry_limit of vfio_iommu_type1)',
  };
  const reason = reasons[-result] ?? errnoText(result);
  return new UltimaError(ErrorCode.dmaMapFailed, `DMA mapping refused: ${reason}`, facts);
}

export function unmapFailure(iova: number, asked: number, unmapped: number): UltimaError {
  return new UltimaError(
    ErrorCode.dmaMapFailed,
    `unmapping ${asked} bytes at device address ${iova} unmapped ${unmapped}: ` +
      'the device may still reach memory that is no longer ours; close it',
    { iova, asked, unmapped },
  );
}
