/** What `PeerSocket.send` and `receive` say when the peer is gone. */
export const peerGone = -1;

/** A connected stream socket that carries descriptors. It never blocks but where it says so. */
export interface PeerSocket {
  /** Descriptors that came in one message beyond what the socket keeps: each was closed. */
  readonly refusedCount: number;
  /**
   * Send what fits now; the descriptors travel with the first byte and stay the caller's.
   *
   * @returns bytes sent, 0 when the peer takes no more now, `peerGone`
   */
  send(bytes: Uint8Array, fds?: Int32Array): number;
  /** @returns bytes received into the front of `bytes`, 0 when there is nothing now, `peerGone` */
  receive(bytes: Uint8Array): number;
  /** The descriptors that came since the last time; the caller owns them now. */
  takeDescriptors(): number[];
  /** Block until something can be received or the peer is gone. @returns false after the time */
  waitReadable(timeoutMs: number): boolean;
  /** Block until something can be sent or the peer is gone. @returns false after the time */
  waitWritable(timeoutMs: number): boolean;
  close(): void;
}

/** Memory of ours that a peer can map. */
export interface OwnMemory {
  /** To be sent along; it stays ours. */
  readonly fd: number;
  readonly buffer: ArrayBuffer;
  close(): void;
}

/** What a server needs of the operating system. Descriptors that a peer sent are not trusted. */
export interface ServeSystem {
  /** Map part of a descriptor. @returns the memory, or a UNIX error number above 0 */
  map(fd: number, offset: number, length: number, isWritable: boolean): Uint8Array | number;
  /** Nothing looks at the memory any more. */
  unmap(bytes: Uint8Array): void;
  closeDescriptor(fd: number): void;
  /** Whether a descriptor is an eventfd; what else a peer sent is never written to. */
  isEventfd(fd: number): boolean;
  /** Signal an eventfd; one that is full stays as it is. Never blocks. */
  signal(fd: number): void;
  /** Take back what was signalled. @returns false when the peer has seen it already */
  retract(fd: number): boolean;
  /** Milliseconds since some fixed point, for what a peer is given time for. */
  nowMs(): number;
  /** Zeroed memory that a peer can be given, whole pages. */
  ownMemory(bytes: number): OwnMemory;
}
