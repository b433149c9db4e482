/**
 * What the façade asks of the operating system, one call each, as the addon gives it. Results are
 * the kernel's: a value, or a negative error number. A fake of this interface checks order and
 * arguments where the real calls cannot run.
 */
export interface Kernel {
  /** @param flags O_* of the platform; O_CLOEXEC is always added */
  open(path: string, flags: number): number;
  close(fd: number): number;
  /** Positioned; short counts are possible. */
  read(fd: number, bytes: Uint8Array, offset: number): number;
  write(fd: number, bytes: Uint8Array, offset: number): number;
  ioctl(fd: number, request: number, argument: Uint32Array | number): number;
  /** Off the JavaScript thread, for requests that reset a device. */
  ioctlAsync(fd: number, request: number, argument: Uint32Array | number): Promise<number>;
  /** A guarded window reads all-ones, and `wasHit`, once its device has stopped answering. */
  map(
    fd: number,
    offset: number,
    length: number,
    isWritable: boolean,
    isGuarded: boolean,
  ): ArrayBuffer | number;
  /** Zeroed shared memory that forked children do not inherit. */
  arena(length: number, isHuge: boolean): ArrayBuffer | number;
  /**
   * Detaches the buffer: views of it then have length 0. Where another thread still looks, private
   * pages take the place of the memory: zeroes, or all-ones for a guarded window.
   */
  unmap(buffer: ArrayBuffer): number;
  /** Part of memory that another thread has mapped. It keeps nothing mapped. */
  view(address: number, length: number): ArrayBuffer | number;
  /** Detach a view of this thread; the end of the thread does it as well. */
  dropView(buffer: ArrayBuffer): number;
  /** Whether a thread has a view of any of these bytes. */
  isViewed(address: number, length: number): boolean;
  /** Of the first byte, below 2^53: Linux gives user addresses below 2^47 unless asked for more. */
  addressOf(memory: ArrayBuffer | Uint32Array): number;
  wasHit(buffer: ArrayBuffer): boolean;
  /** Bytes; 2^53 - 1 when there is no limit. */
  memlockLimit(): number;
  pageBytes(): number;
  eventfd(): number;
  /** How often it was signalled since the last time, 0 when it was not. */
  takeEvent(fd: number): number;
  signalEvent(fd: number): number;
  /** Call back each time the descriptor becomes readable, from the event loop. */
  watch(fd: number, onReadable: () => void): Watcher;
}

export interface Watcher {
  /** Whether waiting for this descriptor keeps the process alive. Not at first. */
  hold(isHeld: boolean): void;
  close(): void;
}

/** open(2) flags on Linux, all architectures that Node runs on. */
export const OpenFlag = { readOnly: 0, readWrite: 2 } as const;

/** Error numbers that decide something here [Linux errno.h]. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ENOTTY: 25,
  EMSGSIZE: 90,
} as const;

const errnoNames = new Map<number, string>(
  Object.entries(Errno).map(([name, number]) => [number, name]),
);

/** 'EBUSY' for -16. */
export function errnoText(result: number): string {
  return errnoNames.get(-result) ?? `error ${-result}`;
}
