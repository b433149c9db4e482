/** Whoever is at one end of a connection. */
export interface StreamUser {
  /** Bytes that came: `from`..`to` - 1. They must be taken before this returns. */
  receive(bytes: Uint8Array, from: number, to: number): void;
  /** The oldest chunk for which `send` said false has gone. */
  sent(): void;
  /** The connection is over, for the reason given; called once, nothing follows. */
  gone(why: string): void;
}

/** A connection as this folder sees it: bytes in order, whoever carries them. */
export interface FabricStream {
  /** 'ADDRESS:PORT' of the other end, and ours. */
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
  /** Nothing more will be sent: close when the other end has what is under way. */
  end(): void;
  /** Close at once. */
  destroy(): void;
}

export interface Place {
  readonly host: string;
  readonly port: number;
}

export interface Listening {
  readonly place: Place;
  close(): void;
}

/** How connections are made and awaited: over node:net, or by the addon. */
export interface FabricSockets {
  /** Whether `poll` is how bytes come; otherwise the event loop brings them. */
  readonly isPolled: boolean;
  /** @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY for a place that cannot be listened at */
  listen(place: Place, accept: (stream: FabricStream) => void): Promise<Listening>;
  /** @throws UltimaError BACKEND_UNAVAILABLE when nobody answers within `limitMs` */
  connect(place: Place, limitMs: number): Promise<FabricStream>;
  /** Look what came, and hand it to its users. @returns how many streams had something */
  poll(): number;
  /** Be called from the event loop when there is something to poll; null ends it. */
  watch(onReadable: (() => void) | null): void;
  close(): void;
}
