/** Whoever is at one end of a connection. */
export interface StreamUser {
  /** Bytes that came: `from`..`to` - 1. They must be taken before this returns. */
  receive(bytes: Uint8Array, from: number, to: number): void;
  /** The oldest chunk for which `send` said false has gone. */
  sent(): void;
  /** The other end sends nothing more, but may still read. Without it that ends the connection. */
  inputEnded?(): void;
  /** The connection is over, for the reason given; called once, nothing follows. */
  gone(why: string): void;
}

/** A connection as protocols see it: bytes in order, whoever carries them. */
export interface Stream {
  /** 'ADDRESS:PORT' of the other end, and ours; empty for UNIX sockets. */
  readonly remote: string;
  readonly local: string;
  /** Bytes may arrive from now on. */
  attach(user: StreamUser): void;
  /**
   * Hand over the first `length` bytes of a chunk.
   *
   * @returns true when they have gone and the memory may be used again; false when `sent` says so
   */
  send(chunk: Uint8Array, length: number): boolean;
  /** Whether bytes are wanted; true at first. What was on its way may still arrive. */
  setReading(isWanted: boolean): void;
  /**
   * Nothing more will be sent, and what still comes is dropped: `gone` follows when the other end
   * has what is under way, or takes too long over it.
   */
  end(): void;
  /** Close at once: nothing follows. After `end` it is on its way already. */
  destroy(): void;
}

export interface Place {
  readonly host: string;
  readonly port: number;
}

export interface Listening {
  /** With the port that was given for 0. */
  readonly place: Place;
  close(): void;
}

/** How connections are made and awaited: over node:net, or by the addon. */
export interface Sockets {
  /** Whether `poll` is how bytes come; otherwise the event loop brings them. */
  readonly isPolled: boolean;
  /** @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY for a place that cannot be listened at */
  listen(place: Place, accept: (stream: Stream) => void): Promise<Listening>;
  /** @throws UltimaError BACKEND_UNAVAILABLE when nobody answers within `limitMs` */
  connect(place: Place, limitMs: number): Promise<Stream>;
  /**
   * Look what came, and hand it to its users.
   *
   * @param waitMs  how long to hold the thread in the kernel for the first of it; 0 when left out
   * @returns how many streams had something
   */
  poll(waitMs?: number): number;
  /** Be called from the event loop when there is something to poll; null ends it. */
  watch(onReadable: (() => void) | null): void;
  close(): void;
}

/** Those that know UNIX sockets, too. */
export interface LocalSockets extends Sockets {
  /**
   * The socket that a process left behind that was killed is replaced; whatever else stands at the
   * path stays.
   *
   * @throws UltimaError DEVICE_BUSY when somebody listens there, FILE_UNWRITABLE for a path that
   *   cannot be made
   */
  listenAt(path: string, accept: (stream: Stream) => void): Promise<{ close(): void }>;
}
