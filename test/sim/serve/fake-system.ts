import { type OwnMemory, type PeerSocket, peerGone, type ServeSystem } from '../../../sim/index.js';

const EACCES = 13;
const EINVAL = 22;

/** What a descriptor leads to. */
type FakeFile =
  | { readonly kind: 'memory'; readonly bytes: Uint8Array; readonly isReadOnly: boolean }
  | { readonly kind: 'event'; count: number; unread: number };

interface FakeMapping {
  readonly bytes: Uint8Array;
  isMapped: boolean;
}

/**
 * Descriptors, mappings and sockets without an operating system. A descriptor that is used after it
 * was closed is a failure of the test, as is one that is closed twice.
 */
export class FakeSystem implements ServeSystem {
  /** Descriptors that the server holds now. */
  readonly open = new Map<number, FakeFile>();
  readonly mappings: FakeMapping[] = [];
  timeMs = 0;
  /** Answered instead of a mapping. */
  mapError = 0;
  private nextFd = 100;

  /** A descriptor of memory, as a peer would send it. */
  memoryFd(bytes: Uint8Array, isReadOnly = false): number {
    return this.add({ kind: 'memory', bytes, isReadOnly });
  }

  eventFd(): number {
    return this.add({ kind: 'event', count: 0, unread: 0 });
  }

  /** How often an eventfd was signalled so far; also after it was closed. */
  countOf(fd: number): number {
    const file = this.all.get(fd);
    return file?.kind === 'event' ? file.count : -1;
  }

  get mappedCount(): number {
    return this.mappings.filter((mapping) => mapping.isMapped).length;
  }

  map(fd: number, offset: number, length: number, isWritable: boolean): Uint8Array | number {
    const file = this.demand(fd);
    if (this.mapError !== 0) return this.mapError;
    if (file.kind !== 'memory' || offset + length > file.bytes.length) return EINVAL;
    if (file.isReadOnly && isWritable) return EACCES;
    const bytes = file.bytes.subarray(offset, offset + length);
    this.mappings.push({ bytes, isMapped: true });
    return bytes;
  }

  unmap(bytes: Uint8Array): void {
    const mapping = this.mappings.find((one) => one.bytes === bytes && one.isMapped);
    if (mapping === undefined) throw new Error('unmapped what is not mapped');
    mapping.isMapped = false;
  }

  closeDescriptor(fd: number): void {
    this.demand(fd);
    this.open.delete(fd);
  }

  isEventfd(fd: number): boolean {
    return this.demand(fd).kind === 'event';
  }

  signal(fd: number): void {
    const file = this.demand(fd);
    if (file.kind !== 'event') throw new Error('signalled what is no eventfd');
    file.count++;
    file.unread++;
  }

  retract(fd: number): boolean {
    return this.takeEvent(fd) > 0;
  }

  /** As the peer reads it. @returns signals since the last time */
  takeEvent(fd: number): number {
    const file = this.demand(fd);
    if (file.kind !== 'event') throw new Error('read what is no eventfd');
    const { unread } = file;
    file.unread = 0;
    return unread;
  }

  nowMs(): number {
    return this.timeMs;
  }

  ownMemory(bytes: number): OwnMemory {
    const buffer = new ArrayBuffer(bytes);
    const fd = this.memoryFd(new Uint8Array(buffer));
    return { fd, buffer, close: () => this.open.delete(fd) };
  }

  private readonly all = new Map<number, FakeFile>();

  private add(file: FakeFile): number {
    const fd = this.nextFd++;
    this.open.set(fd, file);
    this.all.set(fd, file);
    return fd;
  }

  private demand(fd: number): FakeFile {
    const file = this.open.get(fd);
    if (file === undefined) throw new Error(`descriptor ${fd} is not open`);
    return file;
  }
}

/** The server's end of a connection; the test is the other end. */
export class FakeSocket implements PeerSocket {
  refusedCount = 0;
  isClosed = false;
  /** The peer has closed its end: what is still here is read, then it is gone. */
  isPeerGone = false;
  /** Bytes that the peer takes before it reads again. */
  room = Number.MAX_SAFE_INTEGER;
  /** Called while the server waits; it may send what the server waits for. */
  onWait: (() => void) | null = null;
  /** What the server has sent. */
  readonly sent: number[] = [];
  readonly sentFds: number[] = [];
  private readonly system: FakeSystem;
  private readonly arriving: { readonly bytes: Uint8Array; readonly fds: readonly number[] }[] = [];
  private at = 0;
  private pending: number[] = [];
  private readonly maxFds: number;

  constructor(system: FakeSystem, maxFds = 16) {
    this.system = system;
    this.maxFds = maxFds;
  }

  /** The peer sends; descriptors travel with the first byte. */
  arrive(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (bytes.length > 0) this.arriving.push({ bytes: bytes.slice(), fds });
  }

  send(bytes: Uint8Array, fds: Int32Array = new Int32Array(0)): number {
    if (this.isClosed || this.isPeerGone) return peerGone;
    const count = Math.min(bytes.length, this.room);
    if (count === 0) return 0;
    this.room -= count;
    for (const byte of bytes.subarray(0, count)) this.sent.push(byte);
    this.sentFds.push(...fds);
    return count;
  }

  receive(bytes: Uint8Array): number {
    if (this.isClosed) return peerGone;
    const first = this.arriving[0];
    if (first === undefined) return this.isPeerGone ? peerGone : 0;
    if (this.at === 0) this.keep(first.fds);
    const count = Math.min(bytes.length, first.bytes.length - this.at);
    bytes.set(first.bytes.subarray(this.at, this.at + count));
    this.at += count;
    if (this.at === first.bytes.length) {
      this.arriving.shift();
      this.at = 0;
    }
    return count;
  }

  takeDescriptors(): number[] {
    return this.pending.splice(0);
  }

  waitReadable(timeoutMs: number): boolean {
    return this.wait(timeoutMs, () => this.arriving.length > 0 || this.isPeerGone);
  }

  waitWritable(timeoutMs: number): boolean {
    return this.wait(timeoutMs, () => this.room > 0 || this.isPeerGone);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const fd of this.takeDescriptors()) this.system.closeDescriptor(fd);
    // What is still under way goes with the socket.
    if (this.at > 0) this.arriving.shift();
    for (const { fds } of this.arriving.splice(0)) {
      for (const fd of fds) this.system.closeDescriptor(fd);
    }
  }

  private keep(fds: readonly number[]): void {
    for (const fd of fds) {
      if (this.pending.length < this.maxFds) {
        this.pending.push(fd);
      } else {
        this.refusedCount++;
        this.system.closeDescriptor(fd);
      }
    }
  }

  private wait(timeoutMs: number, isReady: () => boolean): boolean {
    this.onWait?.();
    if (isReady()) return true;
    this.system.timeMs += timeoutMs;
    return false;
  }
}
