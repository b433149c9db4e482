import { lookup } from 'node:dns/promises';
import { rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { KiB } from '../units.js';
import { type Copier, setCopier } from './copy.js';
import { cannotListen, cannotListenAt, clearPath, unreachable } from './places.js';
import type { Listening, LocalSockets, Place, Stream, StreamUser } from './stream.js';

/** What of the addon is used here: the native package's kernel has it all. */
export interface TcpKernel {
  copyBytes: Copier;
  close(fd: number): number;
  watch(fd: number, onReadable: () => void): TcpWatcher;
  watchWritable(fd: number, onWritable: () => void): TcpWatcher;
  socketListen(path: string, backlog: number): number;
  tcpListen(address: string, port: number, backlog: number): number;
  tcpAccept(fd: number): number;
  tcpConnect(address: string, port: number): number;
  tcpError(fd: number): number;
  tcpName(fd: number, isPeer: boolean): string;
  tcpSend(fd: number, bytes: Uint8Array, from: number, to: number): number;
  tcpShutdown(fd: number): number;
  tcpBatch(memory: Uint8Array, places: number, table: Int32Array): TcpReceiver;
}

interface TcpWatcher {
  hold(isHeld: boolean): void;
  close(): void;
}

interface TcpReceiver {
  readonly fd: number;
  add(fd: number, id: number): number;
  setWanted(fd: number, id: number, wanted: number): number;
  remove(fd: number): number;
  poll(waitMs: number): number;
  close(): void;
}

/** Connections that one look receives from. */
const places = 16;
const placeBytes = 256 * KiB;
const backlog = 128;
/** A peer that was told goodbye closes within this, or is cut off. */
const lingerMs = 2000;
/** Error numbers of Linux that mean something here. */
const Errno = { again: -11 } as const;
/** What of a connection is waited for. */
const Wanted = { reading: 1, writing: 2 } as const;

/**
 * Connections by the addon: one crossing receives from all that have something, and one sends all
 * that was collected for one. Whoever uses them polls; when there is nothing to do, `watch` sleeps,
 * and keeps the process alive as long as there are connections, as those of node:net do.
 */
export class NativeSockets implements LocalSockets {
  readonly isPolled = true;
  private readonly kernel: TcpKernel;
  private readonly memory = new Uint8Array(places * placeBytes);
  private readonly table = new Int32Array(2 * places);
  private readonly receiver: TcpReceiver;
  private readonly streams: (NativeStream | null)[] = [];
  private readonly freeIds: number[] = [];
  private readonly blocked = new Set<NativeStream>();
  private watcher: TcpWatcher | null = null;
  private openCount = 0;

  constructor(kernel: TcpKernel) {
    this.kernel = kernel;
    this.receiver = kernel.tcpBatch(this.memory, places, this.table);
    setCopier(kernel.copyBytes);
  }

  async listen(place: Place, accept: (stream: Stream) => void): Promise<Listening> {
    const { kernel } = this;
    const fd = kernel.tcpListen(await addressOf(place), place.port, backlog);
    if (fd < 0) throw cannotListen(place, getSystemErrorName(fd));
    const port = Number(/:(\d+)$/.exec(kernel.tcpName(fd, false))?.[1] ?? place.port);
    return { place: { host: place.host, port }, ...this.accepting(fd, accept) };
  }

  async listenAt(path: string, accept: (stream: Stream) => void): Promise<{ close(): void }> {
    await clearPath(path);
    const fd = this.kernel.socketListen(path, backlog);
    if (fd < 0) throw cannotListenAt(path, getSystemErrorName(fd));
    const { close } = this.accepting(fd, accept);
    return {
      close: () => {
        if (close()) rmSync(path, { force: true });
      },
    };
  }

  async connect(place: Place, limitMs: number): Promise<Stream> {
    const { kernel } = this;
    const fd = kernel.tcpConnect(await addressOf(place), place.port);
    if (fd < 0) throw unreachable(place, getSystemErrorName(fd));
    const isInTime = await new Promise<boolean>((resolve) => {
      const settle = (isWritable: boolean): void => {
        clearTimeout(timer);
        watcher.close();
        resolve(isWritable);
      };
      const timer = setTimeout(() => settle(false), limitMs);
      const watcher = kernel.watchWritable(fd, () => settle(true));
      watcher.hold(true);
    });
    const error = kernel.tcpError(fd);
    if (isInTime && error === 0) return this.open(fd);
    kernel.close(fd);
    const why = isInTime ? getSystemErrorName(error) : `no answer within ${limitMs} ms`;
    throw unreachable(place, why);
  }

  poll(waitMs = 0): number {
    const { table } = this;
    const count = this.receiver.poll(waitMs);
    let done = count;
    for (let i = 0; i < count; i++) {
      const stream = this.streams[table[2 * i]!];
      // An earlier one of this batch may have closed it.
      if (stream == null) continue;
      const result = table[2 * i + 1]!;
      const from = i * placeBytes;
      if (result > 0) stream.received(this.memory, from, from + result);
      else if (result === 0) stream.peerEnded();
      else stream.failed(getSystemErrorName(result));
    }
    if (this.blocked.size > 0) for (const stream of this.blocked) done += stream.pump();
    return done;
  }

  watch(onReadable: (() => void) | null): void {
    this.watcher?.close();
    this.watcher = onReadable === null ? null : this.kernel.watch(this.receiver.fd, onReadable);
    this.watcher?.hold(this.openCount > 0);
  }

  close(): void {
    for (const stream of this.streams) stream?.abandon();
    this.watch(null);
    this.receiver.close();
  }

  /** For streams: what of a connection is waited for from now on. */
  setWanted(stream: NativeStream, fd: number, id: number, wanted: number): void {
    if ((wanted & Wanted.writing) !== 0) this.blocked.add(stream);
    else this.blocked.delete(stream);
    if (id >= 0) this.receiver.setWanted(fd, id, wanted);
  }

  add(stream: NativeStream, fd: number): number {
    const id = this.freeIds.pop() ?? this.streams.length;
    this.streams[id] = stream;
    this.receiver.add(fd, id);
    if (++this.openCount === 1) this.watcher?.hold(true);
    return id;
  }

  forget(stream: NativeStream, fd: number, id: number): void {
    this.blocked.delete(stream);
    if (id >= 0) {
      this.receiver.remove(fd);
      this.streams[id] = null;
      this.freeIds.push(id);
      if (--this.openCount === 0) this.watcher?.hold(false);
    }
    this.kernel.close(fd);
  }

  /** @returns what ends it, and says whether it was the first to do so */
  private accepting(fd: number, accept: (stream: Stream) => void): { close(): boolean } {
    const { kernel } = this;
    const watcher = kernel.watch(fd, () => {
      for (let taken = kernel.tcpAccept(fd); taken >= 0; taken = kernel.tcpAccept(fd)) {
        accept(this.open(taken));
      }
    });
    watcher.hold(true);
    let isOpen = true;
    return {
      close: () => {
        if (!isOpen) return false;
        isOpen = false;
        watcher.close();
        kernel.close(fd);
        return true;
      },
    };
  }

  private open(fd: number): NativeStream {
    return new NativeStream(this, this.kernel, fd);
  }
}

interface Piece {
  readonly chunk: Uint8Array;
  readonly length: number;
}

class NativeStream implements Stream {
  readonly remote: string;
  readonly local: string;
  private readonly sockets: NativeSockets;
  private readonly kernel: TcpKernel;
  private fd: number;
  private id = -1;
  private user: StreamUser | null = null;
  private wanted: number = Wanted.reading;
  /** What did not fit, oldest first, and how much of that has gone. */
  private readonly waiting: Piece[] = [];
  private sentBytes = 0;
  private linger: NodeJS.Timeout | null = null;

  constructor(sockets: NativeSockets, kernel: TcpKernel, fd: number) {
    this.sockets = sockets;
    this.kernel = kernel;
    this.fd = fd;
    this.remote = kernel.tcpName(fd, true);
    this.local = kernel.tcpName(fd, false);
  }

  attach(user: StreamUser): void {
    this.user = user;
    if (this.fd >= 0) this.id = this.sockets.add(this, this.fd);
  }

  send(chunk: Uint8Array, length: number): boolean {
    if (this.fd < 0 || this.linger !== null) return false;
    if (this.waiting.length > 0) {
      this.waiting.push({ chunk, length });
      return false;
    }
    const count = this.kernel.tcpSend(this.fd, chunk, 0, length);
    if (count === length) return true;
    // A connection that is broken says so when it is sent to again.
    this.sentBytes = Math.max(0, count);
    this.waiting.push({ chunk, length });
    this.want(this.wanted | Wanted.writing);
    return false;
  }

  setReading(isWanted: boolean): void {
    this.want(isWanted ? this.wanted | Wanted.reading : this.wanted & ~Wanted.reading);
  }

  received(bytes: Uint8Array, from: number, to: number): void {
    // After a goodbye what comes is only waited for.
    if (this.linger === null) this.user?.receive(bytes, from, to);
  }

  peerEnded(): void {
    if (this.linger !== null || this.user?.inputEnded === undefined) {
      this.failed('the peer closed the connection');
      return;
    }
    // The end would be received again and again.
    this.setReading(false);
    this.user.inputEnded();
  }

  failed(why: string): void {
    const { user } = this;
    this.release();
    user?.gone(why);
  }

  /** There may be room again. @returns pieces that have gone */
  pump(): number {
    let gone = 0;
    while (this.waiting.length > 0 && this.fd >= 0) {
      const { chunk, length } = this.waiting[0]!;
      const count = this.kernel.tcpSend(this.fd, chunk, this.sentBytes, length);
      if (count < 0 && count !== Errno.again) {
        this.failed(getSystemErrorName(count));
        return gone;
      }
      this.sentBytes += Math.max(0, count);
      if (this.sentBytes < length) return gone;
      this.sentBytes = 0;
      this.waiting.shift();
      gone++;
      this.user?.sent();
    }
    if (this.fd < 0) return gone;
    this.want(this.wanted & ~Wanted.writing);
    if (this.linger !== null) this.kernel.tcpShutdown(this.fd);
    return gone;
  }

  end(): void {
    if (this.fd < 0 || this.linger !== null) return;
    this.linger = setTimeout(() => this.failed('the peer does not close'), lingerMs);
    this.setReading(true);
    if (this.waiting.length === 0) this.kernel.tcpShutdown(this.fd);
  }

  destroy(): void {
    // What was sent before a goodbye still goes.
    if (this.linger === null) this.release();
  }

  abandon(): void {
    this.release();
  }

  private want(wanted: number): void {
    if (this.fd < 0 || wanted === this.wanted) return;
    this.wanted = wanted;
    this.sockets.setWanted(this, this.fd, this.id, wanted);
  }

  private release(): void {
    if (this.linger !== null) clearTimeout(this.linger);
    if (this.fd < 0) return;
    const { fd, id } = this;
    this.fd = -1;
    this.user = null;
    this.waiting.length = 0;
    this.sockets.forget(this, fd, id);
  }
}

async function addressOf({ host }: Place): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch {
    // No address: the system refuses what is none, and says so.
    return host;
  }
}
