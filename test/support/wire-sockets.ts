import type { Listening, Place, Sockets, Stream, StreamUser } from '../../sdk/sockets/stream.js';

/** What becomes of one PDU on its way: the bytes that arrive instead of it. */
export type Meddler = (pdu: Buffer, isToTarget: boolean) => readonly Buffer[];

const honest: Meddler = (pdu) => [pdu];
const commonBytes = 8;
const lengthAt = 4;

/**
 * Connections in memory, PDU by PDU, with somebody in the middle. Nothing moves but in `pump`.
 */
export class WireSockets implements Sockets {
  readonly isPolled = false;
  /** PDUs that went through. */
  pdus = 0;
  /** For the next connections. */
  meddler: Meddler = honest;
  private accept: ((stream: Stream) => void) | null = null;
  private readonly ends: WireEnd[] = [];
  private nextPort = 1;

  async listen(place: Place, accept: (stream: Stream) => void): Promise<Listening> {
    this.accept = accept;
    return { place, close: () => {} };
  }

  async connect(_place: Place, _limitMs: number): Promise<Stream> {
    const port = this.nextPort++;
    const { meddler } = this;
    const host = new WireEnd(this, { name: `h:${port}`, isToTarget: true, meddler });
    const target = new WireEnd(this, { name: `t:${port}`, isToTarget: false, meddler });
    host.other = target;
    target.other = host;
    this.ends.push(host, target);
    this.accept?.(target);
    return host;
  }

  poll(): number {
    return 0;
  }

  watch(): void {}

  close(): void {}

  /** Everything that was sent arrives. @returns whether anything did */
  pump(): boolean {
    let hasMoved = false;
    for (let i = 0; i < this.ends.length; i++) hasMoved = this.ends[i]!.deliver() || hasMoved;
    for (let i = this.ends.length - 1; i >= 0; i--)
      if (this.ends[i]!.isOver) this.ends.splice(i, 1);
    return hasMoved;
  }
}

class WireEnd implements Stream {
  readonly remote: string;
  readonly local: string;
  other: WireEnd | null = null;
  isOver = false;
  private readonly sockets: WireSockets;
  private readonly isToTarget: boolean;
  private readonly meddler: Meddler;
  private user: StreamUser | null = null;
  private readonly queue: Buffer[] = [];
  private rest = Buffer.alloc(0);
  private isEnding = false;

  constructor(
    sockets: WireSockets,
    parts: { readonly name: string; readonly isToTarget: boolean; readonly meddler: Meddler },
  ) {
    this.sockets = sockets;
    this.remote = parts.name;
    this.local = parts.name;
    this.isToTarget = parts.isToTarget;
    this.meddler = parts.meddler;
  }

  attach(user: StreamUser): void {
    this.user = user;
  }

  send(chunk: Uint8Array, length: number): boolean {
    if (this.isOver || this.isEnding) return true;
    const all = Buffer.concat([this.rest, chunk.subarray(0, length)]);
    let at = 0;
    while (all.length - at >= commonBytes) {
      const size = Math.max(commonBytes, all.readUInt32LE(at + lengthAt));
      if (all.length - at < size) break;
      this.sockets.pdus++;
      this.queue.push(...this.meddler(all.subarray(at, at + size), this.isToTarget));
      at += size;
    }
    this.rest = all.subarray(at);
    return true;
  }

  setReading(): void {}

  end(): void {
    this.isEnding = true;
  }

  destroy(): void {
    if (this.isEnding) return;
    this.close();
  }

  /** What waits arrives at the other end; a goodbye closes both. */
  deliver(): boolean {
    const { other } = this;
    let hasMoved = false;
    for (let bytes = this.queue.shift(); bytes !== undefined; bytes = this.queue.shift()) {
      hasMoved = true;
      other?.user?.receive(bytes, 0, bytes.length);
    }
    if (this.isEnding && !this.isOver) this.close();
    return hasMoved;
  }

  private close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.user = null;
    const { other } = this;
    const user = other?.user ?? null;
    if (other !== null && !other.isOver) {
      other.isOver = true;
      other.user = null;
      user?.gone('the other end has closed');
    }
  }
}
