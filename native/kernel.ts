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

/** UNIX stream sockets that carry descriptors. None blocks: -EAGAIN where it would have to wait. */
export interface SocketCalls {
  /** @param path at most 107 bytes of UTF-8 */
  socketListen(path: string, backlog: number): number;
  socketConnect(path: string): number;
  socketAccept(fd: number): number;
  /** Two connected sockets; their descriptors into ends[0] and ends[1]. */
  socketPair(ends: Int32Array): number;
  /** Number of the process at the other end. */
  socketPeer(fd: number): number;
  /** The descriptors go with the first byte and stay the caller's. @returns bytes sent */
  socketSend(fd: number, bytes: Uint8Array, fds: Int32Array): number;
  /**
   * @param fds [0] becomes how many descriptors came; they follow, and what does not fit is closed
   * @returns bytes received, 0 at the end of the stream
   */
  socketReceive(fd: number, bytes: Uint8Array, fds: Int32Array): number;
  /** @returns 1 when it is ready or its peer is gone, 0 when the time is over or a signal came */
  waitFor(fd: number, isForWriting: boolean, timeoutMs: number): number;
  /** As `watch`, for room to write. A descriptor has one watcher at a time. */
  watchWritable(fd: number, onWritable: () => void): Watcher;
}

/** Memory that has a descriptor. */
export interface MemoryCalls {
  /** Zeroes. @returns descriptor */
  memfd(name: string, length: number): number;
  /** What was written of one memfd into another of the same size. */
  copyMemory(source: number, target: number): number;
  /** The whole of a mapping shows another file from now on, at the same addresses. */
  remap(buffer: ArrayBuffer, fd: number): number;
  /** Nobody changes its size any more. */
  fileSeal(fd: number): number;
  /** @returns 1 when it can never shrink; -EINVAL for what cannot be sealed */
  fileIsSealed(fd: number): number;
  /** Size in bytes; -EINVAL for what is neither memory nor a regular file. */
  fileBytes(fd: number): number;
  /**
   * As `map` of memory that another process may cut short: private zeroes then take its place, and
   * `wasHit` says so.
   */
  mapMemory(fd: number, offset: number, length: number, isWritable: boolean): ArrayBuffer | number;
}

/** Memory that another process writes without telling. */
export interface WatchCalls {
  /**
   * Compare words with those that were seen, in a thread of the process's own. Both arrays stay
   * where they are, mapped, until the watch is closed.
   */
  watchWords(words: Uint32Array, seen: Uint32Array, eventfd: number): WordsWatch;
}

export interface WordsWatch {
  /**
   * Signal the eventfd once, when a word is another than the one seen, be it at once.
   *
   * @param quietMs  how long none has changed: the longer, the more rarely they are looked at
   */
  arm(quietMs: number): void;
  /** Nothing of the memory is touched any more. */
  close(): void;
}

/** Received from in one crossing. */
export interface TcpBatch {
  /** Readable while something can be received, or sent where that is wanted. */
  readonly fd: number;
  add(fd: number, id: number): number;
  /** What makes `fd` of the batch readable: bit 0 bytes (as at first), bit 1 room to write. */
  setWanted(fd: number, id: number, wanted: number): number;
  remove(fd: number): number;
  /**
   * @param waitMs  how long to hold the thread until the first has something
   * @returns how many places were filled: the table has the id and the result of each
   */
  poll(waitMs: number): number;
  close(): void;
}

/**
 * TCP sockets that never block. Addresses are numbers, IPv4 or IPv6. What takes a descriptor takes
 * that of a UNIX stream socket, too.
 */
export interface TcpCalls {
  /** @returns descriptor; -EINVAL for what is no address */
  tcpListen(address: string, port: number, backlog: number): number;
  tcpAccept(fd: number): number;
  /** @returns descriptor of a socket that may still be connecting: writable when it is over */
  tcpConnect(address: string, port: number): number;
  /** @returns 0, or what has become of the connection */
  tcpError(fd: number): number;
  /** @returns 'ADDRESS:PORT' */
  tcpName(fd: number, isPeer: boolean): string;
  /** Bytes from..to - 1. @returns bytes sent */
  tcpSend(fd: number, bytes: Uint8Array, from: number, to: number): number;
  /** Without a view of either side. The ranges must lie inside. */
  copyBytes(source: Uint8Array, from: number, target: Uint8Array, to: number, length: number): void;
  /** Nothing more will be sent. */
  tcpShutdown(fd: number): number;
  /** @param memory  for what is received, divided into places; the table has two numbers of each */
  tcpBatch(memory: Uint8Array, places: number, table: Int32Array): TcpBatch;
}

/** Puts the monotonic time in nanoseconds into its cell: a number that is returned allocates. */
export interface NativeClock {
  (): void;
  readonly cell: Float64Array;
}

/** All that the addon offers. */
export interface NativeKernel extends Kernel, SocketCalls, MemoryCalls, TcpCalls, WatchCalls {
  /** Builds that are older do without. */
  readonly newClock?: () => NativeClock | null;
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
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EPIPE: 32,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ETOOMANYREFS: 109,
  ECONNREFUSED: 111,
  EADDRNOTAVAIL: 99,
} as const;

const errnoNames = new Map<number, string>(
  Object.entries(Errno).map(([name, number]) => [number, name]),
);

/** 'EBUSY' for -16. */
export function errnoText(result: number): string {
  return errnoNames.get(-result) ?? `error ${-result}`;
}
