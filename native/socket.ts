import { statSync, unlinkSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../sdk/errors.js';
import { Errno, errnoText, type NativeKernel, type Watcher } from './kernel.js';

/** Longest path of a UNIX socket in bytes: sun_path without its terminator [Linux unix(7)]. */
const maxSocketPathBytes = 107;
/** The kernel carries no more with one message [Linux net/scm.h SCM_MAX_FD]. */
const maxSentDescriptors = 253;
/** What `send` and `receive` say when nothing will ever come or go again. */
export const peerGone = -1;

const noDescriptors = new Int32Array(0);
const backlog = 16;

/**
 * A connected UNIX stream socket that carries descriptors. It never blocks but in `waitReadable`
 * and `waitWritable`, which hold the thread: for a round trip that a synchronous caller needs.
 */
export class UnixSocket {
  /** Descriptors that came and did not fit: each was closed at once. */
  refusedCount = 0;
  private readonly kernel: NativeKernel;
  private readonly incoming: Int32Array;
  private pending: number[] = [];
  private descriptor: number;

  /**
   * @param fd connected and non-blocking; the socket owns it
   * @param maxDescriptors how many may wait for `takeDescriptors`, 0..253
   */
  constructor(kernel: NativeKernel, fd: number, maxDescriptors = 8) {
    if (!isWithin(maxDescriptors, 0, maxSentDescriptors)) {
      throw new RangeError(`${maxDescriptors} descriptors are not in 0..${maxSentDescriptors}`);
    }
    this.kernel = kernel;
    this.descriptor = fd;
    this.incoming = new Int32Array(1 + maxDescriptors);
  }

  /**
   * @throws UltimaError ADDRESS_INVALID for a path that cannot be one, BACKEND_UNAVAILABLE when
   *   nobody listens there, DEVICE_BUSY when whoever listens takes nobody now
   */
  static connect(kernel: NativeKernel, path: string, maxDescriptors?: number): UnixSocket {
    checkPath(path);
    const fd = kernel.socketConnect(path);
    if (fd < 0) throw connectFailure(path, fd);
    return new UnixSocket(kernel, fd, maxDescriptors);
  }

  /** Two ends that are connected to each other. @throws UltimaError BACKEND_UNAVAILABLE */
  static pair(kernel: NativeKernel, maxDescriptors?: number): [UnixSocket, UnixSocket] {
    const ends = new Int32Array(2);
    const result = kernel.socketPair(ends);
    if (result < 0) throw systemFailure('no pair of sockets', result);
    return [
      new UnixSocket(kernel, ends[0]!, maxDescriptors),
      new UnixSocket(kernel, ends[1]!, maxDescriptors),
    ];
  }

  /** -1 once closed. */
  get fd(): number {
    return this.descriptor;
  }

  get isOpen(): boolean {
    return this.descriptor >= 0;
  }

  /** Number of the process at the other end, 0 when it is not known. */
  get peerProcess(): number {
    return Math.max(0, this.kernel.socketPeer(this.descriptor));
  }

  /**
   * Send what fits now; the descriptors travel with the first byte and stay the caller's.
   *
   * @param bytes at least one
   * @returns bytes sent, 0 when the other end takes no more now, `peerGone`
   * @throws UltimaError BACKEND_UNAVAILABLE when the system refuses the descriptors
   */
  send(bytes: Uint8Array, fds: Int32Array = noDescriptors): number {
    if (bytes.length === 0) throw new RangeError('a message of 0 bytes carries nothing');
    if (fds.length > maxSentDescriptors) {
      throw new RangeError(`${fds.length} descriptors in one message, at most 253 travel`);
    }
    if (!this.isOpen) return peerGone;
    const result = this.kernel.socketSend(this.descriptor, bytes, fds);
    if (result >= 0) return result;
    if (result === -Errno.EAGAIN) return 0;
    if (result === -Errno.EPIPE || result === -Errno.ECONNRESET) return peerGone;
    throw systemFailure(`sending with ${fds.length} descriptors failed`, result);
  }

  /**
   * Receive what is there into the front of `bytes`, at least one byte long.
   *
   * @returns bytes received, 0 when there is nothing now, `peerGone`
   */
  receive(bytes: Uint8Array): number {
    if (bytes.length === 0) throw new RangeError('0 bytes receive nothing');
    if (!this.isOpen) return peerGone;
    const count = this.kernel.socketReceive(this.descriptor, bytes, this.incoming);
    if (this.incoming[0]! > 0) this.keepDescriptors();
    if (count > 0) return count;
    return count === -Errno.EAGAIN ? 0 : peerGone;
  }

  /** The descriptors that came since the last time; the caller owns them now. */
  takeDescriptors(): number[] {
    const taken = this.pending;
    if (taken.length > 0) this.pending = [];
    return taken;
  }

  /** Close what came and was not taken. @returns how many it was */
  dropDescriptors(): number {
    const dropped = this.takeDescriptors();
    this.giveUp(dropped);
    return dropped.length;
  }

  /** Close descriptors that were taken and are not wanted. */
  giveUp(descriptors: readonly number[]): void {
    for (const fd of descriptors) this.kernel.close(fd);
  }

  /** Hold the thread until something can be received or the other end is gone. */
  waitReadable(timeoutMs: number): boolean {
    return this.wait(false, timeoutMs);
  }

  /** Hold the thread until something can be sent or the other end is gone. */
  waitWritable(timeoutMs: number): boolean {
    return this.wait(true, timeoutMs);
  }

  /** Call back from the event loop while there is something to receive. One watcher at a time. */
  watch(onReadable: () => void): Watcher {
    return this.kernel.watch(this.descriptor, onReadable);
  }

  /** Call back from the event loop while there is room to send. One watcher at a time. */
  watchWritable(onWritable: () => void): Watcher {
    return this.kernel.watchWritable(this.descriptor, onWritable);
  }

  /** Watchers must be closed before. Idempotent. */
  close(): void {
    if (!this.isOpen) return;
    this.dropDescriptors();
    this.kernel.close(this.descriptor);
    this.descriptor = -1;
  }

  private wait(isForWriting: boolean, timeoutMs: number): boolean {
    if (!isWithin(timeoutMs, 0, 2 ** 31 - 1)) {
      throw new RangeError(`a wait of ${timeoutMs} ms is not a whole number in 0..2^31 - 1`);
    }
    if (!this.isOpen) return true;
    return this.kernel.waitFor(this.descriptor, isForWriting, timeoutMs) !== 0;
  }

  private keepDescriptors(): void {
    const came = this.incoming[0]!;
    const kept = Math.min(came, this.incoming.length - 1);
    this.refusedCount += came - kept;
    for (let i = 1; i <= kept; i++) {
      const fd = this.incoming[i]!;
      if (this.pending.length < this.incoming.length - 1) {
        this.pending.push(fd);
      } else {
        this.kernel.close(fd);
        this.refusedCount++;
      }
    }
  }
}

/** A UNIX stream socket at a path, where others connect. */
export class ListeningSocket {
  readonly path: string;
  private readonly kernel: NativeKernel;
  private descriptor: number;

  /**
   * What a process that died left at the path is replaced; a path where somebody listens is not.
   *
   * @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY, FILE_UNWRITABLE
   */
  constructor(kernel: NativeKernel, path: string) {
    checkPath(path);
    this.kernel = kernel;
    this.path = path;
    let fd = kernel.socketListen(path, backlog);
    if (fd === -Errno.EADDRINUSE && removeAbandoned(kernel, path)) {
      fd = kernel.socketListen(path, backlog);
    }
    if (fd < 0) {
      throw new UltimaError(
        ErrorCode.fileUnwritable,
        `cannot listen at ${path} (${errnoText(fd)}): its folder must exist and be writable`,
        { path, errno: errnoText(fd) },
      );
    }
    this.descriptor = fd;
  }

  /** @returns null when nobody waits */
  accept(maxDescriptors?: number): UnixSocket | null {
    if (this.descriptor < 0) return null;
    const fd = this.kernel.socketAccept(this.descriptor);
    return fd < 0 ? null : new UnixSocket(this.kernel, fd, maxDescriptors);
  }

  /** Call back from the event loop while somebody waits to be accepted. */
  watch(onWaiting: () => void): Watcher {
    return this.kernel.watch(this.descriptor, onWaiting);
  }

  /** Watchers must be closed before. Removes the path. Idempotent. */
  close(): void {
    if (this.descriptor < 0) return;
    this.kernel.close(this.descriptor);
    this.descriptor = -1;
    try {
      unlinkSync(this.path);
    } catch {
      // Somebody removed it, or its folder: it is gone, as it should be.
    }
  }
}

function isWithin(value: number, lowest: number, highest: number): boolean {
  return Number.isInteger(value) && value >= lowest && value <= highest;
}

function checkPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > 0 && bytes <= maxSocketPathBytes && !path.includes('\0')) return;
  throw new UltimaError(
    ErrorCode.addressInvalid,
    `'${path}' cannot be the path of a socket: it has ${bytes} bytes, 1 to ` +
      `${maxSocketPathBytes} are possible, none of them 0; use a shorter path`,
    { path, bytes },
  );
}

