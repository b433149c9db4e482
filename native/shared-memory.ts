import { ErrorCode, UltimaError } from '../sdk/errors.js';
import { Errno, errnoText, type NativeKernel } from './kernel.js';

/**
 * Zeroed memory of this process that others can be given: a memfd, mapped here. Its size is sealed,
 * so nobody who has the descriptor can cut it short under us.
 */
export class SharedMemory {
  readonly length: number;
  /** Length 0 once closed. */
  readonly buffer: ArrayBuffer;
  private readonly kernel: NativeKernel;
  private readonly name: string;
  private descriptor: number;

  /**
   * @param name what tools show for it, at most 200 characters
   * @param length bytes, rounded up to pages
   * @throws UltimaError DMA_EXHAUSTED when the system has no memory or descriptor left
   */
  constructor(kernel: NativeKernel, name: string, length: number) {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`${length} bytes of shared memory: a whole number of at least 1 is`);
    }
    if (name.length > 200) throw new RangeError('the name of shared memory has at most 200 bytes');
    const pageBytes = kernel.pageBytes();
    this.kernel = kernel;
    this.length = Math.ceil(length / pageBytes) * pageBytes;
    this.name = name;
    this.descriptor = sealedMemory(kernel, name, this.length);
    const buffer = kernel.map(this.descriptor, 0, this.length, true, false);
    if (typeof buffer === 'number') {
      kernel.close(this.descriptor);
      throw exhausted(this.length, buffer);
    }
    this.buffer = buffer;
  }

  /** To hand on; it stays ours. -1 once closed. */
  get fd(): number {
    return this.descriptor;
  }

  /**
   * Whoever was given the memory keeps what it is now, and neither sees nor changes it from here
   * on: the same bytes stand in new memory at the same addresses, under a new descriptor.
   *
   * @throws UltimaError DMA_EXHAUSTED when there is no memory for the copy; nothing changed then
   */
  takeBack(): void {
    if (this.descriptor < 0) return;
    const { kernel } = this;
    const fresh = sealedMemory(kernel, this.name, this.length);
    let result = kernel.copyMemory(this.descriptor, fresh);
    if (result >= 0) result = kernel.remap(this.buffer, fresh);
    if (result < 0) {
      kernel.close(fresh);
      throw exhausted(this.length, result);
    }
    kernel.close(this.descriptor);
    this.descriptor = fresh;
  }

  /** Unmaps and closes it; whoever mapped the descriptor keeps the memory. Idempotent. */
  close(): void {
    if (this.descriptor < 0) return;
    this.kernel.unmap(this.buffer);
    this.kernel.close(this.descriptor);
    this.descriptor = -1;
  }
}

/** @returns a descriptor of zeroes whose size nobody changes */
function sealedMemory(kernel: NativeKernel, name: string, length: number): number {
  const fd = kernel.memfd(name, length);
  if (fd < 0) throw exhausted(length, fd);
  const sealed = kernel.fileSeal(fd);
  if (sealed >= 0) return fd;
  kernel.close(fd);
  throw exhausted(length, sealed);
}

export interface DescriptorRange {
  /** Bytes into the file, a multiple of the page size. */
  readonly offset: number;
  /** Bytes, at least 1. */
  readonly length: number;
  readonly isWritable: boolean;
  /**
   * What takes the place of the memory when its owner cuts it short: 'zeroes' for memory, 'ones'
   * for registers, which then read as those of a device that is gone. 'zeroes' when left out.
   */
  readonly whenLost?: 'zeroes' | 'ones';
}

/**
 * Map a part of a descriptor that another process gave. It may lie: what it describes must be
 * memory or a regular file that reaches to the end of the range, and an access after the owner cut
 * it short does not kill this process. `kernel.unmap` ends it.
 *
 * @throws RangeError for an offset or a length that cannot be, UltimaError DMA_MAP_FAILED
 */
export function mapDescriptor(
  kernel: NativeKernel,
  fd: number,
  range: DescriptorRange,
): ArrayBuffer {
  const { offset, length, isWritable } = range;
  const pageBytes = kernel.pageBytes();
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % pageBytes !== 0) {
    throw new RangeError(`offset ${offset} is not a multiple of the page size, ${pageBytes}`);
  }
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new RangeError(`a length of ${length} bytes cannot be mapped, at least 1 can`);
  }
  const size = kernel.fileBytes(fd);
  if (size < 0) throw refused(range, `it is no memory and no regular file (${errnoText(size)})`);
  if (offset + length > size) throw refused(range, `it has ${size} bytes`);
  const buffer =
    range.whenLost === 'ones'
      ? kernel.map(fd, offset, length, isWritable, true)
      : kernel.mapMemory(fd, offset, length, isWritable);
  if (typeof buffer !== 'number') return buffer;
  throw refused(range, mapReasons[-buffer] ?? errnoText(buffer));
}

const mapReasons: Readonly<Record<number, string>> = {
  [Errno.EACCES]: 'it is not open for this kind of access',
  [Errno.EPERM]: 'it is sealed against this kind of access',
  [Errno.ENOMEM]: 'this process has no room for more mappings (vm.max_map_count)',
  [Errno.ENOSPC]: 'this process guards as many mappings as it can (65536)',
};

function refused(range: DescriptorRange, reason: string): UltimaError {
  const { offset, length } = range;
  return new UltimaError(
    ErrorCode.dmaMapFailed,
    `cannot map ${length} bytes at ${offset} of a descriptor: ${reason}`,
    { offset, length },
  );
}

function exhausted(length: number, result: number): UltimaError {
  return new UltimaError(
    ErrorCode.dmaExhausted,
    `the system has no ${length} bytes of shared memory: ${errnoText(result)}`,
    { length, errno: errnoText(result) },
  );
}
