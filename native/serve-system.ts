import { readlinkSync } from 'node:fs';
import { Errno, type NativeKernel } from './kernel.js';
import { SharedMemory } from './shared-memory.js';

const nanosecondsPerMs = 1_000_000;
/** What Linux calls an eventfd in /proc/self/fd. */
const eventfdName = 'anon_inode:[eventfd]';

/**
 * What a vfio-user server needs of Linux. Descriptors come from a peer that may lie: only memory
 * and regular files are mapped, only eventfds are signalled, and neither a file that is cut short
 * nor a counter that is full stops this process.
 */
export class NativeServeSystem {
  private readonly kernel: NativeKernel;

  constructor(kernel: NativeKernel) {
    this.kernel = kernel;
  }

  /** @returns the memory, or an error number above 0 */
  map(fd: number, offset: number, length: number, isWritable: boolean): Uint8Array | number {
    const size = this.kernel.fileBytes(fd);
    if (size < 0) return -size;
    if (offset + length > size) return Errno.EINVAL;
    const buffer = this.kernel.mapMemory(fd, offset, length, isWritable);
    return typeof buffer === 'number' ? -buffer : new Uint8Array(buffer);
  }

  unmap(bytes: Uint8Array): void {
    if (bytes.buffer instanceof ArrayBuffer) this.kernel.unmap(bytes.buffer);
  }

  closeDescriptor(fd: number): void {
    this.kernel.close(fd);
  }

  isEventfd(fd: number): boolean {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === eventfdName;
    } catch {
      return false;
    }
  }

  /** A full counter has been signalled already; a write would wait for its reader. */
  signal(fd: number): void {
    if (this.kernel.waitFor(fd, true, 0) === 1) this.kernel.signalEvent(fd);
  }

  retract(fd: number): boolean {
    return this.kernel.takeEvent(fd) > 0;
  }

  nowMs(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / nanosecondsPerMs;
  }

  ownMemory(bytes: number): SharedMemory {
    return new SharedMemory(this.kernel, 'ultima registers', bytes);
  }
}