/** A socket that nobody listens at any more is removed. @throws UltimaError DEVICE_BUSY, … */
function removeAbandoned(kernel: NativeKernel, path: string): boolean {
  if (!isSocketFile(path)) {
    throw new UltimaError(
      ErrorCode.fileUnwritable,
      `${path} exists and is not a socket; remove it or choose another path`,
      { path },
    );
  }
  const fd = kernel.socketConnect(path);
  if (fd === -Errno.ECONNREFUSED) {
    unlinkSync(path);
    return true;
  }
  if (fd >= 0) kernel.close(fd);
  throw new UltimaError(
    ErrorCode.deviceBusy,
    `another process listens at ${path}; stop it or choose another path`,
    { path },
  );
}

function isSocketFile(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}

function connectFailure(path: string, result: number): UltimaError {
  const errno = errnoText(result);
  if (result === -Errno.EAGAIN) {
    return new UltimaError(
      ErrorCode.deviceBusy,
      `whoever listens at ${path} takes no connection now; try again, or close its other client`,
      { path, errno },
    );
  }
  const refused = isSocketFile(path)
    ? 'nobody listens there any more; start the server again'
    : 'it is not a socket; give the path that the server printed';
  const reasons: Readonly<Record<number, string>> = {
    [Errno.ENOENT]: 'there is nothing; start the server first, or correct the path',
    [Errno.ENOTDIR]: 'a part of the path is no folder; correct it',
    [Errno.EACCES]: 'this user may not write to it; change its owner or mode',
    [Errno.ECONNREFUSED]: refused,
    [Errno.EPROTOTYPE]: 'it is a socket of another kind; give the path that the server printed',
    [Errno.EMFILE]: 'this process has no descriptor left; raise the limit (ulimit -n)',
  };
  const reason = reasons[-result] ?? errno;
  const message = `cannot connect to ${path}: ${reason}`;
  return new UltimaError(ErrorCode.backendUnavailable, message, { path, errno });
}

function systemFailure(what: string, result: number): UltimaError {
  const remedies: Readonly<Record<number, string>> = {
    [Errno.EMFILE]: '; raise the limit of open files (ulimit -n)',
    [Errno.ETOOMANYREFS]: '; too many descriptors are under way, the peer must take them',
  };
  return new UltimaError(
    ErrorCode.backendUnavailable,
    `${what}: ${errnoText(result)}${remedies[-result] ?? ''}`,
    { errno: errnoText(result) },
  );
}
